//! Who may log in: single logins, users, accounts, operators.

use super::*;

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
        ("resolver \"URL(ftp://x/y)\"", "1:0: error parsing account resolver url [\"ftp://x/y\"]"),
        ("resolver {type full}", "1:0: dir has no value and needs to point to a directory"),
        ("resolver {type full, dir x, ttl \"1h\"}", "1:0: FULL does not accept ttl"),
        (
            "resolver {type full, dir x, hard_delete true}",
            "1:0: hard_delete has no effect without delete",
        ),
        ("resolver {type cache, dir x, interval \"1m\"}", "1:0: CACHE does not accept sync"),
        (
            "resolver {type cache, dir x, allow_delete on}",
            "1:0: CACHE does not accept allow_delete",
        ),
        ("resolver {type full, dir x, foo 1}", "1:28: unknown field \"foo\""),
        ("resolver_preload 5", "1:0: preload should be a map of account_public_key:account_jwt"),
        ("resolver_preload {A: b}", "1:18: invalid account JWT"),
    ] {
        assert_eq!(load(text).unwrap_err().to_string(), format!("C:{expected}"));
    }
}

#[test]
fn a_web_server_of_account_jwts_is_read() {
    for text in ["URL(http://x/y/)", "url( \"http://x/y/\" )", "URL (http://x/y/)"] {
        let o = options(&format!("resolver: '{text}'"));
        assert_eq!(o.resolver, Some(Resolver::Url("http://x/y/".into())), "{text}");
    }
    assert_eq!(
        options("resolver: URL(https://x)\nresolver_tls {ca_file: y}")
            .resolver_tls
            .unwrap()
            .ca_file,
        Some("y".into())
    );
    let with = |more: &str| {
        let text = format!("operator: {JWT}\nresolver: URL(http://x)\nsystem_account: {ACCOUNT}\n");
        options(&format!("{text}{more}")).validate()
    };
    assert_eq!(with(""), Ok(()));
    assert_eq!(
        with(&format!("resolver_preload {{ {ACCOUNT}: {JWT} }}")),
        Err(ValidationError::PreloadWithoutResolver)
    );
}

#[test]
fn directories_of_account_jwts_are_read() {
    let directory = |text: &str| match options(text).resolver {
        Some(Resolver::Directory(directory)) => directory,
        other => panic!("{text}: {other:?}"),
    };
    let full =
        directory("resolver {type FULL, dir x, allow_delete true, interval \"2m\", limit 5}");
    assert_eq!((full.dir.as_str(), full.is_cache), ("x", false));
    assert_eq!((full.delete, full.limit), (Deletion::Rename, Some(5)));
    assert_eq!(full.interval, Some(Duration::from_secs(120)));
    assert_eq!(full.timeout, Duration::from_millis(1900));
    let hard = "resolver {type full, dir x, allow_delete true, hard_delete true}";
    assert_eq!(directory(hard).delete, Deletion::Remove);
    assert_eq!(directory("resolver {type full, dir x}").delete, Deletion::Never);
    let cache = directory("resolver {type cache, dir x, ttl \"1h\", timeout \"1s\"}");
    assert_eq!((cache.is_cache, cache.limit), (true, Some(1000)));
    assert_eq!(
        (cache.ttl, cache.timeout),
        (Some(Duration::from_secs(3600)), Duration::from_secs(1))
    );
}

#[test]
fn an_authorization_callout_is_read() {
    let read = |inside: &str| {
        parse(&format!("accounts {{A {{}}}}, authorization {{auth_callout {{{inside}}}}}"))
    };
    let callout = read(&format!("issuer: {ACCOUNT}, auth_users: [a], account: A")).unwrap();
    let callout = callout.authorization.callout.unwrap();
    assert_eq!((callout.issuer.as_str(), callout.account.as_str()), (ACCOUNT, "A"));
    assert_eq!(callout.auth_users, ["a"]);
    let without = read(&format!("issuer: {ACCOUNT}, auth_users: [a]")).unwrap();
    assert_eq!(without.authorization.callout.unwrap().account, "$G");
    for (inside, expected) in [
        ("auth_users: [a]".to_owned(), "Authorization callouts require an issuer to be specified"),
        (
            format!("issuer: {ACCOUNT}"),
            "Authorization callouts require authorized users to be specified",
        ),
        (
            "issuer: x, auth_users: [a]".to_owned(),
            "Expected callout user to be a valid public account nkey, got \"x\"",
        ),
        (
            format!("issuer: {ACCOUNT}, auth_users: [a], xkey: x"),
            "Expected callout xkey to be a valid public xkey, got \"x\"",
        ),
        (
            format!("issuer: {ACCOUNT}, auth_users: [a], allowed_accounts: [B]"),
            "auth_callout allowed account \"B\" not found in configured accounts",
        ),
        (
            format!("issuer: {ACCOUNT}, auth_users: [a], foo: 1"),
            "Unknown field \"foo\" parsing authorization callout",
        ),
    ] {
        let error = read(&inside).unwrap_err();
        assert!(error.ends_with(expected), "{error}");
    }
}
