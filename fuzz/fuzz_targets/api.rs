//! Requests to the JetStream API, publishes with headers and acks: never a panic, each answer is JSON of
//! its kind, what streams and consumers say of themselves is what they hold, and a start after a kill
//! finds the same, as does a restore of a snapshot.
//!
//! The input is lines: a subject, a blank, a body. `=` in front makes it a publish whose headers stand
//! before a tab, `+` an ack, `@` moves the time by as many seconds.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use natterjack_fuzz::{MemDisk, NOW, Server};
use natterjack_jetstream::AccountLimits;
use natterjack_subject::matches;
use serde_json::Value;

/// Lines that count.
const LINES: usize = 40;
/// Streams with more sequences than this between first and last are not looked through.
const LOOK: u64 = 200;

/// Of the account: some, or none.
fn limits(some: bool) -> AccountLimits {
    let (max_memory, max_file) = (some.then_some(1 << 20), some.then_some(4 << 20));
    AccountLimits { max_memory, max_file, ..AccountLimits::default() }
}

fuzz_target!(|data: &[u8]| {
    let limits = limits(data.len() % 16 < 12);
    let mut server = Server::start(MemDisk::default(), limits, NOW).expect("an empty disk");
    if data.len() % 8 == 1 {
        server.hear_advisories();
    }
    for line in data.split(|byte| *byte == b'\n').take(LINES) {
        server.sleep(700_000_000);
        step(&mut server, line);
        for sent in server.take_sent() {
            // Stored messages come with headers or with where their ack goes.
            let stored = !sent.reply.is_empty() || !sent.headers.is_empty();
            let answers = matches!(&sent.route[..], b"answer" | b"ack");
            if answers && !stored && !sent.payload.is_empty() {
                check_answer(&sent.payload);
            }
        }
    }
    let creates = data.windows(7).filter(|word| word == b".CREATE").count();
    let reset = data.windows(6).any(|word| word == b".RESET");
    let changed = creates > 2 || reset;
    let before = audit(&mut server, changed);
    match data.len() % 4 {
        0 => restart(server, limits, &before, changed),
        1 => backup(&mut server, &before, changed),
        _ => {}
    }
});

fn step(server: &mut Server, line: &[u8]) {
    let mut parts = line.splitn(2, |byte| *byte == b' ');
    let (subject, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match subject.split_first() {
        // The protocol ends a subject at a blank. One with a form feed is stored, and a
        // restore refuses it.
        Some((b'=', subject)) if subject.iter().any(u8::is_ascii_whitespace) => {}
        Some((b'=', subject)) => {
            let mut parts = body.splitn(2, |byte| *byte == b'\t');
            let (headers, payload) =
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let block = match headers {
                b"" => Vec::new(),
                _ => [b"NATS/1.0\r\n", headers, b"\r\n\r\n"].concat(),
            };
            server.publish(subject, &block, payload);
        }
        Some((b'+', subject)) => server.ack(subject, body),
        Some((b'@', seconds)) => {
            let seconds = str::from_utf8(seconds).ok().and_then(|text| text.parse::<u16>().ok());
            server.sleep(u64::from(seconds.unwrap_or(0)) * 1_000_000_000);
        }
        _ => server.api(subject, b"", body),
    }
}

/// An answer is an object; an error in it has a code, a text and the number of the text.
fn check_answer(payload: &[u8]) {
    let answer: Value = serde_json::from_slice(payload).expect("an answer is JSON");
    let object = answer.as_object().expect("an answer is an object");
    // The answer to a publish has no type.
    let kind = object.get("type").map(|kind| kind.as_str().expect("a type is a text"));
    assert!(kind.is_none_or(|kind| kind.starts_with("io.nats.jetstream.")), "{kind:?}");
    if let Some(error) = object.get("error") {
        let code = error["code"].as_u64().expect("an error has a code");
        assert!((400..=503).contains(&code), "{code}");
        assert!(error["description"].as_str().is_some_and(|text| !text.is_empty()));
    }
}

/// What a stream holds: its sequences with subject and payload.
type Held = BTreeMap<u64, (String, String)>;

/// What is there: of each stream whether it is in files, what it holds, its last sequence, and the names
/// and floors of its consumers.
type Seen = BTreeMap<String, Stream>;

#[derive(Debug, PartialEq)]
struct Stream {
    file: bool,
    interest: bool,
    held: Option<Held>,
    last: u64,
    bytes: u64,
    consumers: BTreeMap<String, Consumer>,
}

#[derive(Debug, PartialEq)]
struct Consumer {
    durable: bool,
    floor: u64,
    memory: bool,
    filters: Vec<String>,
    gives_up: bool,
}

impl Consumer {
    fn wants(&self, subject: &str) -> bool {
        let fits = |filter: &String| matches(filter.as_bytes(), subject.as_bytes());
        self.filters.is_empty() || self.filters.iter().any(fits)
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn list(server: &mut Server, call: &str, field: &str) -> Vec<Value> {
    let mut answer: Value =
        serde_json::from_slice(&server.ask(call, "")).expect("an answer is JSON");
    match answer[field].take() {
        Value::Array(items) => items,
        other => panic!("{call}: {field} is {other}"),
    }
}

/// Compares what all streams and consumers say of themselves with what they hold. Consumers may have been
/// `changed`.
fn audit(server: &mut Server, changed: bool) -> Seen {
    let mut seen = Seen::new();
    let (mut file_bytes, mut memory_bytes) = (0, 0);
    for info in list(server, "STREAM.LIST", "streams") {
        let (config, state) = (&info["config"], &info["state"]);
        let name = config["name"].as_str().expect("a stream has a name").to_owned();
        let [messages, bytes, first, last, deleted] =
            ["messages", "bytes", "first_seq", "last_seq", "num_deleted"]
                .map(|field| number(&state[field]));
        if messages == 0 {
            // Before its first message it shows zeros.
            assert!(first == last + 1 || (first, last) == (0, 0), "{name}: {first} to {last}");
            assert_eq!((bytes, deleted), (0, 0), "{name} is empty");
        } else {
            assert_eq!(messages + deleted, last - first + 1, "{name}: {first} to {last}");
        }
        let within = |field: &str, what: u64| {
            let limit = config[field].as_i64().unwrap_or(-1);
            assert!(limit <= 0 || what <= limit as u64, "{name}: {what} above {field} {limit}");
        };
        within("max_msgs", messages);
        within("max_bytes", bytes);
        let file = config["storage"] == "file";
        *(if file { &mut file_bytes } else { &mut memory_bytes }) += bytes;
        let held = (last + 1 - first <= LOOK).then(|| hold(server, &name, first, last));
        if let Some(held) = &held {
            assert_eq!(held.len() as u64, messages, "{name}: messages that can be read");
            let mut subjects: BTreeMap<&str, u64> = BTreeMap::new();
            held.values().for_each(|(on, _)| *subjects.entry(on).or_default() += 1);
            // Names that are not UTF-8 may look the same.
            if subjects.keys().all(|on| !on.contains('\u{fffd}')) {
                assert_eq!(
                    subjects.len() as u64,
                    number(&state["num_subjects"]),
                    "{name}: subjects"
                );
            }
            subjects.values().for_each(|count| within("max_msgs_per_subject", *count));
        }
        let consumers = consumers(server, &name, held.as_ref(), (messages, last), changed);
        assert_eq!(consumers.len() as u64, number(&state["consumer_count"]), "{name}: consumers");
        let interest = config["retention"] == "interest";
        seen.insert(name, Stream { file, interest, held, last, bytes, consumers });
    }
    let usage = server.engine.account_usage("$G").expect("it is there");
    assert_eq!((usage.file, usage.memory), (file_bytes, memory_bytes), "what the account uses");
    assert_eq!(server.engine.bytes_in_use(), (memory_bytes, file_bytes), "what all use");
    assert_eq!(usage.streams, seen.len() as u64, "streams of the account");
    seen
}

/// Reads every message of a stream.
fn hold(server: &mut Server, name: &str, first: u64, last: u64) -> Held {
    let mut held = Held::new();
    for seq in first.max(1)..=last {
        let answer = server.ask(&format!("STREAM.MSG.GET.{name}"), &format!("{{\"seq\":{seq}}}"));
        let answer: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
        let message = &answer["message"];
        match answer["error"]["err_code"].as_u64() {
            None => {
                assert_eq!(message["seq"], seq, "{name}: another message");
                let text = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
                held.insert(seq, (text("subject"), text("data")));
            }
            // There is no such message.
            Some(10037) => {}
            Some(other) => panic!("{name}: {seq} cannot be read: {other}"),
        }
    }
    held
}

fn consumers(
    server: &mut Server,
    stream: &str,
    held: Option<&Held>,
    (messages, last): (u64, u64),
    changed: bool,
) -> BTreeMap<String, Consumer> {
    let mut seen = BTreeMap::new();
    for info in list(server, &format!("CONSUMER.LIST.{stream}"), "consumers") {
        let config = &info["config"];
        let name = info["name"].as_str().expect("a consumer has a name").to_owned();
        let at = |place: &str| {
            (number(&info[place]["consumer_seq"]), number(&info[place]["stream_seq"]))
        };
        let (delivered, floor) = (at("delivered"), at("ack_floor"));
        let [acks, again, waiting, pending] =
            ["num_ack_pending", "num_redelivered", "num_waiting", "num_pending"]
                .map(|field| number(&info[field]));
        assert!(floor.0 <= delivered.0 && floor.1 <= delivered.1, "{name}: {info}");
        assert!(acks <= delivered.0 - floor.0, "{name}: acks pending: {info}");
        // What was delivered as often as may be stays counted.
        assert!(again <= delivered.0, "{name}: redelivered: {info}");
        assert!(pending <= messages, "{name}: pending: {info}");
        let most = number(&config["max_waiting"]);
        assert!(most == 0 || waiting <= most, "{name}: waiting: {info}");
        let one = config["filter_subject"].as_str().into_iter();
        let many = config["filter_subjects"].as_array().into_iter().flatten();
        let filters = one.chain(many.filter_map(Value::as_str)).map(str::to_owned).collect();
        let durable = config["durable_name"].is_string();
        let memory = config["mem_storage"] == true;
        let gives_up = number(&config["max_deliver"]) > 0;
        let consumer = Consumer { durable, floor: floor.1, memory, filters, gives_up };
        // Each message that matches counts once, until it was delivered.
        if let Some(held) = held.filter(|_| config["deliver_policy"] == "all") {
            let wanted = |(_, (on, _)): &(&u64, &(String, String))| consumer.wants(on);
            let ahead = held.range(delivered.1 + 1..).filter(wanted).count();
            // What an earlier filter passed over stays behind.
            assert!(pending <= ahead as u64, "{name}: pending of {last}: {info}");
            assert!(changed || pending == ahead as u64, "{name}: pending of {last}: {info}");
        }
        seen.insert(name, consumer);
    }
    seen
}

/// Restores what a snapshot of each stream gives in another server: it holds the same.
fn backup(server: &mut Server, before: &Seen, changed: bool) {
    for (name, stream) in before {
        let answer = server.ask(&format!("STREAM.SNAPSHOT.{name}"), r#"{"deliver_subject":"d"}"#);
        let answer: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
        assert!(answer.get("error").is_none(), "{name}: {answer}");
        let mut other = Server::start(MemDisk::default(), AccountLimits::default(), server.now)
            .expect("an empty disk");
        other.archive = std::mem::take(&mut server.archive);
        let config = format!(r#"{{"config":{}}}"#, answer["config"]);
        let answer = other.ask(&format!("STREAM.RESTORE.{name}"), &config);
        let answer: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
        assert!(answer.get("error").is_none(), "{name}: {answer}");
        let restored = audit(&mut other, changed).remove(name).expect("it was restored");
        assert_eq!((restored.last, restored.bytes), (stream.last, stream.bytes), "{name}");
        assert_eq!(restored.held, stream.held, "{name}");
    }
}

/// Kills the server and starts it again: what was in files is there, and no more.
fn restart(server: Server, limits: AccountLimits, before: &Seen, changed: bool) {
    let Server { disk, now, .. } = server;
    let mut server = Server::start(disk, limits, now).expect("a store opens after a kill");
    let after = audit(&mut server, changed);
    let in_files = || before.iter().filter(|(_, stream)| stream.file);
    for (name, stream) in in_files() {
        let Some(again) = after.get(name) else { panic!("{name} is gone") };
        assert_eq!(again.last, stream.last, "{name}");
        // Interest that is kept in memory only is gone, and what waited for it with it.
        let lasts = |consumer: &Consumer| consumer.durable && !consumer.memory;
        if !stream.interest || stream.consumers.values().all(lasts) {
            assert_eq!(again.bytes, stream.bytes, "{name}");
            assert_eq!(again.held, stream.held, "{name}");
        }
        for (consumer, was) in stream.consumers.iter().filter(|(_, was)| lasts(was)) {
            let Some(is) = again.consumers.get(consumer) else { panic!("{consumer} is gone") };
            // What expired above it is not noted, nor what was given up: nothing between is there to be
            // delivered again.
            let between = |held: &Held| {
                is.floor < was.floor
                    && !was.gives_up
                    && held.range(is.floor + 1..=was.floor).any(|(_, (on, _))| was.wants(on))
            };
            let again = again.held.as_ref().is_some_and(between);
            assert!(!again, "{consumer}: {is:?}, it was {was:?}; {:?}", stream.held);
        }
    }
    assert_eq!(after.len(), in_files().count(), "streams after a kill");
}
