//! What is said of a configuration as a whole: what is not built, what contradicts itself, notices.

use super::*;
use natterjack_config::options::WriteTimeout;

#[test]
fn what_is_not_built_is_refused_or_named() {
    for key in ["mqtt", "leafnodes", "leaf", "cluster", "gateway", "ocsp"] {
        refused(&format!("{key} {{}}"), &format!("C:1:0: \"{key}\" is not supported yet"));
    }
    refused("resolver_tls {insecure: true}", "C:1:14: \"insecure\" is not supported yet");
    refused(
        "mqtt {port: 80, foo: 1}",
        "C:1:0: \"mqtt\" is not supported yet\nC:1:16: unknown field \"foo\"",
    );
    let inside = "authorization {users [{user a, proxy_required: yes}]}";
    assert!(options(inside).authorization.users[0].proxy_required);
    assert!(options("authorization {proxy_required: true}").authorization.proxy_required);
    assert!(options("proxy_protocol: true").proxy_protocol);
    for text in [
        "prof_port: 1",
        "prof_block_rate: 1",
        "ocsp_cache: true",
        "connect_error_reports: 1",
        "reconnect_error_reports: 1",
        "default_js_domain {A: b}",
        "feature_flags {js_ack_fc_v2: true}",
        "jetstream {unique_tag: a}",
        "jetstream {limits {max_ha_assets: 5}}",
    ] {
        let warnings = parse(text).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{text}");
        let warning = warnings[0].to_string();
        assert!(warning.ends_with("\" is not supported yet and has no effect"), "{warning}");
        assert!(!warnings[0].fatal_in_check);
    }
    assert_eq!(options("write_timeout: close").write_timeout, WriteTimeout::Close);
    assert_eq!(options("write_timeout: retry").write_timeout.name(), Some("retry"));
    assert_eq!(options("write_timeout: default").write_timeout.name(), None);
    refused("write_timeout: foo", "C:1:0: write_timeout must be 'default', 'close' or 'retry'");
}

#[test]
fn an_empty_file_is_an_error_to_a_check_only() {
    let o = parse("# nothing").unwrap();
    assert_eq!((o.port, o.warnings.len()), (4222, 1));
    let text = "C: config has no values or is empty";
    assert_eq!(o.warnings[0].to_string(), text);
    assert_eq!(o.check_deprecated().unwrap_err().to_string(), text);
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
