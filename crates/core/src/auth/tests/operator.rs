//! Operator mode: rows 102 to 107 of the specification. Each outcome was seen on nats-server 2.15.1 too.

use super::*;
use crate::jwt::{
    self, Account, AccountClaimLimits, Claims, ResponseClaims, Scope, SigningKey, TimeRange, User,
    UserPermissionLimits,
};

fn operator() -> KeyPair {
    key(KeyPairType::Operator, 1)
}

fn operator_signer() -> KeyPair {
    key(KeyPairType::Operator, 2)
}

fn account() -> KeyPair {
    key(KeyPairType::Account, 10)
}

fn signer() -> KeyPair {
    key(KeyPairType::Account, 20)
}

fn scoped() -> KeyPair {
    key(KeyPairType::Account, 21)
}

fn user() -> KeyPair {
    key(KeyPairType::User, 30)
}

fn operator_jwt(edit: impl FnOnce(&mut jwt::Operator)) -> String {
    let mut claims = Claims::<jwt::Operator>::new("op", &operator().public_key());
    claims.nats.signing_keys = vec![operator_signer().public_key()];
    edit(&mut claims.nats);
    claims.encode(&operator(), NOW).unwrap()
}

fn template() -> UserPermissionLimits {
    let mut template = UserPermissionLimits::unlimited();
    template.publish.allow = vec!["u.{{name()}}.>".into(), "{{tag(team)}}.x".into()];
    template.payload = 10;
    template
}

/// A server that knows one account, with a plain and a scoped signing key.
fn server_with(
    edit: impl FnOnce(&mut Claims<Account>),
    by: &KeyPair,
    config: impl FnOnce(&mut OperatorConfig),
) -> Authenticator {
    let mut claims = Claims::<Account>::new("acme", &account().public_key());
    let scope = Scope {
        kind: "user_scope".into(),
        key: scoped().public_key(),
        template: template(),
        ..Scope::default()
    };
    claims.nats.signing_keys =
        vec![SigningKey::Plain(signer().public_key()), SigningKey::Scoped(Box::new(scope))];
    edit(&mut claims);
    let token = claims.encode(by, NOW).unwrap();
    let mut operator =
        OperatorConfig { operators: vec![operator_jwt(|_| {})], ..OperatorConfig::default() };
    operator.resolver_preload.insert(account().public_key(), token);
    config(&mut operator);
    let config = AuthConfig { method: Method::Operator(operator), ..AuthConfig::default() };
    Authenticator::new(config, hooks()).unwrap()
}

fn server(edit: impl FnOnce(&mut Claims<Account>)) -> Authenticator {
    server_with(edit, &operator(), |_| {})
}

fn jwt_by(signer: &KeyPair, edit: impl FnOnce(&mut Claims<User>)) -> String {
    let mut claims = Claims::<User>::new("ann", &user().public_key());
    edit(&mut claims);
    claims.encode(signer, NOW).unwrap()
}

/// By the scoped key; such a user has no limits and permissions of its own.
fn scoped_jwt(edit: impl FnOnce(&mut Claims<User>)) -> String {
    jwt_by(&scoped(), |claims| {
        claims.nats.issuer_account = account().public_key();
        claims.nats.permissions = UserPermissionLimits::default();
        edit(claims);
    })
}

fn login(server: &Authenticator, token: &str) -> Result<Arc<Identity>, AuthFailure> {
    let sig = sign(&user(), NONCE);
    let credentials = Credentials { jwt: Some(token), sig: Some(&sig), ..Credentials::default() };
    server.authenticate(&credentials, NONCE, &from("127.0.0.1"), NOW)
}

#[track_caller]
fn check(server: &Authenticator, token: &str, expected: &str) {
    let actual =
        login(server, token).map_or_else(|failure| failure.to_string(), |_| "ok".to_owned());
    assert_eq!(actual, expected);
}

#[track_caller]
fn check_user(edit: impl FnOnce(&mut Claims<User>), expected: &str) {
    check(&server(|_| {}), &jwt_by(&account(), edit), expected);
}

#[test]
fn users_of_trusted_accounts_log_in() {
    let server = server(|claims| claims.nats.tags = vec!["env:x".into()]);
    let identity = login(&server, &jwt_by(&account(), |claims| claims.exp = NOW + 60)).unwrap();
    let (account_key, user_key) = (account().public_key(), user().public_key());
    assert_eq!(*identity.account, *account_key);
    assert_eq!(&*identity.account_name, "acme");
    assert_eq!(identity.user.as_deref(), Some(user_key.as_str()));
    assert_eq!(identity.user_name.as_deref(), Some("ann"));
    assert_eq!(identity.label, format!("{account_key}/acme/jwt:{user_key}"));
    assert_eq!(identity.expires_unix, Some(NOW + 60));
    assert_eq!(identity.issuer_key.as_deref(), Some(account_key.as_str()));
    assert_eq!(identity.limits, UserLimits::default());
    assert!(identity.permissions.is_none() && !identity.is_bearer);
    assert!(
        server.auth_required()
            && server.needs_nonce()
            && !server.admits_anonymous(ConnectionType::Standard)
    );
    assert_eq!(server.account(&account_key).unwrap().tags, ["env:x"]);
}

#[test]
fn tokens_need_a_signature_unless_they_are_bearers() {
    let server = server(|_| {});
    let plain = jwt_by(&account(), |_| {});
    let bearer = jwt_by(&account(), |claims| claims.nats.permissions.bearer_token = true);
    let check = |jwt: Option<&str>, sig: Option<&str>, expected: &str| {
        let credentials = Credentials { jwt, sig, ..Credentials::default() };
        let actual = server.authenticate(&credentials, NONCE, &from("127.0.0.1"), NOW);
        let actual = actual.map_or_else(|failure| failure.to_string(), |_| "ok".to_owned());
        assert_eq!(actual, expected);
    };
    let good = sign(&user(), NONCE);
    let by_other = sign(&key(KeyPairType::User, 31), NONCE);
    let replayed = sign(&user(), "another nonce");
    check(Some(&plain), Some(&good), "ok");
    check(Some(&plain), None, "Signature missing");
    check(Some(&plain), Some("%"), "Signature not valid base64");
    check(Some(&plain), Some(&by_other), "Signature not verified");
    check(Some(&plain), Some(&replayed), "Signature not verified");
    check(Some(&bearer), None, "ok");
    check(Some(&bearer), Some(&by_other), "ok");
    check(None, Some(&good), "Authentication requires a user JWT");
    check(Some("a.b"), Some(&good), "User JWT not valid: expected 3 chunks");
}

#[test]
fn the_chain_of_signers_is_checked() {
    let of_account =
        |claims: &mut Claims<User>| claims.nats.issuer_account = account().public_key();
    let plain = server(|_| {});
    check(&plain, &jwt_by(&account(), of_account), "ok");
    check(&plain, &jwt_by(&signer(), of_account), "ok");
    check(&plain, &jwt_by(&signer(), |_| {}), "Account JWT lookup error: account missing");
    let stranger = key(KeyPairType::Account, 99);
    check(&plain, &jwt_by(&stranger, of_account), "User JWT issuer is not known");
    check(&plain, &jwt_by(&stranger, |_| {}), "Account JWT lookup error: account missing");
    let by_account = jwt_by(&account(), |_| {});
    check(&server_with(|_| {}, &operator_signer(), |_| {}), &by_account, "ok");
    let untrusted = "Account JWT lookup error: issuer is not trusted";
    check(&server_with(|_| {}, &key(KeyPairType::Operator, 9), |_| {}), &by_account, untrusted);
    check(&server_with(|_| {}, &account(), |_| {}), &by_account, untrusted);
    let by_keys = server_with(
        |_| {},
        &operator(),
        |config| {
            config.operators.clear();
            config.trusted_keys = vec![operator().public_key()];
        },
    );
    check(&by_keys, &by_account, "ok");

    let strict = |by: &KeyPair| {
        server_with(
            |_| {},
            by,
            |config| {
                config.operators =
                    vec![operator_jwt(|claims| claims.strict_signing_key_usage = true)];
            },
        )
    };
    check(&strict(&operator()), &by_account, untrusted);
    check(&strict(&operator_signer()), &by_account, "User JWT issuer is not known");
    check(&strict(&operator_signer()), &jwt_by(&signer(), of_account), "ok");

    let pinned = server_with(
        |_| {},
        &operator(),
        |config| {
            config.pinned_accounts = vec![stranger.public_key()];
        },
    );
    let expected =
        format!("Account {} not listed as operator pinned account", account().public_key());
    check(&pinned, &by_account, &expected);
}

#[test]
fn time_bounds() {
    check_user(|claims| claims.exp = NOW + 1, "ok");
    check_user(|claims| claims.exp = NOW, "User JWT no longer valid: claim is expired");
    check_user(|claims| claims.exp = NOW - 1, "User JWT no longer valid: claim is expired");
    check_user(|claims| claims.nbf = NOW, "ok");
    check_user(|claims| claims.nbf = NOW + 1, "User JWT no longer valid: claim is not yet valid");
    let by_account = jwt_by(&account(), |_| {});
    check(&server(|claims| claims.exp = NOW + 1), &by_account, "ok");
    check(&server(|claims| claims.exp = NOW - 1), &by_account, "Account JWT has expired");
    let early = "Account JWT lookup error: claim is not yet valid";
    check(&server(|claims| claims.nbf = NOW + 1), &by_account, early);
}

#[test]
fn restrictions_of_the_user() {
    fn limits(edit: impl FnOnce(&mut UserPermissionLimits)) -> impl FnOnce(&mut Claims<User>) {
        |claims| edit(&mut claims.nats.permissions)
    }
    let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
    let (ws, both, unknown) = (kinds(&["WEBSOCKET"]), kinds(&["standard", "FOO"]), kinds(&["FOO"]));
    let wrong_kind = "Connection type not allowed";
    check_user(limits(|limits| limits.allowed_connection_types = ws), wrong_kind);
    check_user(limits(|limits| limits.allowed_connection_types = both), "ok");
    check_user(limits(|limits| limits.allowed_connection_types = unknown), wrong_kind);
    let (near, far) = (kinds(&["127.0.0.0/8"]), kinds(&["10.0.0.0/8"]));
    check_user(limits(|limits| limits.src = near), "ok");
    check_user(limits(|limits| limits.src = far), "Bad src Ip 127.0.0.1");
    check_user(limits(|limits| limits.proxy_required = true), "Proxy Required");
    // NOW is 22:13:20 UTC.
    let window = |start: &str, end: &str| vec![TimeRange { start: start.into(), end: end.into() }];
    check_user(limits(|limits| limits.times = window("22:00:00", "23:00:00")), "ok");
    let outside = "Outside connect times";
    check_user(limits(|limits| limits.times = window("08:00:00", "17:00:00")), outside);
    let elsewhere = |limits: &mut UserPermissionLimits| {
        limits.times = window("00:00:00", "23:59:59");
        limits.times_location = "Nowhere/X".into();
    };
    check_user(limits(elsewhere), outside);
    let claims_end = |exp: i64| {
        let token = jwt_by(&account(), |claims| {
            claims.exp = exp;
            claims.nats.permissions.times = window("22:00:00", "22:13:30");
        });
        login(&server(|_| {}), &token).unwrap().expires_unix
    };
    assert_eq!(claims_end(0), Some(NOW + 10), "the end of the window");
    assert_eq!(claims_end(NOW + 5), Some(NOW + 5), "the expiry comes first");
    let bad = "User JWT is not valid: \"a..b\" is not a valid subject";
    check_user(limits(|limits| limits.publish.allow = vec!["a..b".into()]), bad);
}

#[test]
fn revocations_count_from_their_time() {
    let token = jwt_by(&account(), |_| {});
    let revoked = |who: String, until: i64| {
        server(|claims| {
            claims.nats.revocations.insert(who, until);
        })
    };
    let key = user().public_key();
    check(&revoked(key.clone(), NOW), &token, "User authentication revoked");
    check(&revoked(key.clone(), NOW + 9), &token, "User authentication revoked");
    check(&revoked(key, NOW - 1), &token, "ok");
    check(&revoked("*".into(), NOW), &token, "User authentication revoked");
    check(&revoked("*".into(), NOW - 1), &token, "ok");
    check(&revoked("UOTHER".into(), NOW), &token, "ok");
}

#[test]
fn accounts_may_refuse_bearers() {
    let strict = server(|claims| claims.nats.limits.disallow_bearer = true);
    let bearer = jwt_by(&account(), |claims| claims.nats.permissions.bearer_token = true);
    check(&strict, &bearer, "Account disallows bearer tokens");
    check(&strict, &jwt_by(&account(), |_| {}), "ok");
}

#[test]
fn scoped_keys_grant_their_template() {
    let server = server(|_| {});
    let token = scoped_jwt(|claims| claims.nats.tags = vec!["team:red".into(), "team:blue".into()]);
    let identity = login(&server, &token).unwrap();
    let rights = identity.permissions.clone().unwrap();
    assert_eq!(rights.spec().publish.allow, ["u.ann.>", "red.x", "blue.x"]);
    assert_eq!(identity.limits.payload_bytes, Some(10));
    assert_eq!(identity.limits.subscriptions, None);

    let untagged = login(&server, &scoped_jwt(|_| {})).unwrap().permissions.clone().unwrap();
    assert_eq!(untagged.spec().publish.allow, ["u.ann.>"]);

    let own = "User JWT is not valid: scoped users require no permissions or limits set";
    check(&server, &scoped_jwt(|claims| claims.nats.permissions.subs = -1), own);
    check(&server, &scoped_jwt(|claims| claims.nats.permissions.bearer_token = true), own);
    let allow =
        |claims: &mut Claims<User>| claims.nats.permissions.publish.allow = vec!["x".into()];
    check(&server, &scoped_jwt(allow), own);
}

#[test]
fn default_permissions_of_the_account() {
    let server = server(|claims| {
        claims.nats.default_permissions.publish.allow = vec!["default".into()];
    });
    let publish_allow = |token: &str| {
        login(&server, token)
            .unwrap()
            .permissions
            .clone()
            .map(|rights| rights.spec().publish.allow.clone())
    };
    assert_eq!(publish_allow(&jwt_by(&account(), |_| {})).unwrap(), ["default"]);
    let own = jwt_by(&account(), |claims| {
        claims.nats.permissions.publish.allow = vec!["own".into()];
    });
    assert_eq!(publish_allow(&own).unwrap(), ["own"]);
    let responder = jwt_by(&account(), |claims| {
        claims.nats.permissions.responses = Some(ResponseClaims { max: 5, ttl: 0 });
    });
    let rights = login(&server, &responder).unwrap().permissions.clone().unwrap();
    assert!(!rights.can_publish(b"default") && rights.reply_tracker().is_some());
}

#[test]
fn absent_limits_are_zero() {
    let token = jwt_by(&account(), |claims| {
        claims.nats.permissions = UserPermissionLimits::default();
        claims.nats.permissions.subs = 7;
    });
    let limits = login(&server(|_| {}), &token).unwrap().limits;
    assert_eq!((limits.subscriptions, limits.payload_bytes), (Some(7), Some(0)));

    let info = |limits: AccountClaimLimits| {
        let server = server(|claims| claims.nats.limits = limits);
        server.account(&account().public_key()).unwrap()
    };
    let zero = info(AccountClaimLimits::default());
    assert_eq!(zero.limits.connections, Some(0));
    assert!(!zero.jetstream.as_ref().unwrap().is_enabled());
    let mut claims = AccountClaimLimits::unlimited();
    claims.conn = 3;
    claims.jetstream.disk_storage = -1;
    let some = info(claims);
    assert_eq!(some.limits, AccountLimits { connections: Some(3), ..AccountLimits::default() });
    let tier = some.jetstream.as_ref().unwrap().untiered.clone().unwrap();
    let expected = JetStreamTier { memory_bytes: Some(0), ..JetStreamTier::default() };
    assert_eq!(tier, expected, "disk unlimited, no memory streams");
}

#[test]
fn accounts_that_cannot_be_used_refuse_their_users() {
    let token = jwt_by(&account(), |_| {});
    let mapping = |subject: &str, weight| jwt::WeightedMapping {
        subject: subject.into(),
        weight,
        ..jwt::WeightedMapping::default()
    };
    let check = |edit: &dyn Fn(&mut Claims<Account>), expected: &str| {
        check(&server(|claims| edit(claims)), &token, expected);
    };
    check(
        &|claims| claims.nats.default_permissions.publish.allow = vec!["a..b".into()],
        "Account JWT lookup error: \"a..b\" is not a valid subject",
    );
    let map = |source: &'static str, to: Vec<jwt::WeightedMapping>| {
        move |claims: &mut Claims<Account>| {
            claims.nats.mappings.insert(source.into(), to.clone());
        }
    };
    check(&map("a", vec![mapping("b", 60), mapping("c", 40)]), "ok");
    check(
        &map("a", vec![mapping("b", 60), mapping("c", 41)]),
        "Account JWT lookup error: mapping of \"a\" exceeds 100%",
    );
    check(
        &map("a..", vec![mapping("b", 0)]),
        "Account JWT lookup error: mapping of \"a..\" is not between subjects",
    );
}

#[test]
fn a_sentinel_stands_in_for_a_missing_token() {
    let bearer = jwt_by(&account(), |claims| claims.nats.permissions.bearer_token = true);
    let server =
        server_with(|_| {}, &operator(), |config| config.default_sentinel = Some(bearer.clone()));
    let nobody = Credentials::default();
    let login = server.authenticate(&nobody, NONCE, &from("127.0.0.1"), NOW);
    assert!(login.unwrap().is_bearer);
}

#[test]
fn a_change_of_the_account_rechecks_its_users() {
    let before = server(|_| {});
    let identity = login(&before, &jwt_by(&account(), |claims| claims.exp = NOW + 60)).unwrap();
    let check = |after: &Authenticator, now: i64, expected: &str| {
        let actual = after.recheck(&identity, &from("127.0.0.1"), now);
        let actual = match actual {
            Ok(_) => "stays".to_owned(),
            Err(failure) => failure.closing_error().map_or("nothing".into(), |error| error.text()),
        };
        assert_eq!(actual, expected);
    };
    check(&before, NOW, "stays");
    check(&before, NOW + 60, "User Authentication Expired");
    let revoked = server(|claims| {
        claims.nats.revocations.insert("*".into(), NOW);
    });
    check(&revoked, NOW, "User Authentication Revoked");
    check(&server(|claims| claims.exp = NOW - 1), NOW, "Account Authentication Expired");
    check(
        &server_with(|_| {}, &key(KeyPairType::Operator, 9), |_| {}),
        NOW,
        "Authorization Violation",
    );
    let open = Authenticator::new(AuthConfig::default(), hooks()).unwrap();
    check(&open, NOW, "Authorization Violation");
    let deleted = server(|_| {});
    deleted.forget(&account().public_key());
    check(&deleted, NOW, "Account Authentication Expired");
}

// Shows U-110.
#[test]
fn users_of_a_key_that_changed_are_closed_without_a_word() {
    let before = server(|_| {});
    let check = |token: &str, after: &Authenticator, expected: Option<AuthFailure>| {
        let identity = login(&before, token).unwrap();
        let failure = after.recheck(&identity, &from("127.0.0.1"), NOW).err();
        assert_eq!(failure, expected);
        assert!(failure.is_none_or(|failure| failure.closing_error().is_none()));
    };
    let signed = jwt_by(&signer(), |claims| {
        claims.nats.issuer_account = account().public_key();
    });
    let unsigned = server(|claims| claims.nats.signing_keys.clear());
    check(&signed, &unsigned, Some(AuthFailure::IssuerUnknown));
    let scoped = scoped_jwt(|claims| claims.nats.tags = vec!["team:red".into()]);
    let rescoped = server(|claims| {
        let Some(SigningKey::Scoped(scope)) = claims.nats.signing_keys.get_mut(1) else {
            panic!("the second key has a scope");
        };
        scope.template.publish.allow = vec!["v.>".into()];
    });
    check(&scoped, &rescoped, Some(AuthFailure::SignerChanged));
    check(&signed, &rescoped, None);
}

// Shows U-111.
#[test]
fn accounts_are_learned_and_forgotten() {
    let server = server(|_| {});
    let fresh = key(KeyPairType::Account, 60);
    let token = |edit: fn(&mut Claims<Account>), by: &KeyPair| {
        let mut claims = Claims::<Account>::new("fresh", &fresh.public_key());
        edit(&mut claims);
        claims.encode(by, NOW).unwrap()
    };
    let user = jwt_by(&fresh, |_| {});
    let id = fresh.public_key();
    let failure = login(&server, &user).unwrap_err();
    assert_eq!(failure, AuthFailure::AccountNotFound(id.clone()));
    server.learn(&id, &token(|_| {}, &operator())).unwrap();
    assert!(login(&server, &user).is_ok());
    assert!(server.claimed_accounts().iter().any(|known| **known == *id));
    // What cannot be used leaves what was known.
    let stranger = key(KeyPairType::Operator, 9);
    assert_eq!(server.learn(&id, &token(|_| {}, &stranger)).unwrap_err(), "issuer is not trusted");
    assert!(login(&server, &user).is_ok());
    server.forget(&id);
    assert_eq!(login(&server, &user).unwrap_err(), AuthFailure::AccountExpired(id.clone()));
    let reloaded = server_with(|_| {}, &operator(), |_| {});
    reloaded.inherit(&server);
    assert_eq!(login(&reloaded, &user).unwrap_err(), AuthFailure::AccountExpired(id));
}

#[test]
fn refuses_operators_that_cannot_work() {
    fn check(operator: OperatorConfig, expected: &str) {
        let config = AuthConfig { method: Method::Operator(operator), ..AuthConfig::default() };
        assert_eq!(Authenticator::new(config, hooks()).unwrap_err().to_string(), expected);
    }
    check(OperatorConfig::default(), "operator mode without an operator or a trusted key");
    let trusted_keys = vec![account().public_key()];
    let expected = format!("trusted key {:?} is not a public operator key", trusted_keys[0]);
    check(OperatorConfig { trusted_keys, ..OperatorConfig::default() }, &expected);
    let stranger = key(KeyPairType::Operator, 9);
    let mut claims = Claims::<jwt::Operator>::new("op", &operator().public_key());
    let operators = vec![claims.encode(&stranger, NOW).unwrap()];
    check(
        OperatorConfig { operators, ..OperatorConfig::default() },
        &format!(
            "operator JWT is not valid: unable to validate expected prefixes - {:?} may not issue it",
            stranger.public_key()
        ),
    );
    let mut config = OperatorConfig { operators: vec![operator_jwt(|_| {})], ..Default::default() };
    config.resolver_preload.insert("AX".into(), "a.b.c".into());
    check(config, "preload account error for \"AX\": header is not base64url");
}

#[test]
fn user_info_shows_the_identity() {
    let server = server(|_| {});
    let token = jwt_by(&account(), |claims| {
        claims.exp = NOW + 60;
        claims.nats.permissions.publish.allow = vec!["a".into()];
        claims.nats.permissions.subscribe.deny = vec!["b".into()];
        claims.nats.permissions.responses = Some(ResponseClaims { max: 0, ttl: 5 });
    });
    let identity = login(&server, &token).unwrap();
    let info = serde_json::json!({"name": "s"});
    let body = user_info_response(&info, &identity, NOW * 1_000_000_000 + 1).unwrap();
    let expected = format!(
        concat!(
            r#"{{"server":{{"name":"s"}},"data":{{"user":"{}","account":"{}","account_name":"acme","#,
            r#""user_name":"ann","permissions":{{"publish":{{"allow":["a"]}},"#,
            r#""subscribe":{{"deny":["b"]}},"responses":{{"max":1,"ttl":5}}}},"expires":59999999999}}}}"#
        ),
        user().public_key(),
        account().public_key()
    );
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}
