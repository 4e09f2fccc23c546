//! The requests: `$SYS.REQ.CLAIMS.*` and `$SYS.REQ.ACCOUNT.*.CLAIMS.*`. Texts and order of the checks are
//! those of nats-server 2.15.1.

use std::sync::{Arc, Weak};

use natterjack_config::options::Deletion;
use natterjack_core::account::Account;
use natterjack_core::batch::Batch;
use natterjack_core::jwt::{self, AccountClaims, KeyKind, decode};
use natterjack_core::service::{Message, Origin, Service};
use natterjack_core::subscription::Subscription;
use serde::Serialize;
use serde_json::Value;

use super::{apply, changed_to, deleted};
use crate::connection::with_batch;
use crate::hub::Hub;
use crate::server_info::ServerInfo;
use crate::{log_debug, log_error, log_warn};

/// The account in an answer that cannot name one.
const NOBODY: &str = "n/a";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Update,
    /// The account stands in the subject.
    UpdateOf,
    Lookup,
    Pack,
    List,
    Delete,
}

/// A request on its way to its answer.
pub(super) struct Asked {
    verb: Verb,
    about: String,
    from: String,
    reply: Option<Vec<u8>>,
    body: Vec<u8>,
}

/// What is said of an update, by kind of resolver.
struct Words {
    updated: &'static str,
    failed: &'static str,
    invalid: &'static str,
    skipped: &'static str,
}

const MEMORY: Words = Words {
    updated: "jwt updated",
    failed: "jwt update resulted in error",
    invalid: "jwt update resulted in error",
    skipped: "jwt update skipped",
};
const FULL: Words = Words { invalid: "jwt validation failed", ..MEMORY };
const CACHE: Words = Words {
    updated: "jwt updated cache",
    failed: "jwt update cache resulted in error",
    invalid: "jwt update cache validation failed",
    skipped: "jwt update cache skipped",
};

struct Claims {
    hub: Weak<Hub>,
}

/// The answer to an update or a delete, members in nats-server's order.
#[derive(Serialize)]
struct Told<'a> {
    server: ServerInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Done<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failed<'a>>,
}

#[derive(Serialize)]
struct Done<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    code: u16,
    message: &'a str,
}

#[derive(Serialize)]
struct Failed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    code: u16,
    description: String,
}

#[derive(Serialize)]
struct Listed {
    data: Vec<String>,
    server: ServerInfo,
}

/// Subscribes what the kind of resolver answers.
pub(super) fn subscribe(hub: &Arc<Hub>, account: &Arc<Account>) -> Vec<Arc<Subscription>> {
    let is_cache = hub.resolver().store().map(|store| store.options().is_cache);
    let mut subjects = vec!["$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE", "$SYS.ACCOUNT.*.CLAIMS.UPDATE"];
    if let Some(is_cache) = is_cache {
        subjects.extend([
            "$SYS.REQ.CLAIMS.UPDATE",
            "$SYS.REQ.CLAIMS.LIST",
            "$SYS.REQ.CLAIMS.DELETE",
        ]);
        if !is_cache {
            subjects.extend(["$SYS.REQ.CLAIMS.PACK", "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP"]);
        }
    }
    let service = Arc::new(Claims { hub: hub.weak() });
    let subscribe = |subject: &&str| account.subscribe_service(subject.as_bytes(), service.clone());
    subjects.iter().map(subscribe).collect()
}

fn parse(subject: &str) -> Option<(Verb, String)> {
    let tokens: Vec<&str> = subject.split('.').collect();
    let (verb, about) = match tokens.as_slice() {
        [_, "REQ", "CLAIMS", verb] => match *verb {
            "UPDATE" => (Verb::Update, ""),
            "LIST" => (Verb::List, ""),
            "DELETE" => (Verb::Delete, ""),
            "PACK" => (Verb::Pack, ""),
            _ => return None,
        },
        [_, "REQ", "ACCOUNT", about, "CLAIMS", "LOOKUP"] => (Verb::Lookup, *about),
        [_, "REQ", "ACCOUNT", about, "CLAIMS", "UPDATE"]
        | [_, "ACCOUNT", about, "CLAIMS", "UPDATE"] => (Verb::UpdateOf, *about),
        _ => return None,
    };
    Some((verb, about.to_owned()))
}

impl Service for Claims {
    fn receive(
        &self,
        account: &str,
        message: &Message<'_>,
        origin: Origin<'_>,
        _: &mut Batch,
    ) -> bool {
        let Some(hub) = self.hub.upgrade() else { return false };
        let Ok(subject) = std::str::from_utf8(message.subject) else { return false };
        let Some((verb, about)) = parse(subject) else { return false };
        if verb == Verb::Lookup && matches!(origin, Origin::Internal) {
            // Our own question to others.
            return false;
        }
        let asked = Asked {
            verb,
            about,
            from: account.to_owned(),
            reply: message.reply.map(<[u8]>::to_vec),
            body: message.payload.to_vec(),
        };
        if hub.resolver().asked.try_send(asked).is_err() {
            log_warn!(hub.log(), "too many requests about account JWTs wait; one is dropped");
        }
        true
    }
}

/// How an update ended: the account in the answer, and a text with perhaps an error behind it.
type Outcome = (String, &'static str, Option<String>);

impl Asked {
    pub(super) fn answer(&self, hub: &Arc<Hub>) {
        match self.verb {
            Verb::Update | Verb::UpdateOf => self.update(hub),
            Verb::Delete => self.delete(hub),
            Verb::List => {
                let Some(store) = hub.resolver().store() else { return };
                let keys = store.keys();
                drop(store);
                log_debug!(hub.log(), "list request responded with {} account ids", keys.len());
                let answer = Listed { data: keys, server: ServerInfo::of(hub) };
                match serde_json::to_string(&answer) {
                    Ok(text) => self.reply(hub, &text),
                    Err(error) => log_error!(hub.log(), "list request error: {error}"),
                }
            }
            Verb::Lookup => {
                let Some(mut store) = hub.resolver().store() else { return };
                let loaded = store.load(&self.about, hub.clock().unix_ns());
                drop(store);
                match loaded {
                    Ok(token) => self.reply(hub, &token.unwrap_or_default()),
                    Err(error) => log_error!(
                        hub.log(),
                        "DirResolver - Error looking up account {:?}: {error}",
                        self.about
                    ),
                }
            }
            Verb::Pack => self.pack(hub),
        }
    }

    fn reply(&self, hub: &Hub, payload: &str) {
        if let Some(reply) = &self.reply {
            with_batch(hub, |batch| hub.publish(batch, &self.from, reply, payload.as_bytes()));
        }
    }

    /// All tokens, a message each, and an empty one at the end; none where the asker has the same.
    fn pack(&self, hub: &Hub) {
        let now_ns = hub.clock().unix_ns();
        let Some(store) = hub.resolver().store() else { return };
        let is_same = store.hash()[..] == self.body[..];
        let keys = if is_same { Vec::new() } else { store.keys() };
        drop(store);
        for key in keys {
            // One at a time: the lock is not held while clients are served.
            let loaded = hub.resolver().store().map(|mut store| store.load(&key, now_ns));
            match loaded {
                Some(Ok(Some(token))) => {
                    let is_over = decode::<jwt::Generic>(&token)
                        .is_ok_and(|claims| claims.exp > 0 && claims.exp < now_ns / 1_000_000_000);
                    if !is_over {
                        self.reply(hub, &format!("{key}|{token}"));
                    }
                }
                Some(Err(error)) => {
                    log_error!(hub.log(), "DirResolver - Pack request error: {error}");
                }
                _ => {}
            }
        }
        self.reply(hub, "");
    }

    fn update(&self, hub: &Arc<Hub>) {
        let _changing = hub.changing();
        let is_cache = hub.resolver().store().map(|store| store.options().is_cache);
        let words = match is_cache {
            None => &MEMORY,
            Some(false) => &FULL,
            Some(true) => &CACHE,
        };
        let token = String::from_utf8_lossy(&self.body);
        let outcome = match decode::<jwt::Account>(&token) {
            Err(error) => self.undecoded(is_cache, words, &error.to_string()),
            Ok(claims) => self.update_to(hub, is_cache, words, &claims, &token),
        };
        let (about, message, error) = outcome;
        self.tell(hub, &about, message, error);
    }

    fn undecoded(&self, is_cache: Option<bool>, words: &'static Words, error: &str) -> Outcome {
        let about = match (self.verb, is_cache) {
            (Verb::UpdateOf, None | Some(true)) => self.about.clone(),
            _ => NOBODY.to_owned(),
        };
        if is_cache.is_none() && self.body.is_empty() {
            return (about, "jwt update error", Some("request body is empty".to_owned()));
        }
        (about, words.failed, Some(error.to_owned()))
    }

    fn update_to(
        &self,
        hub: &Arc<Hub>,
        is_cache: Option<bool>,
        words: &'static Words,
        claims: &AccountClaims,
        token: &str,
    ) -> Outcome {
        let about = claims.sub.clone();
        let invalid = || {
            let faults = jwt::account_faults(claims);
            let text = format!("validation errors: [{}]", faults.join(" "));
            (!faults.is_empty()).then(|| (about.clone(), words.invalid, Some(text)))
        };
        // The order of these differs by request and kind of resolver.
        let is_checked_first = is_cache == Some(false) && self.verb == Verb::UpdateOf;
        if is_checked_first && let Some(outcome) = invalid() {
            return outcome;
        }
        if self.verb == Verb::UpdateOf && claims.sub != self.about {
            let why = "subject does not match jwt content".to_owned();
            return (self.about.clone(), words.failed, Some(why));
        }
        if is_cache.is_some() && hub.authenticator().demands_signing_key(&claims.iss) {
            let why = "operator requires issuer to be a signing key".to_owned();
            return (about, words.failed, Some(why));
        }
        let is_known = hub.accounts().find(&about).is_some();
        if is_cache != Some(false) && !is_known {
            return (about, words.skipped, None);
        }
        if is_cache.is_some()
            && let Some(outcome) = invalid()
        {
            return outcome;
        }
        let Some(mut store) = hub.resolver().store() else {
            return match apply(hub, &about, token) {
                Ok(()) => (about, words.updated, None),
                Err(error) => (about, words.failed, Some(error)),
            };
        };
        let saved = store.save(&about, token, hub.clock().unix_ns());
        drop(store);
        match saved {
            Ok(is_new) => {
                if is_new {
                    changed_to(hub, &about, token);
                }
                (about, words.updated, None)
            }
            Err(error) => (about, words.failed, Some(error.to_string())),
        }
    }

    /// Answers an update or a delete, and logs it.
    fn tell(&self, hub: &Hub, about: &str, message: &str, error: Option<String>) {
        let of = if about.is_empty() { String::new() } else { format!(" - {about}") };
        match &error {
            None => log_debug!(hub.log(), "{message}{of}"),
            Some(error) => log_error!(hub.log(), "{message}{of} - {error}"),
        }
        let account = Some(about).filter(|about| !about.is_empty());
        let (data, error) = match error {
            None => (Some(Done { account, code: 200, message }), None),
            Some(error) => {
                let description = format!("{message} - {error}");
                (None, Some(Failed { account, code: 500, description }))
            }
        };
        let answer = Told { server: ServerInfo::of(hub), data, error };
        match serde_json::to_string(&answer) {
            Ok(text) => self.reply(hub, &text),
            Err(error) => log_error!(hub.log(), "{message}: {error}"),
        }
    }

    fn delete(&self, hub: &Arc<Hub>) {
        let _changing = hub.changing();
        let token = String::from_utf8_lossy(&self.body);
        let (by, wanted) = match decode::<jwt::Generic>(&token) {
            Ok(claims) => (claims.sub.clone(), self.wanted(hub, &claims)),
            Err(error) => (String::new(), Err(error.to_string())),
        };
        let ids = match wanted {
            Ok(ids) => ids,
            Err(error) => {
                let text = format!("delete accounts request by {by} failed");
                return self.tell(hub, "", &text, Some(error));
            }
        };
        let (mut passed, mut errors) = (0, Vec::new());
        for id in ids {
            let Some(mut store) = hub.resolver().store() else { return };
            let outcome = store.delete(&id);
            drop(store);
            match outcome {
                Ok(was_there) => {
                    passed += 1;
                    if was_there {
                        deleted(hub, &id);
                    }
                }
                Err(error) => errors.push(error.to_string()),
            }
        }
        match errors.len() {
            0 => self.tell(hub, "", &format!("deleted {passed} accounts"), None),
            failed => {
                let text = format!("deleted {passed} accounts, failed for {failed}");
                self.tell(hub, "", &text, Some(errors.join("\n")));
            }
        }
    }

    /// The accounts that a request to delete names, if its signer may delete them.
    fn wanted(&self, hub: &Hub, claims: &jwt::Claims<jwt::Generic>) -> Result<Vec<String>, String> {
        let delete = hub.resolver().store().map(|store| store.options().delete);
        if delete.unwrap_or_default() == Deletion::Never {
            return Err("delete must be enabled in server config".to_owned());
        }
        if claims.sub != claims.iss {
            return Err("not self signed".to_owned());
        }
        let authenticator = hub.authenticator();
        if !authenticator.trusts(&claims.iss) {
            return Err("not trusted".to_owned());
        }
        let list = claims.nats.fields.get("accounts").and_then(Value::as_array);
        let malformed = || "malformed request".to_owned();
        let mut ids = Vec::new();
        for id in list.ok_or_else(malformed)? {
            let id = id.as_str().filter(|id| jwt::key_kind(id) == Some(KeyKind::Account));
            let id = id.ok_or_else(malformed)?;
            if authenticator.system_account() == Some(id) {
                return Err("not allowed to delete system account".to_owned());
            }
            ids.push(id.to_owned());
        }
        Ok(ids)
    }
}
