//! Mirrors and sources (jetstream.md 2.10).

use natterjack_jetstream::{AccountLimits, Options};
use natterjack_store::DiskErrorKind;
use serde_json::Value;

use crate::world::{SECOND, World};

const ORIGIN: &str = r#"{"name":"O","subjects":["o.>"],"allow_rollup_hdrs":true}"#;
const MIRROR: &str = r#"{"name":"M","mirror":{"name":"O"}}"#;
const SOURCED: &str = r#"{"name":"S","subjects":["s"],"sources":[{"name":"O"}]}"#;

/// A world with an origin of so many messages, and what takes them.
fn world(messages: usize, taker: &str) -> World {
    let mut world = World::new();
    world.must("STREAM.CREATE.O", ORIGIN);
    fill(&mut world, messages);
    create(&mut world, taker);
    world
}

fn create(world: &mut World, taker: &str) {
    let config: Value = serde_json::from_str(taker).unwrap();
    world.must(&format!("STREAM.CREATE.{}", config["name"].as_str().unwrap()), taker);
    world.pass(1);
}

fn fill(world: &mut World, messages: usize) {
    for at in 0..messages {
        world.put(&format!("o.{}", at % 3), "", &format!("{at}"));
    }
}

/// Sequence, subject, headers and payload of all messages of a stream.
fn messages(world: &mut World, stream: &str) -> Vec<(u64, String, String, String)> {
    let last = world.state(stream)["last_seq"].as_u64().unwrap();
    let mut all = Vec::new();
    for seq in 1..=last {
        let answer = world.api(&format!("STREAM.MSG.GET.{stream}"), &format!(r#"{{"seq":{seq}}}"#));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let Some(message) = answer.get("message") else { continue };
        let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
        all.push((seq, text("subject"), decoded(&text("hdrs")), decoded(&text("data"))));
    }
    all
}

/// Base64, by hand: these tests know no other crates.
fn decoded(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::new());
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let digit = DIGITS.iter().position(|digit| *digit == byte).unwrap() as u32;
        (bits, count) = (bits << 6 | digit, count + 6);
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    String::from_utf8(out).unwrap()
}

fn payloads(world: &mut World, stream: &str) -> Vec<String> {
    messages(world, stream).into_iter().map(|message| message.3).collect()
}

#[test]
fn a_mirror_has_the_sequences_times_and_gaps_of_its_origin() {
    let mut world = World::new();
    world.must("STREAM.CREATE.O", ORIGIN);
    world.put("o.a", "A: b\r\nNats-Expected-Last-Sequence: 0", "1");
    world.pass(SECOND);
    world.put("o.b", "", "2");
    world.put("o.c", "Nats-Msg-Id: x", "3");
    world.must("STREAM.MSG.DELETE.O", r#"{"seq":2}"#);
    create(&mut world, MIRROR);
    world.put("o.d", "", "4");
    let mirrored = messages(&mut world, "M");
    let row = |seq: u64, subject: &str, headers: &str, payload: &str| {
        (seq, subject.to_owned(), headers.to_owned(), payload.to_owned())
    };
    assert_eq!(
        mirrored,
        [
            row(1, "o.a", "NATS/1.0\r\nA: b\r\n\r\n", "1"),
            row(3, "o.c", "NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n", "3"),
            row(4, "o.d", "", "4"),
        ]
    );
    let (origin, mirror) = (world.state("O"), world.state("M"));
    for key in ["messages", "first_seq", "last_seq", "first_ts", "last_ts", "num_deleted"] {
        assert_eq!(origin[key], mirror[key], "{key}");
    }
    let info = world.must("STREAM.INFO.M", "");
    assert_eq!((&info["mirror"]["name"], &info["mirror"]["lag"]), (&"O".into(), &0.into()));
    // Nobody sees how it comes there, and nobody publishes to it.
    assert_eq!(world.state("O")["consumer_count"], 0);
    assert_eq!(world.must("CONSUMER.NAMES.O", "")["total"], 0);
    assert_eq!(world.must("INFO", "")["consumers"], 1);
    let usage = world.engine.account_usage("$G").unwrap();
    assert_eq!((usage.consumers, usage.direct_consumers), (1, 1));
    assert_eq!(world.put("M", "", "x"), "503");
    world.must("STREAM.DELETE.O", "");
    assert_eq!(world.must("INFO", "")["consumers"], 0);
}

#[test]
fn a_mirror_without_its_origin_says_so_and_begins_when_it_comes() {
    let mut world = World::new();
    create(&mut world, MIRROR);
    let info = world.must("STREAM.INFO.M", "");
    assert_eq!(info["mirror"]["error"]["err_code"], 10059);
    assert_eq!(info["mirror"]["active"], -1);
    world.must("STREAM.CREATE.O", ORIGIN);
    fill(&mut world, 3);
    world.pass(1);
    assert_eq!(payloads(&mut world, "M"), ["0", "1", "2"]);
    let info = world.must("STREAM.INFO.M", "");
    assert_eq!(info["mirror"].get("error"), None);
    // One that comes again begins at 1, and the mirror waits until it has passed it.
    world.must("STREAM.DELETE.O", "");
    world.pass(1);
    assert_eq!(world.must("STREAM.INFO.M", "")["mirror"]["error"]["err_code"], 10059);
    world.must("STREAM.CREATE.O", ORIGIN);
    fill(&mut world, 3);
    world.pass(1);
    assert_eq!(world.state("M")["messages"], 3);
    world.put("o.a", "", "later");
    assert_eq!(payloads(&mut world, "M"), ["0", "1", "2", "later"]);
}

/// A timer runs on another thread: where it is set before the answer, that may tell of messages.
#[test]
fn the_answer_to_a_create_leaves_before_anything_can_be_taken() {
    for (name, body) in [("M", MIRROR), ("S", SOURCED)] {
        let mut world = World::new();
        world.must("STREAM.CREATE.O", ORIGIN);
        fill(&mut world, 3);
        world.host.sent.clear();
        world.host.woken.clear();
        assert!(world.request_to(&format!("$JS.API.STREAM.CREATE.{name}"), "_I.made", "", body));
        let id = world.engine.stream("$G", name).unwrap().id();
        let answered = world.host.sent.iter().position(|sent| sent.route == "_I.made").unwrap();
        let timed = world.host.woken.iter().find(|(owner, _)| *owner == id).unwrap();
        assert!(timed.1 > answered, "{name}: {timed:?} {answered}");
        let answer = world.take("_I.made").unwrap().payload;
        assert!(answer.contains(r#""active":-1"#), "{answer}");
        world.pass(1);
        assert_eq!(payloads(&mut world, name), ["0", "1", "2"]);
    }
}

#[test]
fn a_mirror_takes_what_its_configuration_says() {
    let mut world = World::new();
    world.must("STREAM.CREATE.O", ORIGIN);
    fill(&mut world, 6);
    create(&mut world, r#"{"name":"A","mirror":{"name":"O","opt_start_seq":4}}"#);
    assert_eq!(world.state("A")["first_seq"], 4);
    assert_eq!(payloads(&mut world, "A"), ["3", "4", "5"]);
    create(&mut world, r#"{"name":"B","mirror":{"name":"O","filter_subject":"o.1"}}"#);
    let of = |world: &mut World, stream: &str| -> Vec<(u64, String)> {
        messages(world, stream).into_iter().map(|(seq, subject, ..)| (seq, subject)).collect()
    };
    assert_eq!(of(&mut world, "B"), [(2, "o.1".to_owned()), (5, "o.1".to_owned())]);
    let rules = r#"[{"src":"o.0","dest":"zero"},{"src":"o.2","dest":""}]"#;
    create(
        &mut world,
        &format!(r#"{{"name":"C","mirror":{{"name":"O","subject_transforms":{rules}}}}}"#),
    );
    let expected = [(1, "zero"), (3, "o.2"), (4, "zero"), (6, "o.2")];
    let expected: Vec<_> = expected.map(|(seq, name)| (seq, name.to_owned())).into();
    assert_eq!(of(&mut world, "C"), expected);
    // In memory, and under another rule of its own.
    create(
        &mut world,
        r#"{"name":"D","storage":"memory","max_msgs":2,"subject_transform":{"src":"o.*","dest":"d.$1"},"mirror":{"name":"O"}}"#,
    );
    assert_eq!(of(&mut world, "D"), [(5, "d.1".to_owned()), (6, "d.2".to_owned())]);
}

#[test]
fn a_mirror_becomes_a_stream_of_its_own() {
    let mut world = world(3, MIRROR);
    world.must("STREAM.UPDATE.M", r#"{"name":"M","subjects":["m"]}"#);
    world.put("o.a", "", "not for it any more");
    world.pass(1);
    assert_eq!(world.put("m", "", "own"), r#"{"stream":"M","seq":4}"#);
    assert_eq!(payloads(&mut world, "M"), ["0", "1", "2", "own"]);
    assert!(world.must("STREAM.INFO.M", "").get("mirror").is_none());
    assert!(world.host.inlets.is_empty());
}

#[test]
fn a_source_adds_where_a_message_comes_from() {
    let mut world = world(0, SOURCED);
    world.put("s", "", "own");
    world.put("o.a", "A: b\r\nNats-Expected-Last-Sequence: 0", "one");
    let all = messages(&mut world, "S");
    assert_eq!(all.len(), 2);
    let (seq, subject, headers, payload) = &all[1];
    assert_eq!((*seq, subject.as_str(), payload.as_str()), (2, "o.a", "one"));
    let source =
        headers.strip_prefix("NATS/1.0\r\nA: b\r\nNats-Stream-Source: O 1 > > o.a ").unwrap();
    // 8 characters that tell which stream O is.
    assert_eq!(source.len(), 8 + 4);
    let info = world.must("STREAM.INFO.S", "");
    assert_eq!(info["sources"][0]["name"], "O");
    assert!(info.get("mirror").is_none());
    // Another stream takes from this one: its header is replaced.
    create(&mut world, r#"{"name":"T","sources":[{"name":"S","filter_subject":"o.>"}]}"#);
    let all = messages(&mut world, "T");
    assert!(all[0].2.contains("Nats-Stream-Source: S 2 o.> > o.a "), "{all:?}");
    assert_eq!(all[0].2.matches("Nats-Stream-Source").count(), 1);
}

#[test]
fn several_sources_have_filters_names_and_starts_of_their_own() {
    let mut world = World::new();
    world.must("STREAM.CREATE.O", ORIGIN);
    world.must("STREAM.CREATE.P", r#"{"name":"P","subjects":["p"]}"#);
    fill(&mut world, 3);
    for payload in ["x", "y", "z"] {
        world.put("p", "", payload);
    }
    let sources = r#"[{"name":"O","filter_subject":"o.0"},{"name":"O","subject_transforms":[{"src":"o.1","dest":"one"}]},{"name":"P","opt_start_seq":3}]"#;
    create(&mut world, &format!(r#"{{"name":"S","sources":{sources}}}"#));
    let mut taken: Vec<(String, String)> = messages(&mut world, "S")
        .into_iter()
        .map(|(_, subject, _, payload)| (subject, payload))
        .collect();
    taken.sort();
    let row = |subject: &str, payload: &str| (subject.to_owned(), payload.to_owned());
    assert_eq!(taken, [row("o.0", "0"), row("one", "1"), row("p", "z")]);
    // One goes; the others stay where they are, also where a start is not said any more.
    let sources = r#"[{"name":"O","filter_subject":"o.0"},{"name":"P"}]"#;
    world.must("STREAM.UPDATE.S", &format!(r#"{{"name":"S","sources":{sources}}}"#));
    world.pass(2 * SECOND);
    fill(&mut world, 3);
    let taken = payloads(&mut world, "S");
    assert_eq!(taken.iter().filter(|one| *one == "0").count(), 2);
    assert_eq!(taken.iter().filter(|one| *one == "1").count(), 1);
    assert_eq!(taken.iter().filter(|one| "xyz".contains(one.as_str())).count(), 1);
}

#[test]
fn a_source_that_was_made_anew_is_taken_from_its_beginning() {
    let mut world = world(3, SOURCED);
    assert_eq!(world.state("S")["messages"], 3);
    world.must("STREAM.DELETE.O", "");
    world.pass(SECOND);
    world.must("STREAM.CREATE.O", ORIGIN);
    world.put("o.a", "", "again");
    world.pass(1);
    assert_eq!(payloads(&mut world, "S"), ["0", "1", "2", "again"]);
    assert!(messages(&mut world, "S")[3].2.contains("Nats-Stream-Source: O 1 "));
}

#[test]
fn sources_go_on_where_they_were_whatever_became_of_their_messages() {
    for end in ["restart", "crash"] {
        let mut world = world(4, SOURCED);
        // The one that tells where the source is is overwritten, the others are purged.
        world.must("STREAM.MSG.DELETE.S", r#"{"seq":4}"#);
        world.must("STREAM.PURGE.S", "");
        match end {
            "restart" => world.restart(),
            _ => world.crash(),
        };
        world.pass(1);
        assert_eq!(world.state("S")["messages"], 0, "{end}");
        world.put("o.a", "", "new");
        assert_eq!(payloads(&mut world, "S"), ["new"], "{end}");
        // And again, from what the message says.
        world.crash();
        world.pass(1);
        assert_eq!(payloads(&mut world, "S"), ["new"], "{end}");
    }
}

#[test]
fn a_long_catch_up_keeps_a_window_in_memory_and_waits_for_the_disk() {
    let mut world = World::new();
    world.must("STREAM.CREATE.O", ORIGIN);
    let large = "x".repeat(64 << 10);
    for _ in 0..200 {
        world.put("o.a", "", &large);
    }
    world.must("STREAM.CREATE.M", MIRROR);
    world.slow_disk = true;
    world.pass(1);
    // What is read of the origin comes at once; what the mirror stores does not.
    for _ in 0..400 {
        let id = world.engine.stream("$G", "M").unwrap().id();
        let Some(at) = world.host.disk.iter().position(|(owner, _)| *owner != id) else { break };
        let (owner, request) = world.host.disk.remove(at).unwrap();
        let result = request.run(&world.disk);
        world.engine.completed(&mut world.host, world.now, owner, request.id, result);
        world.pass(1);
    }
    let window = 2 << 20;
    assert!(world.host.arrived > 0 && world.host.arrived <= window + 2 * large.len());
    world.slow_disk = false;
    world.run_disk();
    assert_eq!(world.state("M")["messages"], 200);
}

#[test]
fn what_the_disk_refuses_is_taken_again_at_its_sequence() {
    for taker in [MIRROR, SOURCED] {
        let mut world = world(3, taker);
        let name = if taker == MIRROR { "M" } else { "S" };
        assert_eq!(world.state(name)["messages"], 3);
        world.slow_disk = true;
        fill(&mut world, 3);
        // The origin's messages are written, what follows is not.
        let origin = world.engine.stream("$G", "O").unwrap().id();
        while let Some(at) = world.host.disk.iter().position(|(owner, _)| *owner == origin) {
            let (owner, request) = world.host.disk.remove(at).unwrap();
            let result = request.run(&world.disk);
            world.engine.completed(&mut world.host, world.now, owner, request.id, result);
        }
        assert!(!world.host.internal.is_empty());
        *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
        world.run_disk();
        *world.disk.failing.lock().unwrap() = None;
        world.slow_disk = false;
        world.pass(20 * SECOND);
        assert_eq!(payloads(&mut world, name), ["0", "1", "2", "0", "1", "2"], "{name}");
        if taker == MIRROR {
            let origin: Vec<u64> = messages(&mut world, "O").iter().map(|one| one.0).collect();
            let mirror: Vec<u64> = messages(&mut world, "M").iter().map(|one| one.0).collect();
            assert_eq!(origin, mirror);
        }
        world.crash();
        world.pass(20 * SECOND);
        assert_eq!(payloads(&mut world, name), ["0", "1", "2", "0", "1", "2"], "{name}");
    }
}

#[test]
fn a_purge_of_the_origin_while_the_disk_refuses_leaves_a_gap() {
    for purge in ["", r#"{"seq":5}"#, r#"{"filter":"o.1"}"#] {
        let mut world = world(3, MIRROR);
        world.slow_disk = true;
        fill(&mut world, 3);
        let origin = world.engine.stream("$G", "O").unwrap().id();
        while let Some(at) = world.host.disk.iter().position(|(owner, _)| *owner == origin) {
            let (owner, request) = world.host.disk.remove(at).unwrap();
            let result = request.run(&world.disk);
            world.engine.completed(&mut world.host, world.now, owner, request.id, result);
        }
        *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
        world.run_disk();
        *world.disk.failing.lock().unwrap() = None;
        world.slow_disk = false;
        assert_eq!(world.state("M")["last_seq"], 3);
        // Before the mirror asks again, what it lost is gone there, too.
        world.must("STREAM.PURGE.O", purge);
        world.pass(20 * SECOND);
        fill(&mut world, 2);
        world.pass(20 * SECOND);
        let left: Vec<u64> =
            messages(&mut world, "O").into_iter().map(|one| one.0).filter(|seq| *seq > 3).collect();
        for crashed in [false, true] {
            let mirror = messages(&mut world, "M");
            let seqs: Vec<u64> = mirror.iter().map(|one| one.0).collect();
            assert_eq!(seqs[..3], [1, 2, 3], "{purge}");
            assert_eq!(seqs[3..], left, "{purge}");
            assert_eq!(mirror.last(), messages(&mut world, "O").last());
            assert_eq!(world.must("STREAM.INFO.M", "")["mirror"]["lag"], 0);
            if !crashed {
                world.crash();
                world.pass(20 * SECOND);
            }
        }
    }
}

#[test]
fn an_account_that_is_full_holds_its_mirrors_up_until_there_is_room() {
    let limits = AccountLimits { max_file: Some(2_000), ..AccountLimits::default() };
    for taker in [MIRROR, SOURCED] {
        let mut world = World::with(Options::default(), limits);
        world.must("STREAM.CREATE.O", r#"{"name":"O","subjects":["o.>"],"storage":"memory"}"#);
        let body = "x".repeat(400);
        for _ in 0..10 {
            world.put("o.a", "", &body);
        }
        create(&mut world, taker);
        let name = if taker == MIRROR { "M" } else { "S" };
        world.pass(60 * SECOND);
        let taken = world.state(name)["messages"].as_u64().unwrap();
        assert!((1..10).contains(&taken), "{taken}");
        let usage = world.engine.account_usage("$G").unwrap();
        assert!(usage.file <= 2_000, "{usage:?}");
        world.must(&format!("STREAM.PURGE.{name}"), "");
        world.pass(60 * SECOND);
        let state = world.state(name);
        assert_eq!(state["messages"], taken, "{name}");
        assert_eq!(state["last_seq"], 2 * taken);
        world.engine.set_account("$G", Some(AccountLimits::default()));
        world.pass(60 * SECOND);
        assert_eq!(world.state(name)["last_seq"], 10, "{name}");
        assert_eq!(world.state(name)["messages"], 10 - taken);
    }
}

/// xorshift64*: what happens when is drawn from it.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

#[test]
fn whatever_moment_a_crash_comes_at_what_the_origin_acknowledged_arrives_once() {
    for seed in 1..=60 {
        let mut dice = Dice(seed);
        let mut world = World::new();
        world.must("STREAM.CREATE.O", ORIGIN);
        world.must("STREAM.CREATE.M", MIRROR);
        world.must("STREAM.CREATE.S", SOURCED);
        let mut sent = 0;
        let mut acknowledged: Vec<String> = Vec::new();
        for _ in 0..120 {
            world.slow_disk = true;
            match dice.roll(10) {
                0..5 => {
                    sent += 1;
                    let reply = format!("_I.ack.{sent}");
                    world.publish(&format!("o.{}", dice.roll(3)), &reply, &sent.to_string());
                }
                5..8 => {
                    for _ in 0..=dice.roll(4) {
                        world.run_one();
                    }
                }
                8 => world.pass(dice.roll(3) * SECOND),
                _ => {
                    world.crash();
                    world.pass(1);
                }
            }
            acknowledged.extend(acks(&mut world));
        }
        world.crash();
        world.slow_disk = false;
        // Whatever an attempt was cut off, the next one comes within the silence.
        world.pass(30 * SECOND);
        let origin = messages(&mut world, "O");
        assert_eq!(messages(&mut world, "M"), origin, "seed {seed}");
        let payloads: Vec<&String> = origin.iter().map(|message| &message.3).collect();
        for one in &acknowledged {
            assert!(payloads.contains(&one), "seed {seed}: {one}");
        }
        let taken: Vec<String> = messages(&mut world, "S").into_iter().map(|one| one.3).collect();
        assert_eq!(taken.iter().collect::<Vec<_>>(), payloads, "seed {seed}");
    }
}

/// The payloads that were acknowledged since the last call.
fn acks(world: &mut World) -> Vec<String> {
    let sent = std::mem::take(&mut world.host.sent);
    let acks = sent.iter().filter(|sent| sent.payload.contains("\"seq\":"));
    acks.filter_map(|sent| sent.route.strip_prefix("_I.ack.").map(str::to_owned)).collect()
}

#[test]
fn a_work_queue_gives_up_what_is_safe_elsewhere() {
    let mut world = World::new();
    world.must("STREAM.CREATE.O", r#"{"name":"O","subjects":["o.>"],"retention":"workqueue"}"#);
    create(&mut world, SOURCED);
    let names = world.must("CONSUMER.NAMES.O", "");
    let name = names["consumers"][0].as_str().unwrap().to_owned();
    assert!(name.starts_with("JS_SRC_") && name.len() == "JS_SRC_".len() + 8);
    let config = &world.must(&format!("CONSUMER.INFO.O.{name}"), "")["config"];
    assert_eq!(
        (&config["ack_policy"], &config["durable_name"]),
        (&"flow_control".into(), &name.into())
    );
    fill(&mut world, 3);
    assert_eq!(payloads(&mut world, "S"), ["0", "1", "2"]);
    // Settled with the next heartbeat.
    assert_eq!(world.state("O")["messages"], 3);
    world.pass(2 * SECOND);
    assert_eq!(world.state("O")["messages"], 0);
    // What was not settled comes again after a crash, and is known.
    fill(&mut world, 3);
    world.crash();
    world.pass(20 * SECOND);
    assert_eq!(payloads(&mut world, "S"), ["0", "1", "2", "0", "1", "2"]);
    assert_eq!(world.state("O")["messages"], 0);
    assert_eq!(world.must("CONSUMER.NAMES.O", "")["total"], 1);
}

#[test]
fn more_than_may_be_open_flows_by_what_is_settled() {
    let mut world = World::new();
    world.must("STREAM.CREATE.O", r#"{"name":"O","subjects":["o.>"],"retention":"interest"}"#);
    create(&mut world, MIRROR);
    fill(&mut world, 2500);
    world.pass(3 * SECOND);
    assert_eq!(world.state("M")["messages"], 2500);
    assert_eq!(world.state("O")["messages"], 0);
}

#[test]
fn a_mirror_answers_direct_gets_for_an_origin_that_does_not() {
    let mut world = World::new();
    world.must("STREAM.CREATE.O", r#"{"name":"O","subjects":["o.>"],"allow_direct":true}"#);
    fill(&mut world, 2);
    create(&mut world, r#"{"name":"M","mirror":{"name":"O"},"mirror_direct":true}"#);
    let answer = |world: &mut World| world.direct("O.o.1", "").concat();
    assert!(answer(&mut world).contains("Nats-Stream: O"));
    world.must("STREAM.DELETE.O", "");
    assert!(answer(&mut world).contains("Nats-Stream: M"));
    // By its own name it does what its own configuration says.
    assert_eq!(world.direct("M.o.1", ""), ["503"]);
}

#[test]
fn a_stream_that_takes_no_more_of_a_source_asks_again_when_it_can() {
    let mut world = World::new();
    world.must("STREAM.CREATE.O", ORIGIN);
    create(&mut world, r#"{"name":"S","max_msgs":2,"discard":"new","sources":[{"name":"O"}]}"#);
    fill(&mut world, 4);
    world.pass(5 * SECOND);
    assert_eq!(payloads(&mut world, "S"), ["0", "1"]);
    world.must("STREAM.PURGE.S", "");
    world.pass(5 * SECOND);
    assert_eq!(payloads(&mut world, "S"), ["2", "3"]);
}
