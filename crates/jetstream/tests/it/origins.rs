//! Origins that do not tell the truth, and what clients publish in their place (jetstream.md 2.10).

use serde_json::Value;

use crate::world::{Internal, SECOND, Sent, World};

const ORIGIN: &str = r#"{"name":"O","subjects":["o.>"]}"#;

/// A mirror and a sourcing stream whose origins a client plays.
const TAKERS: [(&str, &str); 2] = [
    ("M", r#"{"name":"M","mirror":{"name":"O","external":{"api":"my.api","deliver":"my.to"}}}"#),
    ("S", r#"{"name":"S","sources":[{"name":"O","external":{"api":"my.api","deliver":"my.to"}}]}"#),
];

/// Sends to a subject that a stream listens to.
fn send(world: &mut World, subject: &str, shown: &str, reply: &str, headers: &str, payload: &str) {
    let (_, _, id, token) =
        world.host.inlets.iter().find(|(_, own, ..)| own == subject).cloned().unwrap();
    let sent = Sent {
        route: subject.to_owned(),
        subject: shown.to_owned(),
        reply: Some(reply.to_owned()),
        headers: headers.to_owned(),
        payload: payload.to_owned(),
    };
    world.host.internal.push_back(Internal::Arrival(id, token, sent));
    world.run_disk();
    world.pass(1);
}

/// Waits for the request of a stream and answers it with a consumer that has delivered `reached`.
/// Tells where messages are to go, and the name of the consumer.
fn answer(world: &mut World, headers: &str, reached: u64) -> (String, String) {
    for _ in 0..200 {
        let asked = world.host.sent.iter().rposition(|sent| sent.route.starts_with("my.api."));
        if let Some(asked) = asked.and_then(|at| world.host.sent.remove(at)) {
            let body: Value = serde_json::from_str(&asked.payload).unwrap();
            let text = |key: &str| body["config"][key].as_str().unwrap().to_owned();
            let (deliver, name) = (text("deliver_subject"), text("name"));
            let made = format!(
                r#"{{"name":"{name}","config":{{"ack_policy":"none"}},"delivered":{{"stream_seq":{reached}}},"num_pending":0}}"#
            );
            let inbox = asked.reply.unwrap();
            send(world, &inbox, &inbox, "", headers, &made);
            return (deliver, name);
        }
        world.pass(SECOND);
    }
    panic!("it never asked");
}

fn taker(config: &str) -> World {
    let mut world = World::new();
    world.host.interest.insert("my.api.>".to_owned());
    let name: Value = serde_json::from_str(config).unwrap();
    world.must(&format!("STREAM.CREATE.{}", name["name"].as_str().unwrap()), config);
    world.pass(1);
    world
}

#[test]
fn numbers_that_no_stream_reaches_are_not_taken() {
    for (name, config) in TAKERS {
        for reached in [u64::MAX, u64::MAX - 1, (1 << 62) + 1] {
            let mut world = taker(config);
            answer(&mut world, "", reached);
            assert_eq!(world.state(name)["last_seq"], 0, "{name} {reached}");
            let (deliver, consumer) = answer(&mut world, "", 0);
            let ack = |seq: u64, time: u64| format!("$JS.ACK.O.{consumer}.1.{seq}.1.{time}.0");
            send(&mut world, &deliver, "o.a", &ack(reached, 1), "", "far");
            assert_eq!(world.state(name)["messages"], 0, "{name} {reached}");
            // Whatever it was, the stream goes on with an origin that behaves.
            let (deliver, consumer) = answer(&mut world, "", 0);
            let ack = format!("$JS.ACK.O.{consumer}.1.1.1.{}.{}", i64::MAX, u64::MAX);
            send(&mut world, &deliver, "o.a", &ack, "", "one");
            assert_eq!(world.state(name)["messages"], 1, "{name} {reached}");
            world.must(&format!("STREAM.INFO.{name}"), r#"{"deleted_details":true}"#);
            world.restart();
            assert_eq!(world.state(name)["messages"], 1, "{name} {reached}");
        }
    }
}

#[test]
fn times_beyond_all_times_do_no_harm() {
    for (name, config) in TAKERS {
        let config = config.replacen('{', r#"{"max_age":1000000000,"allow_msg_ttl":true,"#, 1);
        let mut world = taker(&config);
        let (deliver, consumer) = answer(&mut world, "", 0);
        for (seq, time) in [(1, i64::MAX), (2, 0), (3, i64::MAX), (4, 1), (5, i64::MAX)] {
            let ack = format!("$JS.ACK.O.{consumer}.1.{seq}.{seq}.{time}.0");
            let headers = "NATS/1.0\r\nNats-TTL: 9223372036\r\n\r\n";
            send(&mut world, &deliver, "o.a", &ack, if seq > 2 { headers } else { "" }, "x");
        }
        world.pass(5 * SECOND);
        world.state(name);
        world.crash();
        world.pass(5 * SECOND);
        world.state(name);
    }
}

#[test]
fn flow_control_is_answered_where_it_belongs_and_nowhere_else() {
    for (name, config) in TAKERS {
        for storage in ["file", "memory"] {
            let config = config.replacen('{', &format!(r#"{{"storage":"{storage}","#), 1);
            let mut world = taker(&config);
            world.must("STREAM.CREATE.K", r#"{"name":"K","subjects":["k"]}"#);
            world.put("k", "", "kept");
            let (deliver, _) = answer(&mut world, "", 0);
            let purge = "$JS.API.STREAM.PURGE.K";
            send(
                &mut world,
                &deliver,
                &deliver,
                purge,
                "NATS/1.0 100 FlowControl Request\r\n\r\n",
                "",
            );
            let stalled =
                format!("NATS/1.0 100 Idle Heartbeat\r\nNats-Consumer-Stalled: {purge}\r\n\r\n");
            send(&mut world, &deliver, &deliver, "", &stalled, "");
            world.pass(SECOND);
            assert_eq!(world.state("K")["messages"], 1, "{name} {storage}");
        }
    }
}

#[test]
fn an_identity_that_is_none_is_not_kept() {
    let mut world = taker(TAKERS[1].1);
    world.must("STREAM.CREATE.P", r#"{"name":"P","subjects":["p"]}"#);
    let sources = r#"{"name":"S","sources":[{"name":"O","external":{"api":"my.api","deliver":"my.to"}},{"name":"P"}]}"#;
    world.must("STREAM.UPDATE.S", sources);
    world.put("p", "", "p");
    let headers = format!("NATS/1.0\r\nNats-Stream-Identity: {}\r\n\r\n", "€".repeat(30_000));
    let (deliver, consumer) = answer(&mut world, &headers, 0);
    let ack = format!("$JS.ACK.O.{consumer}.1.1.1.1.0");
    send(&mut world, &deliver, "o.a", &ack, "", "o");
    assert_eq!(world.state("S")["messages"], 2);
    world.restart();
    world.pass(SECOND);
    assert_eq!(world.state("S")["messages"], 2);
}

#[test]
fn a_header_block_without_its_end_tells_where_it_comes_from_too() {
    let blocks = [
        "NATS/1.0\r\nA: b\r\n",
        "NATS/1.0\r\nA: b\r\n\r\nB: c\r\n\r\n",
        "NATS/1.0\r\n",
        "NATS/1.0",
        "NATS/1.0\r\nA: b",
        "NATS/1.0\nA: b\n\n",
        "\r\n\r\n",
        "NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    ];
    for block in blocks {
        let mut world = World::new();
        world.must("STREAM.CREATE.O", ORIGIN);
        world.must("STREAM.CREATE.S", r#"{"name":"S","sources":[{"name":"O"}]}"#);
        world.pass(1);
        world.put_raw("o.a", block, "x");
        world.pass(1);
        assert_eq!(world.state("S")["messages"], 1, "{block:?}");
        world.crash();
        world.pass(5 * SECOND);
        assert_eq!(world.state("S")["messages"], 1, "{block:?}");
    }
}

#[test]
fn a_work_queue_keeps_no_consumer_of_a_stream_that_is_gone() {
    let queue = r#"{"name":"O","subjects":["o.>"],"retention":"workqueue"}"#;
    let source = r#"{"name":"S","sources":[{"name":"O"}]}"#;
    let total = |world: &mut World| world.must("CONSUMER.NAMES.O", "")["total"].clone();
    for update in [false, true] {
        let mut world = World::new();
        world.must("STREAM.CREATE.O", queue);
        world.must("STREAM.CREATE.S", source);
        world.pass(1);
        world.put("o.a", "", "1");
        world.pass(2 * SECOND);
        assert_eq!(total(&mut world), 1);
        match update {
            true => world.must("STREAM.UPDATE.S", r#"{"name":"S","subjects":["s"]}"#),
            false => world.must("STREAM.DELETE.S", ""),
        };
        world.pass(1);
        assert_eq!(total(&mut world), 0, "{update}");
        world.put("o.a", "", "2");
        world.pass(SECOND);
        match update {
            true => world.must("STREAM.UPDATE.S", source),
            false => world.must("STREAM.CREATE.S", source),
        };
        world.pass(3 * SECOND);
        assert_eq!(world.state("O")["messages"], 0, "{update}");
        assert_eq!(world.state("S")["messages"], if update { 2 } else { 1 }, "{update}");
    }
}

#[test]
fn a_second_source_from_a_work_queue_leaves_no_consumer_of_the_first_behind() {
    let mut world = World::new();
    world.must("STREAM.CREATE.O", r#"{"name":"O","subjects":["o.>"],"retention":"workqueue"}"#);
    let one = r#"{"name":"O","filter_subject":"o.a"}"#;
    let two = r#"{"name":"O","filter_subject":"o.b"}"#;
    world.must("STREAM.CREATE.S", &format!(r#"{{"name":"S","sources":[{one}]}}"#));
    world.pass(1);
    world.put("o.a", "", "1");
    world.must("STREAM.UPDATE.S", &format!(r#"{{"name":"S","sources":[{one},{two}]}}"#));
    world.pass(SECOND);
    world.put("o.a", "", "2");
    world.put("o.b", "", "3");
    world.pass(3 * SECOND);
    world.restart();
    world.pass(3 * SECOND);
    assert_eq!(world.must("CONSUMER.NAMES.O", "")["total"], 2);
    assert_eq!(world.state("S")["messages"], 3);
    assert_eq!(world.state("O")["messages"], 0);
}

#[test]
fn what_comes_before_the_answer_is_taken_after_it() {
    for retention in ["workqueue", "interest"] {
        let mut world = World::new();
        let queue = format!(r#"{{"name":"O","subjects":["o.>"],"retention":"{retention}"}}"#);
        world.must("STREAM.CREATE.O", &queue);
        world.must("STREAM.CREATE.S", r#"{"name":"S","sources":[{"name":"O"}]}"#);
        world.pass(1);
        // Nothing is settled before the server ends.
        for at in 0..100 {
            world.put("o.a", "", &at.to_string());
        }
        world.crash();
        world.slow_disk = true;
        world.pass(1);
        // What the origin has is read before it is written down that its consumer has changed.
        let origin = world.engine.stream("$G", "O").unwrap().id();
        while let Some(at) = world.host.disk.iter().position(|(owner, _)| *owner == origin) {
            let (owner, request) = world.host.disk.remove(at).unwrap();
            let result = request.run(&world.disk);
            world.engine.completed(&mut world.host, world.now, owner, request.id, result);
            world.pass(1);
        }
        world.slow_disk = false;
        world.run_disk();
        world.pass(3 * SECOND);
        assert_eq!(world.state("S")["messages"], 100, "{retention}");
        assert_eq!(world.state("O")["messages"], 0, "{retention}");
        assert_eq!(world.must("CONSUMER.NAMES.O", "")["total"], 1, "{retention}");
    }
}

#[test]
fn who_listens_everywhere_keeps_no_source_from_its_work_queue() {
    let mut world = World::new();
    world.must("STREAM.CREATE.O", r#"{"name":"O","subjects":["o.>"],"retention":"workqueue"}"#);
    world.must("STREAM.CREATE.S", r#"{"name":"S","sources":[{"name":"O"}]}"#);
    world.pass(1);
    world.host.interest.insert("$JS.S.*".to_owned());
    world.put("o.a", "", "1");
    world.pass(2 * SECOND);
    world.restart();
    world.put("o.a", "", "2");
    world.pass(20 * SECOND);
    assert_eq!(world.state("S")["messages"], 2);
    let info = world.must("STREAM.INFO.S", "");
    assert_eq!(info["sources"][0]["seq"], 2);
    assert!(info["sources"][0].get("error").is_none());
}

#[test]
fn sources_leave_the_consumers_that_a_stream_may_have_to_others() {
    let mut world = World::new();
    world.must(
        "STREAM.CREATE.O",
        r#"{"name":"O","subjects":["o.>"],"retention":"interest","max_consumers":1}"#,
    );
    world.must("STREAM.CREATE.S", r#"{"name":"S","sources":[{"name":"O"}]}"#);
    world.pass(1);
    let body = r#"{"stream_name":"O","config":{"name":"own","ack_policy":"explicit"}}"#;
    world.must("CONSUMER.CREATE.O.own", body);
    assert_eq!(world.state("O")["consumer_count"], 2);
    let refused = world.refusal("CONSUMER.CREATE.O.more", &body.replace("own", "more"));
    assert_eq!(refused, "10026 maximum consumers limit reached");
}

#[test]
fn what_is_not_taken_shows_as_lag() {
    let mut world = World::new();
    world.must("STREAM.CREATE.O", ORIGIN);
    for _ in 0..5 {
        world.put("o.a", "", "x");
    }
    let full = r#"{"name":"S","max_msgs":1,"discard":"new","sources":[{"name":"O"}]}"#;
    world.must("STREAM.CREATE.S", full);
    world.pass(SECOND);
    // As nats-server 2.15.1 counts, from the message that finds no room.
    assert_eq!(world.must("STREAM.INFO.S", "")["sources"][0]["lag"], 2);
}
