//! What each program prints, and what happens to its server meanwhile.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::Stage;
use crate::root;
use crate::servers::Server;

type Scenario = fn(&Stage<'_>) -> Result<()>;

/// The name and the story of each.
pub(super) const SCENARIOS: &[(&str, Scenario)] = &[
    ("simple", simple),
    ("creds", creds),
    ("file", |stage| jetstream_kept(stage)),
    ("memory", |stage| jetstream_memory(stage)),
    ("callbacks", |stage| restarted(stage, "04_callbacks", Server::stop)),
    ("kv", |stage| kv(stage, "05_kv", &[], &[])),
    ("kv_token", kv_token),
    ("class", |stage| restarted(stage, "07_class", Server::kill)),
    ("logger", logger),
    ("core", |stage| everyday(stage, "everyday_core")),
    ("jetstream", |stage| everyday(stage, "everyday_jetstream")),
    ("services", |stage| everyday(stage, "everyday_services")),
];

/// Checks that `lines` that begin with one of `words` are exactly `wanted`.
fn check(lines: &[String], words: &[&str], wanted: &[String]) -> Result<()> {
    let found: Vec<&String> =
        lines.iter().filter(|line| words.iter().any(|word| line.starts_with(word))).collect();
    ensure!(
        found.iter().copied().eq(wanted),
        "wanted:\n    {}\n  found:\n    {}\n  of all that was printed:\n    {}",
        wanted.join("\n    "),
        found.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n    "),
        lines.join("\n    ")
    );
    Ok(())
}

fn rows(numbers: std::ops::RangeInclusive<u32>, row: impl Fn(u32) -> String) -> Vec<String> {
    numbers.map(row).collect()
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

fn simple(stage: &Stage<'_>) -> Result<()> {
    let server = stage.server(&[])?;
    let mut subscriber = stage.program("01_simple_subscriber", &server, &[])?;
    subscriber.expect("listening on foo")?;
    let publisher = stage.program("01_simple_publisher", &server, &[])?.finish()?;
    check(&publisher, &["published", "done"], &{
        let mut lines = rows(1..=10, |n| format!("published #{n}"));
        lines.push("done".into());
        lines
    })?;
    check(
        &subscriber.finish()?,
        &["received"],
        &rows(1..=10, |n| format!("received 'Hello #{n} from NATS publisher' on foo")),
    )
}

fn creds(stage: &Stage<'_>) -> Result<()> {
    let made = stage.python("make_credentials.py").arg(stage.directory.path()).status()?;
    ensure!(made.success(), "make_credentials.py failed");
    let config = stage.path("operator.conf");
    let creds = stage.path("user.creds");
    let creds = [("NATS_CREDS", creds.to_str().context("not UTF-8")?)];
    let server = stage.server(&["-c", config.to_str().context("not UTF-8")?])?;

    let mut subscriber = stage.program("02_creds_subscriber", &server, &creds)?;
    subscriber.expect("listening on foo")?;
    let publisher = stage.program("02_creds_publisher", &server, &creds)?.finish()?;
    check(
        &publisher,
        &["error", "done"],
        &owned(&["error: nats: permissions violation for publish to \"demo.secret\"", "done"]),
    )?;
    check(
        &subscriber.finish()?,
        &["received"],
        &rows(1..=10, |n| format!("received 'Hello #{n} from NATS publisher'")),
    )
}

/// Published with nobody listening; read by two runs of one durable consumer, the server stopped and
/// started before each.
fn jetstream_kept(stage: &Stage<'_>) -> Result<()> {
    let mut server = stage.jetstream(&[])?;
    let publisher = stage.program("03_jetstream_publisher", &server, &[])?.finish()?;
    check(&publisher, &["stream"], &owned(&["stream sample_stream in file"]))?;
    check(
        &publisher,
        &["published"],
        &rows(1..=10, |n| format!("published #{n}: stream=sample_stream, seq={n}")),
    )?;
    for (numbers, count, floor) in
        [(1..=4, "4", "ack floor 4, to go 6"), (5..=10, "6", "ack floor 10, to go 0")]
    {
        server.stop()?;
        server.start_again()?;
        let count = [("COUNT", count)];
        let lines = stage.program("03_jetstream_subscriber", &server, &count)?.finish()?;
        check(&lines, &["received"], &rows(numbers, fetched))?;
        check(&lines, &["ack floor"], &owned(&[floor]))?;
    }
    Ok(())
}

fn fetched(n: u32) -> String {
    let pending = 10 - n;
    format!("received 'Hello #{n} from NATS publisher': seq={n}, delivered=1, pending={pending}")
}

fn jetstream_memory(stage: &Stage<'_>) -> Result<()> {
    let server = stage.jetstream(&[])?;
    let memory = [("STORAGE", "memory")];
    let publisher = stage.program("03_jetstream_publisher", &server, &memory)?.finish()?;
    check(&publisher, &["stream"], &owned(&["stream sample_stream in memory"]))?;
    let lines = stage.program("03_jetstream_subscriber", &server, &[])?.finish()?;
    check(&lines, &["received"], &rows(1..=10, fetched))?;
    check(&lines, &["ack floor"], &owned(&["ack floor 10, to go 0"]))
}

/// The server goes away in the middle and comes back: every message arrives, and each callback says
/// what happened.
fn restarted(stage: &Stage<'_>, pair: &str, end: fn(&mut Server) -> Result<()>) -> Result<()> {
    let mut server = stage.jetstream(&[])?;
    let mut publisher = stage.program(&format!("{pair}_publisher"), &server, &[])?;
    publisher.expect("published #1")?;
    let mut subscriber = stage.program(&format!("{pair}_subscriber"), &server, &[])?;
    subscriber.expect("received 'Hello #1 from NATS publisher'")?;
    publisher.expect("published #3")?;
    end(&mut server)?;
    // With the server away each attempt to reconnect is an error.
    for program in [&mut publisher, &mut subscriber] {
        program.expect("disconnected")?;
        program.expect("error: ")?;
    }
    server.start_again()?;
    let reconnected = format!("reconnected to 127.0.0.1:{}", server.port);
    let (published, received) = (publisher.finish()?, subscriber.finish()?);
    check(&published, &["published"], &rows(1..=10, |n| format!("published #{n}: seq={n}")))?;
    // nats-py calls `disconnected_cb` at its own close too.
    let events = owned(&["disconnected", &reconnected, "disconnected", "closed"]);
    for lines in [&published, &received] {
        check(lines, &["disconnected", "reconnected", "closed"], &events)?;
    }
    arrived(&received, "received ")
}

/// Each message is there. One that was delivered and not yet acked when the server went away comes
/// twice, which is what at-least-once means.
fn arrived(lines: &[String], before: &str) -> Result<()> {
    let mut found: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(before)).collect();
    let mut seen = std::collections::HashSet::new();
    found.retain(|line| seen.insert(*line));
    let wanted = rows(1..=10, |n| format!("'Hello #{n} from NATS publisher'"));
    ensure!(found == wanted, "received:\n    {}", lines.join("\n    "));
    Ok(())
}

fn kv(stage: &Stage<'_>, pair: &str, server: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    let server = stage.jetstream(server)?;
    let mut subscriber = stage.program(&format!("{pair}_subscriber"), &server, variables)?;
    subscriber.expect("up to date")?;
    let publisher = stage.program(&format!("{pair}_publisher"), &server, variables)?.finish()?;
    check(&publisher, &[""], &{
        let mut lines = rows(1..=5, |n| format!("put greeting: revision {n}"));
        lines.extend(owned(&[
            "get greeting: Hello #5 at 5",
            "create colour: revision 6",
            "create colour again: wrong last sequence: 6",
            "update colour: revision 7",
            "update with an old revision: wrong last sequence: 7",
            "get colour: DEL at 8",
            "history of greeting: [1, 2, 3, 4, 5]",
            "after the purge: ['PURGE']",
            "nothing is not there",
            "keys: ['last']",
            "bucket sample_kv: 5 values",
            "done",
        ]));
        lines
    })?;
    let current =
        ["DEL colour= revision 8", "PURGE greeting= revision 9", "PUT last=word revision 10"];
    check(&subscriber.finish()?, &[""], &{
        let mut lines = owned(&["up to date"]);
        lines.extend(rows(1..=5, |n| format!("PUT greeting=Hello #{n} revision {n}")));
        lines.extend(owned(&["PUT colour=green revision 6", "PUT colour=red revision 7"]));
        lines.extend(owned(&current));
        lines.push("done".into());
        lines
    })?;
    // A watcher that comes late sees the last operation of each key.
    let late = stage.program(&format!("{pair}_subscriber"), &server, variables)?.finish()?;
    check(&late, &["DEL", "PURGE", "PUT"], &owned(&current))
}

fn kv_token(stage: &Stage<'_>) -> Result<()> {
    let token = "a-token-nobody-guesses";
    kv(stage, "06_kv_token", &["--auth", token, "-DV"], &[("NATS_TOKEN", token)])?;
    let server = stage.jetstream(&["--auth", token, "-DV"])?;
    let refused = stage.program("06_kv_token_refused", &server, &[])?.finish()?;
    check(
        &refused,
        &["refused", "done"],
        &owned(&["refused: nats: 'Authorization Violation'", "done"]),
    )?;
    ensure!(!server.log_text().contains(token), "the token stands in the server's log");
    Ok(())
}

fn logger(stage: &Stage<'_>) -> Result<()> {
    let server = stage.jetstream(&[])?;
    let logs = stage.path("logs");
    let directory = logs.to_str().context("not UTF-8")?;
    let variables = [("LOG_DIR", directory), ("LOG_BYTES", "300")];
    let mut publisher = stage.program("08_logger_publisher", &server, &variables)?;
    publisher.expect("published #1")?;
    let subscriber = stage.program("08_logger_subscriber", &server, &variables)?;
    let (published, received) = (publisher.finish()?, subscriber.finish()?);
    let green = |text: String| format!("\u{1b}[32mINFO {text}\u{1b}[0m");
    check(
        &published,
        &["\u{1b}[32mINFO published"],
        &rows(1..=10, |n| green(format!("published #{n}: seq={n}"))),
    )?;
    check(
        &received,
        &["\u{1b}[32mINFO received"],
        &rows(1..=10, |n| green(format!("received 'Hello #{n} from NATS publisher'"))),
    )?;
    let published = rotated(&logs.join("nats_publisher.log"))?;
    check(&published, &["published"], &rows(1..=10, |n| format!("published #{n}: seq={n}")))
}

/// The texts of all records of a log, the oldest file first; there must be several.
fn rotated(path: &Path) -> Result<Vec<String>> {
    let mut files: Vec<_> = (1..=10).map(|n| path.with_extension(format!("log.{n}"))).collect();
    files.reverse();
    files.push(path.to_owned());
    files.retain(|file| file.is_file());
    ensure!(files.len() > 1, "{} was not rotated", path.display());
    let mut texts = Vec::new();
    for file in files {
        // "2026-01-31 12:00:00,123 INFO text"
        let text = std::fs::read_to_string(&file)?;
        texts.extend(text.lines().filter_map(|line| Some(line.splitn(4, ' ').nth(3)?.to_owned())));
    }
    Ok(texts)
}

/// A program that makes the everyday calls of a client: each answer is the recorded one.
fn everyday(stage: &Stage<'_>, name: &str) -> Result<()> {
    let server = stage.jetstream(&[])?;
    recorded(name, &stage.program(name, &server, &[])?.finish()?)
}

/// Checks that `lines` are those of `interop/expected/NAME.txt`.
pub(super) fn recorded(name: &str, lines: &[String]) -> Result<()> {
    let path = root().join("interop/expected").join(format!("{name}.txt"));
    let wanted = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let wanted: Vec<&str> = wanted.lines().collect();
    for (place, line) in lines.iter().enumerate() {
        let expected = wanted.get(place).copied().unwrap_or("nothing more");
        ensure!(line == expected, "line {}:\n    {line}\n  wanted:\n    {expected}", place + 1);
    }
    ensure!(lines.len() == wanted.len(), "it ended after {} lines", lines.len());
    Ok(())
}
