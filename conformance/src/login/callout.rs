//! An authorization service (core.md 3.9), which answers the request that was captured as `{request}`.
//!
//! | Variable | Meaning |
//! |---|---|
//! | `{callout_key}` `{callout_xkey}` | the account key that signs answers · the curve key that requests are sealed for |
//! | `{request_claims}` | the claims of `{request}` as JSON; unsealed if need be |
//! | `{answer_app}` | the answer: a user of account `APP`, by the account key; `g` is `$G` |
//! | `{answer_app_…}` | the same, but `named` (user `bob`), `limited` (may publish `ok` only), `brief` (expires in 2 s), `over` (expired), `sealed`, `covered` (sealed, and signed by another), `error` (`nope`), `stranger` (signed by another), `forged` (the user's token is), `user` (about another user), `server` (for another server), `inner` (the user's token is about another), `empty`, `junk` |
//! | `{service_jwt}` `{service_key}` `{service_user}` `{sentinel}` | operator mode: an account with a callout · its key · its service · who is asked about; `{service_jwt_sealed}` with a curve key |
//! | `{target_jwt}` `{target_key}` `{barred_jwt}` | accounts that the service may place users in, and may not |
//! | `{placed_target}` `{placed_barred}` `{placed_service}` | answers of operator mode: a user of that account |

use std::sync::OnceLock;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use nkeys::{KeyPair, XKey};
use serde_json::{Value, json};

use super::claims::unlimited;
use super::{encode, keys, now};
use crate::text::Env;

struct Service {
    issuer: KeyPair,
    stranger: KeyPair,
    curve: XKey,
    account: KeyPair,
    user: KeyPair,
    target: KeyPair,
    barred: KeyPair,
}

fn service() -> &'static Service {
    static SERVICE: OnceLock<Service> = OnceLock::new();
    SERVICE.get_or_init(|| Service {
        issuer: KeyPair::new_account(),
        stranger: KeyPair::new_account(),
        curve: XKey::new(),
        account: KeyPair::new_account(),
        user: KeyPair::new_user(),
        target: KeyPair::new_account(),
        barred: KeyPair::new_account(),
    })
}

/// The value of a variable of this module, if `name` is one.
pub(super) fn variable(name: &str, env: &Env) -> Option<Result<Vec<u8>, String>> {
    let all = service();
    if let Some(wanted) = name.strip_prefix("answer_") {
        return Some(answer(wanted, env));
    }
    if let Some(wanted) = name.strip_prefix("placed_") {
        let account = match wanted {
            "target" => &all.target,
            "barred" => &all.barred,
            "service" => &all.account,
            _ => return None,
        };
        return Some(placed(account, env).map(String::into_bytes));
    }
    let text = match name {
        "callout_key" => Ok(all.issuer.public_key()),
        "callout_xkey" => Ok(all.curve.public_key()),
        "request_claims" => request(env).map(|(claims, _)| claims.to_string()),
        "service_key" => Ok(all.account.public_key()),
        "target_key" => Ok(all.target.public_key()),
        "barred_key" => Ok(all.barred.public_key()),
        "service_jwt" => account("SERVICE", &all.account, Some("")),
        "service_jwt_sealed" => account("SERVICE", &all.account, Some(&all.curve.public_key())),
        "target_jwt" => account("TARGET", &all.target, None),
        "barred_jwt" => account("BARRED", &all.barred, None),
        "service_user" => user(&all.account, &all.user.public_key(), json!({"bearer_token": true})),
        "sentinel" => {
            let key = KeyPair::new_user().public_key();
            user(&all.account, &key, json!({"bearer_token": true}))
        }
        _ => return None,
    };
    Some(text.map(String::into_bytes))
}

fn account(name: &str, key: &KeyPair, xkey: Option<&str>) -> Result<String, String> {
    let all = service();
    let mut nats = json!({"limits": unlimited(), "type": "account", "version": 2});
    if let Some(xkey) = xkey {
        nats["authorization"] = json!({
            "auth_users": [all.user.public_key()], "allowed_accounts": [all.target.public_key()]
        });
        if !xkey.is_empty() {
            nats["authorization"]["xkey"] = json!(xkey);
        }
    }
    encode(&keys().operator, json!({"name": name, "sub": key.public_key(), "nats": nats}))
}

fn user(issuer: &KeyPair, key: &str, own: Value) -> Result<String, String> {
    let mut nats = json!({
        "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2
    });
    if let (Some(nats), Value::Object(own)) = (nats.as_object_mut(), own) {
        nats.extend(own);
    }
    encode(issuer, json!({"name": "guest", "sub": key, "nats": nats}))
}

/// The claims of the request, and the server's curve key if it was sealed.
fn request(env: &Env) -> Result<(Value, Option<String>), String> {
    let request = env.get("request").ok_or("{request} is not set")?;
    let opened;
    let (token, xkey) = match request.strip_prefix("base64:") {
        None => (request.as_str(), None),
        Some(sealed) => {
            let sealed = BASE64.decode(sealed.as_bytes()).map_err(|e| e.to_string())?;
            let xkey = env.get("xkey").ok_or("{xkey} is not set")?;
            let server = XKey::from_public_key(xkey).map_err(|e| e.to_string())?;
            let bytes = service().curve.open(&sealed, &server).map_err(|e| e.to_string())?;
            opened = String::from_utf8(bytes).map_err(|e| e.to_string())?;
            (opened.as_str(), Some(xkey.clone()))
        }
    };
    let body = token.split('.').nth(1).ok_or("{request} is no token")?;
    let body = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|e| e.to_string())?;
    Ok((serde_json::from_slice(&body).map_err(|e| e.to_string())?, xkey))
}

fn answer(wanted: &str, env: &Env) -> Result<Vec<u8>, String> {
    let (target, how) = wanted.split_once('_').unwrap_or((wanted, ""));
    let target = if target == "g" { "$G".to_owned() } else { target.to_uppercase() };
    if matches!(how, "empty" | "junk") {
        return Ok(if how == "junk" { b"junk".to_vec() } else { Vec::new() });
    }
    let all = service();
    let (claims, xkey) = request(env)?;
    let asked = claims["nats"]["user_nkey"].as_str().unwrap_or_default().to_owned();
    let server = claims["nats"]["server_id"]["id"].as_str().unwrap_or_default().to_owned();
    let other = KeyPair::new_user().public_key();
    let mut nats = json!({
        "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2
    });
    if how == "limited" {
        nats["pub"] = json!({"allow": ["ok", "$SYS.REQ.USER.INFO"]});
    }
    let sub = if how == "inner" { &other } else { &asked };
    let mut user = json!({"sub": sub, "aud": target, "nats": nats});
    match how {
        "named" => user["name"] = json!("bob"),
        "brief" => user["exp"] = json!(now() + 2),
        "over" => user["exp"] = json!(now() - 10),
        _ => {}
    }
    let issuer = if how == "forged" { &all.stranger } else { &all.issuer };
    let signer = if matches!(how, "stranger" | "covered") { &all.stranger } else { &all.issuer };
    let mut body = json!({"type": "authorization_response", "version": 2});
    match how {
        "error" => body["error"] = json!("nope"),
        _ => body["jwt"] = json!(encode(issuer, user)?),
    }
    let sub = if how == "user" { &other } else { &asked };
    let elsewhere = KeyPair::new_server().public_key();
    let aud = if how == "server" { &elsewhere } else { &server };
    let token = encode(signer, json!({"sub": sub, "aud": aud, "nats": body}))?;
    match (how, xkey) {
        ("sealed" | "covered", Some(xkey)) => {
            let server = XKey::from_public_key(&xkey).map_err(|e| e.to_string())?;
            all.curve.seal(token.as_bytes(), &server).map_err(|e| e.to_string())
        }
        ("sealed" | "covered", None) => Err("the request was not sealed".to_owned()),
        _ => Ok(token.into_bytes()),
    }
}

/// The answer of operator mode: a user of `account`, by that account's key.
fn placed(account: &KeyPair, env: &Env) -> Result<String, String> {
    let (claims, _) = request(env)?;
    let asked = claims["nats"]["user_nkey"].as_str().unwrap_or_default();
    let server = &claims["nats"]["server_id"]["id"];
    let token = user(account, asked, json!({}))?;
    let body = json!({"jwt": token, "type": "authorization_response", "version": 2});
    encode(&service().account, json!({"sub": asked, "aud": server, "nats": body}))
}
