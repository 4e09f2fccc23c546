//! Accounts that change while a server runs, and requests about them (core.md 3.8).
//!
//! | Variable | Meaning |
//! |---|---|
//! | `{system_user}` | a bearer token for the system account |
//! | `{account_jwt_…}` | the account anew: `_mapped` (`foo` to `bar`), `_revoked` (`*`), `_single` (one connection), `_small` (payload 10, 2 subscriptions), `_brief` (expires in 2 s), `_unsigned` (no signing keys), `_rescoped` (another template), `_proven` (no bearer tokens), `_forged` (signed by itself), `_over` (expired), `_wrong` (weights above 100), `_defaults` (default permissions), `_leafless` (no limits said), `_vanished` and `_denied` (a template whose only entry, allowed or denied, has no value), `_exporting` (more exports than it may), `_stored` (5000 bytes of JetStream on disk), `_tiered` (limits of JetStream for one replica and for three), `_remote` (for three alone) |
//! | `{fresh_key}` `{fresh_jwt}` `{fresh_user}` | an account that no configuration has; `{fresh_jwt_…}` as above |
//! | `{second_key}` `{second_jwt}` `{second_user}` | one more |
//! | `{account_user}` | a bearer token for the account of the configuration |
//! | `{delete_jwt}` | a request to delete the fresh account, `_system` the system account, `_foreign` by a stranger, `_strange` without a list |
//! | `{operator_key}` `{other_operator_jwt}` `{other_account_jwt}` | the operator's key · another operator · the fresh account by that one |
//! | `{strict_operator_jwt}` `{strict_account_jwt}` | an operator that demands signing keys, and what its own key signed |

use nkeys::KeyPair;
use serde_json::{Value, json};
use std::sync::OnceLock;

use super::{Keys, encode, keys, now};

struct More {
    fresh: KeyPair,
    second: KeyPair,
    operator_signer: KeyPair,
}

fn more() -> &'static More {
    static MORE: OnceLock<More> = OnceLock::new();
    MORE.get_or_init(|| More {
        fresh: KeyPair::new_account(),
        second: KeyPair::new_account(),
        operator_signer: KeyPair::new_operator(),
    })
}

/// The value of a variable of this module, if `name` is one.
pub(super) fn variable(name: &str) -> Option<Result<String, String>> {
    let keys = keys();
    let more = more();
    if let Some(variant) = name.strip_prefix("account_jwt_") {
        return account("ACC", &keys.account, variant, keys);
    }
    if let Some(variant) = name.strip_prefix("fresh_jwt_") {
        return account("FRESH", &more.fresh, variant, keys);
    }
    Some(match name {
        "system_user" => bearer(&keys.system),
        "account_user" => bearer(&keys.account),
        "fresh_user" => bearer(&more.fresh),
        "second_user" => bearer(&more.second),
        "fresh_key" => Ok(more.fresh.public_key()),
        "second_key" => Ok(more.second.public_key()),
        "fresh_jwt" => account("FRESH", &more.fresh, "", keys)?,
        "second_jwt" => account("SECOND", &more.second, "", keys)?,
        "delete_jwt" => delete(&keys.operator, json!([more.fresh.public_key()])),
        "delete_jwt_system" => delete(&keys.operator, json!([keys.system.public_key()])),
        "delete_jwt_foreign" => delete(&more.operator_signer, json!([more.fresh.public_key()])),
        "delete_jwt_strange" => delete(&keys.operator, Value::Null),
        "operator_key" => Ok(keys.operator.public_key()),
        "other_operator_jwt" => {
            let nats = json!({"type": "operator", "version": 2});
            let sub = more.operator_signer.public_key();
            encode(&more.operator_signer, json!({"name": "other", "sub": sub, "nats": nats}))
        }
        "other_account_jwt" => {
            let nats = json!({"limits": unlimited(), "type": "account", "version": 2});
            let sub = more.fresh.public_key();
            encode(&more.operator_signer, json!({"name": "FRESH", "sub": sub, "nats": nats}))
        }
        "strict_operator_jwt" => {
            let nats = json!({
                "system_account": keys.system.public_key(), "strict_signing_key_usage": true,
                "signing_keys": [more.operator_signer.public_key()], "type": "operator", "version": 2
            });
            let sub = keys.operator.public_key();
            encode(&keys.operator, json!({"name": "op", "sub": sub, "nats": nats}))
        }
        "strict_account_jwt" => {
            let nats = json!({"limits": unlimited(), "type": "account", "version": 2});
            let sub = keys.system.public_key();
            encode(&more.operator_signer, json!({"name": "SYS", "sub": sub, "nats": nats}))
        }
        _ => return None,
    })
}

fn delete(by: &KeyPair, accounts: Value) -> Result<String, String> {
    let mut nats = json!({"type": "generic", "version": 2});
    if !accounts.is_null() {
        nats["accounts"] = accounts;
    }
    encode(by, json!({"name": "delete", "sub": by.public_key(), "nats": nats}))
}

/// A token of a user of this account that needs no signature.
pub(super) fn bearer(account: &KeyPair) -> Result<String, String> {
    encode(
        account,
        json!({
            "name": "bearer", "sub": KeyPair::new_user().public_key(),
            "nats": {"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
                     "bearer_token": true, "type": "user", "version": 2}
        }),
    )
}

pub(super) fn unlimited() -> Value {
    json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1
    })
}

fn account(
    name: &str,
    key: &KeyPair,
    variant: &str,
    keys: &Keys,
) -> Option<Result<String, String>> {
    let scope = |allow: &str| {
        json!({
            "kind": "user_scope", "key": keys.scoped.public_key(), "role": "r",
            "template": {"pub": {"allow": [allow, "_INBOX.>"]}, "sub": {}, "subs": -1, "data": -1,
                         "payload": -1}
        })
    };
    let mut issuer = &keys.operator;
    let mut nats = json!({
        "limits": unlimited(), "default_permissions": {"pub": {}, "sub": {}},
        "signing_keys": [keys.signing.public_key(), scope("u.{{name()}}.>")],
        "type": "account", "version": 2
    });
    let mut exp = 0;
    match variant {
        "" => {}
        "vanished" => {
            let mut scoped = scope("");
            scoped["template"]["pub"] = json!({"allow": ["{{tag(absent)}}.x"]});
            nats["signing_keys"] = json!([scoped]);
        }
        "denied" => {
            nats["signing_keys"] = json!([scope("x")]);
            nats["signing_keys"][0]["template"]["pub"] = json!({"deny": ["{{tag(absent)}}.x"]});
        }
        "exporting" => {
            nats["limits"]["exports"] = json!(0);
            nats["exports"] = json!([{"name": "e", "subject": "e", "type": "stream"}]);
        }
        "mapped" => nats["mappings"] = json!({"foo": [{"subject": "bar"}]}),
        "revoked" => nats["revocations"] = json!({"*": now() + 60}),
        "single" => nats["limits"]["conn"] = json!(1),
        "small" => {
            nats["limits"]["payload"] = json!(10);
            nats["limits"]["subs"] = json!(2);
        }
        "brief" => exp = now() + 2,
        "unsigned" => nats["signing_keys"] = json!([]),
        "rescoped" => {
            nats["signing_keys"] = json!([keys.signing.public_key(), scope("v.{{name()}}.>")]);
        }
        "proven" => nats["limits"]["disallow_bearer"] = json!(true),
        "forged" => issuer = key,
        "over" => exp = now() - 10,
        "wrong" => {
            nats["mappings"] =
                json!({"foo": [{"subject": "a", "weight": 60}, {"subject": "b", "weight": 60}]});
        }
        "defaults" => nats["default_permissions"] = json!({"pub": {"allow": ["only"]}, "sub": {}}),
        "leafless" => nats["limits"] = json!({}),
        "stored" => nats["limits"]["disk_storage"] = json!(5000),
        "tiered" => {
            nats["limits"]["tiered_limits"] = json!({
                "R1": {"mem_storage": 1000, "disk_storage": 2000, "streams": 2, "consumer": 3,
                       "max_ack_pending": 40, "mem_max_stream_bytes": 500,
                       "disk_max_stream_bytes": 1500, "max_bytes_required": true},
                "R3": {"disk_storage": -1, "streams": -1, "consumer": -1}
            });
        }
        "remote" => {
            nats["limits"]["tiered_limits"] =
                json!({"R3": {"disk_storage": -1, "streams": -1, "consumer": -1}});
        }
        _ => return None,
    }
    let mut claims = json!({"name": name, "sub": key.public_key(), "nats": nats});
    if exp != 0 {
        claims["exp"] = json!(exp);
    }
    Some(encode(issuer, claims))
}
