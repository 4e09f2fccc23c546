//! Authorization services: whom to ask, and what an answer is worth. The outcomes were seen on nats-server
//! 2.15.1 too (`conformance/cases/core/callout.case`).

use super::*;
use crate::jwt::{AuthorizationResponse, Claims, User};

fn issuer() -> KeyPair {
    key(KeyPairType::Account, 40)
}

fn asked() -> KeyPair {
    key(KeyPairType::User, 41)
}

fn server_key() -> KeyPair {
    key(KeyPairType::Server, 42)
}

fn server(allowed_accounts: &[&str]) -> Authenticator {
    let user = |name: &str, account: &str| UserConfig {
        account: Some(account.into()),
        ..UserConfig::with_password(name, "p")
    };
    let accounts = ["AUTH", "APP", "FREE"];
    let config = AuthConfig {
        method: Method::Users(vec![user("auth", "AUTH"), user("app", "APP"), user("free", "FREE")]),
        accounts: accounts
            .map(|name| AccountConfig { name: name.into(), ..AccountConfig::default() })
            .into(),
        callout: Some(CalloutConfig {
            issuer: issuer().public_key(),
            account: "AUTH".into(),
            auth_users: vec!["auth".into()],
            xkey: None,
            allowed_accounts: allowed_accounts.iter().map(|&name| name.into()).collect(),
        }),
        ..AuthConfig::default()
    };
    Authenticator::new(config, hooks()).unwrap()
}

fn ask(server: &Authenticator, user: &str, pass: &str) -> Option<Callout> {
    let given = Credentials { user: Some(user), pass: Some(pass), ..Credentials::default() };
    let outcome = server.authenticate(&given, "", &from("127.0.0.1"), NOW);
    server.callout(&given, &outcome)
}

fn answer(
    edit: impl FnOnce(&mut Claims<User>),
    wrap: impl FnOnce(&mut Claims<AuthorizationResponse>),
) -> String {
    let mut user = Claims::<User>::new("", &asked().public_key());
    user.aud = "APP".into();
    edit(&mut user);
    let mut response = Claims::<AuthorizationResponse>::new("", &asked().public_key());
    response.aud = server_key().public_key();
    response.nats.jwt = user.encode(&issuer(), NOW).unwrap();
    wrap(&mut response);
    response.encode(&issuer(), NOW).unwrap()
}

fn accept(server: &Authenticator, token: &str) -> Result<Arc<Identity>, CalloutFailure> {
    let callout = ask(server, "someone", "x").unwrap();
    let (user_key, server_id) = (asked().public_key(), server_key().public_key());
    let answer = Answer { token, was_sealed: false, user_key: &user_key, server_id: &server_id };
    server.accept(&callout, answer, &from("127.0.0.1"), NOW)
}

#[test]
fn the_service_is_asked_about_all_but_its_own() {
    let everybody = server(&[]);
    assert!(ask(&everybody, "someone", "x").is_some());
    assert!(ask(&everybody, "app", "p").is_some());
    assert!(ask(&everybody, "auth", "p").is_none());
    assert!(ask(&everybody, "auth", "wrong").is_none());
    let some = server(&["APP"]);
    assert!(ask(&some, "app", "p").is_some());
    assert!(ask(&some, "free", "p").is_none());
    // Found nowhere: counts as one of `$G`.
    assert!(ask(&some, "free", "wrong").is_some());
    assert!(
        everybody.auth_required() && !everybody.admits_before_connect(ConnectionType::Standard)
    );
}

#[test]
fn an_answer_places_the_user() {
    let server = server(&[]);
    let identity = accept(&server, &answer(|user| user.exp = NOW + 60, |_| {})).unwrap();
    assert_eq!((&*identity.account, identity.user.as_deref()), ("APP", Some("someone")));
    assert_eq!(identity.label, "APP/user:someone");
    assert_eq!(identity.expires_unix, Some(NOW + 60));
    let named = accept(&server, &answer(|user| user.name = "bob".into(), |_| {})).unwrap();
    assert_eq!(named.user.as_deref(), Some("bob"));
    // In the service's own account the way to the service is closed.
    let inside = accept(&server, &answer(|user| user.aud = "AUTH".into(), |_| {})).unwrap();
    let rights = inside.permissions.as_ref().unwrap();
    assert!(!rights.can_publish(CALLOUT_SUBJECT.as_bytes()) && rights.can_publish(b"foo"));
}

#[test]
fn what_is_no_good_answer_refuses() {
    let check = |token: &str, expected: &str| {
        let failure = accept(&server(&[]), token).unwrap_err().to_string();
        assert!(failure.starts_with(expected), "{failure}");
    };
    check("", "Auth callout violation: \"no reason supplied\" on account \"AUTH\"");
    check("junk", "expected 3 chunks");
    check(
        &answer(|_| {}, |it| it.aud = "x".into()),
        "Authorization response had validation errors: Audience must be a server public key",
    );
    check(
        &answer(|_| {}, |it| it.nats.jwt.clear()),
        "Authorization response had validation errors: Error or Jwt is required",
    );
    let refusal = |it: &mut Claims<AuthorizationResponse>| {
        it.nats.jwt.clear();
        it.nats.error = "nope".into();
    };
    check(&answer(|_| {}, refusal), "Auth callout service returned an error: nope");
    let other = key(KeyPairType::User, 50).public_key();
    check(
        &answer(|_| {}, |it| it.sub = other.clone()),
        "Auth callout violation: auth callout response is not for expected user",
    );
    check(&answer(|user| user.sub = other.clone(), |_| {}), "Expected authorized user of");
    let elsewhere = key(KeyPairType::Server, 51).public_key();
    check(
        &answer(|_| {}, |it| it.aud = elsewhere),
        "Auth callout violation: auth callout response is not for server",
    );
    check(&answer(|user| user.exp = NOW, |_| {}), "Error validating user JWT: claim is expired");
    check(
        &answer(|user| user.aud = "ZZZ".into(), |_| {}),
        "No valid account \"ZZZ\" for auth callout response on account \"AUTH\": account missing",
    );
    check(
        &answer(|user| user.nats.issuer_account = issuer().public_key(), |_| {}),
        "Error non operator mode account \"AUTH\": attempted to use issuer_account",
    );
    check(
        &answer(|user| user.nats.permissions.src = vec!["10.0.0.0/8".into()], |_| {}),
        "Bad src Ip 127.0.0.1",
    );
}

#[test]
fn what_a_service_decided_holds_while_it_is_the_one_to_ask() {
    let server = server(&[]);
    let identity = accept(&server, &answer(|_| {}, |_| {})).unwrap();
    assert!(server.recheck(&identity, &from("127.0.0.1"), NOW).is_ok());
    let without = Authenticator::new(AuthConfig::default(), hooks()).unwrap();
    let failure = without.recheck(&identity, &from("127.0.0.1"), NOW).unwrap_err();
    assert_eq!(failure, AuthFailure::CalloutChanged);
}
