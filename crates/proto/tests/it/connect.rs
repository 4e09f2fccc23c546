//! CONNECT arguments. Every row was seen on nats-server 2.15.1.

use natterjack_proto::Connect;
use natterjack_proto::connect::{SubjectPermission, redact};

fn parse(json: impl AsRef<[u8]>) -> Connect {
    let json = json.as_ref();
    Connect::parse(json).unwrap_or_else(|e| panic!("{}: {e}", json.escape_ascii()))
}

#[test]
fn every_field() {
    let c = parse(
        r#"{"verbose":true,"pedantic":false,"echo":true,"headers":false,"no_responders":true,
        "protocol":1,"tls_required":true,"user":"u","pass":"p","auth_token":"t","nkey":"n","sig":"s",
        "jwt":"j","name":"na","lang":"l","version":"v","account":"a","new_account":true,
        "proxy_sig":"ps","remote_account":"ra","import":{"allow":["i"]},"export":{"deny":["e"]}}"#,
    );
    let flags =
        [c.verbose, c.pedantic, c.echo, c.headers, c.no_responders, c.tls_required, c.new_account];
    assert_eq!(flags, [true, false, true, false, true, true, true].map(Some));
    assert_eq!(c.protocol, Some(1));
    let texts = [
        (&c.user, "u"),
        (&c.pass, "p"),
        (&c.auth_token, "t"),
        (&c.nkey, "n"),
        (&c.sig, "s"),
        (&c.jwt, "j"),
        (&c.name, "na"),
        (&c.lang, "l"),
        (&c.version, "v"),
        (&c.account, "a"),
        (&c.proxy_sig, "ps"),
        (&c.remote_account, "ra"),
    ];
    for (field, expected) in texts {
        assert_eq!(field.as_deref(), Some(expected));
    }
    assert_eq!(c.import, Some(SubjectPermission { allow: vec!["i".into()], deny: vec![] }));
    assert_eq!(c.export, Some(SubjectPermission { allow: vec![], deny: vec!["e".into()] }));
}

#[test]
fn absent_and_null_fields_are_none() {
    for json in
        ["{}", " { } ", "null", "\r{}", "\n{}\t", r#"{"verbose":null,"pass":null,"import":null}"#]
    {
        assert_eq!(parse(json), Connect::default(), "{json:?}");
    }
}

#[test]
fn tolerances() {
    // 25: unknown fields, of whatever type, and field names in any case.
    assert_eq!(parse(r#"{"x":[{"verbose":1}],"y":"\ud800","VERBOSE":false}"#).verbose, Some(false));
    assert_eq!(parse(r#"{"Auth_Token":"t"}"#).auth_token.as_deref(), Some("t"));
    assert_eq!(parse("{\"verbo\u{17f}e\":true,\"n\u{212a}ey\":\"n\"}").verbose, Some(true));
    // Of duplicates the last counts; null leaves the value.
    assert_eq!(parse(r#"{"verbose":true,"verbose":false}"#).verbose, Some(false));
    assert_eq!(parse(r#"{"verbose":true,"VERBOSE":null}"#).verbose, Some(true));
    // What is not UTF-8 is replaced.
    assert_eq!(parse(b"{\"name\":\"a\xffb\"}").name.as_deref(), Some("a\u{fffd}b"));
    assert!(parse(r#"{"name":"\ud800"}"#).name.is_some());
    assert_eq!(parse(r#"{"name":"\u00e9\ud83d\ude00\n"}"#).name.as_deref(), Some("é\u{1f600}\n"));
    assert_eq!(parse(r#"{"import":{"allow":["x"],"y":1}}"#).import.unwrap().allow, ["x"]);
    // Any integer parses; the session refuses all but 0 and 1.
    assert_eq!(parse(r#"{"protocol":-7}"#).protocol, Some(-7));
}

#[test]
fn refused() {
    let rows = [
        "",
        " ",
        "\r",
        "{foo",
        "{\"verbose\":true",
        "[]",
        "1",
        "\"a\"",
        "true",
        "{}x",
        "{} {}",
        "{}\x0c",
        r#"{"verbose":"yes"}"#,
        r#"{"verbose":1}"#,
        r#"{"protocol":"1"}"#,
        r#"{"protocol":1.0}"#,
        r#"{"protocol":1e0}"#,
        r#"{"protocol":true}"#,
        r#"{"protocol":99999999999999999999}"#,
        r#"{"user":1}"#,
        r#"{"user":true}"#,
        r#"{"name":["x"]}"#,
        r#"{"name":{}}"#,
        r#"{"import":1}"#,
        r#"{"import":{"allow":1}}"#,
        r#"{"new_account":"x"}"#,
        r#"{"verbose":true,}"#,
        "{\"name\":\"a\x01\"}",
        r#"{"name":"\q"}"#,
        r#"{"a":[[[[[1}"#,
        r#"{'verbose':true}"#,
    ];
    for json in rows {
        assert!(Connect::parse(json.as_bytes()).is_err(), "{json:?}");
    }
}

#[test]
fn merge_keeps_what_the_second_does_not_say() {
    let mut c = parse(r#"{"verbose":false,"echo":false,"user":"u","pass":"p"}"#);
    c.merge(parse(r#"{"echo":true,"pass":"q","name":"n"}"#));
    assert_eq!(c, parse(r#"{"verbose":false,"echo":true,"user":"u","pass":"q","name":"n"}"#));
}

#[test]
fn secrets_show_neither_in_debug_nor_in_errors() {
    let c = parse(
        r#"{"user":"who","pass":"hush","auth_token":"hush","nkey":"hush","sig":"hush","jwt":"hush","proxy_sig":"hush"}"#,
    );
    let shown = format!("{c:?}");
    assert!(!shown.contains("hush"), "{shown}");
    assert!(shown.contains("who"), "{shown}");
    assert_eq!(shown.matches("[REDACTED]").count(), 6, "{shown}");
    for json in [r#"{"verbose":"hush"}"#, r#"{"pass":{"hush":1}}"#, r#"{"user":"a" "hush"}"#] {
        let error = Connect::parse(json.as_bytes()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}

#[test]
fn traces_are_redacted() {
    let rows = [
        (r#"{"user":"u","pass":"hush"}"#, r#"{"user":"u","pass":"[REDACTED]"}"#),
        (r#"{"PASS" : "hu\"sh\\","x":1}"#, r#"{"PASS" : "[REDACTED]","x":1}"#),
        (
            r#"{"auth_token":"a","sig":"b","proxy_sig":"c","nkey":"d","jwt":"e"}"#,
            r#"{"auth_token":"[REDACTED]","sig":"[REDACTED]","proxy_sig":"[REDACTED]","nkey":"[REDACTED]","jwt":"e"}"#,
        ),
        (r#"{"name":"pass","x":"pass"}"#, r#"{"name":"pass","x":"pass"}"#),
        (r#"{"name":"pass","pass":"hush"}"#, r#"{"name":"pass","pass":"[REDACTED]"}"#),
        (r#"{"pass":"hush"#, r#"{"pass":"[REDACTED]"#),
        (r#"{"pass":"hush\"#, r#"{"pass":"[REDACTED]"#),
        (r#"{"p\u0061ss":"hush"}"#, r#"{"p\u0061ss":"[REDACTED]"}"#),
        ("{\"pa\u{17f}\u{17f}\":\"hush\"}", "{\"pa\u{17f}\u{17f}\":\"[REDACTED]\"}"),
        (r#"{"p\u0061st":"x"}"#, r#"{"p\u0061st":"x"}"#),
        (r#"{"pass":null,"pass":1}"#, r#"{"pass":null,"pass":1}"#),
        (r#"{"pass":"#, r#"{"pass":"#),
        (r#"{"pass"#, r#"{"pass"#),
        (r#"""#, r#"""#),
        ("", ""),
    ];
    for (json, expected) in rows {
        assert_eq!(String::from_utf8(redact(json.as_bytes())).unwrap(), expected, "{json}");
    }
}
