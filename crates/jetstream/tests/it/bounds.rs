//! What waits for the disk has a bound (D-0016).

use natterjack_jetstream::{AccountLimits, Options, ServerLimits};
use natterjack_store::DiskErrorKind;

use crate::world::{SECOND, World, error_of};

const LIMIT_REACHED: &str = "$JS.EVENT.ADVISORY.API.LIMIT_REACHED";
const OUT_OF_STORAGE: &str = "$JS.EVENT.ADVISORY.SERVER.OUT_OF_STORAGE";
const FULL: &str = "10023 insufficient resources";

fn with(options: Options) -> World {
    let mut world = World::with(options, AccountLimits::default());
    world.host.system = Some("$SYS".into());
    for subject in [LIMIT_REACHED, OUT_OF_STORAGE] {
        world.host.interest.insert(subject.to_owned());
    }
    world
}

fn create(name: usize) -> String {
    format!(r#"{{"name":"S{name}","subjects":["s{name}"]}}"#)
}

/// Shows J-019 and J-232.
#[test]
fn a_flood_of_changes_is_refused_and_announced_and_what_waited_is_served() {
    let mut world = with(Options { requests_max: 3, ..Options::default() });
    world.slow_disk = true;
    let mut answers = Vec::new();
    for name in 0..100 {
        let subject = format!("$JS.API.STREAM.CREATE.S{name}");
        assert!(world.request_to(&subject, "_I.flood", "", &create(name)));
        answers.extend(world.take_all("_I.flood"));
    }
    assert_eq!(answers.len(), 97);
    assert!(answers.iter().all(|answer| error_of(&answer.payload) == FULL));
    let told = world.take_all(LIMIT_REACHED);
    assert_eq!(told.len(), 1);
    let told: serde_json::Value = serde_json::from_str(&told[0].payload).unwrap();
    assert_eq!(told["type"], "io.nats.jetstream.advisory.v1.api_limit_reached");
    assert_eq!((&told["server"], &told["dropped"]), (&"natterjack".into(), &1.into()));
    // Requests that wait for nothing are served meanwhile.
    assert_eq!(world.must("STREAM.NAMES", "")["total"], 3);
    world.now.mono_ns += SECOND;
    assert_eq!(world.refusal("STREAM.DELETE.S0", ""), FULL);
    let told = world.take_all(LIMIT_REACHED);
    assert!(told[0].payload.contains(r#""dropped":97"#), "{told:?}");
    world.run_disk();
    let created = world.take_all("_I.flood");
    assert_eq!(created.len(), 3);
    assert!(created.iter().all(|answer| answer.payload.contains("did_create")));
    world.slow_disk = false;
    world.must("STREAM.CREATE.S9", &create(9));
}

#[test]
fn large_requests_fill_the_queue_by_their_bytes() {
    let mut world = with(Options::default());
    world.slow_disk = true;
    let padding = " ".repeat(1 << 20);
    let refused = (0..100).find(|name| {
        let subject = format!("$JS.API.STREAM.CREATE.S{name}");
        world.request_to(&subject, "_I.flood", "", &(create(*name) + &padding));
        !world.take_all("_I.flood").is_empty()
    });
    assert_eq!(refused, Some(64));
}

/// Shows J-107.
#[test]
fn a_full_stream_turns_publishers_away_and_other_requests_with_them() {
    let mut world = with(Options { buffered_msgs: 2, ..Options::default() });
    world.must("STREAM.CREATE.S0", &create(0));
    let acked = "CONSUMER.CREATE.S0.c";
    world.must(
        acked,
        r#"{"stream_name":"S0","config":{"durable_name":"c","ack_policy":"explicit"}}"#,
    );
    world.slow_disk = true;
    assert_eq!(world.put("s0", "", "1"), "");
    assert_eq!(world.put("s0", "", "2"), "");
    let refused = "NATS/1.0 429 Too Many Requests\r\n\r\n\
        {\"error\":{\"code\":429,\"err_code\":10167,\"description\":\"too many requests\"},\"stream\":\"S0\",\"seq\":0}";
    assert_eq!(world.put("s0", "", "3"), refused);
    for endpoint in ["STREAM.PURGE.S0", "STREAM.INFO.S0", "CONSUMER.RESET.S0.c"] {
        assert_eq!(world.refusal(endpoint, "{}"), FULL, "{endpoint}");
    }
    assert_eq!(world.refusal("STREAM.MSG.DELETE.S0", r#"{"seq":1}"#), FULL);
    let stream = world.engine.stream("$G", "S0").unwrap();
    assert_eq!(stream.turned_away(), 1);
    world.slow_disk = false;
    world.run_disk();
    assert_eq!(world.put("s0", "", "3"), r#"{"stream":"S0","seq":3}"#);
}

#[test]
fn a_message_that_no_queue_holds_is_turned_away_at_once() {
    let mut world = with(Options { buffered_bytes: 1000, ..Options::default() });
    world.must("STREAM.CREATE.S0", &create(0));
    assert!(world.put("s0", "", &"x".repeat(1000)).starts_with("NATS/1.0 429 "));
    assert_eq!(world.put("s0", "", &"x".repeat(900)), r#"{"stream":"S0","seq":1}"#);
}

#[test]
fn reads_that_wait_have_a_bound() {
    let mut world = with(Options { reads_max: 1, ..Options::default() });
    world.must("STREAM.CREATE.S0", &create(0));
    world.slow_disk = true;
    world.put("s0", "", "1");
    assert_eq!(world.api("STREAM.MSG.GET.S0", r#"{"seq":1}"#), "");
    assert_eq!(world.refusal("STREAM.MSG.GET.S0", r#"{"seq":1}"#), FULL);
}

/// Shows J-231.
#[test]
fn want_of_room_is_announced_once_until_there_is_some() {
    let mut world = with(Options { max_file: Some(500), ..Options::default() });
    world.must("STREAM.CREATE.S0", &create(0));
    world.must("STREAM.CREATE.S1", &create(1));
    let full = |world: &mut World, subject| {
        let body = "x".repeat(300);
        assert_eq!(error_of(&world.put(subject, "", &body)), FULL);
    };
    assert_eq!(world.put("s0", "", &"x".repeat(300)), r#"{"stream":"S0","seq":1}"#);
    for subject in ["s0", "s1", "s0"] {
        full(&mut world, subject);
    }
    let told = world.take_all(OUT_OF_STORAGE);
    assert_eq!(told.len(), 1);
    let told: serde_json::Value = serde_json::from_str(&told[0].payload).unwrap();
    assert_eq!(told["type"], "io.nats.jetstream.advisory.v1.server_out_of_space");
    assert_eq!((&told["stream"], &told["cluster"]), (&"S0".into(), &"".into()));
    world.must("STREAM.PURGE.S0", "");
    assert_eq!(world.put("s1", "", &"x".repeat(300)), r#"{"stream":"S1","seq":1}"#);
    full(&mut world, "s1");
    assert_eq!(world.take_all(OUT_OF_STORAGE).len(), 1);
}

/// Shows J-231.
#[test]
fn a_full_disk_is_announced_once_until_it_has_room() {
    let mut world = with(Options::default());
    world.must("STREAM.CREATE.S0", &create(0));
    assert_eq!(world.put("s0", "", "1"), r#"{"stream":"S0","seq":1}"#);
    *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
    world.put("s0", "", "2");
    world.put("s0", "", "3");
    assert_eq!(world.refusal("STREAM.CREATE.S1", &create(1)), "");
    assert_eq!(world.take_all(OUT_OF_STORAGE).len(), 1);
    *world.disk.failing.lock().unwrap() = None;
    world.pass(3 * SECOND);
    assert_eq!(world.put("s0", "", "4").split_at(15).0, r#"{"stream":"S0","#);
    *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
    world.put("s0", "", "5");
    assert_eq!(world.take_all(OUT_OF_STORAGE).len(), 1);
}

#[test]
fn limits_by_tiers_hold_for_the_tier_of_one_node() {
    let mut world = World::new();
    let tier = |max_file| AccountLimits { max_file: Some(max_file), ..AccountLimits::default() };
    let tiers = |names: &[(&str, u64)]| {
        names.iter().map(|(name, max)| ((*name).to_owned(), tier(*max))).collect()
    };
    world.engine.set_account_tiers("$G", tiers(&[("R1", 100), ("R3", 5)]));
    world.must("STREAM.CREATE.S0", &create(0));
    assert_eq!(world.put("s0", "", "x"), r#"{"stream":"S0","seq":1}"#);
    let refused = error_of(&world.put("s0", "", &"x".repeat(100)));
    assert_eq!(refused, "10002 resource limits exceeded for account");
    let info = world.must("INFO", "");
    assert_eq!(info["limits"]["max_storage"], 0);
    assert_eq!(
        (&info["tiers"]["R1"]["streams"], &info["tiers"]["R3"]["streams"]),
        (&1.into(), &0.into())
    );
    assert_eq!(info["tiers"]["R3"]["limits"]["max_storage"], 5);
    // The tier is taken away; what is there stays, and nothing is added.
    let none = "10120 no JetStream default or applicable tiered limit present";
    world.engine.set_account_tiers("$G", tiers(&[("R3", 5)]));
    assert_eq!(error_of(&world.put("s0", "", "x")), none);
    assert_eq!(world.refusal("STREAM.CREATE.S1", &create(1)), none);
    let consumer = r#"{"stream_name":"S0","config":{"durable_name":"c"}}"#;
    assert_eq!(world.refusal("CONSUMER.CREATE.S0.c", consumer), none);
    assert_eq!(world.must("INFO", "")["tiers"]["R1"]["streams"], 1);
    // Limits without tiers replace them.
    world.engine.set_account("$G", Some(tier(1000)));
    assert_eq!(world.put("s0", "", "x"), r#"{"stream":"S0","seq":2}"#);
    let info = world.must("INFO", "");
    assert!(info.get("tiers").is_none() && info["limits"]["max_storage"] == 1000);
}

#[test]
fn what_consumers_note_while_the_disk_takes_nothing_is_bounded_and_not_lost() {
    let mut world = with(Options { buffered_bytes: 20_000, ..Options::default() });
    world.must("STREAM.CREATE.S0", &create(0));
    let consumer = r#"{"stream_name":"S0","config":{"durable_name":"c","ack_policy":"explicit"}}"#;
    world.must("CONSUMER.CREATE.S0.c", consumer);
    for _ in 0..20 {
        world.put("s0", "", "x");
    }
    let pull = |world: &mut World, count: usize| -> Vec<String> {
        world.request_to("$JS.API.CONSUMER.MSG.NEXT.S0.c", "_I.pull", "", &count.to_string());
        let sent = world.take_all("_I.pull");
        sent.into_iter().filter_map(|sent| sent.reply).filter(|reply| !reply.is_empty()).collect()
    };
    let first = pull(&mut world, 10);
    assert_eq!(world.ack(&first[0], "+ACK").as_deref(), Some(""));
    let reached = |world: &World| world.engine.stream("$G", "S0").unwrap().backlog_bytes();
    *world.disk.failing.lock().unwrap() = Some(DiskErrorKind::NoRoom);
    // Each asks for its message again, and again.
    let mut most = 0;
    for _ in 0..4_000 {
        let again = world.ack(&first[1], "-NAK");
        assert_eq!(again.as_deref(), Some("silence"));
        pull(&mut world, 1);
        world.pass(SECOND / 10);
        most = most.max(reached(&world));
    }
    assert!((20_000..40_000).contains(&most), "{most}");
    world.ack(&first[2], "+ACK");
    world.ack(&first[4], "+TERM");
    *world.disk.failing.lock().unwrap() = None;
    world.pass(3 * SECOND);
    assert_eq!(world.ack(&first[3], "+ACK").as_deref(), Some(""));
    assert_eq!(reached(&world), 0);
    let shown = |world: &mut World| {
        let info = world.must("CONSUMER.INFO.S0.c", "");
        let fields = ["delivered", "ack_floor", "num_ack_pending", "num_redelivered"];
        fields.map(|field| info[field].clone()).map(|mut value| {
            value.as_object_mut().map(|fields| fields.remove("last_active"));
            value
        })
    };
    let before = shown(&mut world);
    world.crash();
    assert_eq!(shown(&mut world), before);
}

#[test]
fn an_ack_that_asks_for_more_gets_it_although_no_answer_may_wait() {
    let mut world = with(Options { buffered_msgs: 1, ..Options::default() });
    world.must("STREAM.CREATE.S0", &create(0));
    let consumer = r#"{"stream_name":"S0","config":{"durable_name":"c","ack_policy":"explicit"}}"#;
    world.must("CONSUMER.CREATE.S0.c", consumer);
    world.put("s0", "", "1");
    world.put("s0", "", "2");
    world.request_to("$JS.API.CONSUMER.MSG.NEXT.S0.c", "_I.pull", "", "1");
    let first = world.take("_I.pull").unwrap().reply.unwrap();
    world.slow_disk = true;
    world.put("s0", "", "3");
    assert_eq!(world.ack(&first, "+NXT").as_deref(), Some("2"));
}

#[test]
fn a_reload_changes_what_the_server_allows() {
    let mut world = with(Options::default());
    world.must("STREAM.CREATE.S1", &create(1));
    let consumer = |name: &str, more: &str| {
        format!(
            r#"{{"stream_name":"S1","config":{{"durable_name":"{name}","ack_policy":"explicit"{more}}}}}"#
        )
    };
    let config = |world: &mut World, name: &str| {
        world.must(&format!("CONSUMER.CREATE.S1.{name}"), &consumer(name, ""))["config"].clone()
    };
    assert_eq!(config(&mut world, "a")["max_ack_pending"], 1000);
    let limits = ServerLimits {
        duplicate_window: Some(60 * SECOND as i64),
        max_ack_pending: Some(5),
        max_request_batch: Some(7),
        ..ServerLimits::default()
    };
    world.engine.set_limits(limits);
    let made = config(&mut world, "b");
    assert_eq!((&made["max_ack_pending"], &made["max_batch"]), (&5.into(), &7.into()));
    let more = consumer("c", r#","max_ack_pending":6"#);
    assert!(world.refusal("CONSUMER.CREATE.S1.c", &more).starts_with("10121 "));
    let window = world.must("STREAM.CREATE.S2", &create(2))["config"]["duplicate_window"].clone();
    assert_eq!(window, 60 * SECOND);
    // Less than what is there leaves it there.
    world.put("s1", "", "x");
    world.engine.set_bytes_max(None, Some(1));
    assert!(world.put("s1", "", "x").contains("10023"));
    world.engine.set_bytes_max(None, Some(1_000));
    assert!(world.put("s1", "", "x").contains("\"seq\":2"));
    world.engine.set_limits(ServerLimits::default());
    world.must("CONSUMER.CREATE.S1.c", &more);
}
