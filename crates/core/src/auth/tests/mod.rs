//! Logins as tables: fixed keys, fixed time, and a stand-in for bcrypt that takes `$2a$04$pw` for `pw`.

mod callout;
mod configured;
mod operator;

use super::*;
use data_encoding::BASE64URL_NOPAD;
use nkeys::{KeyPair, KeyPairType};
use std::sync::Arc;

const NOW: i64 = 1_700_000_000;
const NONCE: &str = "abcdefghijklmno";

fn hooks() -> Hooks {
    Hooks::new(|hash, password| hash.as_bytes().strip_prefix(b"$2a$04$") == Some(password))
}

fn key(kind: KeyPairType, seed: u8) -> KeyPair {
    KeyPair::new_from_raw(kind, [seed; 32]).unwrap()
}

fn sign(key: &KeyPair, text: &str) -> String {
    BASE64URL_NOPAD.encode(&key.sign(text.as_bytes()).unwrap())
}

fn from(ip: &str) -> ConnInfo {
    ConnInfo { remote_ip: Some(ip.parse().unwrap()), kind: ConnectionType::Standard }
}

/// What a table row says of a login: who and where, or why not.
fn outcome(login: Result<Arc<Identity>, AuthFailure>) -> String {
    match login {
        Ok(identity) => {
            format!("{} in {}", identity.user.as_deref().unwrap_or("-"), identity.account)
        }
        Err(failure) => failure.to_string(),
    }
}
