//! Schedules: messages that make others, later.

use natterjack_jetstream::{AccountLimits, Options};
use natterjack_store::DiskErrorKind;

use crate::world::{SECOND, World};

const CREATE: &str =
    r#"{"name":"S","subjects":["s.>"],"allow_msg_schedules":true,"allow_msg_ttl":true}"#;
/// When the worlds begin.
const BEGIN: &str = "2023-11-14T22:13:20Z";

fn world() -> World {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", CREATE);
    world
}

/// Stores a schedule for `s.out`.
fn plan(world: &mut World, subject: &str, pattern: &str, more: &str) {
    let headers = format!("Nats-Schedule: {pattern}\r\nNats-Schedule-Target: s.out{more}");
    let answer = world.put(subject, &headers, "body");
    assert!(answer.contains("\"seq\""), "{answer}");
}

/// `BEGIN` and so many seconds.
fn at(seconds: u64) -> String {
    let (minute, second) = ((13 * 60 + 20 + seconds) / 60, (20 + seconds) % 60);
    format!("@at 2023-11-14T22:{minute:02}:{second:02}Z")
}

/// How many messages each subject has.
fn subjects(world: &mut World) -> String {
    let state = world.must("STREAM.INFO.S", r#"{"subjects_filter":">"}"#)["state"].clone();
    state["subjects"].to_string()
}

#[test]
fn a_message_comes_at_its_time() {
    let mut world = world();
    assert_eq!(at(0), format!("@at {BEGIN}"));
    plan(&mut world, "s.a", &at(10), "\r\nX: y");
    world.pass(10 * SECOND - 1);
    assert_eq!(subjects(&mut world), r#"{"s.a":1}"#);
    world.pass(1);
    assert_eq!(subjects(&mut world), r#"{"s.out":1}"#);
    let direct = world.must("STREAM.MSG.GET.S", r#"{"last_by_subj":"s.out"}"#);
    assert_eq!(direct["message"]["data"], "Ym9keQ==");
    world.pass(100 * SECOND);
    assert_eq!(subjects(&mut world), r#"{"s.out":1}"#);
}

#[test]
fn what_was_missed_while_the_server_was_down_comes_once() {
    for orderly in [false, true] {
        let mut world = world();
        plan(&mut world, "s.once", &at(10), "");
        plan(&mut world, "s.often", "@every 10s", "");
        plan(&mut world, "s.cron", "*/10 * * * * *", "");
        world.pass(11 * SECOND);
        assert_eq!(subjects(&mut world), r#"{"s.cron":1,"s.often":1,"s.out":3}"#);
        if orderly {
            world.restart();
        } else {
            world.crash();
        }
        assert_eq!(subjects(&mut world), r#"{"s.cron":1,"s.often":1,"s.out":3}"#);
        // Five times each while nobody was there.
        world.now.mono_ns += 50 * SECOND;
        world.now.unix_ns += 50 * SECOND as i64;
        if orderly {
            world.restart();
        } else {
            world.crash();
        }
        assert_eq!(subjects(&mut world), r#"{"s.cron":1,"s.often":1,"s.out":5}"#);
        world.pass(10 * SECOND);
        assert_eq!(subjects(&mut world), r#"{"s.cron":1,"s.often":1,"s.out":7}"#);
    }
}

#[test]
fn a_schedule_that_was_replaced_or_removed_makes_nothing() {
    let mut world = world();
    plan(&mut world, "s.replaced", &at(10), "");
    plan(&mut world, "s.replaced", &at(20), "");
    plan(&mut world, "s.ended", &at(10), "");
    plan(&mut world, "s.deleted", &at(10), "");
    plan(&mut world, "s.purged", &at(10), "");
    plan(&mut world, "s.timed", &at(10), "\r\nNats-TTL: 5");
    world.put("s.ended", "", "x");
    world.must("STREAM.MSG.DELETE.S", r#"{"seq":4}"#);
    world.must("STREAM.PURGE.S", r#"{"filter":"s.purged"}"#);
    world.crash();
    world.pass(15 * SECOND);
    assert_eq!(subjects(&mut world), r#"{"s.ended":2,"s.replaced":1}"#);
    world.pass(5 * SECOND);
    assert_eq!(subjects(&mut world), r#"{"s.ended":2,"s.out":1}"#);
}

#[test]
fn many_that_are_due_at_once_are_served_in_turns() {
    let mut world = world();
    for number in 0..2000 {
        plan(&mut world, &format!("s.a.{number}"), &at(10), "");
    }
    world.pass(10 * SECOND);
    assert_eq!(subjects(&mut world), r#"{"s.out":2000}"#);
}

#[test]
fn what_the_disk_refuses_is_made_when_there_is_room() {
    let mut world = world();
    plan(&mut world, "s.once", &at(10), "");
    plan(&mut world, "s.often", "@every 10s", "");
    *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
    world.pass(11 * SECOND);
    *world.disk.failing.lock().unwrap() = None;
    assert_eq!(subjects(&mut world), r#"{"s.often":1,"s.once":1}"#);
    world.pass(8 * SECOND);
    assert_eq!(subjects(&mut world), r#"{"s.often":1,"s.out":2}"#);
    world.crash();
    world.pass(10 * SECOND);
    assert_eq!(subjects(&mut world), r#"{"s.often":1,"s.out":3}"#);
}

#[test]
fn what_the_disk_refused_is_made_after_a_crash() {
    let mut world = world();
    plan(&mut world, "s.once", &at(10), "");
    plan(&mut world, "s.often", "@every 10s", "");
    *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
    world.pass(11 * SECOND);
    *world.disk.failing.lock().unwrap() = None;
    // The disk takes again what was refused, and the power goes before the next try.
    world.pass(2 * SECOND);
    assert_eq!(subjects(&mut world), r#"{"s.often":1,"s.once":1}"#);
    world.crash();
    world.pass(SECOND);
    assert_eq!(subjects(&mut world), r#"{"s.often":1,"s.out":2}"#);
}

#[test]
fn what_replaces_a_schedule_and_is_refused_ends_nothing() {
    let mut world = world();
    plan(&mut world, "s.a", &at(10), "");
    world.pass(9 * SECOND);
    world.slow_disk = true;
    world.publish_on("_I.later", "s.a", "NATS/1.0\r\nNats-Rollup: sub\r\n\r\n");
    world.pass(2 * SECOND);
    *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
    world.slow_disk = false;
    world.run_disk();
    *world.disk.failing.lock().unwrap() = None;
    world.pass(10 * SECOND);
    assert_eq!(subjects(&mut world), r#"{"s.out":1}"#);
}

#[test]
fn schedules_and_samples_that_lie_on_disk_are_read_first() {
    let options = Options { tail_bytes: 0, block_bytes: 1, ..Options::default() };
    let mut world = World::with(options, AccountLimits::default());
    world.must("STREAM.CREATE.S", CREATE);
    world.put("s.in", "T: 1", "sample");
    plan(&mut world, "s.a", &at(10), "\r\nNats-Schedule-Source: s.in");
    world.restart();
    world.pass(10 * SECOND);
    let made = world.must("STREAM.MSG.GET.S", r#"{"last_by_subj":"s.out"}"#);
    // sample
    assert_eq!(made["message"]["data"], "c2FtcGxl");
    assert_eq!(subjects(&mut world), r#"{"s.in":1,"s.out":1}"#);
}

#[test]
fn long_lives_leave_short_logs() {
    // What says when a schedule is due next is forgotten with the checkpoints that hold it.
    let mut world = world();
    plan(&mut world, "s.often", "@every 1s", "\r\nNats-Schedule-Rollup: sub");
    world.pass(5000 * SECOND);
    world.restart();
    assert_eq!(subjects(&mut world), r#"{"s.often":1,"s.out":1}"#);
    world.pass(SECOND);
    let last = world.state("S")["last_seq"].clone();
    assert_eq!(last, 5002);
}
