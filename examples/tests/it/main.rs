//! The sixteen programs as processes, against an embedded server: all that they print, and how they end.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test fails by panicking")]

mod expect;
mod gate;
mod monitor;
mod more;
mod operator;
mod path;
mod program;

use expect::Texts;
use natterjack_server::Server;
use program::{Output, Program, run};

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
        Self::on(server, pair, flags, dir, account)
    }

    /// On a server that was made for it.
    fn on(
        server: Server,
        pair: &'static str,
        mut flags: Vec<String>,
        dir: tempfile::TempDir,
        account: String,
    ) -> Self {
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
// Shows U-059, U-060, U-069, U-071; a part of U-058.
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

/// A program's whole output, without spans of time and the names of its server.
fn masked(output: &Output, stage: &Stage) -> Vec<String> {
    let server = stage.server.as_ref().unwrap();
    let mask =
        |line: String| line.replace(&server.client_url(), "URL").replace(server.name(), "SERVER");
    output.shown().into_iter().map(mask).collect()
}

// Shows U-070.
#[test]
fn pair_7_prints_what_pair_4_prints() {
    let outputs = ["04_callbacks", "07_connector"].map(|pair| {
        let stage = Stage::new(pair);
        let arguments = ["--count", "5", "--storage", "memory"];
        let publisher = stage.start("publisher", &arguments).end();
        let subscriber = stage.start("subscriber", &arguments).end();
        assert_eq!((publisher.exit, subscriber.exit), (Some(0), Some(0)), "{}", subscriber.all);
        let missing = stage.start("publisher", &["--stream", "none", "--no-create"]).end();
        assert_eq!(missing.exit, Some(5));
        [&publisher, &subscriber, &missing].map(|output| masked(output, &stage))
    });
    assert_eq!(outputs[0], outputs[1]);
    assert!(outputs[0][1].len() > 6, "{outputs:?}");
}

/// From pair 4 on all is shown that happens to the connection, also when the work ends by an error.
#[test]
fn a_program_that_ends_by_an_error_shows_its_events_to_the_end() {
    for pair in ["04_callbacks", "05_kv", "06_kv_token", "07_connector", "08_logging"] {
        let mut stage = Stage::new(pair);
        let plain = Server::builder().token(TOKEN).start_blocking().unwrap();
        let url = plain.client_url().replace("//", &format!("//{TOKEN}@"));
        *stage.flags.last_mut().unwrap() = url;
        for side in ["publisher", "subscriber"] {
            let output = stage.start(side, &[]).end();
            assert_eq!(output.exit, Some(5), "{pair} {side}: {}", output.all);
            let shown = output.shown();
            for line in ["+T draining, at most T", "+T closed: drained"] {
                assert!(shown.iter().any(|shown| shown == line), "{pair} {side}: {shown:?}");
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

/// Who watches is told; who polls asks.
// Shows U-068.
#[test]
fn a_watcher_is_told_of_a_change_at_once_and_asks_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("http: \"127.0.0.1:-1\", jetstream {{ store_dir: {:?} }}", dir.path());
    let server = Server::builder().config(&text).unwrap().start_blocking().unwrap();
    let monitor = server.monitor_url().unwrap();
    let flags = vec!["--interval".to_owned(), "50ms".to_owned()];
    let stage = Stage::on(server, "05_kv", flags, dir, String::new());
    // The bucket is there, so that it is not waited for.
    assert_eq!(stage.start("publisher", &["--count", "1"]).end().exit, Some(0));
    let subscriber = stage.start("subscriber", &["--count", "0", "--json"]);
    subscriber.wait_for("up to date (");
    // What the subscriber has sent so far.
    let sent = || {
        let connections = monitor::get(&monitor, "/connz")["connections"].take();
        let all = connections.as_array().unwrap().iter();
        let own = |one: &&serde_json::Value| {
            one["name"].as_str().is_some_and(|name| name.ends_with("example subscriber"))
        };
        all.filter(own).map(|one| one["in_msgs"].as_u64().unwrap()).sum::<u64>()
    };
    let (before, began) = (sent(), std::time::Instant::now());
    assert_eq!(stage.start("publisher", &["--count", "40"]).end().exit, Some(0));
    subscriber.wait_for("Hello #40 ");
    let (after, took) = (sent(), began.elapsed());
    // One round trip is made every 20 seconds, to see whether the server is alive.
    let pings = took.as_secs() / 20;
    assert!(after - before <= pings, "{} requests in {took:?}", after - before);
    subscriber.interrupt();
    let output = subscriber.end();
    let objects = output.all.lines().map(|line| serde_json::from_str(line).unwrap());
    let latencies: Vec<f64> = objects
        .filter(|object: &serde_json::Value| object["line"] == "received")
        .filter_map(|object| object["latency_ms"].as_f64())
        .collect();
    assert!(latencies.len() >= 40, "{}", output.all);
    // Each is told by itself, and not with those after it: the quickest is far below the interval.
    let quickest = latencies.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(quickest < 50.0, "{latencies:?}");
}

/// Every kind of event that a connection can have with one server and a pool.
// Shows U-067.
#[test]
fn chaos_shows_that_servers_were_learned_of() {
    let stage = Stage::new("04_callbacks");
    let url = stage.server.as_ref().unwrap().client_url();
    let gate = gate::Gate::before(&url);
    let flags = [
        "--url",
        &gate.url,
        "--count",
        "0",
        "--interval",
        "1ms",
        "--chaos",
        "--chaos-every",
        "50ms",
    ];
    let publisher = Program::start("04_callbacks_publisher", &flags);
    publisher.wait_for("-> foo #1 ");
    gate.announce(&url);
    publisher.wait_for(" servers changed: +[");
    publisher.interrupt();
    assert_eq!(publisher.end().exit, Some(0));
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

// Shows U-062.
#[test]
fn without_a_server_each_program_says_so() {
    // A server that says nothing is waited for as long as the options say: ten seconds.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let waiting = Program::start("01_simple_publisher", &["--url", &at]);
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
            // It is told at once, and not at the end of the time that is allowed for answers.
            flags.extend(["--timeout", "1h"]);
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
    let waited = waiting.end();
    assert_eq!(waited.exit, Some(3), "{}", waited.all);
    assert!(waited.all.contains(&format!("cannot reach {at} (")), "{}", waited.all);
}

// Shows U-064, U-066, U-069.
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
    let directory = stage.dir.path().display().to_string();
    let unreadable = format!("credentials file {directory} cannot be read");
    let file = |name: &str, text: &str| {
        let path = stage.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (one, other) = (operator::Operator::new().user, operator::Operator::new().user);
    let seed = |creds: &str| creds.lines().nth(9).unwrap().to_owned();
    let mismatch = file("mismatch.creds", &one.replace(&seed(&one), &seed(&other)));
    let expired = file("expired.creds", &operator::Operator::until(1_700_000_001).user);
    let rows: [(&str, &[&str], &str, i32); 13] = [
        ("01_simple_publisher", &["--url", "ftp://x"], "unknown scheme `ftp`", 2),
        ("02_creds_publisher", &["--url", &locked, "--creds", &missing], &nobody, 4),
        ("02_creds_publisher", &["--url", &locked, "--creds", &damaged], "are malformed: ", 4),
        ("02_creds_publisher", &["--url", &locked, "--creds", &directory], &unreadable, 4),
        ("02_creds_publisher", &["--url", &locked, "--creds", &mismatch], "seed", 4),
        ("02_creds_subscriber", &["--url", &locked, "--creds", &expired], " expired ", 4),
        (
            "03_jetstream_publisher",
            &["--url", &off],
            "error: JetStream is not enabled on this server\nhint: start the server with -js",
            5,
        ),
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

// Shows U-071.
#[test]
fn the_console_of_the_logger_is_coloured_and_its_file_is_not() {
    let stage = Stage::new("08_logging");
    let flags: Vec<&str> = stage.flags.iter().map(String::as_str).chain(["--count", "1"]).collect();
    let output = Program::coloured("08_logging_publisher", &flags).end();
    assert_eq!(output.exit, Some(0), "{}", output.all);
    assert!(output.all.contains("\x1b["), "{}", output.all);
    let text = std::fs::read_to_string(stage.dir.path().join("logs/nats_publisher.log")).unwrap();
    assert!(text.contains("-> foo #1 ") && !text.contains('\x1b'), "{text}");
}

/// The files of a log, the oldest first, and how many there are.
fn log_files(stage: &Stage, name: &str) -> (String, usize) {
    let path = |at: usize| match at {
        0 => stage.dir.path().join(format!("logs/{name}")),
        at => stage.dir.path().join(format!("logs/{name}.{at}")),
    };
    let files = (0..).take_while(|at| path(*at).exists()).count();
    let text = (0..files).rev().map(|at| std::fs::read_to_string(path(at)).unwrap()).collect();
    (text, files)
}

// Shows U-071.
#[test]
fn ten_rotations_of_a_log_lose_and_split_no_line() {
    let stage = Stage::new("08_logging");
    let more = ["--count", "300", "--log-size", "2000", "--log-files", "100"];
    let publisher = stage.start("publisher", &more);
    let subscriber = stage.start("subscriber", &more);
    let (publisher, subscriber) = (publisher.end(), subscriber.end());
    assert_eq!((publisher.exit, subscriber.exit), (Some(0), Some(0)), "{}", subscriber.all);
    for (name, sign) in [("nats_publisher.log", "-> foo #"), ("nats_subscriber.log", "<- foo #")] {
        let (text, files) = log_files(&stage, name);
        assert!(files > 10, "{files} files of {name}");
        // Each begins with its time, and ends with what was said.
        let whole = text.lines().all(|line| line.starts_with("20") && line.contains(" | "));
        assert!(whole && text.ends_with('\n'), "{text}");
        let numbers: Vec<u32> = text
            .lines()
            .filter_map(|line| line.split_once(sign)?.1.split(' ').next()?.parse().ok())
            .collect();
        assert_eq!(numbers, (1..=300).collect::<Vec<_>>(), "{name}");
    }
}

#[cfg(unix)]
mod signals {
    use super::*;

    // Shows U-065.
    #[test]
    fn a_killed_subscriber_has_its_messages_delivered_again() {
        let stage = Stage::new("03_jetstream");
        let sent = stage.start("publisher", &["--count", "300"]).end();
        assert_eq!(sent.exit, Some(0), "{}", sent.all);
        let own = ["--ack-wait", "200ms", "--count", "0"];
        let killed = stage.start("subscriber", &own);
        killed.wait_for("<- foo #1 ");
        let killed = killed.kill();
        assert_eq!(killed.exit, None, "by a signal");
        let number = |line: &str| {
            let (number, _) = line.strip_prefix("<- foo #")?.split_once(' ')?;
            number.parse::<u32>().ok()
        };
        let mut handled: std::collections::BTreeSet<u32> =
            killed.shown().iter().filter_map(|line| number(line)).collect();
        let again = stage.start("subscriber", &own);
        // Between the others comes again what the first had fetched, when its time is up.
        let mut twice = false;
        again.wait_until("all 300", |line| {
            handled.extend(number(line));
            twice |= line.contains(", delivered 2, ");
            handled.len() == 300 && twice
        });
        again.interrupt();
        assert_eq!(again.end().exit, Some(0));
        assert_eq!(handled, (1..=300).collect());
    }

    // Shows U-061.
    #[test]
    fn the_second_interrupt_ends_each_program_when_the_server_hangs() {
        for pair in PAIRS {
            let mut stage = Stage::new(pair);
            let gate = gate::Gate::before(&stage.server.as_ref().unwrap().client_url());
            *stage.flags.last_mut().unwrap() = gate.url.clone();
            let publisher = stage.start("publisher", &["--count", "0"]);
            publisher.wait_for("-> foo #2 ");
            let subscriber = stage.start("subscriber", &["--count", "0"]);
            subscriber.wait_for("<- foo #");
            gate.shut();
            for program in [publisher, subscriber] {
                program.interrupt();
                program.wait_for("press Ctrl-C twice to end at once");
                let output = program.end_by_interrupts();
                assert_eq!(output.exit, Some(130), "{pair}: {}", output.all);
            }
        }
    }

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

    // Shows U-061.
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
