//! Options of a stream that say how it is stored.

use std::sync::mpsc;

use natterjack_jetstream::{AccountLimits, JetStream, Options};

use crate::world::{Asked, Recorder, World};

const DEFAULT: &str = r#"{"name":"S","subjects":["s"]}"#;
const ASYNC: &str = r#"{"name":"A","subjects":["a"],"persist_mode":"async"}"#;

/// Shows J-090.
#[test]
fn an_async_stream_answers_before_its_messages_are_synced() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", DEFAULT);
    world.must("STREAM.CREATE.A", ASYNC);
    assert_eq!(world.put("s", "", "1"), r#"{"stream":"S","seq":1}"#);
    assert_eq!(world.put("a", "", "1"), r#"{"stream":"A","seq":1}"#);
    // An end in order syncs both.
    world.restart();
    assert_eq!(world.must("STREAM.INFO.A", "")["config"]["persist_mode"], "async");
    for name in ["S", "A"] {
        assert_eq!(world.state(name)["messages"], 1, "{name}");
    }
    assert_eq!(world.put("s", "", "2"), r#"{"stream":"S","seq":2}"#);
    assert_eq!(world.put("a", "", "2"), r#"{"stream":"A","seq":2}"#);
    world.crash();
    assert_eq!(world.state("S")["messages"], 2);
    assert_eq!(world.state("A")["messages"], 1);
    // What is older than the interval is safe.
    assert_eq!(world.put("a", "", "2"), r#"{"stream":"A","seq":2}"#);
    world.pass(121_000_000_000);
    world.crash();
    assert_eq!(world.state("A")["messages"], 2);
}

/// Shows J-057.
#[test]
fn a_stream_that_asks_for_compression_counts_its_bytes_as_any_other() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", DEFAULT);
    world.must("STREAM.CREATE.Z", r#"{"name":"Z","subjects":["z"],"compression":"s2"}"#);
    for subject in ["s", "z"] {
        world.put(subject, "", &"x".repeat(5000));
    }
    world.restart();
    assert_eq!(world.must("STREAM.INFO.Z", "")["config"]["compression"], "s2");
    assert_eq!(world.state("Z")["bytes"], world.state("S")["bytes"]);
    world.must("STREAM.UPDATE.Z", r#"{"name":"Z","subjects":["z"]}"#);
}

#[test]
fn what_the_disk_has_done_before_the_start_goes_on_is_known() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", r#"{"name":"S"}"#);
    world.slow_disk = true;
    assert_eq!(world.api("STREAM.DELETE.S", ""), "");
    let (owner, request) = world.host.disk.pop_front().unwrap();
    let result = request.run(&world.disk);
    world.engine.completed(&mut world.host, world.now, owner, request.id, result);
    world.disk.crash();
    world.engine = JetStream::new(Options::default());
    world.host = Recorder::default();
    let (requests, asked) = mpsc::channel::<Asked>();
    let (told, done) = mpsc::channel();
    world.host.eager = Some((requests, done));
    let (engine, disk, now) = (&world.engine, &world.disk, world.now);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (owner, request) in asked {
                let result = request.run(disk);
                engine.completed(&mut Recorder::default(), now, owner, request.id, result);
                let _ = told.send(());
            }
        });
        // That the files are gone is recorded.
        assert!(engine.recover(disk, now, &mut world.host).unwrap().streams.is_empty());
        world.host.eager = None;
    });
    world.engine.set_account("$G", Some(AccountLimits::default()));
    world.slow_disk = false;
    world.must("STREAM.CREATE.S", r#"{"name":"S"}"#);
}
