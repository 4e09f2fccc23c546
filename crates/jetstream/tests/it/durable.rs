//! File streams: what is told is durable, and comes back.

use natterjack_store::{DiskErrorKind, DiskOp};

use crate::world::{SECOND, World, error_of};

const CREATE: &str = r#"{"name":"S","subjects":["s.>"],"allow_rollup_hdrs":true,"allow_msg_ttl":true,"allow_direct":true}"#;

fn world() -> World {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", CREATE);
    world
}

fn consumer(name: &str) -> String {
    format!(r#"{{"stream_name":"S","config":{{"durable_name":"{name}","ack_policy":"explicit"}}}}"#)
}

#[test]
fn nothing_is_acknowledged_before_the_disk_has_it() {
    let mut world = World::new();
    world.slow_disk = true;
    assert_eq!(world.api("STREAM.CREATE.S", CREATE), "");
    // Not even a publish is taken before the stream is there for good.
    assert_eq!(world.put("s.a", "", "x"), "503");
    world.run_disk();
    assert!(world.take("_I.1").unwrap().payload.contains("did_create"));
    assert_eq!(world.put("s.a", "Nats-Msg-Id: a", "x"), "");
    assert_eq!(world.put("s.a", "Nats-Msg-Id: a", "x"), "");
    assert_eq!(world.put("s.a", "Nats-Expected-Last-Sequence: 9", "x"), "");
    assert_eq!(world.api("STREAM.MSG.GET.S", r#"{"seq":1}"#), "");
    assert_eq!(world.direct("S.s.a", ""), Vec::<String>::new());
    assert!(!world.engine.is_idle());
    world.run_disk();
    let texts: Vec<String> = world.host.sent.drain(..).map(|sent| sent.text()).collect();
    assert_eq!(texts[0], r#"{"stream":"S","seq":1}"#);
    assert_eq!(texts[1], r#"{"stream":"S","seq":1,"duplicate": true}"#);
    assert_eq!(error_of(&texts[2]), "10071 wrong last sequence: 1");
    assert!(texts[3].contains(r#""seq":1,"hdrs""#) && texts[4].contains("Nats-Sequence: 1"));
    assert!(world.engine.is_idle());
}

#[test]
fn consumers_deliver_only_what_is_durable() {
    let mut world = world();
    world.must("CONSUMER.CREATE.S.c", &consumer("c"));
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "5");
    world.slow_disk = true;
    world.put("s.a", "", "x");
    assert!(world.take("_I.pull").is_none());
    world.run_disk();
    let reply = world.take("_I.pull").unwrap().reply.unwrap();
    // The answer to an ack waits, too.
    assert_eq!(world.ack(&reply, "+ACK").as_deref(), Some("silence"));
    world.run_disk();
    assert!(world.take("_I.ack").is_some());
}

#[test]
fn acks_that_nobody_waits_for_are_written_together_and_info_waits_for_them() {
    let mut world = world();
    world.must("CONSUMER.CREATE.S.c", &consumer("c"));
    for _ in 0..20 {
        world.put("s.a", "", "x");
    }
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "20");
    world.pass(SECOND);
    world.slow_disk = true;
    let stream = world.engine.stream("$G", "S").unwrap();
    let tell = |world: &mut World, acks: &[&str]| {
        for ack in acks {
            let (now, ack) = (world.now, ack.as_bytes());
            assert!(world.engine.ack(&mut world.host, now, "$G", ack, None, b""));
        }
    };
    let sent = world.take_all("_I.pull");
    let acks: Vec<&str> = sent.iter().map(|sent| sent.reply.as_deref().unwrap()).collect();
    // The first one at once, the others with the next.
    tell(&mut world, &acks[..1]);
    assert_eq!(world.host.disk.len(), 1);
    world.run_disk();
    tell(&mut world, &acks[1..9]);
    assert!(world.host.disk.is_empty());
    world.pass(SECOND / 50);
    assert_eq!(world.host.disk.len(), 1);
    world.run_disk();
    tell(&mut world, &acks[9..12]);
    assert!(world.host.disk.is_empty());
    // An answer tells of them, so it waits for them.
    assert_eq!(world.api("CONSUMER.INFO.S.c", ""), "");
    assert_eq!(world.host.disk.len(), 1);
    world.run_disk();
    assert!(world.host.sent.pop_back().unwrap().payload.contains(r#""stream_seq":12"#));
    // So does the answer to an ack.
    tell(&mut world, &acks[12..13]);
    assert_eq!(world.ack(acks[13], "").as_deref(), Some("silence"));
    world.run_disk();
    assert!(world.take("_I.ack").is_some());
    // What is left is written by a shutdown.
    tell(&mut world, &acks[14..16]);
    stream.settle(&mut world.host, world.now);
    assert!(world.host.disk.is_empty());
    world.engine.shutdown(&mut world.host, world.now);
    world.run_disk();
    world.crash();
    assert_eq!(world.must("CONSUMER.INFO.S.c", "")["ack_floor"]["stream_seq"], 16);
}

#[test]
fn a_create_is_one_record_under_one_sync() {
    let mut world = World::new();
    world.slow_disk = true;
    let syncs = |world: &World| {
        let ops = world.host.disk.iter().flat_map(|(_, request)| &request.ops);
        ops.filter(|op| matches!(op, DiskOp::Sync(_) | DiskOp::SyncDir(_))).count()
    };
    // The first one also makes the catalog.
    world.api("STREAM.CREATE.T", r#"{"name":"T"}"#);
    world.run_disk();
    for (endpoint, body) in
        [("STREAM.CREATE.S", CREATE), ("CONSUMER.CREATE.S.c", &consumer("c") as &str)]
    {
        assert_eq!(world.api(endpoint, body), "");
        assert_eq!((world.host.disk.len(), syncs(&world)), (1, 1), "{endpoint}");
        world.run_disk();
        assert!(world.host.sent.pop_back().unwrap().payload.contains("_create_response"));
    }
    assert!(world.disk.files().iter().all(|path| !path.starts_with("streams/")));
}

#[test]
fn everything_told_survives_a_crash() {
    let mut world = world();
    world.must("CONSUMER.CREATE.S.c", &consumer("c"));
    world.must("CONSUMER.CREATE.S.gone", &consumer("gone"));
    world.must("CONSUMER.DELETE.S.gone", "");
    for n in 0..50 {
        world.put("s.a", &format!("Nats-Msg-Id: {n}"), "x");
    }
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "50");
    let replies: Vec<String> =
        world.take_all("_I.pull").into_iter().filter_map(|sent| sent.reply).collect();
    assert_eq!(replies.len(), 50);
    for reply in &replies[..40] {
        assert_eq!(world.ack(reply, "+ACK").as_deref(), Some(""));
    }
    world.must("STREAM.MSG.DELETE.S", r#"{"seq":7}"#);
    let before = world.must("STREAM.INFO.S", r#"{"deleted_details":true}"#);
    let report = world.crash();
    assert_eq!((report.streams.len(), report.streams[0].consumers), (1, 1));
    assert!(report.offline.is_empty() && report.orphans.is_empty());
    let after = world.must("STREAM.INFO.S", r#"{"deleted_details":true}"#);
    assert_eq!(before, after);
    let info = world.must("CONSUMER.INFO.S.c", "");
    assert_eq!(info["ack_floor"]["stream_seq"], 40);
    assert_eq!(info["num_ack_pending"], 10);
    assert_eq!(world.refusal("CONSUMER.INFO.S.gone", ""), "10014 consumer not found");
    // Ids of stored messages are known, that of the deleted one is forgotten.
    assert_eq!(
        world.put("s.a", "Nats-Msg-Id: 9", "x"),
        r#"{"stream":"S","seq":10,"duplicate": true}"#
    );
    assert_eq!(
        world.put("s.a", "Nats-Expected-Last-Msg-Id: 49", "x"),
        r#"{"stream":"S","seq":51}"#
    );
    assert_eq!(world.put("s.a", "Nats-Msg-Id: 6", "x"), r#"{"stream":"S","seq":52}"#);
    // What was pending comes again after its wait.
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "2");
    assert_eq!(world.take_all("_I.pull").len(), 2);
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "20");
    world.pass(31 * SECOND);
    assert_eq!(world.take_all("_I.pull").len(), 12);
    assert_eq!(world.engine.account_usage("$G").unwrap().consumers, 1);
}

#[test]
fn sequences_are_never_given_twice() {
    let mut world = world();
    for _ in 0..5 {
        world.put("s.a", "", "x");
    }
    world.must("STREAM.PURGE.S", "");
    world.crash();
    let state = world.state("S");
    assert_eq!((&state["first_seq"], &state["last_seq"]), (&6.into(), &5.into()));
    assert_eq!(world.put("s.a", "", "x"), r#"{"stream":"S","seq":6}"#);
    world.must("STREAM.MSG.DELETE.S", r#"{"seq":6}"#);
    world.crash();
    assert_eq!(world.put("s.a", "", "x"), r#"{"stream":"S","seq":7}"#);
}

#[test]
fn updates_and_pauses_survive() {
    let mut world = world();
    world.must("CONSUMER.CREATE.S.c", &consumer("c"));
    world.must("CONSUMER.PAUSE.S.c", r#"{"pause_until":"2030-01-01T00:00:00Z"}"#);
    let changed = CREATE.replace(r#""s.>""#, r#""s.>","t""#);
    world.must("STREAM.UPDATE.S", &changed);
    world.crash();
    assert_eq!(world.put("t", "", "x"), r#"{"stream":"S","seq":1}"#);
    assert_eq!(world.must("CONSUMER.INFO.S.c", "")["paused"], true);
}

#[test]
fn ttls_go_on_after_a_restart() {
    let mut world = world();
    world.put("s.a", "Nats-TTL: 5", "x");
    world.put("s.b", "", "x");
    world.crash();
    world.pass(5 * SECOND);
    assert_eq!(world.state("S")["first_seq"], 2);
}

/// A stream of 400 KB: ids on all messages, a TTL on the fifth.
fn big() -> World {
    let mut world = world();
    world.must("CONSUMER.CREATE.S.c", &consumer("c"));
    let payload = "x".repeat(1000);
    for n in 0..400 {
        let ttl = if n == 4 { "\r\nNats-TTL: 100" } else { "" };
        world.put(&format!("s.{}", n % 7), &format!("Nats-Msg-Id: {n}{ttl}"), &payload);
        if n % 100 == 0 {
            world.pass(30 * SECOND);
        }
    }
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "50");
    for sent in world.take_all("_I.pull") {
        let reply = sent.reply.unwrap();
        assert_eq!(world.ack(&reply, "+ACK").as_deref(), Some(""));
    }
    world.must("STREAM.MSG.DELETE.S", r#"{"seq":7}"#);
    world
}

// Shows J-218.
#[test]
fn after_an_orderly_end_nothing_is_read_again_and_nothing_is_forgotten() {
    let mut world = big();
    let before = world.must("STREAM.INFO.S", r#"{"deleted_details":true,"subjects_filter":">"}"#);
    let report = world.restart();
    assert_eq!(report.streams[0].log.taken_over, 1);
    assert!(report.streams[0].log.bytes < 10_000, "{report:?}");
    let after = world.must("STREAM.INFO.S", r#"{"deleted_details":true,"subjects_filter":">"}"#);
    assert_eq!(before, after);
    assert_eq!(world.must("CONSUMER.INFO.S.c", "")["ack_floor"]["stream_seq"], 50);
    let expected = [
        ("Nats-Msg-Id: 399", r#"{"stream":"S","seq":400,"duplicate": true}"#),
        ("Nats-Msg-Id: 150", r#"{"stream":"S","seq":151,"duplicate": true}"#),
        // The first is older than the window of two minutes by now.
        ("Nats-Msg-Id: 0", r#"{"stream":"S","seq":401}"#),
        ("Nats-Expected-Last-Msg-Id: 0", r#"{"stream":"S","seq":402}"#),
    ];
    world.pass(15 * SECOND);
    for (headers, answer) in expected {
        assert_eq!(world.put("s.a", headers, "x"), answer, "{headers}");
    }
    world.restart();
    assert_eq!(
        error_of(&world.put("s.a", "Nats-Expected-Last-Msg-Id: 0", "x")),
        "10070 wrong last msg ID: "
    );
    // The message with a TTL went, as it would have without a restart.
    assert_eq!(world.refusal("STREAM.MSG.GET.S", r#"{"seq":5}"#), "10037 no message found");
    assert_eq!(world.put("s.a", "", "x"), r#"{"stream":"S","seq":403}"#);
}

#[test]
fn what_a_start_had_to_read_the_next_one_need_not() {
    let mut world = world();
    let payload = "x".repeat(100_000);
    for n in 0..300 {
        world.put(&format!("s.{}", n % 7), "", &payload);
    }
    // Without power nothing is left of what lies beside the segments.
    let report = world.crash();
    let log = &report.streams[0].log;
    assert!(log.taken_over == 0 && log.bytes > 30_000_000, "{report:?}");
    world.pass(SECOND);
    // The server is killed.
    let report = world.start();
    let log = &report.streams[0].log;
    assert!(log.taken_over >= 4 && log.taken_over == log.segments - 1, "{report:?}");
    assert!(log.bytes < 1_000_000, "{report:?}");
    assert_eq!(world.state("S")["messages"], 300);
}

#[test]
fn what_was_not_read_at_the_start_is_looked_at_later() {
    let mut world = big();
    assert_eq!(world.restart().streams[0].log.taken_over, 1);
    let mut paths = world.disk.files();
    paths.retain(|path| path.starts_with("streams/") && path.ends_with(".seg"));
    // Within the payload of some message in the middle.
    world.disk.change(&paths[0], |file| file[200_000] ^= 1);
    world.pass(SECOND);
    assert!(world.host.damage.is_empty());
    world.pass(9 * SECOND);
    let damage = world.host.damage.remove(0);
    assert!(world.host.damage.is_empty() && damage.durable, "{damage:?}");
    assert_eq!((damage.path.as_str(), damage.seqs.len()), (paths[0].as_str(), 1));
    assert_eq!(world.state("S")["lost"]["msgs"].as_array().map(Vec::len), Some(1));
    // The next start scans the file and says so again.
    let report = world.restart();
    assert_eq!(report.streams[0].log.taken_over, 0);
    assert_eq!(report.streams[0].log.damage[0].seqs, damage.seqs);
}

#[test]
fn damage_is_reported_when_a_message_is_read() {
    let mut world = big();
    world.restart();
    let mut paths = world.disk.files();
    paths.retain(|path| path.starts_with("streams/") && path.ends_with(".seg"));
    world.disk.change(&paths[0], |file| file[200_000] ^= 1);
    let seq = (1..400)
        .find(|seq| {
            world.api("STREAM.MSG.GET.S", &format!(r#"{{"seq":{seq}}}"#));
            !world.host.damage.is_empty()
        })
        .unwrap();
    let damage = world.host.damage.remove(0);
    assert_eq!(damage.seqs, [natterjack_store::SeqRange { first: seq, last: seq }]);
    // Once.
    world.api("STREAM.MSG.GET.S", &format!(r#"{{"seq":{seq}}}"#));
    assert!(world.host.damage.is_empty());
    assert_eq!(world.state("S")["lost"]["msgs"], serde_json::json!([seq]));
}

#[test]
fn memory_is_forgotten() {
    let mut world = world();
    world.must("STREAM.CREATE.M", r#"{"name":"M","storage":"memory"}"#);
    let body = consumer("m").replace("}}", r#","mem_storage":true}}"#);
    world.must("CONSUMER.CREATE.S.m", &body);
    world.crash();
    assert_eq!(world.refusal("STREAM.INFO.M", ""), "10059 stream not found");
    assert_eq!(world.must("CONSUMER.NAMES.S", "")["total"], 0);
}

#[test]
fn a_deleted_stream_leaves_no_files_and_its_name_is_free() {
    let mut world = world();
    world.put("s.a", "", "x");
    world.must("STREAM.DELETE.S", "");
    assert!(world.disk.files().iter().all(|path| !path.starts_with("streams/")));
    world.must("STREAM.CREATE.S", CREATE);
    assert_eq!(world.put("s.a", "", "y"), r#"{"stream":"S","seq":1}"#);
    let report = world.crash();
    assert_eq!(report.streams[0].messages, 1);
    assert!(report.orphans.is_empty());
}

#[test]
fn a_delete_that_was_answered_holds_although_its_files_are_there() {
    let mut world = world();
    world.put("s.a", "", "x");
    world.slow_disk = true;
    assert_eq!(world.api("STREAM.DELETE.S", ""), "");
    // The record of the delete, and nothing after it.
    let (owner, request) = world.host.disk.pop_front().unwrap();
    let result = request.run(&world.disk);
    world.engine.completed(&mut world.host, world.now, owner, request.id, result);
    assert!(world.host.sent.iter().any(|sent| sent.payload.contains(r#""success":true"#)));
    world.slow_disk = false;
    let report = world.crash();
    assert!(report.streams.is_empty() && report.orphans.is_empty());
    assert!(world.disk.files().iter().all(|path| !path.starts_with("streams/")));
}

// Shows J-212.
#[test]
fn a_failing_disk_is_said_and_outlived() {
    let mut world = world();
    world.put("s.a", "", "x");
    *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
    let refused = error_of(&world.put("s.a", "Nats-Msg-Id: a", "x"));
    assert!(refused.starts_with("10077 "), "{refused}");
    assert_eq!(error_of(&world.put("s.a", "", "x")), "10023 insufficient resources");
    assert_eq!(world.must("STREAM.MSG.GET.S", r#"{"seq":1}"#)["message"]["seq"], 1);
    *world.disk.failing.lock().unwrap() = None;
    world.pass(2 * SECOND);
    // The refused message's id is free, its sequence is not.
    assert_eq!(world.put("s.a", "Nats-Msg-Id: a", "x"), r#"{"stream":"S","seq":3}"#);
    world.crash();
    assert_eq!(world.state("S")["last_seq"], 3);
}

/// Changes a text in all records of the catalog to one of the same length.
fn rewrite(world: &World, old: &str, new: &str) {
    assert_eq!(old.len(), new.len());
    for path in world.disk.files().into_iter().filter(|path| path.starts_with("catalog/")) {
        world.disk.change(&path, |file| {
            // A record: 12 bytes of head, with its length at 4 and its checksum at 8 over salt, place,
            // head and body (natterjack_store: record).
            let salt = u64::from_le_bytes(file[24..32].try_into().unwrap());
            let segment = u64::from_le_bytes(file[32..40].try_into().unwrap());
            let mut at = 160;
            while at + 12 <= file.len() {
                let len = u32::from_le_bytes(file[at + 4..at + 8].try_into().unwrap()) as usize;
                let record = &mut file[at..at + 12 + len];
                let found = record.windows(old.len()).position(|w| w == old.as_bytes());
                if let Some(found) = found {
                    record[found..found + new.len()].copy_from_slice(new.as_bytes());
                    let mut z = salt ^ segment.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    z = (z ^ at as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                    z = (z ^ (z >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB);
                    z ^= z >> 32;
                    let first = [&z.to_le_bytes()[..], &record[..8]].concat();
                    let crc = crc32c::crc32c_append(crc32c::crc32c(&first), &record[12..]);
                    record[8..12].copy_from_slice(&crc.to_le_bytes());
                }
                at += 12 + len;
            }
        });
    }
}

// Shows J-217.
#[test]
fn a_stream_that_needs_a_later_server_is_offline() {
    for (old, new, reason) in [
        (r#"req.level":"1""#, r#"req.level":"9""#, "required API level: 9, current API level: 5"),
        (r#""sealed":"#, r#""kepler":"#, "unknown field"),
    ] {
        let mut world = world();
        world.put("s.a", "", "x");
        rewrite(&world, old, new);
        let report = world.crash();
        assert!(report.streams.is_empty() && report.catalog.damage.is_empty(), "{report:?}");
        assert_eq!((&*report.offline[0].account, &*report.offline[0].name), ("$G", "S"));
        for refusal in
            [world.refusal("STREAM.INFO.S", ""), world.refusal("STREAM.CREATE.S", CREATE)]
        {
            assert!(refusal.starts_with("10194 stream is offline: "), "{refusal}");
            assert!(refusal.contains(reason), "{refusal}");
        }
        assert!(world.disk.files().iter().any(|path| path.starts_with("streams/")));
        // A later server finds it as it was.
        rewrite(&world, new, old);
        assert_eq!(world.crash().streams[0].messages, 1);
    }
}

#[test]
fn a_stream_of_a_newer_version_is_left_alone() {
    let mut world = world();
    world.put("s.a", "", "x");
    let path = world.disk.files().into_iter().find(|path| path.starts_with("streams/")).unwrap();
    // A header of format version 255 (natterjack_store: version at 8, checksum of 76 bytes at 76).
    world.disk.change(&path, |file| {
        for copy in file[..160].chunks_mut(80) {
            copy[8] = 255;
            let crc = crc32c::crc32c(&copy[..76]);
            copy[76..].copy_from_slice(&crc.to_le_bytes());
        }
    });
    let report = world.crash();
    assert_eq!((report.offline[0].account.as_str(), report.offline[0].name.as_str()), ("$G", "S"));
    assert!(world.refusal("STREAM.INFO.S", "").starts_with("10194 stream is offline: "));
    assert!(world.refusal("STREAM.CREATE.S", CREATE).starts_with("10194 "));
    assert!(world.disk.files().contains(&path));
}

#[test]
fn files_that_no_record_explains_stay() {
    let mut world = world();
    world.put("s.a", "", "x");
    let stray = "streams/77/keep";
    natterjack_store::Disk::create_dir(&world.disk, "streams/77").unwrap();
    natterjack_store::Disk::write_at(&world.disk, stray, 0, b"x").unwrap();
    natterjack_store::Disk::sync(&world.disk, stray).unwrap();
    let report = world.crash();
    assert_eq!(report.orphans, ["streams/77"]);
    assert!(world.disk.files().contains(&stray.to_owned()));
    world.must("STREAM.CREATE.T", r#"{"name":"T"}"#);
    world.put("T", "", "x");
    assert!(world.disk.files().iter().any(|path| path.starts_with("streams/78/")));
}

#[test]
fn a_second_create_waits_for_the_first() {
    let mut world = world();
    world.slow_disk = true;
    let create = r#"{"name":"T","subjects":["t"]}"#;
    assert_eq!(world.api("STREAM.CREATE.T", create), "");
    assert_eq!(world.api("STREAM.CREATE.T", create), "");
    world.run_disk();
    let created =
        world.host.sent.iter().filter(|sent| sent.payload.contains("stream_create_response"));
    assert_eq!(created.count(), 2);
}

#[test]
fn info_shows_only_what_is_durable() {
    let mut world = world();
    world.must("CONSUMER.CREATE.S.c", &consumer("c"));
    world.slow_disk = true;
    world.put("s.a", "", "x");
    assert_eq!(world.api("STREAM.INFO.S", ""), "");
    assert_eq!(world.api("CONSUMER.INFO.S.c", ""), "");
    world.run_disk();
    let kinds: Vec<bool> =
        world.host.sent.iter().map(|sent| sent.payload.contains("_info_response")).collect();
    assert_eq!(kinds, [false, true, true]);
}

#[test]
fn what_is_read_from_disk_is_waited_for() {
    let options = natterjack_jetstream::Options {
        tail_bytes: 0,
        block_bytes: 0,
        ..natterjack_jetstream::Options::default()
    };
    let mut world = World::with(options, natterjack_jetstream::AccountLimits::default());
    let body = CREATE.replace(
        r#""allow_direct""#,
        r#""subject_delete_marker_ttl":2000000000,"max_age":10000000000,"allow_direct""#,
    );
    world.must("STREAM.CREATE.S", &body);
    for n in 0..100 {
        world.put(&format!("s.{}", n % 5), "", &format!("{n}"));
    }
    world.put("s.ttl", "Nats-TTL: 3", "x");
    world.crash();
    world.slow_disk = true;
    assert_eq!(world.api("STREAM.MSG.GET.S", r#"{"seq":7}"#), "");
    world.run_disk();
    assert!(world.host.sent.pop_front().unwrap().payload.contains(r#""data":"Ng==""#));
    world.slow_disk = false;
    assert_eq!(world.direct("S", r#"{"batch":50,"seq":1}"#).len(), 51);
    assert_eq!(world.direct("S", r#"{"multi_last":["s.*"]}"#).len(), 7);
    world.must("CONSUMER.CREATE.S.c", &consumer("c"));
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "100");
    let bodies: Vec<String> =
        world.take_all("_I.pull").into_iter().map(|sent| sent.payload).collect();
    assert_eq!(bodies, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    world.pass(4 * SECOND);
    assert_eq!(world.state("S")["num_subjects"], 6);
    world.pass(20 * SECOND);
    assert_eq!(world.state("S")["messages"], 0);
}

#[test]
fn a_marker_that_the_disk_refuses_comes_later() {
    for seconds in [1, 5] {
        let mut world = World::new();
        let body = CREATE.replace('}', r#","subject_delete_marker_ttl":60000000000}"#);
        world.must("STREAM.CREATE.S", &body);
        world.put("s.a", "Nats-TTL: 61", "x");
        world.put("s.b", "", "x");
        world.pass(60 * SECOND);
        // The marker is the first that the disk refuses, or what came before it was.
        *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
        if seconds > 1 {
            assert!(world.put("s.b", "", "y").contains("10077"));
        }
        world.pass(seconds * SECOND);
        *world.disk.failing.lock().unwrap() = None;
        world.pass(3 * SECOND);
        for _ in 0..2 {
            let found = world.direct("S.s.a", "").remove(0);
            assert!(found.contains("Nats-Marker-Reason: MaxAge"), "{found}");
            assert_eq!(world.state("S")["messages"], 2);
            world.crash();
        }
    }
}

#[test]
fn many_messages_without_end_do_not_hide_those_that_age() {
    let mut world = World::new();
    let body = CREATE.replace('}', r#","max_age":1000000000}"#);
    world.must("STREAM.CREATE.S", &body);
    for n in 0..5 {
        world.put("s.a", "Nats-TTL: never", "x");
        world.put("s.b", "", "x");
        world.pass(SECOND / 4 * n);
    }
    world.pass(2 * SECOND);
    assert_eq!(world.state("S")["messages"], 5);
    world.must("STREAM.UPDATE.S", &CREATE.replace('}', r#","max_age":2000000000}"#));
    world.put("s.b", "", "x");
    world.pass(SECOND);
    assert_eq!(world.state("S")["messages"], 6);
    world.pass(SECOND);
    assert_eq!(world.state("S")["messages"], 5);
}

#[test]
fn a_server_that_is_gone_holds_no_streams() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
    world.must("STREAM.CREATE.M", r#"{"name":"M","subjects":["m.>"],"storage":"memory"}"#);
    world.put("m.a", "", "held in memory");
    let streams =
        ["S", "M"].map(|name| std::sync::Arc::downgrade(&world.engine.stream("$G", name).unwrap()));
    drop(world);
    assert!(streams.iter().all(|stream| stream.upgrade().is_none()));
}

#[test]
fn a_stream_with_much_to_give_back_comes_to_an_end() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", r#"{"name":"S","subjects":["s"],"max_msgs":1}"#);
    let large = "x".repeat(256 << 10);
    for count in 1..=80 {
        world.put("s", "", &large);
        if count % 4 > 0 {
            continue;
        }
        // Whatever was worth doing when the server was told to end.
        world.slow_disk = true;
        world.put("s", "", &large);
        world.engine.shutdown(&mut world.host, world.now);
        let steps = (0..1000).take_while(|_| world.run_one()).count();
        assert!(steps < 1000 && world.engine.is_idle(), "{count}");
        world.slow_disk = false;
        world.start();
        assert_eq!(world.state("S")["messages"], 1);
    }
}
