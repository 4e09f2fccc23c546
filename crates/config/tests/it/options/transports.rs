//! The `tls` and `websocket` blocks.

use super::*;

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
