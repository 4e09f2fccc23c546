//! Options from files: values, verdicts, positions.

use crate::world::World;
use natterjack_config::language::NoSource;
use natterjack_config::options::*;
use std::time::Duration;

const USER: &str = "UAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB63NN";
const ACCOUNT: &str = "AAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB776S";
const OPERATOR: &str = "OAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB7JSU";
/// Has the form of a JWT; nothing here looks into it.
const JWT: &str = "eyJ0eXAiOiJKV1QifQ.eyJqdGkiOiIifQ.c2ln";

fn parse(text: &str) -> Result<Options, String> {
    Options::parse(text, "C", &NoSource).map_err(|error| error.to_string())
}

#[track_caller]
fn options(text: &str) -> Options {
    let options = parse(text).expect("a valid configuration");
    assert_eq!(options.warnings, [], "{text}");
    options
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    assert_eq!(parse(text).expect_err(text), expected, "{text:?}");
}

#[test]
fn simple_options() {
    let text = "
        listen: \"127.0.0.1:4333\", client_advertise: \"x:1\", server_name: n
        server_tags: [\"A:1\", b, \"c, D\", b], server_metadata { k: v }
        debug: on, trace: yes, trace_headers: true, logtime: off, logtime_utc: true
        log_file: \"/l\", log_size_limit: 1mb, log_max_num: 3, max_traced_msg_len: 9
        pid_file: \"/p\", ports_file_dir: \"/d\"
        http: \"localhost:8222\", http_base_path: \"x/\"
        MAX_CONTROL_LINE: 5k, max_payload: 2MB, max_pending: 10MB, max_connections: -1
        max_subs: 5, max_sub_tokens: 6, max_closed_clients: 7
        ping_interval: 30s, ping_max: 3, write_deadline: \"1.5s\"
        lame_duck_duration: 40s, lame_duck_grace_period: \"5s\"
        no_header_support: true, no_fast_producer_stall: true, no_sublist_cache: true
        system: S, no_sys_acc: true, no_auth_user: u
    ";
    let o = options(text);
    let expected = Options {
        config_file: Some("C".into()),
        config_digest: o.config_digest.clone(),
        host: Some("127.0.0.1".into()),
        port: 4333,
        client_advertise: Some("x:1".into()),
        server_name: Some("n".into()),
        server_tags: ["a:1", "b", "c", "d"].map(String::from).to_vec(),
        server_metadata: [("k".to_owned(), "v".to_owned())].into(),
        debug: true,
        trace: true,
        trace_headers: true,
        logtime: false,
        logtime_utc: true,
        log_file: Some("/l".into()),
        log_size_limit: 1 << 20,
        log_max_num: 3,
        max_traced_msg_len: 9,
        pid_file: Some("/p".into()),
        ports_file_dir: Some("/d".into()),
        http_host: Some("localhost".into()),
        http_port: Some(8222),
        http_base_path: "/x".into(),
        max_control_line: 5000,
        max_payload: 2 << 20,
        max_pending: 10 << 20,
        max_connections: None,
        max_subscriptions: Some(5),
        max_sub_tokens: Some(6),
        max_closed_clients: 7,
        ping_interval: Duration::from_secs(30),
        ping_max: 3,
        write_deadline: Duration::from_millis(1500),
        lame_duck_duration: Duration::from_secs(40),
        lame_duck_grace_period: Duration::from_secs(5),
        no_header_support: true,
        no_fast_producer_stall: true,
        disable_sublist_cache: true,
        system_account: Some("S".into()),
        no_system_account: true,
        no_auth_user: Some("u".into()),
        ..Options::default()
    };
    assert_eq!(o, expected);
}

#[test]
fn a_file_without_a_key_keeps_its_default() {
    let o = options("debug: false");
    let digest = o.config_digest.clone();
    let file = Some("C".to_owned());
    assert_eq!(o, Options { config_file: file, config_digest: digest, ..Options::default() });
    let zeros = "port: 0, max_payload: 0, max_control_line: 0, max_pending: 0, ping_max: 0, \
                 max_connections: 0, ping_interval: \"0s\", write_deadline: \"0s\", http_port: 0";
    let o = options(zeros);
    let d = Options::default();
    assert_eq!((o.port, o.max_payload, o.max_control_line), (4222, 1 << 20, 4096));
    assert_eq!((o.max_pending, o.ping_max), (64 << 20, 2));
    assert_eq!(o.max_connections, Some(65536));
    assert_eq!((o.ping_interval, o.write_deadline), (d.ping_interval, d.write_deadline));
    assert_eq!(o.http_port, None);
}

#[test]
fn addresses() {
    for (text, host, port) in [
        ("listen: 4333", None, 4333),
        ("listen: \":4333\"", None, 4333),
        ("listen: -1", None, 0),
        ("listen: \"[::1]:4333\"", Some("::1"), 4333),
        ("listen: localhost:4333", Some("localhost"), 4333),
        ("port: -1", None, 0),
        ("host: ::1", Some("::1"), 4222),
        ("net: 0.0.0.0", Some("0.0.0.0"), 4222),
        ("host: a, listen: 1", Some("a"), 1),
    ] {
        let o = options(text);
        assert_eq!((o.host.as_deref(), o.port), (host, port), "{text}");
    }
    for (text, expected) in [
        ("listen: foo", "could not parse address string \"foo\""),
        ("listen: \"4222\"", "could not parse address string \"4222\""),
        ("listen: \"\"", "could not parse address string \"\""),
        ("listen: \"1.2.3.4:5:6\"", "could not parse address string \"1.2.3.4:5:6\""),
        ("listen: \"a:b\"", "could not parse port \"b\""),
        ("http: \"a:\"", "could not parse port \"\""),
        ("port: 70000", "port 70000 is not a port, -1 (any free one) to 65535"),
        ("port: x", "\"port\" must be an integer, not a string"),
        ("listen: true", "\"listen\" must be host:port or a port, not a bool"),
    ] {
        refused(text, &format!("C:1:0: {expected}"));
    }
}

#[test]
fn wrong_values() {
    for (text, expected) in [
        ("server_name: \"a b\"", "server name cannot contain spaces"),
        ("server_name: 5", "\"server_name\" must be a string, not an integer"),
        (
            "server_tags: 5",
            "\"server_tags\" must be a string or an array of strings, not an integer",
        ),
        ("debug: 1", "\"debug\" must be a bool, not an integer"),
        ("max_payload: 2GB", "max_payload value is too big"),
        ("max_payload: -1", "max_payload value can not be negative"),
        ("max_control_line: 5GB", "max_control_line value is too big"),
        ("max_sub_tokens: 256", "max_sub_tokens value is too big"),
        ("max_sub_tokens: -1", "max_sub_tokens value can not be negative"),
        (
            "ping_interval: \"5x\"",
            "error parsing ping_interval: time: unknown unit \"x\" in duration \"5x\"",
        ),
        ("write_deadline: abc", "error parsing write_deadline: time: invalid duration \"abc\""),
        (
            "write_deadline: true",
            "\"write_deadline\" must be a duration such as \"30s\", not a bool",
        ),
        ("lame_duck_duration: 10s", "invalid lame_duck_duration of 10s, minimum is 30 seconds"),
        (
            "lame_duck_duration: 3m",
            "\"lame_duck_duration\" must be a duration such as \"30s\", not an integer",
        ),
        ("lame_duck_grace_period: \"-1s\"", "invalid lame_duck_grace_period, needs to be positive"),
        ("foo: 1", "unknown field \"foo\""),
        ("\u{feff}port: 1", "unknown field \"\\ufeffport\""),
        ("authorization{user:a}", "unknown field \"authorization{user\""),
    ] {
        refused(text, &format!("C:1:0: {expected}"));
    }
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_text() {
    refused(
        "foo: 1\nauthorization {\n user: a, bar: 2\n}\nport: \"x\"",
        "C:1:0: unknown field \"foo\"\nC:3:11: unknown field \"bar\"\n\
         C:5:1: \"port\" must be an integer, not a string",
    );
    let world = World::default().file("/d/main", "include sub\nfoo 1").file("/d/sub", " bar 1");
    assert_eq!(
        Options::load("/d/main", &world).unwrap_err().to_string(),
        "/d/main:2:1: unknown field \"foo\"\n/d/sub:1:1: unknown field \"bar\""
    );
    assert_eq!(
        Options::load("/nope", &world).unwrap_err().to_string(),
        "open /nope: no such file or directory"
    );
}

#[test]
fn keys_used_as_variables_are_no_unknown_fields() {
    assert_eq!(options("p: 4333\nport: $p").port, 4333);
    let o = options("perms: {publish: a}\nauthorization {users [{user u, permissions: $perms}]}");
    assert!(o.authorization.users[0].permissions.is_some());
    refused("x=1\nauthorization {x=2\n timeout=$x}", "C:1:0: unknown field \"x\"");
}

#[test]
fn bare_integers_as_durations_are_deprecated() {
    let o = parse("max_payload: 1\nping_interval: 30").unwrap();
    assert_eq!(o.ping_interval, Duration::from_secs(30));
    let text = "C:2:1: invalid use of field \"ping_interval\": ping_interval should be converted \
                to a duration";
    assert_eq!(o.warnings[0].to_string(), text);
    assert_eq!(o.check_deprecated().unwrap_err().to_string(), text);
    assert_eq!(options("ping_interval: 30s").check_deprecated(), Ok(()));
}

#[test]
fn single_logins_exclude_each_other() {
    let o = options("authorization {user: a, password: b, timeout: 1.5}");
    assert_eq!(o.authorization.user.as_deref(), Some("a"));
    assert_eq!(o.authorization.password.as_deref(), Some("b"));
    assert_eq!(o.authorization.timeout, Some(Duration::from_millis(1500)));
    assert!(o.requires_login());
    assert!(!Options::default().requires_login());
    for (inside, expected) in [
        ("user a, password b, token c", "Cannot have a user/pass and token"),
        ("user a, users []", "Can not have a single user/pass and a users array"),
        ("token c, users [{user x}]", "Can not have a token and a users array"),
    ] {
        refused(&format!("authorization {{{inside}}}"), &format!("C:1:0: {expected}"));
    }
    let o = parse("authorization {user a, default_permissions {publish a}}").unwrap();
    assert_eq!(
        o.warnings[0].to_string(),
        "C:1:0: default_permissions do not apply to a single user or a token"
    );
}

#[test]
fn users_and_permissions() {
    let text = format!(
        "authorization {{
            default_permissions: {{publish: d}}
            users = [
                {{user: a, password: b}}
                {{nkey: {USER}, connection_types: [standard, MQTT_WS]}}
                {{user: c, permissions {{
                    publish: {{allow: [x, \"y.*\"], deny: \"y.z\"}}
                    subscribe: [\"s.>\", \"q work.*\"]
                    allow_responses: {{max: 5, expires: \"1m\"}}
                }} }}
                {{user: e, permissions {{allow_responses: true}} }}
                {{user: f, permissions {{publish: [], allow_responses: {{max_msgs: -1, ttl: \"-1s\"}}}} }}
            ]
        }}"
    );
    let users = options(&text).authorization.users;
    let lists = |allow: Option<&[&str]>, deny: &[&str]| SubjectPermissions {
        allow: allow.map(|list| list.iter().map(|s| (*s).to_owned()).collect()),
        deny: deny.iter().map(|s| (*s).to_owned()).collect(),
    };
    let default = Permissions { publish: lists(Some(&["d"]), &[]), ..Permissions::default() };
    assert_eq!(users[0].login, Login::Password { user: "a".into(), password: "b".into() });
    assert_eq!(users[0].permissions, Some(default.clone()));
    assert_eq!(users[0].account, None);
    assert_eq!(users[1].login, Login::Nkey { public_key: USER.into() });
    assert_eq!(users[1].connection_types, [ConnectionType::Standard, ConnectionType::MqttWs]);
    assert_eq!(users[1].permissions, Some(default));
    assert_eq!(
        users[2].permissions,
        Some(Permissions {
            publish: lists(Some(&["x", "y.*"]), &["y.z"]),
            subscribe: lists(Some(&["s.>", "q work.*"]), &[]),
            allow_responses: Some(ResponsePermission {
                max_msgs: Some(5),
                expires: Some(Duration::from_secs(60)),
            }),
        })
    );
    assert_eq!(
        users[3].permissions,
        Some(Permissions {
            publish: lists(Some(&[]), &[]),
            allow_responses: Some(ResponsePermission {
                max_msgs: Some(1),
                expires: Some(Duration::from_secs(120)),
            }),
            ..Permissions::default()
        })
    );
    let unlimited = ResponsePermission { max_msgs: None, expires: None };
    assert_eq!(users[4].permissions.as_ref().unwrap().allow_responses, Some(unlimited));
}

#[test]
fn wrong_users_and_permissions() {
    let nkey_and_name = format!("users [{{user: a, nkey: {USER}}}]");
    let account_key = format!("users [{{nkey: {ACCOUNT}}}]");
    for (inside, expected) in [
        ("users 5", "1:16: Expected users field to be an array, got an integer"),
        ("users [5]", "1:23: Expected user entry to be a map/struct, got an integer"),
        ("users [{password x}]", "1:24: User entry requires a user"),
        ("users [{user x, password 1}]", "1:32: \"password\" must be a string, not an integer"),
        ("users [{user x, foo 1}]", "1:32: unknown field \"foo\""),
        ("users [{nkey: U}]", "1:24: Not a valid public nkey for a user"),
        (account_key.as_str(), "1:24: Not a valid public nkey for a user"),
        (nkey_and_name.as_str(), "1:24: Nkey users do not take usernames or passwords"),
        ("users [{user x}, {user x}]", "1:34: Duplicate user \"x\" detected"),
        ("users [{user x, clients [STANDARD, foo]}]", "1:32: invalid connection types [\"FOO\"]"),
        ("permissions 5", "1:16: Expected permissions to be a map/struct, got an integer"),
        ("permissions {foo b}", "1:29: Unknown field \"foo\" parsing permissions"),
        ("permissions {publish \"a..b\"}", "1:29: subject \"a..b\" is not a valid subject"),
        ("permissions {publish \"a b\"}", "1:29: subject \"a b\" is not a valid subject"),
        ("permissions {subscribe \"a b c\"}", "1:29: subject \"a b c\" is not a valid subject"),
        (
            "permissions {publish 5}",
            "1:29: Expected subject permissions to be a subject, or array of subjects, got an \
             integer",
        ),
        (
            "permissions {publish {foo 1}}",
            "1:38: Unknown field name \"foo\" parsing subject permissions, only 'allow' or 'deny' \
             are permitted",
        ),
        (
            "permissions {allow_responses 5}",
            "1:29: error parsing response permissions, expected a boolean or a map",
        ),
        (
            "permissions {allow_responses {expires: 2}}",
            "1:46: error parsing expires, not a duration string",
        ),
        (
            "timeout x",
            "1:16: error parsing authorization config, 'timeout' time: invalid duration \"x\"",
        ),
    ] {
        refused(&format!("authorization {{ {inside} }}"), &format!("C:{expected}"));
    }
}

#[test]
fn accounts() {
    let text = format!(
        "accounts {{
            A {{
                nkey: {ACCOUNT}
                users: [{{user: a, password: b}}, {{user: c, permissions {{subscribe: s}}}}]
                default_permissions: {{publish: d}}
                limits: {{max_connections: 5, max_subs: 6, max_payload: 7, max_leafnodes: -1}}
                jetstream: {{
                    max_mem: 1M, max_file: 1GiB, max_streams: 2, max_consumers: -1
                    max_bytes_required: true, memory_max_stream_bytes: 3
                    disk_max_stream_bytes: 4, max_ack_pending: 5
                }}
                mappings: {{\"x.*\": \"y.$1\"}}
            }}
            B {{jetstream: disabled}}
            C {{jetstream: enabled}}
        }}"
    );
    let o = options(&text);
    let [a, b, c] = &o.accounts[..] else { panic!("{:?}", o.accounts) };
    assert_eq!((a.name.as_str(), a.nkey.as_deref()), ("A", Some(ACCOUNT)));
    assert_eq!(a.users.len(), 2);
    assert!(a.users.iter().all(|user| user.account.as_deref() == Some("A")));
    assert_eq!(a.users[0].permissions, a.default_permissions);
    assert_ne!(a.users[1].permissions, a.default_permissions);
    assert_eq!(
        a.limits,
        AccountLimits {
            max_connections: Some(5),
            max_subscriptions: Some(6),
            max_payload: Some(7),
            max_leafnodes: None,
        }
    );
    assert_eq!(
        a.jetstream,
        Some(AccountJetStream {
            enabled: true,
            max_memory: Some(1_000_000),
            max_store: Some(1 << 30),
            max_streams: Some(2),
            max_consumers: None,
            max_bytes_required: true,
            memory_max_stream_bytes: Some(3),
            disk_max_stream_bytes: Some(4),
            max_ack_pending: Some(5),
        })
    );
    assert_eq!(a.mappings[0].source, "x.*");
    assert!(!b.jetstream.as_ref().unwrap().enabled);
    assert!(c.jetstream.as_ref().unwrap().enabled);
}

#[test]
fn wrong_accounts() {
    for (text, expected) in [
        ("accounts { A 5 }", "1:11: Expected map entries for accounts"),
        ("accounts { \"$G\" {} }", "1:12: \"$G\" is a Reserved Account"),
        ("accounts {A {foo 1}}", "1:13: unknown field \"foo\""),
        ("accounts {A {nkey x}}", "1:13: Not a valid public nkey for an account: \"x\""),
        (
            "accounts {A {users [{user a}]}, B {users [{user a}]}}",
            "1:43: Duplicate user \"a\" detected",
        ),
        (
            "accounts {A {users [{user a}]}}\nauthorization {users [{user a}]}",
            "2:24: Duplicate user \"a\" detected",
        ),
        (
            "accounts {A {limits 5}}",
            "1:13: Expected account limits to be a map/struct, got an integer",
        ),
        ("accounts {A {limits {foo 1}}}", "1:21: Unknown field \"foo\" parsing account limits"),
        (
            "accounts {A {jetstream foo}}",
            "1:13: Expected 'enabled' or 'disabled' for string value, got 'foo'",
        ),
        ("accounts {A {jetstream {foo 1}}}", "1:24: unknown field \"foo\""),
        ("accounts {A {jetstream {tiers {}}}}", "1:24: unknown field \"tiers\""),
        (
            "accounts {A {jetstream {max_mem x}}}",
            "1:24: Expected a parseable size for \"max_mem\", got a string",
        ),
        (
            "accounts {A {jetstream {cluster_traffic foo}}}",
            "1:24: Expected 'system' or 'owner' string value for \"cluster_traffic\", got foo",
        ),
        ("accounts {A {exports 5}}", "1:13: Exports should be an array, got an integer"),
        ("accounts {A {exports [{foo a}]}}", "1:23: unknown field \"foo\""),
        (
            "accounts {A {imports [{stream {account B}}]}}",
            "1:23: Expect an account name and a subject",
        ),
        (
            "accounts {A {imports [{stream a}]}}",
            "1:23: Stream entry should be an account map, got a string",
        ),
        (
            "accounts {A {exports [{stream a, latency m}]}}",
            "1:33: Detected latency directive on non-service",
        ),
        (
            "accounts {A {exports [{service a, latency {sampling 101, subject m}}]}}",
            "1:43: bad sampling percentage, should be 1-100",
        ),
    ] {
        refused(text, &format!("C:{expected}"));
    }
    let o = options(
        "accounts {A {exports [{service a, response stream, threshold 3s, accounts [B]}]}, \
         B {imports [{service {account A, subject a}, to b, share true}]}}",
    );
    let [export] = &o.accounts[0].exports[..] else { panic!("one export") };
    assert_eq!(export.accounts, ["B"]);
    assert_eq!(
        export.kind,
        ExportKind::Service {
            response_type: ResponseType::Stream,
            response_threshold: Some(Duration::from_secs(3)),
            latency: None,
        }
    );
    let [import] = &o.accounts[1].imports[..] else { panic!("one import") };
    assert!(import.service && import.share);
    assert_eq!((&*import.account, &*import.subject, import.to.as_deref()), ("A", "a", Some("b")));
}

#[test]
fn mappings() {
    let o = options(
        "mappings {a: b, \"l.*\": [{dest: \"m.$1\", weight: \"60%\"}, {dest: n, weight: 40, cluster: c}]}",
    );
    let to = |destination: &str, weight, cluster: &str| MapDestination {
        destination: destination.into(),
        weight,
        cluster: cluster.into(),
    };
    assert_eq!(o.mappings[0].destinations, [to("b", 100, "")]);
    assert_eq!(o.mappings[1].destinations, [to("m.$1", 60, ""), to("n", 40, "c")]);
    for (inside, expected) in [
        ("a: 5", "1:10: Expected an entry for the mapping destination"),
        ("\"a..b\": c", "1:0: Subject \"a..b\" is not a valid subject"),
        (
            "a: \"b c\"",
            "1:10: Error adding mapping for \"a\" to \"b c\" : invalid mapping destination: invalid \
             transform",
        ),
        (
            "\"l.*\": \"l.{{foo(1)}}\"",
            "1:11: Error adding mapping for \"l.*\" to \"l.{{foo(1)}}\" : invalid mapping \
             destination: unknown function in {{foo(1)}}",
        ),
        (
            "\"l.*\": \"l.$2\"",
            "1:11: Error adding mapping for \"l.*\" to \"l.$2\" : invalid mapping destination: \
             wildcard index out of range in $2: [2]",
        ),
        ("l: {dest: a, weight: 101}", "1:23: Invalid weight 101 for mapping destination"),
        ("l: {dest: a, weight: x}", "1:23: Invalid weight \"x\" for mapping destination"),
        ("l: {dest: a}", "1:10: Missing weight for mapping destination \"a\""),
        ("l: {dest: a, weight: 5, foo: 1}", "1:34: Unknown field \"foo\" for mapping destination"),
        (
            "l: [{dest: a, weight: 60},{dest: b, weight: 60}]",
            "1:10: Error adding mapping for \"l\" : total weight needs to be <= 100",
        ),
    ] {
        refused(&format!("mappings {{{inside}}}"), &format!("C:{expected}"));
    }
}

#[test]
fn jetstream() {
    for (text, enabled) in [
        ("jetstream: true", true),
        ("jetstream: enabled", true),
        ("jetstream: false", false),
        ("jetstream: disabled", false),
        ("jetstream {}", true),
        ("jetstream {enabled: false}", false),
        ("store_dir: \"/d\"", false),
    ] {
        assert_eq!(options(text).jetstream.enabled, enabled, "{text}");
    }
    let o = options(
        "jetstream {
            store_dir: \"/d\", max_mem: 1G, max_file: \"10G\", domain: d, strict: false
            sync_interval: \"2m\", max_buffered_size: 1, max_buffered_msgs: 2
            request_queue_limit: 3, info_queue_limit: 4
            limits {max_ack_pending: 5, max_request_batch: 6, duplicate_window: \"1m\"
                batch {max_inflight_per_stream 7, max_inflight_total 8, max_msgs 9, timeout 10s}}
        }",
    );
    assert_eq!(
        o.jetstream,
        JetStream {
            enabled: true,
            store_dir: Some("/d".into()),
            max_memory: Some(1_000_000_000),
            max_store: Some(10 << 30),
            domain: Some("d".into()),
            sync: SyncPolicy::Every(Duration::from_secs(120)),
            strict: false,
            limits: JetStreamLimits {
                max_ack_pending: Some(5),
                max_request_batch: Some(6),
                duplicate_window: Some(Duration::from_secs(60)),
                batch: BatchLimits {
                    max_inflight_per_stream: Some(7),
                    max_inflight_total: Some(8),
                    max_msgs: Some(9),
                    timeout: Some(Duration::from_secs(10)),
                },
            },
            max_buffered_size: Some(1),
            max_buffered_msgs: Some(2),
            request_queue_limit: Some(3),
            info_queue_limit: Some(4),
        }
    );
    for text in ["jetstream {}", "jetstream {sync_interval: always}", "jetstream {sync: Always}"] {
        assert_eq!(options(text).jetstream.sync, SyncPolicy::BeforeAck, "{text}");
    }
    let o = options("store_dir: \"/d\"\njetstream {max_mem: -1}");
    assert_eq!((o.jetstream.store_dir.as_deref(), o.jetstream.max_memory), (Some("/d"), None));
}

#[test]
fn wrong_jetstream() {
    for (text, expected) in [
        ("jetstream 5", "1:0: Expected map, bool or string to define JetStream, got an integer"),
        ("jetstream foo", "1:0: Expected 'enabled' or 'disabled' for string value, got 'foo'"),
        ("jetstream {foo 1}", "1:11: unknown field \"foo\""),
        ("jetstream {limits {foo 1}}", "1:19: unknown field \"foo\""),
        ("jetstream {limits {batch {foo 1}}}", "1:26: unknown field \"foo\""),
        ("jetstream {limits 5}", "1:11: Expected a map to define JetStreamLimits, got an integer"),
        (
            "jetstream {max_mem \"1x\"}",
            "1:11: max_mem sizes defined as strings must end in K, M, G, T",
        ),
        ("jetstream {max_mem \"1.5G\"}", "1:11: max_mem: \"1.5\" is not a number of bytes"),
        (
            "jetstream {sync_interval foo}",
            "1:11: error parsing sync_interval: time: invalid duration \"foo\"",
        ),
        ("jetstream {domain \"a.b\"}", "1:11: invalid domain name: may not contain ., * or >"),
        (
            "jetstream {domain \"a b\"}",
            "1:11: invalid domain name: derived \"$JS.a b.API.>\" is not a valid subject",
        ),
        (
            "store_dir \"/a\"\njetstream {store_dir \"/b\"}",
            "2:12: Duplicate 'store_dir' configuration",
        ),
        ("jetstream {cipher foo}", "1:11: Unknown cipher type: \"foo\""),
        ("jetstream {key abc}", "1:11: \"key\" is not supported yet"),
        ("jetstream {tpm {keys_file x}}", "1:11: \"tpm\" is not supported yet"),
    ] {
        refused(text, &format!("C:{expected}"));
    }
}

#[test]
fn operators() {
    let world = World::default()
        .file(
            "/op.jwt",
            &format!(
                "-----BEGIN NATS OPERATOR JWT-----\n{JWT}\n------END NATS OPERATOR JWT------\n"
            ),
        )
        .file("/bad.jwt", "nothing");
    let load = |text: &str| Options::parse(text, "C", &world);
    let o = load(&format!(
        "operator: [{JWT}, \"/op.jwt\"]\nresolver: MEMORY\nsystem_account: {ACCOUNT}\n\
         resolver_preload {{ {ACCOUNT}: {JWT} }}\nresolver_pinned_accounts: [{ACCOUNT}]"
    ))
    .unwrap();
    assert_eq!(o.operators.len(), 2);
    assert!(o.operators.iter().all(|operator| operator.value == JWT));
    assert_eq!(o.resolver, Some(Resolver::Memory));
    let (key, token) = &o.resolver_preload[0];
    assert_eq!((key.as_str(), token.value.as_str()), (ACCOUNT, JWT));
    assert_eq!(token.position.to_string(), "C:4:20");
    assert!(o.is_operator_mode() && o.requires_login());
    assert_eq!(o.validate(), Ok(()));
    assert_eq!(load(&format!("trusted_keys: {OPERATOR}")).unwrap().trusted_keys, [OPERATOR]);
    for (text, expected) in [
        ("operator foo", "1:0: error parsing operator JWT: open foo: no such file or directory"),
        ("operator \"/bad.jwt\"", "1:0: error parsing operator JWT: no JWT in /bad.jwt"),
        ("trusted x", "1:0: trust key \"x\" required to be a valid public operator nkey"),
        (
            "resolver foo",
            "1:0: error parsing account resolver, should be MEM or  URL(\"url\") or a map \
             containing dir and type state=[FULL|CACHE])",
        ),
        ("resolver \"URL(http://x/y)\"", "1:0: resolver URL(...) is not supported yet"),
        ("resolver {type full, dir x}", "1:0: resolver of type \"full\" is not supported yet"),
        ("resolver_preload 5", "1:0: preload should be a map of account_public_key:account_jwt"),
        ("resolver_preload {A: b}", "1:18: invalid account JWT"),
    ] {
        assert_eq!(load(text).unwrap_err().to_string(), format!("C:{expected}"));
    }
}

#[test]
fn what_is_not_built_is_refused_or_named() {
    for key in [
        "mqtt",
        "leafnodes",
        "leaf",
        "cluster",
        "gateway",
        "proxies",
        "proxy_protocol",
        "ocsp",
        "resolver_tls",
    ] {
        refused(&format!("{key} {{}}"), &format!("C:1:0: \"{key}\" is not supported yet"));
    }
    refused("proxy_protocol: true", "C:1:0: \"proxy_protocol\" is not supported yet");
    options("proxy_protocol: false");
    refused(
        "mqtt {port: 80, foo: 1}",
        "C:1:0: \"mqtt\" is not supported yet\nC:1:16: unknown field \"foo\"",
    );
    for inside in
        ["auth_callout {}", "proxy_required: true", "users [{user a, proxy_required: yes}]"]
    {
        let error = parse(&format!("authorization {{{inside}}}")).unwrap_err();
        assert!(error.ends_with("is not supported yet"), "{error}");
    }
    for text in [
        "syslog: true",
        "remote_syslog: \"udp://x\"",
        "prof_port: 1",
        "prof_block_rate: 1",
        "write_timeout: close",
        "ocsp_cache: true",
        "connect_error_reports: 1",
        "reconnect_error_reports: 1",
        "default_js_domain {A: b}",
        "feature_flags {a: true}",
        "default_sentinel: a",
        "jetstream {unique_tag: a}",
        "jetstream {limits {max_ha_assets: 5}}",
        "accounts {A {msg_trace: {dest: a}}}",
    ] {
        let warnings = parse(text).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{text}");
        let warning = warnings[0].to_string();
        assert!(warning.ends_with("\" is not supported yet and has no effect"), "{warning}");
        assert!(!warnings[0].fatal_in_check);
    }
    refused("syslog: 5", "C:1:0: \"syslog\" must be a bool, not an integer");
    refused("write_timeout: foo", "C:1:0: write_timeout must be 'default', 'close' or 'retry'");
}

#[test]
fn the_whole_is_validated() {
    let operator = format!("operator: {JWT}\n");
    let memory = format!("{operator}resolver: MEMORY\n");
    for (text, expected) in [
        (
            "max_payload: 2MB, max_pending: 1MB".to_owned(),
            "max_payload (2097152) cannot be higher than max_pending (1048576)",
        ),
        (
            "lame_duck_grace_period: \"200s\"".to_owned(),
            "lame duck grace period (3m20s) should be strictly lower than lame duck duration \
             (2m0s)",
        ),
        ("system_account: X".to_owned(), "error resolving system account: account missing"),
        (
            "no_auth_user: x".to_owned(),
            "no_auth_user: \"x\" present, but users/nkeys are not defined",
        ),
        (
            "authorization {users [{user a}]}, no_auth_user: x".to_owned(),
            "no_auth_user: \"x\" not present as user or nkey in authorization block or account \
             configuration",
        ),
        (operator.clone(), "operators require an account resolver to be configured"),
        (
            format!("{operator}resolver_preload {{A: {JWT}}}"),
            "resolver preloads only available for writeable resolver types MEM/DIR/CACHE_DIR",
        ),
        (
            format!("{memory}accounts {{A {{}}}}"),
            "operators do not allow Accounts to be configured directly",
        ),
        (
            format!("{memory}authorization {{users [{{user a}}]}}"),
            "operators do not allow users to be configured directly",
        ),
        (format!("{memory}no_auth_user: a"), "no_auth_user not compatible with Trusted Operator"),
        (
            format!("{memory}trusted_keys: {OPERATOR}"),
            "conflicting options for 'TrustedKeys' and 'TrustedOperators'",
        ),
        (
            format!("{memory}resolver_pinned_accounts: [x]"),
            "pinned account key \"x\" is not a valid public account nkey",
        ),
        (
            format!("{memory}system_account: X"),
            "error resolving system account: will only fetch valid account keys",
        ),
        (
            format!("{memory}system_account: {ACCOUNT}"),
            "error resolving system account: account missing",
        ),
    ] {
        assert_eq!(options(&text).validate().unwrap_err().to_string(), expected);
    }
    for text in [
        "system_account: \"$SYS\"".to_owned(),
        "accounts {A {users [{user a}]}}, system_account: A, no_auth_user: a".to_owned(),
        format!("trusted_keys: {OPERATOR}, accounts {{A {{}}}}"),
        memory,
    ] {
        assert_eq!(options(&text).validate(), Ok(()), "{text}");
    }
}

#[test]
fn notices_of_every_start() {
    const PLAIN: &str = "Plaintext passwords detected, use nkeys or bcrypt";
    for (text, plain) in [
        ("authorization {user a, password b}", true),
        ("authorization {users [{user a}]}", true),
        ("accounts {A {users [{user a, password b}]}}", true),
        ("authorization {users [{user a, password $2a$11$abc}]}", false),
        ("authorization {token a}", false),
    ] {
        assert_eq!(options(text).startup_notices().contains(&PLAIN), plain, "{text}");
    }
    assert_eq!(options("max_payload: 9MB").startup_notices().len(), 1);
    assert_eq!(options("max_payload: 8MB").startup_notices().len(), 0);
}

#[test]
fn tls_blocks_are_read() {
    use natterjack_config::options::{HandshakeFirst, TlsVersion};
    let pin = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
    let o = options(&format!(
        r#"
        tls {{
          cert_file: a.pem, key_file: b.pem, ca_file: c.pem, verify_and_map: true, timeout: 0.5
          pinned_certs: ["{pin}"], min_version: "1.3", handshake_first: "100ms"
          cipher_suites: [TLS_AES_256_GCM_SHA384], curve_preferences: [X25519]
          connection_rate_limit: 10
        }}
        allow_non_tls: true
        https_port: 8443"#
    ));
    let tls = o.tls.clone().unwrap();
    assert_eq!((tls.certificates.len(), tls.certificates[0].key.as_str()), (1, "b.pem"));
    assert!(tls.verify && tls.verify_and_map && o.allow_non_tls);
    assert_eq!(tls.timeout, Duration::from_millis(500));
    assert_eq!(tls.handshake_first, HandshakeFirst::Within(Duration::from_millis(100)));
    assert!(tls.pinned_certs.contains(&pin.to_ascii_lowercase()));
    assert_eq!((tls.min_version, tls.connection_rate_limit), (TlsVersion::V13, Some(10)));
    assert_eq!(o.https_port, Some(8443));
    let list = options("tls {certs: [{cert_file: a, key_file: b}, {cert_file: c, key_file: d}]}");
    assert_eq!(list.tls.unwrap().certificates.len(), 2);
    for (first, expected) in [
        ("true", HandshakeFirst::Always),
        ("false", HandshakeFirst::No),
        ("auto", HandshakeFirst::Within(Duration::from_millis(50))),
        ("\"on\"", HandshakeFirst::Always),
    ] {
        let o = options(&format!("tls {{handshake_first: {first}}}"));
        assert_eq!(o.tls.unwrap().handshake_first, expected, "{first}");
    }
}

#[test]
fn wrong_tls_blocks_are_refused_in_the_words_of_the_reference() {
    for (inside, expected) in [
        ("cert_file: x", "1:0: missing 'key_file' in TLS configuration"),
        ("foo: 1", "1:5: error parsing tls config, unknown field \"foo\""),
        ("cipher_suites: []", "1:5: error parsing tls config, 'cipher_suites' cannot be empty"),
        ("cipher_suites: [FOO]", "1:5: unrecognized cipher FOO"),
        (
            "cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]",
            "1:5: cipher TLS_RSA_WITH_RC4_128_SHA is not supported yet",
        ),
        ("curve_preferences: [FOO]", "1:5: unrecognized curve preference FOO"),
        ("min_version: \"1.1\"", "1:5: error parsing tls config: unsupported TLS version: TLS 1.1"),
        ("min_version: foo", "1:5: error parsing tls config: unknown version: foo"),
        (
            "pinned_certs: [zz]",
            "1:20: error parsing tls config, 'pinned_certs' key zz does not look like hex-encoded \
             sha256 of DER encoded SubjectPublicKeyInfo",
        ),
        ("handshake_first: abc", "1:5: field \"handshake_first\"'s value \"abc\" is invalid"),
        ("timeout: true", "1:5: error parsing tls config, 'timeout' wrong type"),
        (
            "cert_file: a, key_file: b, certs: [{cert_file: c, key_file: d}]",
            "1:0: error parsing tls config, cannot combine 'cert_file' option with 'certs' option",
        ),
        (
            "verify_cert_and_check_known_urls: true",
            "1:5: verify_cert_and_check_known_urls not supported in this context",
        ),
        ("ocsp_peer: true", "1:5: \"ocsp_peer\" is not supported yet"),
        ("cert_match: x", "1:5: \"cert_match\" is not supported yet"),
    ] {
        refused(&format!("tls {{{inside}}}"), &format!("C:{expected}"));
    }
}

#[test]
fn websocket_blocks_are_read() {
    let o = options(
        r#"websocket {
          listen: "127.0.0.1:-1", no_tls: true, same_origin: true, compression: true
          allowed_origins: ["http://a:8080"], handshake_timeout: "3s", ping_interval: "1m"
          user_cookie: u, pass_cookie: p, token_cookie: t, headers {X-A: b}
        }"#,
    );
    let ws = o.websocket.clone().unwrap();
    assert_eq!((ws.host.as_deref(), ws.port), (Some("127.0.0.1"), Some(0)));
    assert!(ws.no_tls && ws.same_origin && ws.compression);
    assert_eq!(ws.handshake_timeout, Duration::from_secs(3));
    assert_eq!(ws.headers, [("X-A".to_owned(), "b".to_owned())]);
    assert_eq!(o.validate(), Ok(()));
    refused("websocket {port: 80, foo: 1}", "C:1:21: unknown field \"foo\"");
    refused("websocket: 5", "C:1:0: Expected websocket to be a map, got an integer");
    refused(
        "ws {headers {a: 5}}",
        "C:1:13: error parsing header key a: unsupported type an integer",
    );
    refused("ws {headers {\"a b\": c}}", "C:1:14: error parsing header key a b: not a header");
    for (text, expected) in [
        ("websocket {port: 80}", "websocket requires TLS configuration"),
        (
            "websocket {port: 80, no_tls: true, jwt_cookie: jc}",
            "trusted operators or trusted keys configuration is required for JWT authentication via \
             cookie \"jc\"",
        ),
        (
            "websocket {port: 80, no_tls: true, allowed_origins: \"bad origin::\"}",
            "unable to parse allowed origin: parse \"bad origin::\": invalid URI for request",
        ),
        (
            "websocket {port: 80, no_tls: true, no_auth_user: x}",
            "no_auth_user: \"x\" present, but users/nkeys are not defined",
        ),
        ("tls {}", "TLS Server certificate must be present and valid"),
        ("https: 8443", "TLS cert and key required for HTTPS"),
    ] {
        assert_eq!(options(text).validate().unwrap_err().to_string(), expected, "{text}");
    }
}
