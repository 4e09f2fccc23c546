//! The API's envelope, paging and account info.

use natterjack_jetstream::{AccountLimits, Options};

use crate::world::{World, error_of};

fn memory(name: &str, subjects: &str) -> String {
    format!(r#"{{"name":"{name}","subjects":{subjects},"storage":"memory"}}"#)
}

#[test]
fn account_info_counts_requests_but_not_itself() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", &memory("S", r#"["s"]"#));
    world.refusal("STREAM.INFO.nope", "");
    assert_eq!(
        world.api("INFO", ""),
        r#"{"type":"io.nats.jetstream.api.v1.account_info_response","memory":0,"storage":0,"reserved_memory":0,"reserved_storage":0,"streams":1,"consumers":0,"limits":{"max_memory":-1,"max_storage":-1,"max_streams":-1,"max_consumers":-1,"max_ack_pending":-1,"memory_max_stream_bytes":-1,"storage_max_stream_bytes":-1,"max_bytes_required":false},"api":{"level":5,"total":2,"errors":1}}"#
    );
}

#[test]
fn subjects_that_fit_no_endpoint_are_met_with_silence() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", &memory("S", r#"["s"]"#));
    for endpoint in [
        "FOO.BAR",
        "STREAM.INFO",
        "STREAM.INFO.S.x",
        "META.LEADER.STEPDOWN",
        "CONSUMER.RESET.S.nope",
    ] {
        assert_eq!(world.api(endpoint, ""), "", "{endpoint}");
    }
    for endpoint in ["CONSUMER.MSG.NEXT.S.nope", "DIRECT.GET.NOPE", "DIRECT.GET.S"] {
        assert_eq!(world.api(endpoint, ""), "503", "{endpoint}");
    }
}

#[test]
fn an_account_without_jetstream_hears_so() {
    let mut world = World::new();
    world.account = "A";
    assert_eq!(
        world.api("STREAM.NAMES", ""),
        r#"{"type":"io.nats.jetstream.api.v1.stream_names_response","error":{"code":503,"err_code":10039,"description":"JetStream not enabled for account"},"total":0,"offset":0,"limit":0,"streams":null}"#
    );
    assert_eq!(world.refusal("INFO", ""), "10039 JetStream not enabled for account");
}

#[test]
fn errors_of_bodies_and_names() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", &memory("S", r#"["s"]"#));
    for (endpoint, body, expected) in [
        (
            "STREAM.CREATE.T",
            r#"{"name":"T","foo":1}"#,
            r#"10025 invalid JSON: json: unknown field "foo""#,
        ),
        ("STREAM.CREATE.T", r#"{"name":"T""#, "10025 invalid JSON: unexpected EOF"),
        ("STREAM.CREATE.T", "", "10056 stream name in subject does not match request"),
        (
            "STREAM.CREATE.T",
            r#"{"name":"U"}"#,
            "10056 stream name in subject does not match request",
        ),
        (
            "STREAM.CREATE.S",
            r#"{"name":"S","storage":"memory"}"#,
            "10058 stream name already in use with a different configuration",
        ),
        (
            "STREAM.CREATE.T",
            r#"{"name":"T","subjects":["*"],"storage":"memory"}"#,
            "10065 subjects overlap with an existing stream",
        ),
        ("STREAM.UPDATE.T", r#"{"name":"T"}"#, "10059 stream not found"),
        ("STREAM.DELETE.S", r#"{"x":1}"#, "10038 expected an empty request payload"),
        ("STREAM.DELETE.nope", "", "10059 stream not found"),
        ("STREAM.LEADER.STEPDOWN.S", "", "10010 JetStream clustering support required"),
        ("STREAM.PURGE.S", r#"{"seq":2,"keep":1}"#, "10003 bad request"),
        ("STREAM.MSG.GET.S", "{}", "10003 bad request"),
        ("STREAM.MSG.GET.S", r#"{"seq":1,"batch":2}"#, "10003 bad request"),
        ("STREAM.MSG.GET.S", r#"{"seq":1}"#, "10037 no message found"),
        ("STREAM.MSG.DELETE.S", "", "10003 bad request"),
        ("STREAM.MSG.DELETE.S", r#"{"seq":9}"#, "10043 sequence 9 not found"),
        ("STREAM.SNAPSHOT.S", "", "10003 bad request"),
    ] {
        assert_eq!(world.refusal(endpoint, body), expected, "{endpoint} {body}");
    }
    let answer = world.request("$JS.API.STREAM.INFO.S", "Nats-Required-Api-Level: 6", "");
    assert_eq!(error_of(&answer), "10185 JetStream minimum api level required");
    let answer = world.request("$JS.API.STREAM.INFO.S", "Nats-Required-Api-Level: x", "");
    assert_eq!(error_of(&answer), "10185 JetStream minimum api level required");
    assert_eq!(
        world.api("STREAM.PURGE.nope", ""),
        r#"{"type":"io.nats.jetstream.api.v1.stream_purge_response","error":{"code":404,"err_code":10059,"description":"stream not found"},"purged":0}"#
    );
}

#[test]
fn creating_twice_is_the_same_answer() {
    let mut world = World::new();
    let body = memory("S", r#"["s.>"]"#);
    let first = world.api("STREAM.CREATE.S", &body);
    assert_eq!(
        first,
        r#"{"type":"io.nats.jetstream.api.v1.stream_create_response","config":{"name":"S","subjects":["s.>"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"memory","num_replicas":1,"duplicate_window":120000000000,"compression":"none","allow_direct":false,"mirror_direct":false,"sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false,"metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"}},"created":"2023-11-14T22:13:20Z","state":{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z","last_seq":0,"last_ts":"0001-01-01T00:00:00Z","consumer_count":0},"ts":"2023-11-14T22:13:20Z","did_create":true}"#
    );
    assert_eq!(world.api("STREAM.CREATE.S", &body), first);
    let info = world.must("STREAM.INFO.S", "");
    assert_eq!(info["cluster"]["leader"], "natterjack");
    assert!(world.must("STREAM.LIST", "")["streams"][0].get("cluster").is_none());
}

#[test]
fn names_and_lists_are_paged_and_filtered() {
    let mut world = World::new();
    assert_eq!(
        world.api("STREAM.NAMES", ""),
        r#"{"type":"io.nats.jetstream.api.v1.stream_names_response","total":0,"offset":0,"limit":1024,"streams":null}"#
    );
    assert_eq!(
        world.api("STREAM.LIST", ""),
        r#"{"type":"io.nats.jetstream.api.v1.stream_list_response","total":0,"offset":0,"limit":256,"streams":[]}"#
    );
    for (name, subjects) in [("B", r#"["q.a"]"#), ("A", r#"["s.>"]"#), ("C", r#"["t"]"#)] {
        world.must(&format!("STREAM.CREATE.{name}"), &memory(name, subjects));
    }
    for (body, expected) in [
        ("", r#"["A","B","C"]"#),
        (r#"{"offset":1}"#, r#"["B","C"]"#),
        (r#"{"offset":9}"#, "null"),
        (r#"{"subject":"*.a"}"#, r#"["A","B"]"#),
        (r#"{"subject":">"}"#, r#"["A","B","C"]"#),
        (r#"{"subject":"s.x.y"}"#, r#"["A"]"#),
        (r#"{"subject":"zz"}"#, "null"),
        ("x", r#"["A","B","C"]"#),
    ] {
        let names = world.must("STREAM.NAMES", body);
        assert_eq!(names["streams"].to_string(), expected, "{body}");
    }
    let page = world.must("STREAM.LIST", r#"{"offset":1}"#);
    assert_eq!(page["total"], 3);
    assert_eq!(page["streams"][0]["config"]["name"], "B");
    assert_eq!(page["streams"][0]["config"]["metadata"].to_string(), r#"{"_nats.req.level":"0"}"#);
    assert_eq!(world.must("STREAM.NAMES", r#"{"offset":9}"#)["offset"], 3);
}

#[test]
fn account_limits_refuse_streams() {
    let limits = AccountLimits {
        max_streams: Some(2),
        max_memory: Some(1000),
        memory_max_stream_bytes: Some(700),
        max_bytes_required: true,
        ..AccountLimits::default()
    };
    let mut world = World::with(Options::default(), limits);
    let body = |name: &str, bytes: i64| {
        format!(r#"{{"name":"{name}","storage":"memory","max_bytes":{bytes}}}"#)
    };
    assert_eq!(
        world.refusal("STREAM.CREATE.A", &body("A", -1)),
        "10113 account requires a stream config to have max bytes set"
    );
    assert_eq!(
        world.refusal("STREAM.CREATE.A", &body("A", 800)),
        "10122 stream max bytes exceeds account limit max stream bytes"
    );
    world.must("STREAM.CREATE.A", &body("A", 600));
    assert_eq!(
        world.refusal("STREAM.CREATE.B", &body("B", 600)),
        "10028 insufficient memory resources available"
    );
    assert_eq!(
        world.refusal("STREAM.UPDATE.A", &body("A", 701)),
        "10122 stream max bytes exceeds account limit max stream bytes"
    );
    world.must("STREAM.CREATE.B", &body("B", 100));
    world.must("STREAM.UPDATE.A", &body("A", 650));
    assert_eq!(
        world.refusal("STREAM.CREATE.C", &body("C", 100)),
        "10027 maximum number of streams reached"
    );
    let options = Options { max_memory: Some(500), ..Options::default() };
    let mut world = World::with(options, AccountLimits::default());
    assert_eq!(
        world.refusal("STREAM.CREATE.A", &body("A", 600)),
        "10028 insufficient memory resources available"
    );
}

#[test]
fn a_domain_shows_in_answers_and_prefixes() {
    let options = Options { domain: Some("hub".into()), ..Options::default() };
    let mut world = World::with(options, AccountLimits::default());
    world.must("STREAM.CREATE.S", &memory("S", r#"["s"]"#));
    let answer = world.request("$JS.hub.API.INFO", "", "");
    assert!(answer.contains(r#""domain":"hub","api""#), "{answer}");
    assert_eq!(world.request("$JS.other.API.INFO", "", ""), "503");
    assert_eq!(world.put("s", "", "x"), r#"{"stream":"S","domain":"hub","seq":1}"#);
    assert!(world.api("STREAM.INFO.S", "").contains(r#""consumer_count":0},"domain":"hub""#));
}

#[test]
fn changes_are_announced() {
    let mut world = World::new();
    world.host.interest.insert("$JS.EVENT.ADVISORY.>".into());
    world.must("STREAM.CREATE.S", &memory("S", r#"["s"]"#));
    world.must("STREAM.UPDATE.S", &memory("S", r#"["s","t"]"#));
    world.must("STREAM.DELETE.S", "");
    for (event, action) in [("CREATED", "create"), ("UPDATED", "modify"), ("DELETED", "delete")] {
        let sent = world.take(&format!("$JS.EVENT.ADVISORY.STREAM.{event}.S")).unwrap();
        let tail = format!(r#","stream":"S","action":"{action}"}}"#);
        assert!(sent.payload.ends_with(&tail), "{}", sent.payload);
    }
    let audit = world.take("$JS.EVENT.ADVISORY.API").unwrap();
    assert!(
        audit.payload.contains(r#""subject":"$JS.API.STREAM.CREATE.S","request":"{\"name\":\"S\""#)
    );
}

#[test]
fn an_update_moves_the_subscriptions() {
    let mut world = World::new();
    world.must("STREAM.CREATE.S", &memory("S", r#"["a","b"]"#));
    world.put("b", "", "x");
    world.must("STREAM.UPDATE.S", &memory("S", r#"["a","c"]"#));
    assert_eq!(world.put("b", "", "x"), "503");
    assert_eq!(world.put("c", "", "x"), r#"{"stream":"S","seq":2}"#);
    assert_eq!(world.state("S")["messages"], 2);
    world.must("STREAM.DELETE.S", "");
    assert_eq!(world.put("a", "", "x"), "503");
    assert_eq!(world.engine.account_usage("$G").unwrap().memory, 0);
}
