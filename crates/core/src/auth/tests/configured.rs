//! Logins by the configuration: open, token, one user, many users and nkeys.

use super::*;
use crate::permissions::{PermissionsSpec, SubjectRules};

fn authenticator(config: AuthConfig) -> Authenticator {
    Authenticator::new(config, hooks()).unwrap()
}

fn method(method: Method) -> Authenticator {
    authenticator(AuthConfig { method, ..AuthConfig::default() })
}

fn user_pass<'a>(user: &'a str, pass: &'a str) -> Credentials<'a> {
    Credentials { user: Some(user), pass: Some(pass), ..Credentials::default() }
}

fn token(token: &str) -> Credentials<'_> {
    Credentials { auth_token: Some(token), ..Credentials::default() }
}

fn nobody() -> Credentials<'static> {
    Credentials::default()
}

fn publish(subject: &str) -> Option<PermissionsSpec> {
    let publish = SubjectRules { allow: vec![subject.to_owned()], deny: Vec::new() };
    Some(PermissionsSpec { publish, ..PermissionsSpec::default() })
}

#[track_caller]
fn check(server: &Authenticator, credentials: Credentials<'_>, expected: &str) {
    let login = server.authenticate(&credentials, NONCE, &from("127.0.0.1"), NOW);
    assert_eq!(outcome(login), expected, "{credentials:?}");
}

#[test]
fn an_open_server_takes_everybody() {
    let server = method(Method::Open);
    check(&server, nobody(), "- in $G");
    check(&server, user_pass("a", "b"), "a in $G");
    check(&server, token("t"), "[REDACTED] in $G");
    assert!(
        !server.auth_required()
            && !server.needs_nonce()
            && server.admits_anonymous(ConnectionType::Standard)
    );
}

#[test]
fn a_token_is_compared() {
    for configured in ["tok", "$2a$04$tok"] {
        let server = method(Method::Token(configured.into()));
        check(&server, token("tok"), "[REDACTED] in $G");
        check(&server, token("no"), "wrong token");
        check(&server, token(""), "no credentials");
        check(&server, nobody(), "no credentials");
        check(&server, user_pass("tok", ""), "no credentials");
        check(&server, user_pass("", "tok"), "no credentials");
        check(&server, Credentials { user: Some("a"), ..token("tok") }, "a in $G");
        assert!(
            server.auth_required()
                && !server.needs_nonce()
                && !server.admits_anonymous(ConnectionType::Standard)
        );
        assert_eq!(server.costs_cpu(&token("x")), configured.starts_with('$'));
        assert!(!server.costs_cpu(&nobody()));
    }
}

#[test]
fn a_single_user_is_compared() {
    for configured in ["pw", "$2a$04$pw"] {
        let server = method(Method::SingleUser { user: "u".into(), password: configured.into() });
        check(&server, user_pass("u", "pw"), "u in $G");
        check(&server, user_pass("u", "x"), "wrong password");
        check(&server, user_pass("u", ""), "wrong password");
        check(&server, user_pass("x", "pw"), "unknown user");
        check(&server, token("pw"), "no credentials");
        check(&server, Credentials { auth_token: Some("zz"), ..user_pass("u", "pw") }, "u in $G");
        assert_eq!(server.costs_cpu(&user_pass("u", "x")), configured.starts_with('$'));
        assert!(!server.costs_cpu(&user_pass("x", "x")));
    }
    let server = method(Method::SingleUser { user: "u".into(), password: "".into() });
    check(&server, user_pass("u", ""), "u in $G");
    check(&server, user_pass("u", "x"), "wrong password");
}

fn many_users(no_auth_user: Option<&str>) -> AuthConfig {
    let mut in_a = UserConfig::with_password("aa", "$2a$04$aa");
    in_a.account = Some("A".into());
    let mut own = UserConfig::with_password("own", "own");
    own.permissions = publish("own");
    let mut ws = UserConfig::with_password("ws", "ws");
    ws.allowed_connection_types = vec![ConnectionType::WebSocket];
    let users = vec![
        UserConfig::with_password("b", "b"),
        own,
        ws,
        in_a,
        UserConfig::with_nkey(key(KeyPairType::User, 7).public_key()),
    ];
    AuthConfig {
        method: Method::Users(users),
        accounts: vec![
            AccountConfig {
                name: "$G".into(),
                default_permissions: publish("default"),
                ..AccountConfig::default()
            },
            AccountConfig { name: "A".into(), ..AccountConfig::default() },
        ],
        no_auth_user: no_auth_user.map(str::to_owned),
        ..AuthConfig::default()
    }
}

#[test]
fn many_users_and_nkeys() {
    let server = authenticator(many_users(None));
    check(&server, user_pass("b", "b"), "b in $G");
    check(&server, user_pass("b", "x"), "wrong password");
    check(&server, user_pass("x", "b"), "unknown user");
    check(&server, user_pass("aa", "aa"), "aa in A");
    check(&server, user_pass("aa", "$2a$04$aa"), "wrong password");
    check(&server, user_pass("ws", "ws"), "Connection type not allowed");
    check(&server, token("b"), "no credentials");
    check(&server, nobody(), "no credentials");
    assert!(server.costs_cpu(&user_pass("aa", "")) && !server.costs_cpu(&user_pass("b", "")));
    assert!(server.has_plaintext_passwords());

    let pair = key(KeyPairType::User, 7);
    let public = pair.public_key();
    let check_signed = |sig: &str, expected: &str| {
        check(&server, Credentials { nkey: Some(&public), sig: Some(sig), ..nobody() }, expected);
    };
    let in_global = format!("{public} in $G");
    check_signed(&sign(&pair, NONCE), &in_global);
    let raw = pair.sign(NONCE.as_bytes()).unwrap();
    check_signed(&data_encoding::BASE64.encode(&raw), &in_global);
    let other = key(KeyPairType::User, 8);
    check_signed(&sign(&other, NONCE), "Signature not verified");
    check_signed(&sign(&pair, "another nonce"), "Signature not verified");
    let decoded = BASE64URL_NOPAD.decode(NONCE.as_bytes()).unwrap();
    let of_decoded = BASE64URL_NOPAD.encode(&pair.sign(&decoded).unwrap());
    check_signed(&of_decoded, "Signature not verified");
    check_signed("%", "Signature not valid base64");
    check_signed("YWJj", "Signature not verified");
    check_signed("", "Signature missing");
    let unknown = other.public_key();
    let stranger = Credentials { nkey: Some(&unknown), ..user_pass("b", "b") };
    check(&server, stranger, "unknown nkey");
    let both = Credentials { nkey: Some(&public), sig: Some("%"), ..user_pass("b", "x") };
    check(&server, both, "Signature not valid base64");
    let of_nothing = sign(&pair, "");
    let of_nothing = Credentials { nkey: Some(&public), sig: Some(&of_nothing), ..nobody() };
    let empty_nonce = server.authenticate(&of_nothing, "", &from("::1"), NOW);
    assert_eq!(outcome(empty_nonce), "Signature not verified");
    assert!(server.needs_nonce() && server.auth_required());
}

#[test]
fn identities_carry_label_and_permissions() {
    let server = authenticator(many_users(None));
    let login =
        |user| server.authenticate(&user_pass(user, user), NONCE, &from("::1"), NOW).unwrap();
    let allows = |identity: &Identity, subject: &str| {
        identity.permissions.as_ref().is_none_or(|rights| rights.can_publish(subject.as_bytes()))
    };
    let (b, own, aa) = (login("b"), login("own"), login("aa"));
    assert_eq!([&b.label, &own.label, &aa.label], ["$G/user:b", "$G/user:own", "A/user:aa"]);
    assert!(allows(&b, "default") && !allows(&b, "own"), "the account's default");
    assert!(allows(&own, "own") && !allows(&own, "default"), "its own");
    assert!(aa.permissions.is_none());
    let pair = key(KeyPairType::User, 7);
    let (public, sig) = (pair.public_key(), sign(&pair, NONCE));
    let signed = Credentials { nkey: Some(&public), sig: Some(&sig), ..nobody() };
    let nkey = server.authenticate(&signed, NONCE, &from("::1"), NOW).unwrap();
    assert_eq!(nkey.label, format!("$G/nkey:{public}"));
    let open = method(Method::Token("t".into()));
    let by_token = open.authenticate(&token("t"), "", &from("::1"), NOW).unwrap();
    assert_eq!(by_token.label, "$G/token");
}

#[test]
fn no_auth_user_stands_in_for_missing_credentials() {
    let server = authenticator(many_users(Some("own")));
    check(&server, nobody(), "own in $G");
    check(&server, user_pass("", ""), "own in $G");
    check(&server, Credentials { jwt: Some("x"), sig: Some("y"), ..nobody() }, "own in $G");
    check(&server, user_pass("", "own"), "no credentials");
    check(&server, user_pass("own", ""), "wrong password");
    check(&server, user_pass("x", "x"), "unknown user");
    check(&server, token("x"), "no credentials");
    assert!(
        !server.auth_required()
            && server.admits_anonymous(ConnectionType::Standard)
            && server.needs_nonce()
    );

    let nkey = key(KeyPairType::User, 7).public_key();
    let server = authenticator(many_users(Some(&nkey)));
    check(&server, nobody(), &format!("{nkey} in $G"));
    let in_global = format!("{nkey} in $G");
    check(&server, Credentials { nkey: Some(&nkey), ..nobody() }, &in_global);
    let unsigned = Credentials { nkey: Some(&nkey), sig: Some("%"), ..nobody() };
    check(&server, unsigned, &in_global);
    assert!(
        server.admits_anonymous(ConnectionType::Standard)
            && !server.admits_before_connect(ConnectionType::Standard)
    );

    let users = vec![UserConfig::with_password("a", "a")];
    let no_auth_user = Some("a".to_owned());
    let config = AuthConfig { method: Method::Users(users), no_auth_user, ..AuthConfig::default() };
    let without_nkeys = authenticator(config);
    assert!(without_nkeys.admits_before_connect(ConnectionType::Standard));
    check(&without_nkeys, Credentials { nkey: Some(&nkey), sig: Some("x"), ..nobody() }, "a in $G");

    let mut config = many_users(None);
    config.open_global_account = true;
    let server = authenticator(config);
    check(&server, nobody(), "- in $G");
    check(&server, user_pass("x", "x"), "unknown user");
    assert!(server.auth_required() && server.admits_anonymous(ConnectionType::Standard));
}

#[test]
fn trusted_proxies_sign_the_nonce() {
    let proxy = key(KeyPairType::Server, 9);
    let mut through = UserConfig::with_password("p", "p");
    through.proxy_required = true;
    let config = AuthConfig {
        method: Method::Users(vec![through, UserConfig::with_password("q", "q")]),
        trusted_proxies: vec![proxy.public_key()],
        ..AuthConfig::default()
    };
    let server = authenticator(config);
    let (good, bad) = (sign(&proxy, NONCE), sign(&proxy, "other"));
    check(&server, Credentials { proxy_sig: Some(&good), ..user_pass("p", "p") }, "p in $G");
    check(&server, user_pass("p", "p"), "Proxy Required");
    check(&server, user_pass("q", "q"), "q in $G");
    check(
        &server,
        Credentials { proxy_sig: Some(&bad), ..user_pass("q", "q") },
        "Proxy Not Trusted",
    );
    assert!(server.needs_nonce());
    let open = method(Method::Open);
    check(&open, Credentials { proxy_sig: Some(&bad), ..nobody() }, "- in $G");
}

#[test]
fn a_reload_rechecks_identities() {
    let conn = from("127.0.0.1");
    let before = authenticator(many_users(Some("own")));
    let login = |credentials| before.authenticate(&credentials, NONCE, &conn, NOW).unwrap();
    let (b, aa, own, anonymous) = (
        login(user_pass("b", "b")),
        login(user_pass("aa", "aa")),
        login(user_pass("own", "own")),
        login(nobody()),
    );
    let check = |users: Vec<UserConfig>, identity: &Identity, expected: &str| {
        let config = AuthConfig { method: Method::Users(users), ..AuthConfig::default() };
        let actual = authenticator(config).recheck(identity, &conn, NOW);
        assert_eq!(outcome(actual), expected, "{}", identity.label);
    };
    let user = UserConfig::with_password;
    check(vec![user("b", "b")], &b, "b in $G");
    check(vec![user("b", "changed")], &b, "wrong password");
    check(vec![user("c", "b")], &b, "unknown user");
    check(vec![user("b", "$2a$04$b")], &b, "wrong password");
    check(vec![user("own", "own")], &own, "own in $G");
    check(vec![user("own", "own")], &anonymous, "no credentials");
    let mut hashed = user("aa", "$2a$04$aa");
    hashed.account = Some("A".into());
    check(vec![hashed.clone()], &aa, "aa in A");
    hashed.account = Some("B".into());
    check(vec![hashed], &aa, "account changed");
    check(vec![user("aa", "aa")], &aa, "account changed");
    let mut narrowed = user("b", "b");
    narrowed.permissions = publish("less");
    let config = AuthConfig { method: Method::Users(vec![narrowed]), ..AuthConfig::default() };
    let renewed = authenticator(config).recheck(&b, &conn, NOW).unwrap();
    assert!(!renewed.permissions.clone().unwrap().can_publish(b"default"));
    let open = method(Method::Open);
    assert_eq!(outcome(open.recheck(&b, &conn, NOW)), "b in $G");
    let by_token = method(Method::Token("t".into()));
    let identity = by_token.authenticate(&token("t"), "", &conn, NOW).unwrap();
    assert_eq!(outcome(by_token.recheck(&identity, &conn, NOW)), "[REDACTED] in $G");
    let changed = method(Method::Token("u".into())).recheck(&identity, &conn, NOW);
    assert_eq!(outcome(changed), "wrong token");
    let opened = open.authenticate(&nobody(), "", &conn, NOW).unwrap();
    assert_eq!(outcome(by_token.recheck(&opened, &conn, NOW)), "no credentials");
}

#[test]
fn refuses_configurations_that_cannot_work() {
    fn check(config: AuthConfig, expected: &str) {
        assert_eq!(Authenticator::new(config, hooks()).unwrap_err().to_string(), expected);
    }
    let users = |list| AuthConfig { method: Method::Users(list), ..AuthConfig::default() };
    let user = UserConfig::with_password;
    let mut elsewhere = user("a", "2");
    elsewhere.account = Some("B".into());
    check(users(vec![user("a", "1"), elsewhere]), "Duplicate user \"a\" detected");
    let account = key(KeyPairType::Account, 1).public_key();
    check(users(vec![UserConfig::with_nkey(account)]), "Not a valid public nkey for a user");
    check(
        AuthConfig { no_auth_user: Some("x".into()), ..users(vec![user("a", "1")]) },
        "no_auth_user: \"x\" not present as user or nkey in authorization block or account configuration",
    );
    check(
        AuthConfig { no_auth_user: Some("x".into()), ..AuthConfig::default() },
        "no_auth_user: \"x\" present, but users/nkeys are not defined",
    );
    let mut bad = user("a", "1");
    bad.permissions = publish("a..b");
    check(users(vec![bad]), "permissions of \"a\": \"a..b\" is not a valid subject");
}

#[test]
fn nothing_shows_secrets() {
    let server = method(Method::SingleUser { user: "u".into(), password: "hush".into() });
    let credentials = user_pass("u", "hush");
    let identity = server.authenticate(&credentials, NONCE, &from("::1"), NOW).unwrap();
    for shown in [format!("{server:?}"), format!("{credentials:?}"), format!("{identity:?}")] {
        assert!(!shown.contains("hush"), "{shown}");
    }
    fn check(credentials: Credentials<'_>, expected: &str) {
        assert_eq!(credentials.log_suffix(), expected);
    }
    check(user_pass("u", "p"), " - User \"u\"");
    check(Credentials { nkey: Some("UX"), ..user_pass("u", "p") }, " - Nkey \"UX\"");
    check(token("t"), " - Token \"[REDACTED]\"");
    check(user_pass("", "p"), "");
}

#[test]
fn connections_that_log_in_alike_share_one_identity() {
    let user = |name: &str| UserConfig {
        credential: UserCredential::Password { name: name.into(), password: "pw".into() },
        account: None,
        permissions: None,
        allowed_connection_types: Vec::new(),
        proxy_required: false,
    };
    let config =
        AuthConfig { method: Method::Users(vec![user("a"), user("b")]), ..AuthConfig::default() };
    let server = Authenticator::new(config, hooks()).unwrap();
    let login =
        |name| server.authenticate(&user_pass(name, "pw"), NONCE, &from("10.0.0.1"), NOW).unwrap();
    let (first, second, other) = (login("a"), login("a"), login("b"));
    assert!(Arc::ptr_eq(&first, &second));
    assert!(!Arc::ptr_eq(&first, &other));
    drop((first, second));
    assert_eq!(login("a").user.as_deref(), Some("a"), "after the last one has left");
    let renewed = server.recheck(&other, &from("10.0.0.1"), NOW).unwrap();
    assert!(Arc::ptr_eq(&renewed, &other));
}

#[test]
fn a_certificate_names_the_user() {
    let named = |name: &str| CertificateNames {
        alternatives: vec![name.to_owned()],
        ..CertificateNames::default()
    };
    let server = authenticator(many_users(None));
    let log_in = |certificate: &CertificateNames, user, kind| {
        let given = Credentials { user, certificate: Some(certificate), ..Credentials::default() };
        server.authenticate(&given, "", &ConnInfo { kind, ..ConnInfo::default() }, 0)
    };
    let names = ["b", "nobody"].map(named);
    let identity = log_in(&names[0], None, ConnectionType::Standard).unwrap();
    assert_eq!(identity.user.as_deref(), Some("b"));
    let other = log_in(&names[0], Some("own"), ConnectionType::Standard).unwrap();
    assert_eq!(other.user.as_deref(), Some("b"), "what CONNECT says does not count");
    let refused = log_in(&names[1], Some("b"), ConnectionType::Standard).unwrap_err();
    assert_eq!(refused, AuthFailure::UnknownCertificate);
    // Proven again after a reload, as long as there is the user.
    assert!(server.recheck(&identity, &ConnInfo::default(), 0).is_ok());
    let without = AuthConfig {
        method: Method::Users(vec![UserConfig::with_password("z", "1")]),
        ..AuthConfig::default()
    };
    let failure = authenticator(without).recheck(&identity, &ConnInfo::default(), 0).unwrap_err();
    assert_eq!(failure, AuthFailure::UnknownUser);
}

#[test]
fn websockets_may_have_a_no_auth_user_of_their_own() {
    let config = AuthConfig { websocket_no_auth_user: Some("b".into()), ..many_users(None) };
    let server = authenticator(config);
    assert!(server.auth_required() && server.auth_required_of(ConnectionType::WebSocket));
    let nobody = Credentials::default();
    let websocket = ConnInfo { kind: ConnectionType::WebSocket, ..ConnInfo::default() };
    let identity = server.authenticate(&nobody, "", &websocket, 0).unwrap();
    assert_eq!(identity.user.as_deref(), Some("b"));
    assert!(server.authenticate(&nobody, "", &ConnInfo::default(), 0).is_err());
    let shared = authenticator(many_users(Some("b")));
    assert!(shared.auth_required_of(ConnectionType::WebSocket), "INFO says so all the same");
    assert!(shared.authenticate(&nobody, "", &websocket, 0).is_ok());
}
