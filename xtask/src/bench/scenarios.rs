//! What the two servers are compared in. The words are those of `natterjack bench`.

use Figure::{Median, Rate, Tail};
use Setting::{Core, Default, Relaxed, Synced};

/// How the server is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    /// Without JetStream.
    Core,
    /// JetStream as each server has it by default: ours acknowledges what is synced, nats-server what is
    /// written.
    Default,
    /// Both acknowledge what is written.
    Relaxed,
    /// Both acknowledge what is synced.
    Synced,
}

impl Setting {
    /// The configuration, if flags do not do; `store` is the directory of the streams.
    pub(super) fn config(self, store: &str) -> Option<String> {
        let interval = match self {
            Self::Core | Self::Default => return None,
            Self::Relaxed => "\"2m\"",
            Self::Synced => "always",
        };
        Some(format!("jetstream {{ store_dir: \"{store}\", sync_interval: {interval} }}\n"))
    }
}

/// What runs beside the measured command.
#[derive(Debug, Clone, Copy)]
pub(super) enum Beside {
    Nothing,
    /// Answers as long as it is needed. It has one subscription.
    Service(&'static str),
    /// A service as above, and so many publishers who send as fast as the server reads.
    Flood(&'static str, u32),
    /// Subscribers, which end by themselves and whose figures count; so many subscriptions.
    Subscribers(&'static str, u64),
}

/// Which figure is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    /// Messages per second.
    Rate,
    /// Median of the latencies in microseconds.
    Median,
    /// The 99th percentile of the latencies in microseconds.
    Tail,
}

/// Something to compare. `{msgs}` in a command is replaced by the number of messages.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) setting: Setting,
    pub(super) prepare: &'static [&'static str],
    pub(super) beside: Beside,
    pub(super) measured: &'static str,
    pub(super) figure: Figure,
    pub(super) messages: u64,
}

/// Without preparations and helpers.
const fn plain(
    name: &'static str,
    setting: Setting,
    figure: Figure,
    messages: u64,
    measured: &'static str,
) -> Scenario {
    Scenario { name, setting, prepare: &[], beside: Beside::Nothing, measured, figure, messages }
}

/// Publishers and subscribers.
const fn pubsub(
    name: &'static str,
    messages: u64,
    subscribers: &'static str,
    number: u64,
    measured: &'static str,
) -> Scenario {
    let beside = Beside::Subscribers(subscribers, number);
    Scenario { beside, ..plain(name, Core, Rate, messages, measured) }
}

/// A quiet client that asks once a millisecond, beside four publishers who never pause.
const fn flooded(name: &'static str, figure: Figure) -> Scenario {
    let beside = Beside::Flood("service serve bench", 4);
    let request = "service request bench --sleep 1ms --msgs {msgs}";
    Scenario { beside, ..plain(name, Core, figure, 3_000, request) }
}

/// A consumer over messages that are stored before.
const fn consume(
    name: &'static str,
    figure: Figure,
    messages: u64,
    prepare: &'static [&'static str],
    measured: &'static str,
) -> Scenario {
    Scenario { prepare, ..plain(name, Default, figure, messages, measured) }
}

const IN_MEMORY: &[&str] =
    &["js pub async bench.js --create --storage memory --batch 1000 --msgs {msgs}"];
const IN_FILES: &[&str] =
    &["js pub async bench.js --create --storage file --batch 1000 --msgs {msgs}"];
const KEYS: &[&str] = &["kv put --clients 16 --msgs 10000"];
const ASYNC: &str = "js pub async bench.js --create --storage file --batch 1000 --msgs {msgs}";
const ASYNC_1024: &str =
    "js pub async bench.js --create --storage file --batch 1000 --size 1024 --msgs {msgs}";

pub(super) const SCENARIOS: &[Scenario] = &[
    plain("core-pub-16", Core, Rate, 3_000_000, "pub bench --size 16 --msgs {msgs}"),
    plain("core-pub-128", Core, Rate, 2_000_000, "pub bench --size 128 --msgs {msgs}"),
    pubsub(
        "core-pubsub-16",
        1_000_000,
        "sub bench --msgs {msgs}",
        1,
        "pub bench --size 16 --msgs {msgs}",
    ),
    pubsub(
        "core-pubsub-128",
        1_000_000,
        "sub bench --msgs {msgs}",
        1,
        "pub bench --size 128 --msgs {msgs}",
    ),
    pubsub(
        "core-pubsub-1024",
        500_000,
        "sub bench --msgs {msgs}",
        1,
        "pub bench --size 1024 --msgs {msgs}",
    ),
    pubsub(
        "core-fanout-8-128",
        200_000,
        "sub bench --clients 8 --msgs {msgs}",
        8,
        "pub bench --size 128 --msgs {msgs}",
    ),
    Scenario {
        beside: Beside::Service("service serve bench"),
        ..plain("request-1", Core, Median, 20_000, "service request bench --msgs {msgs}")
    },
    Scenario {
        beside: Beside::Service("service serve bench"),
        ..plain(
            "request-64",
            Core,
            Rate,
            100_000,
            "service request bench --clients 64 --msgs {msgs}",
        )
    },
    flooded("request-1-flooded", Median),
    flooded("request-1-flooded-p99", Tail),
    plain(
        "js-pub-sync-mem",
        Default,
        Median,
        20_000,
        "js pub sync bench.js --create --storage memory --msgs {msgs}",
    ),
    plain(
        "js-pub-sync-file-synced",
        Synced,
        Median,
        3_000,
        "js pub sync bench.js --create --storage file --msgs {msgs}",
    ),
    plain(
        "js-pub-async-mem-128",
        Default,
        Rate,
        300_000,
        "js pub async bench.js --create --storage memory --batch 1000 --msgs {msgs}",
    ),
    plain("js-pub-async-file-128-relaxed", Relaxed, Rate, 300_000, ASYNC),
    plain("js-pub-async-file-1024-relaxed", Relaxed, Rate, 200_000, ASYNC_1024),
    plain("js-pub-async-file-128-default", Default, Rate, 300_000, ASYNC),
    plain("js-pub-async-file-1024-default", Default, Rate, 200_000, ASYNC_1024),
    plain(
        "js-pub-64-file-synced",
        Synced,
        Rate,
        20_000,
        "js pub async bench.js --create --storage file --clients 64 --batch 100 --msgs {msgs}",
    ),
    consume(
        "js-consume-none-mem",
        Rate,
        200_000,
        IN_MEMORY,
        "js consume --acks none --msgs {msgs}",
    ),
    consume(
        "js-consume-explicit-mem",
        Rate,
        200_000,
        IN_MEMORY,
        "js consume --acks explicit --msgs {msgs}",
    ),
    consume(
        "js-consume-explicit-file",
        Rate,
        200_000,
        IN_FILES,
        "js consume --acks explicit --msgs {msgs}",
    ),
    consume("js-ordered-mem", Rate, 200_000, IN_MEMORY, "js ordered --msgs {msgs}"),
    consume("js-fetch-1-mem", Rate, 20_000, IN_MEMORY, "js fetch --batch 1 --msgs {msgs}"),
    plain(
        "kv-put-64-default",
        Default,
        Rate,
        60_000,
        "kv put --clients 64 --randomize 10000 --msgs {msgs}",
    ),
    plain(
        "kv-put-64-relaxed",
        Relaxed,
        Rate,
        60_000,
        "kv put --clients 64 --randomize 10000 --msgs {msgs}",
    ),
    consume(
        "kv-get-64",
        Rate,
        100_000,
        KEYS,
        "kv get --clients 64 --randomize 10000 --msgs {msgs}",
    ),
    consume("kv-get-1", Median, 20_000, KEYS, "kv get --randomize 10000 --msgs {msgs}"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_the_setting() {
        for (place, scenario) in SCENARIOS.iter().enumerate() {
            let name = scenario.name;
            assert!(SCENARIOS[..place].iter().all(|other| other.name != name), "{name} twice");
            assert_eq!(name.ends_with("-synced"), scenario.setting == Synced, "{name}");
            assert_eq!(name.ends_with("-relaxed"), scenario.setting == Relaxed, "{name}");
            assert!(scenario.measured.contains("{msgs}"), "{name}");
        }
    }
}
