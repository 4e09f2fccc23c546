//! Tokens as tables: fixed keys, fixed time.

use super::*;
use data_encoding::BASE64URL_NOPAD;
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};

const NOW: i64 = 1_700_000_000;

fn key(kind: KeyPairType, seed: u8) -> KeyPair {
    KeyPair::new_from_raw(kind, [seed; 32]).unwrap()
}

fn account() -> KeyPair {
    key(KeyPairType::Account, 1)
}

fn user() -> KeyPair {
    key(KeyPairType::User, 2)
}

/// Signs any header and payload; `whole` signs both parts, as version 2 does.
fn token(header: Value, payload: &Value, signer: &KeyPair, whole: bool) -> String {
    let header = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
    let payload = BASE64URL_NOPAD.encode(payload.to_string().as_bytes());
    let both = format!("{header}.{payload}");
    let signed = if whole { &both } else { &payload };
    let signature = BASE64URL_NOPAD.encode(&signer.sign(signed.as_bytes()).unwrap());
    format!("{both}.{signature}")
}

fn header(alg: &str) -> Value {
    json!({"typ": "JWT", "alg": alg})
}

fn user_payload(nats: Value) -> Value {
    json!({"iat": NOW, "iss": account().public_key(), "sub": user().public_key(), "name": "n", "nats": nats})
}

fn v2() -> Value {
    user_payload(json!({"type": "user", "version": 2, "subs": -1}))
}

#[test]
fn keys_have_their_text_forms() {
    assert_eq!(user().seed().unwrap().len(), 58);
    let kinds = [
        (KeyPairType::Operator, KeyKind::Operator, "O", "SO"),
        (KeyPairType::Account, KeyKind::Account, "A", "SA"),
        (KeyPairType::User, KeyKind::User, "U", "SU"),
        (KeyPairType::Server, KeyKind::Server, "N", "SN"),
        (KeyPairType::Cluster, KeyKind::Cluster, "C", "SC"),
        (KeyPairType::Curve, KeyKind::Curve, "X", "SX"),
    ];
    for (of_nkeys, kind, public, seed) in kinds {
        let pair = key(of_nkeys, 3);
        assert_eq!(key_kind(&pair.public_key()), Some(kind));
        assert!(pair.public_key().starts_with(public) && pair.seed().unwrap().starts_with(seed));
    }
    let module = key(KeyPairType::Module, 3).public_key();
    for text in ["", "U", "UAAA", &user().seed().unwrap(), &module, &"ü".repeat(28)] {
        assert_eq!(key_kind(text), None, "{text:?}");
    }
}

// Shows a part of U-108.
#[test]
fn encodes_as_the_go_library_does() {
    let mut claims = Claims::<User>::new("alice", &user().public_key());
    claims.exp = NOW + 60;
    claims.nats.permissions.publish.allow.push("a.>".to_owned());
    let text = claims.encode(&account(), NOW).unwrap();
    let parts: Vec<&str> = text.split('.').collect();
    let part = |index: usize| BASE64URL_NOPAD.decode(parts[index].as_bytes()).unwrap();
    assert_eq!(part(0), br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    // The identifier is the hash of the registered claims without itself.
    let (iss, sub) = (account().public_key(), user().public_key());
    let registered =
        format!(r#"{{"exp":{},"iat":{NOW},"iss":"{iss}","name":"alice","sub":"{sub}"}}"#, NOW + 60);
    let digest = <sha2::Sha512_256 as sha2::Digest>::digest(registered);
    let expected = json!({
        "exp": NOW + 60, "iat": NOW, "iss": iss, "sub": sub, "name": "alice",
        "jti": data_encoding::BASE32_NOPAD.encode(&digest),
        "nats": {
            "pub": {"allow": ["a.>"]}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
            "type": "user", "version": 2,
        },
    });
    assert_eq!(serde_json::from_slice::<Value>(&part(1)).unwrap(), expected);
    assert_eq!(claims.jti.len(), 52);
    assert_eq!(decode::<User>(&text).unwrap(), claims);
}

#[test]
fn encodes_only_what_servers_accept() {
    let operator = key(KeyPairType::Operator, 9);
    let mut claims = Claims::<User>::new("u", &user().public_key());
    let issuer = JwtError::Issuer(operator.public_key());
    assert_eq!(claims.encode(&operator, NOW), Err(issuer));
    let mut about_account = Claims::<User>::new("u", &account().public_key());
    let subject = JwtError::Subject(account().public_key());
    assert_eq!(about_account.encode(&account(), NOW), Err(subject));
    let public = KeyPair::from_public_key(&account().public_key()).unwrap();
    assert_eq!(claims.encode(&public, NOW), Err(JwtError::NoSeed));
    let mut defaults = Claims::<Account>::new("a", &account().public_key());
    let text = defaults.encode(&operator, NOW).unwrap();
    let read = decode::<Account>(&text).unwrap();
    assert_eq!(read.nats.limits, AccountClaimLimits::unlimited());
}

// Shows a part of U-108.
#[test]
fn decodes_versions_and_refuses_forgeries() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = decode::<User>(text).map_or_else(|error| error.to_string(), |read| read.name);
        assert_eq!(actual, expected);
    }
    let (new, old) = ("ed25519-nkey", "ed25519");
    let v1 = json!({"iss": account().public_key(), "sub": user().public_key(), "name": "n",
        "type": "user", "nats": {}});
    check(&token(header(new), &v2(), &account(), true), "n");
    check(&token(json!({"typ": "jwt", "alg": "ED25519-NKEY"}), &v2(), &account(), true), "n");
    check(&token(header(old), &v1, &account(), false), "n");
    // The version decides what is signed (nats-server 2.15.1, measured).
    check(&token(header(old), &v2(), &account(), true), "n");
    let forged = "claim failed V2 signature verification";
    check(&token(header(new), &v2(), &account(), false), forged);
    check(&token(header(old), &v2(), &account(), false), forged);
    check(&token(header(new), &v1, &account(), true), "claim failed V1 signature verification");
    check(&token(header(new), &v2(), &key(KeyPairType::Account, 8), true), forged);
    let good = token(header(new), &v2(), &account(), true);
    let (start, _) = good.rsplit_once('.').unwrap();
    check(&format!("{start}."), forged);
    check(&format!("{start}.YWJj"), forged);
    check(&format!("{good}=="), forged);
    check(&token(header("none"), &v2(), &account(), true), "unexpected \"none\" algorithm");
    check(
        &token(json!({"typ": "X", "alg": new}), &v2(), &account(), true),
        "not supported type \"X\"",
    );
    check("", "expected 3 chunks");
    check("a.b", "expected 3 chunks");
    check("a.b.c.d", "expected 3 chunks");
    check("a.b.c", "header is not base64url");
    check(&format!("\n{good}"), "header is not base64url");
    let newer = user_payload(json!({"type": "user", "version": 3}));
    check(&token(header(new), &newer, &account(), true), "JWT was generated by a newer version: 3");
    let other = user_payload(json!({"type": "account", "version": 2}));
    check(&token(header(new), &other, &account(), true), "not user claim");
    let untyped = user_payload(json!({"version": 2}));
    check(&token(header(new), &untyped, &account(), true), "not user claim");
    let operator = key(KeyPairType::Operator, 9);
    let mut by_operator = v2();
    by_operator["iss"] = json!(operator.public_key());
    let issuer = operator.public_key();
    check(
        &token(header(new), &by_operator, &operator, true),
        &format!("unable to validate expected prefixes - \"{issuer}\" may not issue it"),
    );
    let mut wrong_type = v2();
    wrong_type["nats"]["subs"] = json!("many");
    let error = decode::<User>(&token(header(new), &wrong_type, &account(), true)).unwrap_err();
    assert!(matches!(error, JwtError::Json("payload", _)), "{error}");
}

#[test]
fn version_1_means_unlimited_where_it_is_silent() {
    let payload = json!({"iss": account().public_key(), "sub": user().public_key(), "type": "user",
        "issuer_account": "AX", "nats": {"src": "10.0.0.0/8, 127.0.0.0/8", "issuer_account": "AY"}});
    let read = decode::<User>(&token(header("ed25519"), &payload, &account(), false)).unwrap();
    let limits = &read.nats.permissions;
    assert_eq!((limits.subs, limits.data, limits.payload), (-1, -1, -1));
    assert_eq!(limits.src, ["10.0.0.0/8", "127.0.0.0/8"]);
    assert_eq!(read.nats.issuer_account, "AX");
    let v2 = decode::<User>(&token(header("ed25519-nkey"), &v2(), &account(), true)).unwrap();
    assert_eq!((v2.nats.permissions.subs, v2.nats.permissions.payload), (-1, 0));
}

// Shows U-108.
#[test]
fn unknown_claims_survive() {
    let operator = key(KeyPairType::Operator, 9);
    let payload = json!({
        "iss": operator.public_key(), "sub": account().public_key(), "name": "acc", "beside": [1],
        "nats": {
            "type": "account", "version": 2, "future": {"a": 1},
            "limits": {"conn": -1, "disk_storage": 5, "hereafter": true,
                "tiered_limits": {"R1": {"mem_storage": 1}}},
            "signing_keys": ["AKEY", {"kind": "user_scope", "key": "ASCOPE", "role": "r",
                "template": {"pub": {"allow": ["{{name()}}"]}, "sub": {}, "subs": -1}, "new": 1}],
            "exports": [{"name": "e", "subject": "e.>", "type": "stream"}],
            "mappings": {"a": [{"subject": "b", "weight": 60}]},
            "revocations": {"*": 5}, "tags": ["k:v"], "trace": {"dest": "t"},
            "default_permissions": {"pub": {}, "sub": {"deny": ["x"]}, "resp": {"max": 1, "ttl": 2}},
        },
    });
    let text = token(header("ed25519-nkey"), &payload, &operator, true);
    let mut read = decode::<Account>(&text).unwrap();
    assert_eq!(read.nats.limits.jetstream.disk_storage, 5);
    assert_eq!(read.nats.signing_keys[1].key(), "ASCOPE");
    let written = read.encode(&operator, NOW).unwrap();
    let read = decode::<Generic>(&written).unwrap();
    let mut actual = serde_json::to_value(read).unwrap();
    let mut expected = payload;
    expected["iat"] = json!(NOW);
    expected["jti"] = actual["jti"].clone();
    assert_eq!(actual.as_object_mut().unwrap(), expected.as_object_mut().unwrap());
}

#[test]
fn null_counts_as_absent() {
    let payload = user_payload(json!({"type": "user", "version": 2, "pub": null, "resp": null,
        "sub": {"allow": null}, "src": null, "times": null, "tags": null,
        "allowed_connection_types": null}));
    let read = decode::<User>(&token(header("ed25519-nkey"), &payload, &account(), true)).unwrap();
    assert!(read.nats.permissions.is_blank());
}

fn creds() -> Creds {
    let jwt = Claims::<User>::new("u", &user().public_key()).encode(&account(), NOW).unwrap();
    Creds { jwt, seed: user().seed().unwrap() }
}

// Shows U-107.
#[test]
fn credentials_files_have_the_exact_shape() {
    let creds = creds();
    let expected = [
        "-----BEGIN NATS USER JWT-----",
        &creds.jwt,
        "------END NATS USER JWT------",
        "",
        "************************* IMPORTANT *************************",
        "NKEY Seed printed below can be used to sign and prove identity.",
        "NKEYs are sensitive and should be treated as secrets.",
        "",
        "-----BEGIN USER NKEY SEED-----",
        &creds.seed,
        "------END USER NKEY SEED------",
        "",
        "*************************************************************",
        "",
    ]
    .join("\n");
    assert_eq!(creds.format().unwrap(), expected);
    assert_eq!(Creds::parse(&expected).unwrap(), creds);
    assert_eq!(parse_seed(&expected).unwrap(), creds.seed);
    let other = Creds { seed: key(KeyPairType::User, 5).seed().unwrap(), ..creds.clone() };
    assert_eq!(other.format(), Err(CredsError::SeedMismatch));
    assert!(!format!("{creds:?}").contains(&creds.seed));
}

#[test]
fn credentials_files_are_read_tolerantly() {
    let Creds { jwt, seed } = creds();
    let check = |text: String, expected: Result<(), &str>| {
        let actual = Creds::parse(&text).map(|read| assert_eq!(read, creds()));
        assert_eq!(
            actual.map_err(|error| error.to_string()),
            expected.map_err(str::to_owned),
            "{text}"
        );
    };
    check(format!("---\n{jwt}\n---\n---\n{seed}\n---"), Ok(()));
    check(
        format!("  -----BEGIN-----\r\n\t {jwt} \r\n--- END ---\r\n-----\r\n {seed}\r\n---"),
        Ok(()),
    );
    check(format!("text\n---A---\n{jwt}\n---B---\nmore\n\n---C---\n{seed}\n---D---\nrest"), Ok(()));
    check(String::new(), Err("no user JWT block found"));
    check(format!("{jwt}\n{seed}"), Err("no user JWT block found"));
    check(format!("--\n{jwt}\n--\n--\n{seed}\n--"), Err("no user JWT block found"));
    check(format!("---\n{jwt}\n---\n"), Err("no user seed block found"));
    check(format!("---\n{seed}\n---\n---\n{jwt}\n---"), Err("the user JWT block is malformed"));
    check(format!("---\n{jwt}\n---\n---\nSUAB\n---"), Err("the user seed block is malformed"));
    let account_seed = account().seed().unwrap();
    check(
        format!("---\n{jwt}\n---\n---\n{account_seed}\n---"),
        Err("the user seed block is malformed"),
    );
}

#[test]
fn seeds_and_tokens_are_found_in_files() {
    let Creds { jwt, seed } = creds();
    assert_eq!(parse_seed(&format!("{seed}\n")).unwrap(), seed);
    assert_eq!(parse_seed(&format!("# key\n  {seed}\r\n")).unwrap(), seed);
    assert_eq!(parse_seed(&format!("---BEGIN---\n{seed}\n---END---\n")).unwrap(), seed);
    assert_eq!(parse_seed("nothing"), Err(CredsError::Missing(CredsPart::Seed)));
    let broken = format!("{}A", &seed[..57]);
    let broken = if broken == seed { format!("{}B", &seed[..57]) } else { broken };
    assert_eq!(parse_seed(&broken), Err(CredsError::Malformed(CredsPart::Seed)));
    assert_eq!(
        find_token(&format!("-----BEGIN-----\n{jwt}\n------END------\n")),
        Some(jwt.as_str())
    );
    assert_eq!(find_token("/etc/nats/op.d/x.jwt is a.path"), None);
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_sent_panics(text in "\\PC{0,80}", key in "[A-Z2-7]{56}", seed in "S[A-Z2-7]{57}") {
        let valid = token(header("ed25519-nkey"), &v2(), &account(), true);
        let (start, _) = valid.split_at(text.len() % valid.len());
        for text in [text.as_str(), &format!("{start}{text}"), &format!("---\n{seed}\n---")] {
            proptest::prop_assert!(decode::<User>(text).is_err());
            proptest::prop_assert!(Creds::parse(text).is_err());
            let _ = (find_token(text), parse_seed(text));
        }
        let _ = key_kind(&key);
    }
}
