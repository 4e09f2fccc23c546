//! Tokens, their claims and credentials: never a panic, claims that are read can be written and read
//! again, no token passes without its signature, and the reason is the one that a simple look gives.
//!
//! The first byte of the input says what follows: claims; a header and claims, with 0x1e between; a text
//! as it is; or claims that are signed here and then used, which takes longest. `$O`, `$A`, `$U`, `$P` and
//! `$S` stand for the keys of an operator, an account, a user and a signing key, and the user's seed.

#![no_main]

use std::fmt::Debug;
use std::sync::OnceLock;

use data_encoding::BASE64URL_NOPAD;
use libfuzzer_sys::fuzz_target;
use natterjack_core::auth::{
    AuthConfig, Authenticator, ConnInfo, Credentials, Hooks, Method, OperatorConfig,
};
use natterjack_core::jwt::{
    Account, AccountClaims, Activation, ClaimBody, Claims, Creds, Generic, JwtError, Operator,
    Scope, SigningKey, User, account_faults, decode, find_token, key_kind, parse_seed,
};
use nkeys::{KeyPair, KeyPairType};

const NOW: i64 = 1_700_000_000;
const NONCE: &str = "nonce";

struct Fixture {
    operator: KeyPair,
    account: KeyPair,
    user: KeyPair,
    signer: KeyPair,
    /// What stands for what.
    names: [(&'static str, String); 5],
    /// The user's signature of the nonce.
    sig: String,
    /// A token of the user, which needs no signature of a nonce.
    bearer: String,
    /// Knows no account.
    blank: Authenticator,
    /// Knows the account, with a signing key that has a scope.
    known: Authenticator,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let key =
            |kind, seed| KeyPair::new_from_raw(kind, [seed; 32]).expect("any bytes are a seed");
        let operator = key(KeyPairType::Operator, 1);
        let account = key(KeyPairType::Account, 2);
        let user = key(KeyPairType::User, 3);
        let signer = key(KeyPairType::Account, 4);
        let mut trusted = Claims::<Operator>::new("o", &operator.public_key());
        let trusted = trusted.encode(&operator, NOW).expect("an operator's claims");
        let mut claims = Claims::<Account>::new("a", &account.public_key());
        let mut scope = Scope { kind: "user_scope".into(), ..Scope::default() };
        scope.key = signer.public_key();
        scope.template.publish.allow = vec!["u.{{name()}}.{{tag(t)}}.>".into()];
        claims.nats.signing_keys = vec![SigningKey::Scoped(Box::new(scope))];
        let token = claims.encode(&operator, NOW).expect("an account's claims");
        let server = |accounts: &[(String, String)]| {
            let operator = OperatorConfig {
                operators: vec![trusted.clone()],
                resolver_preload: accounts.iter().cloned().collect(),
                ..OperatorConfig::default()
            };
            let config = AuthConfig { method: Method::Operator(operator), ..AuthConfig::default() };
            Authenticator::new(config, Hooks::new(|_, _| false)).expect("a trusted operator")
        };
        let mut bearer = Claims::<User>::new("b", &user.public_key());
        bearer.nats.permissions.bearer_token = true;
        Fixture {
            names: [
                ("$O", operator.public_key()),
                ("$A", account.public_key()),
                ("$U", user.public_key()),
                ("$P", signer.public_key()),
                ("$S", user.seed().expect("it was made of one")),
            ],
            sig: BASE64URL_NOPAD.encode(&user.sign(NONCE.as_bytes()).expect("it has a seed")),
            bearer: bearer.encode(&account, NOW).expect("a user's claims"),
            blank: server(&[]),
            known: server(&[(account.public_key(), token)]),
            operator,
            account,
            user,
            signer,
        }
    })
}

const HEAD: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    let text = fill(&String::from_utf8_lossy(text));
    match choice % 4 {
        0 => unsigned_all(HEAD, &text),
        1 => {
            let (head, claims) = text.split_once('\x1e').unwrap_or((&text, "{}"));
            unsigned::<Generic>(head, claims);
            unsigned::<User>(head, claims);
        }
        2 => as_it_is(&text),
        _ => signed(&text),
    }
});

/// Puts keys where their names are.
fn fill(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 120);
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let known = fixture().names.iter().find(|(name, _)| from.starts_with(name));
        match known {
            Some((name, key)) => {
                out.push_str(key);
                rest = &from[name.len()..];
            }
            None => {
                out.push('$');
                rest = &from[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn unsigned_all(head: &str, claims: &str) {
    unsigned::<Generic>(head, claims);
    // Only one of these types fits.
    let kind = |name: &str| claims.contains(name);
    if kind("account") {
        unsigned::<Account>(head, claims);
    }
    if kind("operator") {
        unsigned::<Operator>(head, claims);
    }
    if kind("activation") {
        unsigned::<Activation>(head, claims);
    }
    if kind("user") || !kind("type") {
        unsigned::<User>(head, claims);
    }
    if let Ok(claims) = serde_json::from_str::<AccountClaims>(claims) {
        assert!(account_faults(&claims).iter().all(|fault| !fault.is_empty()));
    }
}

/// Claims without a signature: they are refused, and why.
fn unsigned<B: ClaimBody + PartialEq + Debug>(head: &str, text: &str) {
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let token = format!("{}.{}.", encode(head), encode(text));
    let error = decode::<B>(&token).err().expect("it is not signed");
    let claims = serde_json::from_str::<Claims<B>>(text);
    let expected = match (header_error(head), &claims) {
        (Some(error), _) => error,
        (None, Err(error)) => JwtError::Json("payload", error.to_string()),
        (None, Ok(claims)) => claims_error(claims),
    };
    assert_eq!(error, expected);
    if let Ok(claims) = claims {
        let text = serde_json::to_string(&claims).expect("texts and numbers");
        let again = serde_json::from_str::<Claims<B>>(&text);
        assert_eq!(again.expect("what was written"), claims, "{text}");
    }
}

fn header_error(head: &str) -> Option<JwtError> {
    #[derive(serde::Deserialize)]
    struct Header {
        #[serde(default)]
        typ: String,
        #[serde(default)]
        alg: String,
    }
    let head: Header = match serde_json::from_str(head) {
        Ok(head) => head,
        Err(error) => return Some(JwtError::Json("header", error.to_string())),
    };
    if head.typ.to_ascii_uppercase() != "JWT" {
        return Some(JwtError::Type(head.typ));
    }
    let known = matches!(&*head.alg.to_ascii_lowercase(), "ed25519" | "ed25519-nkey");
    (!known).then_some(JwtError::Algorithm(head.alg))
}

/// Why claims are refused that nobody signed.
fn claims_error<B: ClaimBody>(claims: &Claims<B>) -> JwtError {
    let (within, version) = claims.nats.header();
    if version > 2 {
        return JwtError::Version(version);
    }
    let beside = claims.extra.get("type").and_then(|kind| kind.as_str()).unwrap_or_default();
    let actual = if version < 2 && within.is_empty() { beside } else { within };
    if !B::TYPE.is_empty() && actual != B::TYPE {
        return JwtError::Kind { expected: B::TYPE, actual: actual.to_owned() };
    }
    match key_kind(&claims.iss) {
        Some(kind) if B::ISSUERS.is_empty() || B::ISSUERS.contains(&kind) => {}
        _ => return JwtError::Issuer(claims.iss.clone()),
    }
    if B::SUBJECT.is_some() && key_kind(&claims.sub) != B::SUBJECT {
        return JwtError::Subject(claims.sub.clone());
    }
    JwtError::Signature(if version < 2 { 1 } else { 2 })
}

/// A token, a credentials file, a seed or a key.
fn as_it_is(text: &str) {
    if let Some(token) = find_token(text) {
        assert_eq!(find_token(token), Some(token));
        let _ = (decode::<User>(token).is_ok(), decode::<Generic>(token).is_ok());
    }
    if let Ok(creds) = Creds::parse(text) {
        assert_eq!(creds.check().is_ok(), creds.format().is_ok());
        if let Ok(text) = creds.format() {
            assert_eq!(Creds::parse(&text), Ok(creds.clone()));
        }
        assert_eq!(parse_seed(text).as_ref(), Ok(&creds.seed));
        let lines = format!("---\n{}\n---\n---\n{}\n---", creds.jwt, creds.seed);
        assert_eq!(Creds::parse(&lines), Ok(creds));
    }
    if let Ok(seed) = parse_seed(text) {
        assert_eq!(parse_seed(&seed), Ok(seed));
    }
    let _ = key_kind(text);
}

/// Claims with the signature of their issuer are what they say, and decide about logins.
fn signed(text: &str) {
    let Fixture { operator, account, user, signer, sig, bearer, blank, known, .. } = fixture();
    let Ok(claims) = serde_json::from_str::<Claims<Generic>>(text) else { return };
    let keys = [operator, account, user, signer];
    let Some(key) = keys.into_iter().find(|key| key.public_key() == claims.iss) else { return };
    let payload = BASE64URL_NOPAD.encode(text.as_bytes());
    let body = format!("{}.{payload}", BASE64URL_NOPAD.encode(HEAD.as_bytes()));
    let is_v1 = claims.nats.version < 2;
    let covered = if is_v1 { &payload } else { &body };
    let signature = key.sign(covered.as_bytes()).expect("it has a seed");
    let token = format!("{body}.{}", BASE64URL_NOPAD.encode(&signature));
    match decode::<Generic>(&token) {
        Ok(read) => assert_eq!(read, claims),
        Err(error) => {
            assert!(!matches!(error, JwtError::Signature(_)), "{error}");
            assert_eq!(error, claims_error(&claims));
        }
    }
    let conn = ConnInfo::default();
    if claims.sub == account.public_key() {
        if let Ok(info) = blank.learn(&claims.sub, &token) {
            assert_eq!(*info.id, *claims.sub);
            let credentials = Credentials { jwt: Some(bearer), ..Credentials::default() };
            if let Ok(identity) = blank.authenticate(&credentials, NONCE, &conn, NOW) {
                assert_eq!(*identity.account, *claims.sub);
                assert!(blank.recheck(&identity, &conn, NOW).is_ok(), "the same again");
            }
            blank.forget(&claims.sub);
        }
    } else {
        let credentials =
            Credentials { jwt: Some(&token), sig: Some(sig), ..Credentials::default() };
        if let Ok(identity) = known.authenticate(&credentials, NONCE, &conn, NOW) {
            assert_eq!(identity.user.as_deref(), Some(claims.sub.as_str()));
            let again = known.recheck(&identity, &conn, NOW);
            assert!(again.is_ok(), "the same again: {:?}", again.err());
            if let Some(permissions) = &identity.permissions {
                for subject in [&b"a"[..], b"u.x.y.z", b"_INBOX.a.b"] {
                    let _ = permissions.can_publish(subject);
                    let _ = permissions.can_subscribe(subject, Some(b"q"));
                    let _ = permissions.denies_delivery(subject);
                }
            }
        }
        // Of another user the nonce proves nothing.
        let credentials = Credentials { jwt: Some(&token), ..Credentials::default() };
        if let Ok(identity) = known.authenticate(&credentials, NONCE, &conn, NOW) {
            assert!(identity.is_bearer);
        }
    }
}
