//! Options from files: values, verdicts, positions.

mod jetstream;
mod login;
mod transports;
mod whole;

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
