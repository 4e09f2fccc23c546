//! Accounts that share streams and services, by their JWTs.
//!
//! | Variable | Meaning |
//! |---|---|
//! | `{exporter_key}` `{importer_key}` `{other_key}` | public keys of three accounts |
//! | `{exporter_jwt}` | exports `open.>`, `own.*` (the second token is the importer's key), `closed.>` and `revoked.>` (with activation), and the services `svc.*`, `told` (with reports of its latency) and `closed.svc` (with activation) |
//! | `{importer_jwt}` | imports all of these, with the activations of the exporter; `told` learns who asks |
//! | `{other_jwt}` | imports the same with activations that are expired, revoked or not there |
//! | `{exporter_user}` `{importer_user}` `{other_user}` | bearer tokens of users |
//! | `{greedy_jwt}` `{greedy_key}` `{greedy_user}` | an account with more imports than it is allowed |
//! | `{forger_jwt}` `{forger_key}` `{forger_user}` | an account whose activations the exporter did not sign |

use std::sync::OnceLock;

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{encode, keys, now};

struct Accounts {
    exporter: KeyPair,
    /// Signs activations for the exporter.
    signing: KeyPair,
    importer: KeyPair,
    other: KeyPair,
    greedy: KeyPair,
    forger: KeyPair,
}

fn accounts() -> &'static Accounts {
    static ACCOUNTS: OnceLock<Accounts> = OnceLock::new();
    ACCOUNTS.get_or_init(|| Accounts {
        exporter: KeyPair::new_account(),
        signing: KeyPair::new_account(),
        importer: KeyPair::new_account(),
        other: KeyPair::new_account(),
        greedy: KeyPair::new_account(),
        forger: KeyPair::new_account(),
    })
}

/// The value of a variable of this module, if `name` is one.
pub(super) fn variable(name: &str) -> Option<Result<String, String>> {
    let all = accounts();
    let (of, what) = name.split_once('_')?;
    let account = match of {
        "exporter" => &all.exporter,
        "importer" => &all.importer,
        "other" => &all.other,
        "greedy" => &all.greedy,
        "forger" => &all.forger,
        _ => return None,
    };
    Some(match what {
        "key" => Ok(account.public_key()),
        "user" => encode(
            account,
            json!({
                "name": of, "sub": KeyPair::new_user().public_key(),
                "nats": {"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
                         "bearer_token": true, "type": "user", "version": 2}
            }),
        ),
        "jwt" => jwt(of, account),
        _ => return None,
    })
}

fn jwt(of: &str, key: &KeyPair) -> Result<String, String> {
    let all = accounts();
    let (mut exports, mut imports, mut allowed) = (json!([]), json!([]), -1);
    match of {
        "exporter" => exports = exported(),
        "importer" => {
            imports =
                imported(&|kind, subject| activate(kind, subject, (&all.signing, &all.importer), 0))
        }
        "other" => {
            imports = imported(&|kind, subject| match (kind, subject) {
                ("service", _) => Ok(String::new()),
                (_, "closed.>") => activate(kind, subject, (&all.exporter, &all.other), now() - 10),
                _ => activate(kind, subject, (&all.exporter, &all.other), 0),
            })
        }
        "forger" => {
            imports =
                imported(&|kind, subject| activate(kind, subject, (&all.forger, &all.forger), 0));
        }
        _ => {
            imports = imported(&|_, _| Ok(String::new()));
            allowed = 1;
        }
    }
    let imports = match imports {
        Value::Array(imports) if imports.iter().any(Value::is_null) => {
            return Err("an activation cannot be signed".to_owned());
        }
        imports => imports,
    };
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": allowed, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1
    });
    let nats = json!({
        "limits": limits, "signing_keys": [all.signing.public_key()], "exports": exports,
        "imports": imports, "default_permissions": {"pub": {}, "sub": {}}, "type": "account",
        "version": 2
    });
    encode(&keys().operator, json!({"name": of, "sub": key.public_key(), "nats": nats}))
}

fn exported() -> Value {
    json!([
        {"name": "open", "subject": "open.>", "type": "stream"},
        {"name": "own", "subject": "own.*", "type": "stream", "account_token_position": 2},
        {"name": "closed", "subject": "closed.>", "type": "stream", "token_req": true},
        {"name": "revoked", "subject": "revoked.>", "type": "stream", "token_req": true,
         "revocations": {accounts().other.public_key(): now() + 60}},
        {"name": "svc", "subject": "svc.*", "type": "service", "response_type": "Singleton"},
        {"name": "told", "subject": "told", "type": "service", "response_type": "Singleton",
         "service_latency": {"sampling": 100, "results": "told.latency"}},
        {"name": "csvc", "subject": "closed.svc", "type": "service", "token_req": true,
         "response_type": "Stream"}
    ])
}

type Activate<'a> = &'a dyn Fn(&str, &str) -> Result<String, String>;

/// What is imported; `null` stands for an import whose activation cannot be made.
fn imported(activate: Activate<'_>) -> Value {
    let exporter = accounts().exporter.public_key();
    let import = |kind: &str, subject: &str, local: &str| match activate(kind, subject) {
        Ok(token) => json!({
            "name": subject, "subject": subject, "account": exporter, "type": kind,
            "local_subject": local, "token": token
        }),
        Err(_) => Value::Null,
    };
    json!([
        {"name": "open", "subject": "open.>", "account": exporter, "type": "stream", "to": "pre"},
        import("stream", "closed.>", "shut.>"),
        import("stream", "revoked.>", "gone.>"),
        {"name": "svc", "subject": "svc.*", "account": exporter, "type": "service",
         "local_subject": "ask.$1"},
        {"name": "told", "subject": "told", "account": exporter, "type": "service",
         "local_subject": "told", "share": true},
        import("service", "closed.svc", "shut.svc"),
    ])
}

/// An activation by one account (or its signing key) for another; `exp` 0 is for ever.
fn activate(
    kind: &str,
    subject: &str,
    (issuer, importer): (&KeyPair, &KeyPair),
    exp: u64,
) -> Result<String, String> {
    let mut nats = json!({"subject": subject, "kind": kind, "type": "activation", "version": 2});
    if issuer.public_key() == accounts().signing.public_key() {
        nats["issuer_account"] = json!(accounts().exporter.public_key());
    }
    let claims = json!({"name": subject, "sub": importer.public_key(), "exp": exp, "nats": nats});
    encode(issuer, claims)
}
