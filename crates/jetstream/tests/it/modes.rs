//! Options of a stream that say how it is stored.

use crate::world::World;

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
