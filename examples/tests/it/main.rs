//! The sixteen programs as processes, against an embedded server: all that they print, and how they end.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test fails by panicking")]

mod expect;
mod operator;
mod path;
mod program;

use expect::Texts;
use natterjack_server::Server;
use program::{Program, run};

/// The programs' names without their side.
const PAIRS: [&str; 8] = [
    "01_simple",
    "02_creds",
    "03_jetstream",
    "04_callbacks",
    "05_kv",
    "06_kv_token",
    "07_connector",
    "08_logging",
];

const TOKEN: &str = "a-token-that-nobody-may-see";

/// A server for a pair, and the flags that the pair needs for it.
struct Stage {
    server: Option<Server>,
    pair: &'static str,
    flags: Vec<String>,
    dir: tempfile::TempDir,
    /// The account of the user of pair 2.
    account: String,
}

impl Stage {
    fn new(pair: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut flags = vec!["--interval".to_owned(), "1ms".to_owned()];
        let mut account = String::new();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let builder = match pair {
            "02_creds" => {
                flags.extend(["--creds".to_owned(), path("user.creds")]);
                let made = operator::Operator::new();
                std::fs::write(path("user.creds"), &made.user).unwrap();
                account = made.account;
                Server::builder().config(&made.config).unwrap()
            }
            "06_kv_token" => {
                flags.extend(["--token-file".to_owned(), path("token")]);
                std::fs::write(path("token"), TOKEN).unwrap();
                Server::builder().token(TOKEN).jetstream(dir.path().join("store"))
            }
            _ => Server::builder().jetstream(dir.path().join("store")),
        };
        if pair == "08_logging" {
            flags.extend(["--log-dir".to_owned(), path("logs")]);
        }
        let server = builder.start_blocking().unwrap();
        flags.extend(["--url".to_owned(), server.client_url()]);
        Self { server: Some(server), pair, flags, dir, account }
    }

    fn start(&self, side: &str, more: &[&str]) -> Program {
        let flags: Vec<&str> =
            self.flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Program::start(&format!("{}_{side}", self.pair), &flags)
    }

    fn texts(&self) -> Texts {
        let server = self.server.as_ref().unwrap();
        Texts {
            pair: self.pair,
            address: server.client_url(),
            server: server.name().to_owned(),
            account: self.account.clone(),
        }
    }

    fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown_blocking();
        }
    }
}

/// The subscriber first: each program's whole output is compared.
// Shows U-059, U-069; a part of U-058, U-060, U-070, U-071.
#[test]
fn each_pair_prints_what_its_header_promises() {
    for pair in PAIRS {
        let stage = Stage::new(pair);
        let texts = stage.texts();
        let subscriber = stage.start("subscriber", &["--count", "3"]);
        // A core subject keeps nothing, and a bucket has to be waited for.
        subscriber.wait_for(match pair {
            "01_simple" | "02_creds" => "listening on foo",
            "05_kv" | "06_kv_token" => "waiting for the publisher",
            _ => "holds 0 messages",
        });
        let publisher = stage.start("publisher", &["--count", "3"]);
        let (publisher, subscriber) = (publisher.end(), subscriber.end());
        assert_eq!((publisher.exit, subscriber.exit), (Some(0), Some(0)), "{pair}");
        let shown = publisher.shown();
        assert_eq!(shown, texts.publisher(), "{pair} publisher");
        if pair == "05_kv" || pair == "06_kv_token" {
            // It may begin to watch between any two changes.
            let shown = subscriber.shown();
            let values: Vec<_> = shown.iter().filter(|line| line.contains(" #")).cloned().collect();
            assert_eq!(values, texts.values(), "{pair} subscriber");
            assert_eq!(shown.first(), Some(&texts.first("subscriber")));
            assert_eq!(shown.last(), Some(&texts.last_received()));
            assert!(shown.iter().any(|line| line.starts_with("up to date (")), "{shown:?}");
        } else {
            assert_eq!(subscriber.shown(), texts.subscriber(), "{pair} subscriber");
        }
        for output in [&publisher, &subscriber] {
            assert!(!output.all.contains(TOKEN), "{pair} shows its token");
        }
        if pair == "08_logging" {
            for (side, output) in [("publisher", &publisher), ("subscriber", &subscriber)] {
                let file = stage.dir.path().join(format!("logs/nats_{side}.log"));
                let text = std::fs::read_to_string(file).unwrap();
                let logged: Vec<_> =
                    text.lines().filter_map(|line| line.split_once(" | ")).collect();
                let console: Vec<_> =
                    output.all.lines().filter_map(|line| line.split_once(" | ")).collect();
                let texts = |lines: &[(&str, &str)]| -> Vec<String> {
                    lines.iter().map(|(_, text)| (*text).to_owned()).collect()
                };
                assert_eq!(texts(&logged), texts(&console), "{side}");
                assert!(!text.contains('\x1b'), "{text}");
            }
        }
    }
}

/// From pair 3 on nothing is lost when the publisher has long gone.
// Shows U-059.
#[test]
fn the_publisher_may_be_first() {
    for pair in ["03_jetstream", "04_callbacks", "07_connector", "08_logging"] {
        let stage = Stage::new(pair);
        let publisher = stage.start("publisher", &["--count", "3"]).end();
        assert_eq!(publisher.exit, Some(0), "{pair}");
        let subscriber = stage.start("subscriber", &["--count", "3"]).end();
        assert_eq!(subscriber.exit, Some(0), "{pair}");
        let messages: Vec<_> =
            subscriber.shown().into_iter().filter(|line| line.starts_with("<- foo #")).collect();
        assert_eq!(messages.len(), 3, "{pair}: {messages:?}");
    }
    for pair in ["05_kv", "06_kv_token"] {
        let stage = Stage::new(pair);
        assert_eq!(stage.start("publisher", &["--count", "3"]).end().exit, Some(0), "{pair}");
        // A bucket keeps the present state.
        let subscriber = stage.start("subscriber", &[]);
        subscriber.wait_for("#3 \"Hello #3 from NATS publisher\"");
        subscriber.wait_for("up to date (");
    }
}

/// A subscriber that crashes gets the message again that it did not acknowledge.
#[test]
fn a_crashed_subscriber_goes_on_where_it_was() {
    let stage = Stage::new("03_jetstream");
    assert_eq!(stage.start("publisher", &["--count", "3"]).end().exit, Some(0));
    let own = ["--ack-wait", "200ms"];
    let crashed = stage.start("subscriber", &[&own[..], &["--crash-at", "2"]].concat()).end();
    assert_eq!(crashed.exit, Some(1));
    assert!(crashed.all.ends_with("error: crashed before the acknowledgement, as asked\n"));
    let again = stage.start("subscriber", &[&own[..], &["--count", "2"]].concat()).end();
    assert_eq!(again.exit, Some(0));
    let messages: Vec<_> =
        again.shown().into_iter().filter(|line| line.starts_with("<- foo #")).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("#2 ") && messages[0].contains("delivered 2"), "{messages:?}");
}

// Shows a part of U-062.
#[test]
fn without_a_server_each_program_says_so() {
    let mut stage = Stage::new("01_simple");
    stage.stop();
    let address = stage.flags.last().unwrap().trim_start_matches("nats://").to_owned();
    let wanted = format!(
        "error: cannot reach {address} (connection refused)\nhint: start one: natterjack serve -js\n"
    );
    for pair in PAIRS {
        for side in ["publisher", "subscriber"] {
            let logs = stage.dir.path().join("logs").display().to_string();
            let creds = stage.dir.path().join("user.creds").display().to_string();
            std::fs::write(&creds, operator::Operator::new().user).unwrap();
            let mut flags: Vec<&str> = stage.flags.iter().map(String::as_str).collect();
            match pair {
                "02_creds" => flags.extend(["--creds", &creds]),
                "08_logging" => flags.extend(["--log-dir", &logs]),
                _ => {}
            }
            let output = run(&format!("{pair}_{side}"), &flags);
            assert_eq!(output.exit, Some(3), "{pair}_{side}: {}", output.all);
            assert!(output.all.ends_with(&wanted), "{pair}_{side}: {}", output.all);
        }
    }
}

// Shows U-066, U-069.
#[test]
fn each_failure_has_its_text_and_its_exit_code() {
    let stage = Stage::new("03_jetstream");
    let plain = Server::builder().start_blocking().unwrap();
    let (here, off) = (stage.flags.last().unwrap().clone(), plain.client_url());
    let damaged = stage.dir.path().join("damaged.creds").display().to_string();
    std::fs::write(&damaged, "-----BEGIN NATS USER JWT-----\n").unwrap();
    let missing = stage.dir.path().join("missing.creds").display().to_string();
    let closed = Server::builder().token(TOKEN).start_blocking().unwrap();
    let locked = closed.client_url();
    let nobody = format!("credentials file {missing} not found");
    let rows: [(&str, &[&str], &str, i32); 9] = [
        ("01_simple_publisher", &["--url", "ftp://x"], "unknown scheme `ftp`", 2),
        ("02_creds_publisher", &["--url", &locked, "--creds", &missing], &nobody, 4),
        ("02_creds_publisher", &["--url", &locked, "--creds", &damaged], "are malformed: ", 4),
        (
            "03_jetstream_publisher",
            &["--url", &here, "--no-create"],
            "stream sample_stream not found",
            5,
        ),
        (
            "03_jetstream_subscriber",
            &["--url", &here, "--no-create"],
            "stream sample_stream not found",
            5,
        ),
        (
            "04_callbacks_subscriber",
            &["--url", &off],
            "error: JetStream is not enabled on this server\nhint: start the server with -js",
            5,
        ),
        ("05_kv_subscriber", &["--url", &here, "--no-wait"], "bucket sample_kv not found", 5),
        ("06_kv_token_publisher", &["--url", &locked], "server refused the token", 4),
        (
            "06_kv_token_subscriber",
            &["--url", &locked, "--token", "wrong"],
            "server refused the token",
            4,
        ),
    ];
    for (name, flags, text, exit) in rows {
        let output = run(name, flags);
        assert_eq!(output.exit, Some(exit), "{name} {flags:?}: {}", output.all);
        assert!(output.all.contains(text), "{name} {flags:?}: {}", output.all);
    }
}

#[test]
fn a_server_that_does_not_come_back_is_given_up() {
    let mut stage = Stage::new("04_callbacks");
    let limits = ["--timeout", "300ms", "--reconnect-wait", "50ms", "--count", "0"];
    let publisher = stage.start("publisher", &limits);
    publisher.wait_for("-> foo #2 ");
    stage.stop();
    let output = publisher.end();
    assert_eq!(output.exit, Some(3), "{}", output.all);
    assert!(output.all.contains(" closed: gave up after "), "{}", output.all);
}

#[test]
fn json_is_an_object_per_line() {
    let stage = Stage::new("01_simple");
    let output = stage.start("publisher", &["--count", "2", "--json"]).end();
    let objects: Vec<serde_json::Value> =
        output.all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = objects.iter().map(|object| object["line"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["connected", "sent", "sent", "summary"]);
    assert_eq!(objects[2]["body"], "Hello #2 from NATS publisher");
    assert_eq!(objects[3]["confirmed"], 2);
}

#[cfg(unix)]
mod signals {
    use super::*;

    // Shows U-059, U-061.
    #[test]
    fn the_first_interrupt_drains_and_ends_with_0() {
        for (at, pair) in PAIRS.into_iter().enumerate() {
            let stage = Stage::new(pair);
            // SIGTERM is as good as Ctrl-C.
            let interrupt = if at % 2 == 0 { Program::interrupt } else { Program::terminate };
            let publisher = stage.start("publisher", &["--count", "0"]);
            publisher.wait_for("-> foo #2 ");
            let subscriber = stage.start("subscriber", &["--count", "0"]);
            subscriber.wait_for("<- foo #");
            for (program, last) in [(subscriber, "received "), (publisher, "sent ")] {
                interrupt(&program);
                let output = program.end();
                assert_eq!(output.exit, Some(0), "{pair}: {}", output.all);
                assert!(output.closes_with(last), "{pair}: {}", output.all);
            }
        }
    }

    #[test]
    fn waiting_for_a_bucket_can_be_interrupted() {
        let stage = Stage::new("05_kv");
        let subscriber = stage.start("subscriber", &[]);
        subscriber.wait_for("waiting for the publisher");
        subscriber.interrupt();
        let output = subscriber.end();
        assert_eq!(output.exit, Some(0), "{}", output.all);
        let last = "received 0, dropped 0, redelivered 0; drained in T";
        assert!(output.closes_with(last), "{}", output.all);
    }

    // Shows a part of U-061.
    #[test]
    fn the_second_interrupt_ends_at_once_with_130() {
        for pair in ["01_simple", "02_creds"] {
            let mut stage = Stage::new(pair);
            let publisher = stage.start("publisher", &["--count", "0", "--reconnect-wait", "20s"]);
            publisher.wait_for("-> foo #2 ");
            stage.stop();
            publisher.wait_for("retrying in 20 s");
            // It waits for a connection now, and the drain does, too.
            publisher.wait_for("-> foo #");
            publisher.interrupt();
            publisher.wait_for("press Ctrl-C twice to end at once");
            assert_eq!(publisher.end_by_interrupts().exit, Some(130), "{pair}");
        }
    }
}
