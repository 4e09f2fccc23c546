//! Tokens, their claims and credentials: never a panic; claims that are read can be written and read
//! again.
//!
//! The input is claims, which are signed here, or it is a token or a credentials file as it is.

#![no_main]

use std::sync::OnceLock;

use data_encoding::BASE64URL_NOPAD;
use libfuzzer_sys::fuzz_target;
use natterjack_core::jwt::{
    Account, Activation, ClaimBody, Creds, Generic, Operator, User, decode, find_token, key_kind,
    parse_seed,
};
use nkeys::KeyPair;

fn keys() -> &'static [KeyPair; 3] {
    static KEYS: OnceLock<[KeyPair; 3]> = OnceLock::new();
    KEYS.get_or_init(|| [KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user()])
}

fn read<B: ClaimBody + std::fmt::Debug>(token: &str) {
    if let Ok(claims) = decode::<B>(token) {
        assert!(key_kind(&claims.iss).is_some());
        let _ = (claims.nats.header(), format!("{claims:?}"));
    }
}

fn read_all(token: &str) {
    read::<User>(token);
    read::<Account>(token);
    read::<Operator>(token);
    read::<Activation>(token);
    read::<Generic>(token);
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Some(token) = find_token(&text) {
        read_all(token);
    }
    if let Ok(creds) = Creds::parse(&text) {
        let _ = (creds.check(), creds.format());
    }
    let _ = (parse_seed(&text), key_kind(&text));
    // Claims, with the keys put in where their places are.
    let [operator, account, user] = keys();
    let claims = text
        .replace("$O", &operator.public_key())
        .replace("$A", &account.public_key())
        .replace("$U", &user.public_key());
    let head = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{head}.{}", BASE64URL_NOPAD.encode(claims.as_bytes()));
    for key in [operator, account] {
        let Ok(signature) = key.sign(signed.as_bytes()) else { continue };
        read_all(&format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)));
    }
});
