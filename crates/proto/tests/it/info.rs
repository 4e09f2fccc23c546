//! The INFO message.

use natterjack_proto::connect::SubjectPermission;
use natterjack_proto::{Info, encode};

fn full() -> Info {
    Info {
        server_id: "NA".into(),
        server_name: "me".into(),
        version: "2.15.1".into(),
        proto: 1,
        git_commit: "c".into(),
        go: "go1".into(),
        host: "127.0.0.1".into(),
        port: 4222,
        headers: true,
        auth_required: true,
        tls_required: true,
        tls_verify: true,
        tls_available: true,
        max_payload: 1_048_576,
        jetstream: true,
        ip: "i".into(),
        client_id: 5,
        client_ip: "127.0.0.2".into(),
        nonce: "n".into(),
        cluster: "c".into(),
        cluster_dynamic: true,
        domain: "d".into(),
        connect_urls: vec!["a:1".into(), "b:2".into()],
        ws_connect_urls: vec!["w:1".into()],
        ldm: true,
        compression: "off".into(),
        connect_info: true,
        remote_account: "$G".into(),
        acc_is_sys: true,
        api_lvl: 5,
        import: Some(SubjectPermission { allow: vec!["x".into()], deny: vec![] }),
        export: Some(SubjectPermission { allow: vec![], deny: vec!["y".into()] }),
        info_on_connect: true,
        leafnode_urls: vec!["l:1".into()],
        xkey: "X".into(),
    }
}

#[test]
fn key_order() {
    let expected = concat!(
        r#"{"server_id":"NA","server_name":"me","version":"2.15.1","proto":1,"git_commit":"c","go":"go1","#,
        r#""host":"127.0.0.1","port":4222,"headers":true,"auth_required":true,"tls_required":true,"#,
        r#""tls_verify":true,"tls_available":true,"max_payload":1048576,"jetstream":true,"ip":"i","#,
        r#""client_id":5,"client_ip":"127.0.0.2","nonce":"n","cluster":"c","cluster_dynamic":true,"#,
        r#""domain":"d","connect_urls":["a:1","b:2"],"ws_connect_urls":["w:1"],"ldm":true,"#,
        r#""compression":"off","connect_info":true,"remote_account":"$G","acc_is_sys":true,"api_lvl":5,"#,
        r#""import":{"allow":["x"]},"export":{"deny":["y"]},"info_on_connect":true,"#,
        r#""leafnode_urls":["l:1"],"xkey":"X"}"#,
    );
    let mut out = Vec::new();
    encode::info(&mut out, &full());
    assert_eq!(String::from_utf8(out).unwrap(), format!("INFO {expected} \r\n"));
    assert_eq!(Info::parse(expected.as_bytes()).unwrap(), full());
}

#[test]
fn empty_fields_are_left_out() {
    let mut out = Vec::new();
    encode::info(&mut out, &Info::default());
    let expected = concat!(
        r#"INFO {"server_id":"","server_name":"","version":"","proto":0,"go":"","host":"","port":0,"#,
        r#""headers":false,"max_payload":0} "#,
        "\r\n",
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

/// The first line of nats-server 2.15.1 comes out as it went in.
#[test]
fn reference_line_survives() {
    let line = concat!(
        r#"INFO {"server_id":"NAIC4ZVNNUPUQKRNU7AB7RPZSYTSTVF6KW75HD5UXLXW56Y7I6HHQL5A","#,
        r#""server_name":"probe","version":"2.15.1","proto":1,"git_commit":"b2fd3ef","go":"go1.27.2","#,
        r#""host":"127.0.0.1","port":24391,"headers":true,"max_payload":100,"jetstream":true,"#,
        r#""client_id":5,"client_ip":"127.0.0.1","api_lvl":5,"#,
        r#""xkey":"XCDRTCSC6AD7XPAZX7KAQ4TRY4M5ABZ2GHMH4ILPYUHWGVRBPJPH35KU"} "#,
        "\r\n",
    );
    let json = line.trim_start_matches("INFO ").trim_end();
    let mut out = Vec::new();
    encode::info(&mut out, &Info::parse(json.as_bytes()).unwrap());
    assert_eq!(String::from_utf8(out).unwrap(), line);
}

#[test]
fn a_clients_info_is_checked_as_json() {
    for good in ["{}", "null", r#"{"foo":1,"connect_urls":null}"#] {
        assert_eq!(Info::parse(good.as_bytes()).unwrap(), Info::default(), "{good}");
    }
    for bad in ["", "\r", "{foo", r#"{"port":"x"}"#, "[1]", "1"] {
        assert!(Info::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
}
