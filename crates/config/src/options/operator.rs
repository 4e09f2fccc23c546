//! Operator mode: whose accounts are trusted, and where their JWTs come from.

use super::decode::Decoder;
use super::{Located, Options, Resolver};
use crate::language::{Entry, Kind, Map};
use crate::names;

/// The prefix of every JWT: base64 of `{"`.
const JWT_PREFIX: &str = "eyJ";

/// JWTs, or files that hold one.
pub(super) fn operators(d: &mut Decoder<'_>, entry: &Entry, o: &mut Options) {
    let position = &entry.value.position;
    for text in d.strings(entry).unwrap_or_default() {
        let token = if text.starts_with(JWT_PREFIX) {
            Ok(text)
        } else {
            match d.source.read(&text) {
                Ok(content) => token_in(&String::from_utf8_lossy(&content))
                    .ok_or_else(|| format!("no JWT in {text}")),
                Err(error) => {
                    let why = crate::language::io_text(&error);
                    Err(format!("open {text}: {why}"))
                }
            }
        };
        match token {
            Ok(value) => o.operators.push(Located { value, position: position.clone() }),
            Err(why) => d.error(position, format!("error parsing operator JWT: {why}")),
        }
    }
}

/// The first line that is a JWT, with or without decoration around it.
fn token_in(text: &str) -> Option<String> {
    text.lines().map(str::trim).find(|line| line.starts_with(JWT_PREFIX)).map(str::to_owned)
}

pub(super) fn trusted_keys(d: &mut Decoder<'_>, entry: &Entry, o: &mut Options) {
    for key in d.strings(entry).unwrap_or_default() {
        if names::is_public_key(&key, 'O') {
            o.trusted_keys.push(key);
        } else {
            let text = format!("trust key {key:?} required to be a valid public operator nkey");
            d.error(&entry.value.position, text);
        }
    }
}

pub(super) fn resolver(d: &mut Decoder<'_>, entry: &Entry, o: &mut Options) {
    let position = &entry.value.position;
    match &entry.value.kind {
        Kind::String(text) => match text.to_ascii_lowercase().as_str() {
            "memory" | "mem" => o.resolver = Some(Resolver::Memory),
            lower if lower.starts_with("url(") => {
                d.error(position, "resolver URL(...) is not supported yet");
            }
            _ => d.error(
                position,
                "error parsing account resolver, should be MEM or  URL(\"url\") or a map \
                 containing dir and type state=[FULL|CACHE])",
            ),
        },
        Kind::Map(map) => match map.get("type").and_then(|item| item.value.kind.as_str()) {
            Some(kind) if matches!(kind.to_ascii_lowercase().as_str(), "memory" | "mem") => {
                o.resolver = Some(Resolver::Memory);
            }
            kind => {
                let kind = kind.unwrap_or("full");
                d.error(position, format!("resolver of type {kind:?} is not supported yet"));
            }
        },
        kind => {
            let text = format!("error parsing operator resolver, wrong type {}", kind.noun());
            d.error(position, text);
        }
    }
}

pub(super) fn preload(d: &mut Decoder<'_>, entry: &Entry, o: &mut Options) {
    let Kind::Map(map) = &entry.value.kind else {
        let text = "preload should be a map of account_public_key:account_jwt";
        d.error(&entry.value.position, text);
        return;
    };
    for item in Map::iter(map) {
        let Some(token) = d.string(item) else { continue };
        let position = item.value.position.clone();
        if token.split('.').count() == 3 && token.starts_with(JWT_PREFIX) {
            o.resolver_preload.push((item.key.clone(), Located { value: token, position }));
        } else if !item.used_as_variable {
            d.error(&position, "invalid account JWT");
        }
    }
}
