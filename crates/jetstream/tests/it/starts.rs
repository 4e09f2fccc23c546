//! Where streams and consumers begin, also after a crash.

use crate::world::World;

const CREATE: &str = r#"{"name":"S","subjects":["s.>"]}"#;

fn consumer(name: &str) -> String {
    format!(r#"{{"stream_name":"S","config":{{"durable_name":"{name}","ack_policy":"explicit"}}}}"#)
}

#[test]
fn a_consumer_starts_where_it_was_created_also_after_a_crash() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", CREATE);
    let new = consumer("c").replace("}}", r#","deliver_policy":"new"}}"#);
    world.put("s.a", "", "before");
    world.must("CONSUMER.CREATE.S.c", &new);
    world.crash();
    world.put("s.a", "", "after");
    // Another change of its record keeps the start.
    world.must("CONSUMER.CREATE.S.c", &new.replace("}}", r#","description":"d"}}"#));
    world.crash();
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S.c", "_I.pull", "", "5");
    let bodies: Vec<String> =
        world.take_all("_I.pull").into_iter().map(|sent| sent.payload).collect();
    assert_eq!(bodies, ["after"]);
}

#[test]
fn a_start_behind_messages_that_a_crash_took_is_decided_anew() {
    let options = natterjack_jetstream::Options {
        sync: natterjack_store::SyncPolicy::Never,
        ..natterjack_jetstream::Options::default()
    };
    let mut world = World::with(options, natterjack_jetstream::AccountLimits::default());
    world.must("STREAM.CREATE.S", CREATE);
    for subject in ["s.a", "s.b", "s.c"] {
        world.put(subject, "", "lost");
    }
    let policies = ["new", "last_per_subject"];
    for policy in policies {
        let more = format!(r#","deliver_policy":"{policy}","filter_subject":"s.>"}}}}"#);
        let body = consumer(policy).replace("}}", &more);
        world.must(&format!("CONSUMER.CREATE.S.{policy}"), &body);
    }
    world.crash();
    for policy in policies {
        let info = world.must(&format!("CONSUMER.INFO.S.{policy}"), "");
        assert_eq!(info["num_pending"], 0, "{policy}");
    }
    assert_eq!(world.put("s.a", "", "x"), r#"{"stream":"S","seq":1}"#);
    for policy in policies {
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.S.{policy}");
        world.request_to(&next, "_I.pull", "", "5");
        assert_eq!(world.take_all("_I.pull").len(), 1, "{policy}");
    }
}

#[test]
fn streams_begin_where_they_can_go_on_from() {
    const FAR: u64 = 1 << 62;
    for storage in ["file", "memory"] {
        let mut world = World::new();
        let create = |first: u64| {
            format!(r#"{{"name":"S","subjects":["s"],"storage":"{storage}","first_seq":{first}}}"#)
        };
        for far in [FAR + 1, u64::MAX - 1, u64::MAX] {
            assert_eq!(
                world.refusal("STREAM.CREATE.S", &create(far)),
                format!("10052 first sequence can not be above {FAR}")
            );
        }
        world.must("STREAM.CREATE.S", &create(7));
        assert_eq!(world.put("s", "", "x"), r#"{"stream":"S","seq":7}"#);
        for far in [FAR + 1, u64::MAX] {
            assert_eq!(
                world.refusal("STREAM.PURGE.S", &format!(r#"{{"seq":{far}}}"#)),
                format!("10110 sequence can not be above {FAR}")
            );
        }
        world.must("STREAM.PURGE.S", &format!(r#"{{"seq":{FAR}}}"#));
        for n in 0..3 {
            let seq = FAR + n;
            assert_eq!(world.put("s", "", "x"), format!(r#"{{"stream":"S","seq":{seq}}}"#));
        }
        if storage == "file" {
            world.crash();
        }
        world.must("STREAM.MSG.DELETE.S", &format!(r#"{{"seq":{FAR}}}"#));
        let state = world.state("S");
        assert_eq!((&state["first_seq"], &state["messages"]), (&(FAR + 1).into(), &2.into()));
    }
}

#[test]
fn a_directory_that_no_stream_has_does_not_use_up_the_ids() {
    let mut world = World::new();
    world.disk.make_dir(&format!("streams/{}", u64::MAX));
    world.crash();
    for name in ["A", "B"] {
        world.must(&format!("STREAM.CREATE.{name}"), &format!(r#"{{"name":"{name}"}}"#));
        world.put(name, "", "x");
    }
    assert_eq!(world.crash().streams.len(), 2);
    assert_eq!([world.state("A"), world.state("B")].map(|state| state["messages"].clone()), [1, 1]);
}
