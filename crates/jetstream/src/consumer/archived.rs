//! A consumer in the archive of its stream: its configuration and its state as JSON (ADR "Stream
//! Backup and Restore V2"). Times are nanoseconds, sequences of pending messages those of the
//! consumer's first delivery, and `redelivered` counts the deliveries after the first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use natterjack_store::SEQ_MAX;

use super::Consumer;
use super::config::{Config, DeliverPolicy};
use super::notes::{self, encode_snapshot};
use super::pending::Waits;
use super::state::{Pair, State};
use crate::archive::META_MAX;
use crate::json::{self, go_quote, int, write_u64};
use crate::time::Now;

/// A consumer between two streams. Its state is kept as a note, a few bytes for each message in
/// flight: JSON is made of one consumer at a time.
#[derive(Debug)]
pub(crate) struct Archived {
    pub(crate) name: String,
    pub(crate) config: Config,
    /// A note that holds the whole state; empty when it starts as its configuration says.
    pub(crate) note: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default, rename = "SequencePair")]
struct SequencePair {
    consumer_seq: u64,
    stream_seq: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "Pending")]
struct InFlight {
    #[serde(rename = "Sequence")]
    seq: u64,
    #[serde(rename = "Timestamp", with = "int")]
    time: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "ConsumerState")]
struct ArchivedState {
    delivered: SequencePair,
    ack_floor: SequencePair,
    pending: BTreeMap<String, InFlight>,
    redelivered: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "SnapshotConsumerState")]
struct ArchivedConsumer {
    config: Option<Config>,
    state: Option<ArchivedState>,
}

impl Consumer {
    /// The consumer as it is, for an archive.
    pub(crate) fn archived(&self) -> Archived {
        let mut config = self.config.clone();
        if config.name.is_empty() {
            config.name.clone_from(&self.name);
        }
        Archived { name: self.name.clone(), config, note: encode_snapshot(&self.state) }
    }
}

impl Archived {
    /// What the archive holds of it.
    pub(crate) fn json(&self, now: Now) -> Vec<u8> {
        let mut state = State::new(self.config.ack_policy, Waits::default(), now);
        // The note was made from a state in this process.
        let _ = notes::apply(&mut state, &self.note);
        // Strings and numbers always serialize.
        let config = serde_json::to_vec(&self.config).unwrap_or_default();
        let out = with_state(&config, &state, true);
        if out.len() <= META_MAX {
            return out;
        }
        // More in flight than a reader takes: it goes back to what is settled, as a backup of a
        // cluster does, and what was delivered since comes again.
        with_state(&config, &state, false)
    }

    /// Reads what an archive holds of the consumer `entry`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(entry: &str, text: &[u8], now: Now) -> Result<Self, String> {
        let quoted = go_quote(entry);
        let read: ArchivedConsumer = json::decode(text, false)
            .map_err(|error| format!("failed to decode consumer {quoted} state: {error}"))?;
        let config = read.config.ok_or_else(|| format!("consumer {quoted} is missing config"))?;
        let state = read.state.ok_or_else(|| format!("consumer {quoted} is missing state"))?;
        let name = [&config.name, &config.durable_name].into_iter().find(|name| !name.is_empty());
        let name = name.map_or(entry, String::as_str).to_owned();
        let note = state
            .note(&config, now)
            .map_err(|why| format!("failed to set consumer {quoted} state: {why}"))?;
        Ok(Self { name, config, note })
    }
}

fn with_state(config: &[u8], state: &State, in_flight: bool) -> Vec<u8> {
    let mut out = b"{\"config\":".to_vec();
    out.extend_from_slice(config);
    let rewound = !in_flight && !state.pending.is_empty();
    let delivered = if rewound { state.floor } else { state.delivered() };
    out.extend_from_slice(b",\"state\":{\"delivered\":");
    write_pair(&mut out, delivered);
    out.extend_from_slice(b",\"ack_floor\":");
    write_pair(&mut out, state.floor);
    if in_flight {
        let rows = state.pending.iter();
        let rows = rows.map(|entry| (entry.seq, (entry.cseq, state.unix(entry.at))));
        write_map(&mut out, "pending", rows, |out, (cseq, at)| {
            out.extend_from_slice(b"{\"Sequence\":");
            write_u64(out, cseq);
            out.extend_from_slice(b",\"Timestamp\":");
            write_u64(out, at.max(0).unsigned_abs());
            out.push(b'}');
        });
        let again = state.pending.iter().filter(|entry| entry.count > 1);
        let again = again.map(|entry| (entry.seq, entry.count));
        let exhausted = state.exhausted.iter().map(|(seq, count)| (*seq, *count));
        write_map(&mut out, "redelivered", again.chain(exhausted), |out, count| {
            // Of what was delivered once and may not be again, it is the one that failed.
            write_u64(out, u64::from(count.max(2) - 1));
        });
    }
    out.extend_from_slice(b"}}");
    out
}

fn write_pair(out: &mut Vec<u8>, pair: Pair) {
    let pair = SequencePair { consumer_seq: pair.consumer, stream_seq: pair.stream };
    // Two numbers always serialize.
    let _ = serde_json::to_writer(out, &pair);
}

/// A member of the state that is left out when it has no rows.
fn write_map<T>(
    out: &mut Vec<u8>,
    name: &str,
    rows: impl Iterator<Item = (u64, T)>,
    mut value: impl FnMut(&mut Vec<u8>, T),
) {
    let start = out.len();
    for (seq, row) in rows {
        if out.len() == start {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":{\"");
        } else {
            out.extend_from_slice(b",\"");
        }
        write_u64(out, seq);
        out.extend_from_slice(b"\":");
        value(out, row);
    }
    if out.len() > start {
        out.push(b'}');
    }
}

impl ArchivedState {
    /// The state as a note.
    fn note(&self, config: &Config, now: Now) -> Result<Vec<u8>, String> {
        let (delivered, floor) = (self.delivered, self.ack_floor);
        if floor.consumer_seq > delivered.consumer_seq || floor.stream_seq > delivered.stream_seq {
            return Err("bad ack floor for consumer".to_owned());
        }
        if delivered.consumer_seq.max(delivered.stream_seq) > SEQ_MAX {
            return Err("bad delivered sequence for consumer".to_owned());
        }
        if config.deliver_policy == DeliverPolicy::LastPerSubject && delivered.consumer_seq == 0 {
            // The list of what it is to deliver is not archived; the stream gives it again.
            return Ok(Vec::new());
        }
        let mut state = State::new(config.ack_policy, Waits::default(), now);
        state.reset(delivered.stream_seq + 1);
        state.consumer_seq = delivered.consumer_seq;
        state.floor = Pair { consumer: floor.consumer_seq, stream: floor.stream_seq };
        let mut redelivered = numbered(&self.redelivered)?;
        for (seq, in_flight) in numbered(&self.pending)? {
            if seq <= floor.stream_seq || seq > delivered.stream_seq {
                return Err(format!("bad pending entry, sequence [{seq}] out of range"));
            }
            let again = redelivered.remove(&seq).copied().unwrap_or(0);
            let count = u32::try_from(again.saturating_add(1)).unwrap_or(u32::MAX >> 1);
            // A wait that begins later than now would be one that nobody asked for.
            let at = state.mono(in_flight.time.clamp(0, now.unix_ns));
            state.pending.add(seq, in_flight.seq.min(SEQ_MAX), at, count);
        }
        for (seq, again) in redelivered {
            if seq > floor.stream_seq && seq <= delivered.stream_seq {
                let count = u32::try_from(again.saturating_add(1)).unwrap_or(u32::MAX >> 1);
                state.exhausted.insert(seq, count);
            }
        }
        Ok(encode_snapshot(&state))
    }
}

/// The rows of an object whose names are sequences.
fn numbered<T>(rows: &BTreeMap<String, T>) -> Result<BTreeMap<u64, &T>, String> {
    let number = |name: &str| name.parse().map_err(|_| format!("bad sequence {}", go_quote(name)));
    rows.iter().map(|(name, row)| Ok((number(name)?, row))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::AckPolicy;

    const NOW: Now = Now { mono_ns: 5_000_000_000, unix_ns: 1_700_000_000_000_000_000 };

    fn config() -> Config {
        Config {
            name: "C".into(),
            durable_name: "C".into(),
            ack_policy: AckPolicy::Explicit,
            ..Config::default()
        }
    }

    /// Through an archive and back.
    fn again(archived: &Archived) -> Archived {
        Archived::read(&archived.name, &archived.json(NOW), NOW).unwrap()
    }

    #[test]
    fn deliveries_and_acks_come_back() {
        let mut state = State::new(AckPolicy::Explicit, Waits::default(), NOW);
        for seq in [1, 2, 5, 6, 9] {
            state.deliver(seq, NOW.unix_ns - 1_000_000);
        }
        state.settle(1, NOW.unix_ns);
        state.settle(5, NOW.unix_ns);
        state.queue(6);
        state.deliver_again(6, NOW.unix_ns);
        state.exhaust(2);
        let old = Archived { name: "C".into(), config: config(), note: encode_snapshot(&state) };
        let text = String::from_utf8(old.json(NOW)).unwrap();
        let expected = concat!(
            r#""state":{"delivered":{"consumer_seq":6,"stream_seq":9},"#,
            r#""ack_floor":{"consumer_seq":1,"stream_seq":1},"#,
            r#""pending":{"6":{"Sequence":4,"Timestamp":1700000000000000000},"#,
            r#""9":{"Sequence":5,"Timestamp":1699999999999000000}},"redelivered":{"6":1,"2":1}}}"#,
        );
        assert!(text.ends_with(expected), "{text}");
        let new = again(&old);
        assert_eq!((&new.name, &new.config), (&old.name, &old.config));
        let mut read = State::new(AckPolicy::Explicit, Waits::default(), NOW);
        notes::apply(&mut read, &new.note).unwrap();
        let rows = |state: &State| {
            let pending = state.pending.iter().map(|e| (e.seq, e.cseq, e.at, e.count));
            (pending.collect::<Vec<_>>(), state.floor, state.delivered(), state.next)
        };
        assert_eq!(rows(&read), rows(&state));
        assert_eq!(read.exhausted.keys().collect::<Vec<_>>(), [&2]);
    }

    #[test]
    fn more_in_flight_than_a_reader_takes_goes_back_to_the_floor() {
        let mut state = State::new(AckPolicy::Explicit, Waits::default(), NOW);
        let start = 1 << 60;
        state.reset(start);
        for seq in start..start + 250_000 {
            state.deliver(seq, NOW.unix_ns);
        }
        state.settle(start, NOW.unix_ns);
        let old = Archived { name: "C".into(), config: config(), note: encode_snapshot(&state) };
        assert!(old.json(NOW).len() < 1000);
        let mut read = State::new(AckPolicy::Explicit, Waits::default(), NOW);
        notes::apply(&mut read, &again(&old).note).unwrap();
        assert_eq!(read.delivered(), Pair { consumer: 1, stream: start });
        assert_eq!((read.floor, read.next), (read.delivered(), start + 1));
    }

    #[test]
    fn what_is_wrong_is_said_as_nats_server_says_it() {
        let wrong = |text: &str| Archived::read("C", text.as_bytes(), NOW).unwrap_err();
        assert_eq!(
            wrong("{\"a"),
            "failed to decode consumer \"C\" state: unexpected end of JSON input"
        );
        assert_eq!(wrong(r#"{"state":{}}"#), "consumer \"C\" is missing config");
        assert_eq!(wrong(r#"{"config":{"name":"C"}}"#), "consumer \"C\" is missing state");
        let state = |state: &str| wrong(&format!(r#"{{"config":{{}},"state":{state}}}"#));
        assert_eq!(
            state(
                r#"{"delivered":{"consumer_seq":1,"stream_seq":1},"ack_floor":{"stream_seq":2}}"#
            ),
            "failed to set consumer \"C\" state: bad ack floor for consumer"
        );
        assert_eq!(
            state(r#"{"delivered":{"consumer_seq":1,"stream_seq":1},"pending":{"2":{}}}"#),
            "failed to set consumer \"C\" state: bad pending entry, sequence [2] out of range"
        );
        assert!(state(r#"{"pending":{"x":{}}}"#).ends_with("bad sequence \"x\""));
        let far = r#"{"delivered":{"consumer_seq":1,"stream_seq":18446744073709551615}}"#;
        assert!(state(far).ends_with("bad delivered sequence for consumer"));
    }

    #[test]
    fn numbers_from_anywhere_do_no_harm() {
        let text = concat!(
            r#"{"config":{"ack_policy":"explicit"},"state":{"#,
            r#""delivered":{"consumer_seq":3,"stream_seq":3},"#,
            r#""pending":{"1":{"Sequence":18446744073709551615,"Timestamp":-9223372036854775808},"#,
            r#""2":{"Timestamp":9223372036854775807}},"#,
            r#""redelivered":{"1":18446744073709551615,"3":18446744073709551615,"99":1}}}"#,
        );
        let read = Archived::read("E", text.as_bytes(), NOW).unwrap();
        assert_eq!(read.name, "E");
        let mut state = State::new(AckPolicy::Explicit, Waits::default(), NOW);
        notes::apply(&mut state, &read.note).unwrap();
        assert_eq!((state.pending.len(), state.exhausted.len()), (2, 1));
        assert!(state.pending.iter().all(|entry| entry.at <= 5_000_000_000));
    }
}
