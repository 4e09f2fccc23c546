//! Snapshots and restores: what comes back, what is refused, and what is left behind.

use std::task::{Poll, Waker};

use natterjack_jetstream::archive::{ArchiveReader, ArchiveWriter, Entry};
use natterjack_jetstream::{AccountLimits, Options, Restore, Step};
use natterjack_store::DiskErrorKind;
use serde_json::{Value, json};

use crate::world::{SECOND, World, error_of};

const MAX_PAYLOAD: usize = 1 << 20;

/// Takes a snapshot. Its configuration, and the archive.
fn archive(world: &mut World, stream: &str, more: &str) -> (Value, Vec<u8>) {
    let body = format!(r#"{{"deliver_subject":"_I.chunks"{more}}}"#);
    let answer = world.must(&format!("STREAM.SNAPSHOT.{stream}"), &body);
    let mut snapshot = world.host.snapshots.pop().unwrap();
    let mut archive = Vec::new();
    loop {
        match snapshot.next_chunk(&mut world.host, world.now, Waker::noop()) {
            Poll::Ready(Ok(Some(chunk))) => archive.extend_from_slice(&chunk),
            Poll::Ready(Ok(None)) => break,
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => world.run_disk(),
        }
    }
    archive.extend_from_slice(&snapshot.rest());
    snapshot.ended(&mut world.host, world.now, None);
    (answer["config"].clone(), archive)
}

/// Begins a restore.
fn begin(world: &mut World, config: &Value) -> Restore {
    let name = config["name"].as_str().unwrap();
    world.must(&format!("STREAM.RESTORE.{name}"), &json!({"config": config}).to_string());
    world.host.restores.pop().unwrap()
}

/// Feeds a part of an archive.
fn feed(world: &mut World, restore: &mut Restore, part: &[u8]) -> Result<(), String> {
    restore.push(part);
    loop {
        let (host, now, waker) = (&mut world.host, world.now, Waker::noop());
        let step = world.engine.restore_step(host, now, restore, waker, MAX_PAYLOAD);
        match step.map_err(|error| error.to_string())? {
            Step::Idle => return Ok(()),
            Step::More => {}
            Step::Waits => world.run_disk(),
        }
    }
}

/// Ends a restore. Its last answer.
fn end(world: &mut World, mut restore: Restore) -> String {
    let completed = world.engine.complete_restore(&mut world.host, world.now, &mut restore);
    let mut outcome = completed;
    while outcome.is_ok() {
        let (host, now, waker) = (&mut world.host, world.now, Waker::noop());
        match world.engine.is_restored(host, now, &mut restore, waker) {
            Ok(true) => break,
            Ok(false) => world.run_disk(),
            Err(error) => outcome = Err(error),
        }
    }
    let (host, now) = (&mut world.host, world.now);
    let published = match outcome {
        Ok(()) => world.engine.publish_restored(host, now, restore, b"_I.end", |_| {}),
        Err(error) => Err((Box::new(restore), error)),
    };
    if let Err((mut restore, error)) = published {
        world.engine.refuse_restored(&mut world.host, now, &restore, b"_I.end", &error);
        world.engine.abandon_restore(&mut world.host, now, &mut restore, false);
    }
    world.run_disk();
    world.take("_I.end").unwrap().payload
}

/// Restores an archive. The last answer.
fn restore(world: &mut World, config: &Value, archive: &[u8]) -> String {
    let mut restore = begin(world, config);
    for part in archive.chunks(100) {
        if let Err(error) = feed(world, &mut restore, part) {
            world.engine.abandon_restore(&mut world.host, world.now, &mut restore, false);
            world.run_disk();
            return error;
        }
    }
    end(world, restore)
}

fn restored(world: &mut World, config: &Value, archive: &[u8]) -> Value {
    let answer = restore(world, config, archive);
    let value: Value = serde_json::from_str(&answer).expect(&answer);
    assert!(value.get("error").is_none(), "{answer}");
    value
}

/// An archive with `state.json`, then what `f` adds.
fn archived(state: &str, f: impl FnOnce(&mut ArchiveWriter)) -> Vec<u8> {
    let mut archive = ArchiveWriter::default();
    archive.add(&entry(b"state.json", 0, b"", state.as_bytes()));
    f(&mut archive);
    archive.pack();
    archive.packed().to_vec()
}

fn entry<'a>(name: &'a [u8], seq: u64, headers: &'a [u8], payload: &'a [u8]) -> Entry<'a> {
    Entry { name, time: 1_699_999_999_000_000_000, seq, headers, payload }
}

const TWO: &str = r#"{"messages":2,"bytes":80,"first_seq":1,"last_seq":2,"consumer_count":0}"#;

fn two(archive: &mut ArchiveWriter) {
    archive.add(&entry(b"s.a", 1, b"", b"one"));
    archive.add(&entry(b"s.b", 2, b"", b"two"));
    archive.end();
}

fn s() -> Value {
    json!({"name": "S", "subjects": ["s.>"]})
}

/// Files of streams.
fn files(world: &World) -> Vec<String> {
    let files = world.disk.files();
    files.into_iter().filter(|path| path.starts_with("streams/")).collect()
}

/// Nothing is there of a stream, now and after a start.
fn assert_nothing(world: &mut World, what: &str) {
    assert_eq!(files(world), Vec::<String>::new(), "{what}");
    assert!(world.refusal("STREAM.INFO.S", "").starts_with("10059 "), "{what}");
    let report = world.start();
    assert!(report.streams.is_empty() && report.orphans.is_empty(), "{what}: {report:?}");
    assert_eq!(world.engine.account_usage("$G").unwrap().file, 0);
}

/// A stream in use: gaps, headers, consumers in the middle of their work.
fn in_use() -> World {
    let mut world = World::new();
    world.must(
        "STREAM.CREATE.S",
        r#"{"name":"S","subjects":["s.>"],"first_seq":100,"allow_msg_ttl":true}"#,
    );
    for n in 0..40 {
        let headers = if n % 3 == 0 { format!("Nats-Msg-Id: {n}") } else { String::new() };
        world.put(&format!("s.{}", n % 4), &headers, &format!("message {n}"));
    }
    for seq in [100, 107, 108, 139] {
        world.must("STREAM.MSG.DELETE.S", &format!(r#"{{"seq":{seq}}}"#));
    }
    let consumer = |name: &str, more: &str| {
        format!(
            r#"{{"stream_name":"S","config":{{"durable_name":"{name}","ack_policy":"explicit"{more}}}}}"#
        )
    };
    world.must("CONSUMER.CREATE.S.a", &consumer("a", ""));
    world.must("CONSUMER.CREATE.S.b", &consumer("b", r#","filter_subject":"s.1""#));
    world.must("CONSUMER.CREATE.S.m", &consumer("m", r#","mem_storage":true"#));
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.a", "_I.pull", "", "7");
    let replies: Vec<_> = world.take_all("_I.pull").into_iter().filter_map(|m| m.reply).collect();
    for reply in [&replies[0], &replies[3], &replies[4]] {
        world.ack(reply, "+ACK").unwrap();
    }
    world.ack(&replies[5], "-NAK").unwrap();
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.a", "_I.pull", "", "1");
    world.take_all("_I.pull");
    world
}

/// What a stream with its consumers is, but for when it was made and told.
fn picture(world: &mut World) -> Value {
    let mut info = world.must("STREAM.INFO.S", r#"{"deleted_details":true}"#);
    for key in ["created", "ts"] {
        info.as_object_mut().unwrap().remove(key);
    }
    let mut consumers = world.must("CONSUMER.LIST.S", "")["consumers"].clone();
    for consumer in consumers.as_array_mut().unwrap() {
        let fields = consumer.as_object_mut().unwrap();
        fields.retain(|key, _| !matches!(key.as_str(), "created" | "ts"));
        // Times of the last delivery and the last ack are not in an archive.
        for key in ["delivered", "ack_floor"] {
            fields[key].as_object_mut().unwrap().remove("last_active");
        }
    }
    let (first, last) = (info["state"]["first_seq"].as_u64(), info["state"]["last_seq"].as_u64());
    let messages: Vec<String> = (first.unwrap()..=last.unwrap())
        .map(|seq| world.api("STREAM.MSG.GET.S", &format!(r#"{{"seq":{seq}}}"#)))
        .collect();
    json!({"info": info, "consumers": consumers, "messages": messages})
}

#[test]
fn a_stream_comes_back_as_it_was_and_survives_a_crash() {
    let mut world = in_use();
    let before = picture(&mut world);
    let (config, archive) = archive(&mut world, "S", "");
    world.must("STREAM.DELETE.S", "");
    assert_eq!(files(&world), Vec::<String>::new());
    let answer = restored(&mut world, &config, &archive);
    assert_eq!(answer["type"], "io.nats.jetstream.api.v1.stream_create_response");
    assert_eq!(answer["state"]["messages"], 36);
    let last_ts = |mut picture: Value| {
        // The last message is gone, and with it its time (nats-server 2.15.1).
        picture["info"]["state"].as_object_mut().unwrap().remove("last_ts");
        picture
    };
    let before = last_ts(before);
    assert_eq!(last_ts(picture(&mut world)), before);
    // It is one of the account's streams: it takes messages, and knows those that it has.
    assert!(world.put("s.0", "Nats-Msg-Id: 3", "again").contains("duplicate"));
    // At once: what the answer told is on disk.
    let report = world.crash();
    assert!(report.orphans.is_empty() && report.offline.is_empty(), "{report:?}");
    let mut after = last_ts(picture(&mut world));
    let mut expected = before;
    for picture in [&mut after, &mut expected] {
        // A consumer in memory is gone with the process.
        let consumers = picture["consumers"].as_array_mut().unwrap();
        consumers.retain(|consumer| consumer["name"] != "m");
        picture["info"]["state"].as_object_mut().unwrap().remove("consumer_count");
    }
    assert_eq!(after, expected);
    assert_eq!(world.put("s.0", "", "next"), r#"{"stream":"S","seq":140}"#);
    // What was acknowledged does not come again, and what was not does.
    world.pass(31 * SECOND);
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.a", "_I.pull", "", "4");
    let come: Vec<String> =
        world.take_all("_I.pull").into_iter().filter_map(|sent| sent.reply).collect();
    let seq = |reply: &String| reply.split('.').nth(5).unwrap().to_owned();
    assert_eq!(come.iter().map(seq).collect::<Vec<_>>(), ["102", "103", "106", "109"]);
}

/// PUB takes any byte in a subject that ends no argument, tokens that are wildcards elsewhere too, and
/// any headers (nats-server 2.15.1): what was stored so is restored so.
#[test]
fn what_can_be_published_can_be_restored() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
    let odd =
        ["s.\u{c}", "s.a\u{b}b", "s.\0", "s.\u{7f}\u{1b}[2J", "s.*", "s.>", "s.*.x", "s.\u{a0}é"];
    for subject in odd {
        world.put(subject, "", subject);
    }
    for headers in
        ["x", "NATS/1.0\r\nA: b", "NATS/1.0 503\r\n\r\n", "\r\n", "NATS/1.0\r\n\0\r\n\r\n"]
    {
        world.put_raw("s.h", headers, "x");
    }
    assert_eq!(world.state("S")["messages"], odd.len() + 5);
    let before = picture(&mut world);
    let (config, archive) = archive(&mut world, "S", "");
    world.must("STREAM.DELETE.S", "");
    restored(&mut world, &config, &archive);
    assert_eq!(picture(&mut world), before);
    world.crash();
    assert_eq!(picture(&mut world), before);
}

/// What a mirror had comes back, and it goes on behind that: nothing twice, nothing missed.
#[test]
fn a_mirror_comes_back_and_goes_on() {
    for storage in ["file", "memory"] {
        let mut world = World::new();
        world.must("STREAM.CREATE.O", r#"{"name":"O","subjects":["o"]}"#);
        let mirror = json!({"name": "S", "storage": storage, "mirror": {"name": "O"}});
        world.must("STREAM.CREATE.S", &mirror.to_string());
        world.pass(1);
        for n in 1..=5 {
            world.put("o", "", &n.to_string());
        }
        world.must("STREAM.MSG.DELETE.S", r#"{"seq":2}"#);
        world.pass(SECOND);
        let (config, archive) = archive(&mut world, "S", "");
        assert_eq!(config["mirror"]["name"], "O");
        world.must("STREAM.DELETE.S", "");
        world.must("STREAM.PURGE.O", r#"{"seq":7}"#);
        world.put("o", "", "6");
        let answer = restored(&mut world, &config, &archive);
        assert_eq!(answer["state"]["messages"], 4);
        // It tells what came back, and not yet what is to come.
        assert_eq!(answer.get("mirror"), None);
        world.put("o", "", "7");
        world.pass(5 * SECOND);
        let state = world.state("S");
        let of = |key: &str| state[key].as_u64().unwrap();
        assert_eq!((of("messages"), of("first_seq"), of("last_seq")), (6, 1, 8), "{storage}");
        assert_eq!(world.must("STREAM.INFO.S", "")["mirror"]["lag"], 0);
        let get =
            |world: &mut World, seq| world.api("STREAM.MSG.GET.S", &format!(r#"{{"seq":{seq}}}"#));
        assert!(get(&mut world, 2).contains("10037") && get(&mut world, 6).contains("10037"));
        // 7, as it was published to the origin.
        assert!(get(&mut world, 8).contains("Nw=="), "{storage}");
    }
}

#[test]
fn memory_and_file_exchange() {
    let mut world = in_use();
    let (mut config, archive_of_files) = archive(&mut world, "S", "");
    let before = picture(&mut world);
    world.must("STREAM.DELETE.S", "");
    config["storage"] = "memory".into();
    restored(&mut world, &config, &archive_of_files);
    let after = picture(&mut world);
    assert_eq!(before["messages"], after["messages"]);
    assert_eq!(before["consumers"], after["consumers"]);
    let (mut config, archive_of_memory) = archive(&mut world, "S", "");
    world.must("STREAM.DELETE.S", "");
    assert_eq!(world.engine.account_usage("$G").unwrap().memory, 0);
    config["storage"] = "file".into();
    restored(&mut world, &config, &archive_of_memory);
    assert_eq!(picture(&mut world)["messages"], before["messages"]);
}

#[test]
fn a_snapshot_shows_the_stream_as_it_was_while_others_go_on() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
    for n in 0..20 {
        world.put("s.a", "", &format!("{n}").repeat(40_000));
    }
    world.must("STREAM.SNAPSHOT.S", r#"{"deliver_subject":"_I.chunks","chunk_size":1024}"#);
    let mut snapshot = world.host.snapshots.pop().unwrap();
    let mut reader = ArchiveReader::default();
    let (mut seqs, mut ended, mut looks) = (Vec::new(), false, 0);
    while !ended {
        match snapshot.next_chunk(&mut world.host, world.now, Waker::noop()) {
            Poll::Ready(Ok(Some(chunk))) => {
                assert_eq!(chunk.len(), 1024);
                reader.push(&chunk);
            }
            Poll::Ready(Ok(None)) => {
                reader.push(&snapshot.rest());
                ended = true;
            }
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => {
                looks += 1;
                // The stream is not locked: it takes messages and loses some meanwhile.
                world.put("s.a", "", "late");
                if looks == 1 {
                    world.must("STREAM.MSG.DELETE.S", r#"{"seq":19}"#);
                }
                world.run_disk();
            }
        }
        while let Some(entry) = reader.next_entry().unwrap() {
            if entry.seq > 0 {
                seqs.push(entry.seq);
            }
        }
    }
    assert!(looks > 3, "{looks}");
    assert_eq!(seqs, (1..=18).chain([20]).collect::<Vec<_>>());
}

#[test]
fn consumers_stay_out_on_demand_and_advisories_tell_of_all() {
    let mut world = in_use();
    world.host.interest.insert("$JS.EVENT.ADVISORY.>".into());
    let (config, archive) = archive(&mut world, "S", r#","no_consumers":true"#);
    world.must("STREAM.DELETE.S", "");
    restored(&mut world, &config, &archive);
    assert_eq!(world.must("CONSUMER.NAMES.S", "")["total"], 0);
    let events: Vec<(String, Value)> = world
        .host
        .sent
        .iter()
        .filter(|sent| sent.route.starts_with("$JS.EVENT.ADVISORY.STREAM."))
        .map(|sent| (sent.route.clone(), serde_json::from_str(&sent.payload).unwrap()))
        .collect();
    let names: Vec<&str> = events.iter().map(|(name, _)| &name[26..]).collect();
    assert_eq!(
        names,
        [
            "SNAPSHOT_CREATE.S",
            "SNAPSHOT_COMPLETE.S",
            "DELETED.S",
            "RESTORE_CREATE.S",
            "CREATED.S",
            "RESTORE_COMPLETE.S"
        ]
    );
    let kind = |at: usize| events[at].1["type"].as_str().unwrap().rsplit_once('.').unwrap().1;
    assert_eq!(kind(0), "snapshot_create");
    assert_eq!(events[0].1["state"]["consumer_count"], 3);
    assert_eq!((kind(1), events[1].1.get("error")), ("snapshot_complete", None));
    assert_eq!((kind(3), kind(5)), ("restore_create", "restore_complete"));
    assert_eq!(events[5].1["bytes"], archive.len());
    assert_eq!(events[5].1["client"]["acc"], "$G");
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
    for (endpoint, body, expected) in [
        ("SNAPSHOT.S", "", "10003 bad request"),
        ("SNAPSHOT.S", "{}", "10003 bad request"),
        ("SNAPSHOT.T", r#"{"deliver_subject":""}"#, "10059 stream not found"),
        ("SNAPSHOT.S", r#"{"deliver_subject":""}"#, "10015 deliver subject not valid"),
        ("SNAPSHOT.S", r#"{"deliver_subject":"a.*"}"#, "10015 deliver subject not valid"),
        ("SNAPSHOT.S", r#"{"x":1}"#, "10025 invalid JSON: json: unknown field \"x\""),
        ("RESTORE.T", "", "10003 bad request"),
        (
            "RESTORE.T",
            r#"{"config":{"name":"U"}}"#,
            "10056 stream name in subject does not match request",
        ),
        (
            "RESTORE.S",
            r#"{"config":{"name":"S"},"state":{"messages":1}}"#,
            "10130 stream name already in use, cannot restore",
        ),
        ("RESTORE.T", r#"{"config":{"name":"T","subjects":["t.."]}}"#, "10052 invalid subject"),
    ] {
        let endpoint = format!("STREAM.{endpoint}");
        assert_eq!(world.refusal(&endpoint, body), expected, "{endpoint} {body}");
    }
    let answer = world.api("STREAM.RESTORE.T", "");
    assert!(answer.ends_with(r#","deliver_subject":""}"#), "{answer}");
    assert!(world.host.snapshots.is_empty() && world.host.restores.is_empty());
    // Each keeps some megabytes.
    for _ in 0..64 {
        world.must("STREAM.SNAPSHOT.S", r#"{"deliver_subject":"x"}"#);
    }
    let snapshot = world.refusal("STREAM.SNAPSHOT.S", r#"{"deliver_subject":"x"}"#);
    assert!(snapshot.starts_with("10064 snapshot failed: too many"), "{snapshot}");
    let restore = world.refusal("STREAM.RESTORE.T", r#"{"config":{"name":"T"}}"#);
    assert!(restore.starts_with("10062 restore failed: too many"), "{restore}");
    world.host.snapshots.clear();
    world.must("STREAM.RESTORE.T", r#"{"config":{"name":"T"}}"#);
}

#[test]
fn archives_that_cannot_be_leave_nothing_behind() {
    let consumers =
        |count: i64| TWO.replace(r#""consumer_count":0"#, &format!(r#""consumer_count":{count}"#));
    let with = |name: &str, text: &str| {
        archived(&consumers(1), |archive| {
            archive.add(&entry(name.as_bytes(), 0, b"", text.as_bytes()));
            two(archive);
        })
    };
    let message = |name: &[u8], headers: &[u8]| {
        archived(TWO, |archive| {
            archive.add(&entry(name, 1, headers, b""));
            archive.end();
        })
    };
    let state = |state: &str| archived(state, two);
    let whole = archived(TWO, two);
    let c = r#"{"config":{"durable_name":"C","ack_policy":"explicit"},"state":{}}"#;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("EOF", Vec::new()),
        ("s2: corrupt input", b"hello world, this is not".to_vec()),
        ("s2: corrupt input", whole[..whole.len() - 1].to_vec()),
        ("EOF", archived(TWO, |archive| archive.add(&entry(b"s.a", 1, b"", b"one")))),
        ("expected state.json first", {
            let mut archive = ArchiveWriter::default();
            two(&mut archive);
            archive.pack();
            archive.packed().to_vec()
        }),
        ("error in state.json: unexpected end of JSON input", state("{\"a")),
        ("invalid stream state: negative consumer count", state(&consumers(-1))),
        (
            "invalid stream state: inconsistent message count or sequence range",
            state(r#"{"messages":2,"first_seq":5,"last_seq":2}"#),
        ),
        (
            "invalid stream state: inconsistent message count or sequence range",
            state(r#"{"messages":1,"first_seq":1,"last_seq":18446744073709551615}"#),
        ),
        (
            "invalid stream state: message count exceeds sequence range",
            state(r#"{"messages":3,"first_seq":1,"last_seq":2}"#),
        ),
        ("expected consumer, found \"s.a\"", state(&consumers(1))),
        (
            "expected message sequence",
            archived(TWO, |a| a.add(&entry(b"consumers/C", 0, b"", c.as_bytes()))),
        ),
        ("expected message sequence", archived(TWO, |a| a.add(&entry(b"s.a", u64::MAX, b"", b"")))),
        (
            "message sequence 1 out of order",
            archived(TWO, |archive| {
                archive.add(&entry(b"s.a", 2, b"", b""));
                archive.add(&entry(b"s.a", 1, b"", b""));
            }),
        ),
        ("message sequence 1 has an invalid subject", message(b"s.a b", b"")),
        ("message sequence 1 has an invalid subject", message(b"s.a\tb", b"")),
        ("message sequence 1 has an invalid subject", message(b"s.a\r\nb", b"")),
        ("message sequence 1 has an invalid subject", message(b"../../x", b"")),
        (
            "failed to parse message TTL: invalid per-message TTL (10165)",
            message(b"s.a", b"NATS/1.0\r\nNats-TTL: x\r\n\r\n"),
        ),
        (
            "message sequence 1 exceeds maximum payload size",
            archived(TWO, |archive| {
                archive.add(&entry(b"s.a", 1, b"", &vec![0; MAX_PAYLOAD + 1]));
            }),
        ),
        ("consumer \"C\" is missing state", with("consumers/C", r#"{"config":{"name":"C"}}"#)),
        (
            "failed to add consumer \"../x\": consumer name can not contain '.', '*', '>', '\\', '/' (10052)",
            with("consumers/../x", r#"{"config":{"ack_policy":"explicit"},"state":{}}"#),
        ),
        (
            "failed to add consumer \"C\": Consumer Durable and Name have to be equal if both are provided (10132)",
            with("consumers/C", r#"{"config":{"name":"C","durable_name":"D"},"state":{}}"#),
        ),
    ];
    for (expected, archive) in cases {
        let mut world = World::new();
        let answer = restore(&mut world, &s(), &archive);
        let error =
            if answer.starts_with('{') { error_of(&answer)[6..].to_owned() } else { answer };
        assert_eq!(error, format!("restore failed: {expected}"));
        assert_nothing(&mut world, expected);
    }
}

#[test]
fn a_restore_that_breaks_off_leaves_nothing_behind() {
    let archive = archived(TWO, two);
    // Before the first chunk, in the middle, and when all has come.
    for len in [0, archive.len() / 2, archive.len()] {
        let mut world = World::new();
        let mut restore = begin(&mut world, &s());
        feed(&mut world, &mut restore, &archive[..len]).unwrap();
        assert!(world.refusal("STREAM.INFO.S", "").starts_with("10059 "));
        world.engine.abandon_restore(&mut world.host, world.now, &mut restore, false);
        world.run_disk();
        assert_nothing(&mut world, "abandoned");
    }
    // The power goes before the last answer.
    let mut world = World::new();
    let mut restore = begin(&mut world, &s());
    feed(&mut world, &mut restore, &archive).unwrap();
    world.run_disk();
    assert!(!files(&world).is_empty());
    world.crash();
    drop(restore);
    assert_nothing(&mut world, "crashed");
    // The name is as good as any.
    restored(&mut world, &s(), &archive);
    assert_eq!(world.restart().streams[0].messages, 2);
}

#[test]
fn a_name_or_subject_that_is_taken_meanwhile_is_refused_at_the_end() {
    let archive = archived(TWO, two);
    for (create, expected) in [
        (r#"{"name":"S","subjects":["t"]}"#, "10130 stream name already in use, cannot restore"),
        (
            r#"{"name":"T","subjects":["s.a"]}"#,
            "10062 restore failed: error adding stream: subjects overlap with an existing stream (10065)",
        ),
    ] {
        let mut world = World::new();
        let mut restore = begin(&mut world, &s());
        feed(&mut world, &mut restore, &archive).unwrap();
        let name = &create[9..10];
        world.must(&format!("STREAM.CREATE.{name}"), create);
        assert_eq!(error_of(&end(&mut world, restore)), expected);
        assert_eq!(files(&world), Vec::<String>::new());
        assert_eq!(world.must("STREAM.NAMES", "")["streams"], json!([name]));
    }
}

#[test]
fn limits_hold_for_what_is_restored() {
    let archive = archived(TWO, two);
    let limits = AccountLimits { max_file: Some(79), ..AccountLimits::default() };
    let mut world = World::with(Options::default(), limits);
    assert_eq!(restore(&mut world, &s(), &archive), "resource limits exceeded for account");
    // An archive may say less than it holds.
    let small = TWO.replace("\"bytes\":80", "\"bytes\":1");
    let limits = AccountLimits { max_file: Some(50), ..AccountLimits::default() };
    let mut world = World::with(Options::default(), limits);
    let error = restore(&mut world, &s(), &archived(&small, two));
    assert_eq!(error, "resource limits exceeded for account");
    assert_nothing(&mut world, "over the limit");
    let options = Options { max_file: Some(79), ..Options::default() };
    let mut world = World::with(options, AccountLimits::default());
    let error = restore(&mut world, &s(), &archive);
    assert_eq!(error, "insufficient storage resources available");
    // Those of the stream act as they always do.
    let mut world = World::new();
    let config = json!({"name": "S", "subjects": ["s.>"], "max_msgs": 1});
    let answer = restored(&mut world, &config, &archive);
    assert_eq!(answer["state"]["first_seq"], 2);
}

#[test]
fn what_expired_meanwhile_stays_away_and_keeps_its_sequence() {
    let mut world = World::new();
    let state = r#"{"messages":3,"bytes":80,"first_seq":1,"last_seq":9,"consumer_count":0}"#;
    let archive = archived(state, |archive| {
        let old = Entry { time: 1_600_000_000_000_000_000, ..entry(b"s.a", 2, b"", b"x") };
        archive.add(&Entry { headers: b"NATS/1.0\r\nNats-TTL: 1h\r\n\r\n", ..old });
        archive.add(&Entry { seq: 4, headers: b"NATS/1.0\r\nNats-TTL: never\r\n\r\n", ..old });
        archive.add(&entry(b"s.b", 6, b"NATS/1.0\r\nNats-TTL: 10s\r\n\r\n", b"y"));
        archive.end();
    });
    let config = json!({"name": "S", "subjects": ["s.>"], "allow_msg_ttl": true});
    let answer = restored(&mut world, &config, &archive);
    assert_eq!(answer["state"]["messages"], 2);
    assert_eq!(
        (&answer["state"]["first_seq"], &answer["state"]["last_seq"]),
        (&json!(4), &json!(9))
    );
    // The rest of its time runs on.
    world.pass(10 * SECOND);
    assert_eq!(world.state("S")["messages"], 1);
    assert_eq!(world.put("s.a", "", "next"), r#"{"stream":"S","seq":10}"#);
}

#[test]
fn an_empty_stream_keeps_where_it_goes_on() {
    for (state, first, next) in [
        (r#"{"messages":0,"first_seq":0,"last_seq":0}"#, 0, 1),
        (r#"{"messages":0,"first_seq":5,"last_seq":4}"#, 5, 5),
        (
            r#"{"messages":0,"first_seq":1,"last_seq":1000000000000}"#,
            1_000_000_000_001_u64,
            1_000_000_000_001_u64,
        ),
    ] {
        let mut world = World::new();
        restored(&mut world, &s(), &archived(state, |archive| archive.end()));
        world.crash();
        assert_eq!(world.state("S")["first_seq"], first, "{state}");
        assert_eq!(world.put("s.a", "", "x"), format!(r#"{{"stream":"S","seq":{next}}}"#));
    }
}

#[test]
fn a_disk_that_fails_ends_a_restore_with_its_words() {
    let mut world = World::new();
    let mut restore = begin(&mut world, &s());
    feed(&mut world, &mut restore, &archived(TWO, two)).unwrap();
    *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::Other);
    let answer = end(&mut world, restore);
    assert!(error_of(&answer).contains("simulated"), "{answer}");
    *world.disk.failing.lock().unwrap() = None;
    assert!(world.refusal("STREAM.INFO.S", "").starts_with("10059 "));
    let report = world.crash();
    assert!(report.streams.is_empty() && report.orphans.is_empty(), "{report:?}");
}

#[test]
fn a_stream_that_goes_ends_its_snapshot() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
    world.put("s.a", "", "x");
    world.must("STREAM.SNAPSHOT.S", r#"{"deliver_subject":"_I.chunks"}"#);
    let mut snapshot = world.host.snapshots.pop().unwrap();
    world.must("STREAM.DELETE.S", "");
    let mut error = None;
    for _ in 0..10 {
        let next = snapshot.next_chunk(&mut world.host, world.now, Waker::noop());
        if let Poll::Ready(ended) = next {
            error = ended.err();
            break;
        }
        world.run_disk();
    }
    assert_eq!(error.as_deref(), Some("stream was deleted"));
}
