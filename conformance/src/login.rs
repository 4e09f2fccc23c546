//! Keys and JWTs for cases about logins, made anew in each run.
//!
//! | Variable | Meaning |
//! |---|---|
//! | `{nkey}` | a user's public key |
//! | `{sig}` `{sig_std}` `{sig_decoded}` | that user's signature over `{nonce}`, raw-URL base64 · standard base64 with padding · over the decoded nonce |
//! | `{sig_revoked}` | the revoked user's signature over `{nonce}` |
//! | `{proxy_key}` `{proxy_sig}` | a trusted proxy's key and its signature over `{nonce}`; `{proxy_other}` is another one's key |
//! | `{operator_jwt}` `{account_jwt}` `{system_jwt}` | claims signed by the operator |
//! | `{account_key}` `{system_key}` | their public keys |
//! | `{user_jwt}` and `{user_jwt_…}` | user claims, see [`user_claims`] |
//! | `{exporter_…}` `{importer_…}` | accounts that share, see [`shared`] |
//! | `{account_jwt_…}` `{fresh_…}` `{delete_jwt}` | accounts that change, see [`claims`] |
//! | `{answer_…}` `{callout_key}` `{service_…}` | an authorization service, see [`callout`] |
//!
//! JWT form: core.md 3.7.

mod callout;
mod claims;
mod shared;

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::text::Env;

struct Keys {
    operator: KeyPair,
    account: KeyPair,
    signing: KeyPair,
    scoped: KeyPair,
    system: KeyPair,
    user: KeyPair,
    revoked: KeyPair,
    stranger: KeyPair,
    proxy: KeyPair,
    other_proxy: KeyPair,
    now: u64,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys {
        operator: KeyPair::new_operator(),
        account: KeyPair::new_account(),
        signing: KeyPair::new_account(),
        scoped: KeyPair::new_account(),
        system: KeyPair::new_account(),
        user: KeyPair::new_user(),
        revoked: KeyPair::new_user(),
        stranger: KeyPair::new_account(),
        proxy: KeyPair::new_user(),
        other_proxy: KeyPair::new_user(),
        now: now(),
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// The value of a variable of this module, if `name` is one.
pub(crate) fn variable(name: &str, env: &Env) -> Option<Result<Vec<u8>, String>> {
    text(name, env)
        .map(|text| text.map(String::into_bytes))
        .or_else(|| callout::variable(name, env))
}

fn text(name: &str, env: &Env) -> Option<Result<String, String>> {
    let keys = keys();
    let nonce = || env.get("nonce").ok_or_else(|| "{nonce} is not set".to_owned());
    let sign = |key: &KeyPair, bytes: &[u8]| key.sign(bytes).map_err(|e| e.to_string());
    Some(match name {
        "nkey" => Ok(keys.user.public_key()),
        "account_key" => Ok(keys.account.public_key()),
        "system_key" => Ok(keys.system.public_key()),
        "proxy_key" => Ok(keys.proxy.public_key()),
        "proxy_other" => Ok(keys.other_proxy.public_key()),
        "proxy_sig" => nonce()
            .and_then(|n| sign(&keys.proxy, n.as_bytes()))
            .map(|sig| BASE64URL_NOPAD.encode(&sig)),
        "sig" => nonce()
            .and_then(|n| sign(&keys.user, n.as_bytes()))
            .map(|sig| BASE64URL_NOPAD.encode(&sig)),
        "sig_std" => {
            nonce().and_then(|n| sign(&keys.user, n.as_bytes())).map(|sig| BASE64.encode(&sig))
        }
        "sig_decoded" => nonce()
            .and_then(|n| BASE64URL_NOPAD.decode(n.as_bytes()).map_err(|e| e.to_string()))
            .and_then(|bytes| sign(&keys.user, &bytes))
            .map(|sig| BASE64URL_NOPAD.encode(&sig)),
        "sig_revoked" => nonce()
            .and_then(|n| sign(&keys.revoked, n.as_bytes()))
            .map(|sig| BASE64URL_NOPAD.encode(&sig)),
        "operator_jwt" => {
            let nats = json!({"system_account": keys.system.public_key(), "type": "operator", "version": 2});
            encode(
                &keys.operator,
                json!({"name": "op", "sub": keys.operator.public_key(), "nats": nats}),
            )
        }
        "system_jwt" => account("SYS", &keys.system, json!([]), json!({})),
        "account_jwt" => {
            let template = json!({
                "pub": {"allow": ["u.{{name()}}.>", "{{tag(team)}}.x", "_INBOX.>",
                    "an.{{account-name()}}", "as.{{account-subject()}}",
                    "at.{{account-tag(env)}}.{{tag(team)}}", "{{tag(absent)}}.y"]},
                "sub": {"allow": ["s.{{subject()}}", "_INBOX.>"]},
                "subs": -1, "data": -1, "payload": -1
            });
            let scope = json!({
                "kind": "user_scope", "key": keys.scoped.public_key(), "role": "r",
                "template": template
            });
            let revocations = json!({keys.revoked.public_key(): keys.now + 60});
            account("ACC", &keys.account, json!([keys.signing.public_key(), scope]), revocations)
        }
        _ => match name.strip_prefix("user_jwt") {
            Some(variant) => user_claims(variant, keys)?,
            None => claims::variable(name).or_else(|| shared::variable(name))?,
        },
    })
}

fn account(
    name: &str,
    key: &KeyPair,
    signing_keys: Value,
    revocations: Value,
) -> Result<String, String> {
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1
    });
    let nats = json!({
        "limits": limits, "signing_keys": signing_keys, "revocations": revocations,
        "tags": ["env:prod"],
        "default_permissions": {"pub": {}, "sub": {}}, "type": "account", "version": 2
    });
    let claims = json!({"name": name, "sub": key.public_key(), "nats": nats});
    encode(&keys().operator, claims)
}

/// `{user_jwt}` is plain; the others differ in one thing each:
/// `_signing` (signed by a signing key), `_scoped` (by the scoped one, name `alice`, tag
/// `team:red`), `_expired`, `_future` (`nbf`), `_brief` (expires in 2 s), `_stranger` (unknown
/// account), `_small` (1 subscription, payload 10), `_window` (until in 2 s), `_closed` (not at this
/// time), `_forged` (bad signature), `_revoked`, `_bearer`, `_elsewhere` (`src`),
/// `_websocket` (connection type), `_perms` (permissions), `_scoped_perms` (scoped and with
/// permissions of its own).
fn user_claims(variant: &str, keys: &Keys) -> Option<Result<String, String>> {
    let now = now();
    let mut issuer = &keys.account;
    let mut claims = json!({
        "name": "alice", "sub": keys.user.public_key(),
        "nats": {"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2}
    });
    let nats = |claims: &mut Value, key: &str, value: Value| claims["nats"][key] = value;
    let permissions = json!({"allow": ["ok.>", "_INBOX.>"]});
    match variant {
        "" | "_forged" => {}
        "_signing" | "_scoped" | "_scoped_perms" => {
            nats(&mut claims, "issuer_account", json!(keys.account.public_key()));
            issuer = &keys.signing;
            if variant != "_signing" {
                issuer = &keys.scoped;
                for limit in ["subs", "data", "payload"] {
                    nats(&mut claims, limit, json!(0));
                }
                nats(&mut claims, "tags", json!(["team:red", "team:green"]));
            }
            if variant == "_scoped_perms" {
                nats(&mut claims, "pub", permissions);
            }
        }
        "_expired" => claims["exp"] = json!(now - 10),
        "_future" => claims["nbf"] = json!(now + 1000),
        "_brief" => claims["exp"] = json!(now + 2),
        "_stranger" => issuer = &keys.stranger,
        "_revoked" => claims["sub"] = json!(keys.revoked.public_key()),
        "_bearer" => nats(&mut claims, "bearer_token", json!(true)),
        "_small" => {
            nats(&mut claims, "subs", json!(1));
            nats(&mut claims, "payload", json!(10));
        }
        "_window" | "_closed" => {
            // A window of the day that is over in 2 s, or was over an hour ago.
            let clock = |unix: u64| {
                let second = unix % 86_400;
                format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
            };
            let (start, end) =
                if variant == "_window" { (now - 60, now + 2) } else { (now - 7200, now - 3600) };
            nats(&mut claims, "times", json!([{"start": clock(start), "end": clock(end)}]));
            nats(&mut claims, "times_location", json!("UTC"));
        }
        "_elsewhere" => nats(&mut claims, "src", json!(["10.0.0.0/8"])),
        "_websocket" => nats(&mut claims, "allowed_connection_types", json!(["WEBSOCKET"])),
        "_perms" => {
            nats(&mut claims, "pub", permissions);
            nats(&mut claims, "sub", json!({"deny": ["no.>"]}));
        }
        _ => return None,
    }
    let token = encode(issuer, claims);
    if variant == "_forged" {
        // Swaps two halves of the signature: well formed, and wrong.
        return Some(token.map(|token| {
            let (body, signature) = token.rsplit_once('.').unwrap_or((&token, ""));
            let (left, right) = signature.split_at(signature.len() / 2);
            format!("{body}.{right}{left}")
        }));
    }
    Some(token)
}

fn encode(issuer: &KeyPair, mut claims: Value) -> Result<String, String> {
    claims["iss"] = json!(issuer.public_key());
    claims["iat"] = json!(keys().now);
    // The server does not verify the identifier (core.md 3.7).
    claims["jti"] = json!("CONFORMANCE");
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let body = format!("{}.{}", part(&header), part(&claims));
    let signature = issuer.sign(body.as_bytes()).map_err(|e| e.to_string())?;
    Ok(format!("{body}.{}", BASE64URL_NOPAD.encode(&signature)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_three_parts_and_verify() {
        let env = Env::from([("nonce".to_owned(), "abcdefghijklmno".to_owned())]);
        for name in ["operator_jwt", "account_jwt", "user_jwt", "user_jwt_scoped"] {
            let token = text(name, &env).unwrap().unwrap();
            assert_eq!(token.split('.').count(), 3, "{name}");
        }
        let sig = text("sig", &env).unwrap().unwrap();
        let bytes = BASE64URL_NOPAD.decode(sig.as_bytes()).unwrap();
        let user = KeyPair::from_public_key(&text("nkey", &env).unwrap().unwrap()).unwrap();
        assert!(user.verify(b"abcdefghijklmno", &bytes).is_ok());
        assert!(variable("user_jwt_nonsense", &env).is_none());
        assert!(variable("sig", &Env::new()).unwrap().is_err());
    }
}
