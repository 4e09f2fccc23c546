//! Exports and imports of accounts: read and checked by themselves. Whether they fit together is checked
//! where they are put into effect.

use super::decode::{Decoder, set, set_some};
use super::{Export, ExportKind, Import, Latency, ResponseType};
use crate::duration;
use crate::language::{Entry, Kind, Map, Position};
use crate::names;
use std::time::Duration;

pub(super) fn exports(d: &mut Decoder<'_>, entry: &Entry) -> Vec<Export> {
    let mut exports = Vec::new();
    for (map, position) in maps(d, entry, "Exports") {
        exports.extend(export(d, map, position));
    }
    exports
}

pub(super) fn imports(d: &mut Decoder<'_>, entry: &Entry) -> Vec<Import> {
    let mut imports = Vec::new();
    for (map, position) in maps(d, entry, "Imports") {
        imports.extend(import(d, map, position));
    }
    imports
}

/// The maps of an array, each with its position.
fn maps<'e>(d: &mut Decoder<'_>, entry: &'e Entry, what: &str) -> Vec<(&'e Map, &'e Position)> {
    let Kind::Array(items) = &entry.value.kind else {
        let noun = entry.value.kind.noun();
        d.error(&entry.value.position, format!("{what} should be an array, got {noun}"));
        return Vec::new();
    };
    let mut maps = Vec::new();
    for item in items.iter() {
        match &item.kind {
            Kind::Map(map) => maps.push((&**map, &item.position)),
            kind => {
                let text =
                    format!("{what} Items should be a map with type entry, got {}", kind.noun());
                d.error(&item.position, text);
            }
        }
    }
    maps
}

fn export(d: &mut Decoder<'_>, map: &Map, position: &Position) -> Option<Export> {
    let (mut stream, mut service) = (None, None);
    let mut accounts = Vec::new();
    let mut account_token_position = None;
    let mut allow_trace = false;
    let (mut response_type, mut response_threshold, mut latency) = (None, None, None);
    let mut directive: Option<(&str, &Position)> = None;
    for item in map.iter() {
        let key = item.key.to_ascii_lowercase();
        match key.as_str() {
            "stream" => stream = subject(d, item),
            "service" => service = subject(d, item),
            "accounts" => set(&mut accounts, d.strings(item)),
            "account_token_position" => {
                account_token_position =
                    d.count(item).and_then(|at| u32::try_from(at).ok()).filter(|at| *at > 0);
            }
            "allow_trace" => set(&mut allow_trace, d.bool(item)),
            "response" | "response_type" => {
                response_type = parse_response_type(d, item);
                directive = Some(("response", &item.value.position));
            }
            "threshold" | "response_threshold" | "response_max_time" | "response_time" => {
                response_threshold = threshold(d, item);
                directive = Some(("response", &item.value.position));
            }
            "latency" => {
                latency = parse_latency(d, item);
                directive = Some(("latency", &item.value.position));
            }
            _ => d.unknown(item),
        }
    }
    let (kind, subject) = match (stream, service) {
        (Some(stream), Some(_)) => {
            d.error(position, format!("Detected stream {stream:?} but already saw a service"));
            return None;
        }
        (Some(subject), None) => {
            if let Some((name, position)) = directive {
                d.error(position, format!("Detected {name} directive on non-service"));
            }
            (ExportKind::Stream, subject)
        }
        (None, Some(subject)) => {
            let response_type = response_type.unwrap_or_default();
            (ExportKind::Service { response_type, response_threshold, latency }, subject)
        }
        (None, None) => return None,
    };
    let position = position.clone();
    Some(Export { kind, subject, accounts, account_token_position, allow_trace, position })
}

fn import(d: &mut Decoder<'_>, map: &Map, position: &Position) -> Option<Import> {
    let mut source = None;
    let (mut to, mut prefix) = (None, None);
    let (mut share, mut allow_trace) = (false, false);
    for item in map.iter() {
        match item.key.to_ascii_lowercase().as_str() {
            "stream" => source = origin(d, item, "Stream").map(|from| (false, from)).or(source),
            "service" => source = origin(d, item, "Service").map(|from| (true, from)).or(source),
            "to" => set_some(&mut to, subject(d, item)),
            "prefix" => set_some(&mut prefix, d.string(item)),
            "share" => set(&mut share, d.bool(item)),
            "allow_trace" => set(&mut allow_trace, d.bool(item)),
            _ => d.unknown(item),
        }
    }
    let (service, (account, subject)) = source?;
    if !service && prefix.as_deref().is_some_and(|text| text.contains(['*', '>'])) {
        d.error(
            position,
            format!(
                "Error adding stream import {subject:?}: stream import prefix can not contain \
                 wildcard tokens"
            ),
        );
    }
    if !service && prefix.is_some() && to.is_some() {
        d.error(position, "Stream import can not have a 'prefix' and a 'to' property");
    }
    let position = position.clone();
    Some(Import { service, account, subject, to, prefix, share, allow_trace, position })
}

/// `{account: A, subject: s}`.
fn origin(d: &mut Decoder<'_>, entry: &Entry, what: &str) -> Option<(String, String)> {
    let Kind::Map(map) = &entry.value.kind else {
        let noun = entry.value.kind.noun();
        d.error(
            &entry.value.position,
            format!("{what} entry should be an account map, got {noun}"),
        );
        return None;
    };
    let (mut account, mut name) = (None, None);
    for item in Map::iter(map) {
        match item.key.to_ascii_lowercase().as_str() {
            "account" => account = d.string(item),
            "subject" => name = subject(d, item),
            _ => d.unknown(item),
        }
    }
    match (account, name) {
        (Some(account), Some(name)) => Some((account, name)),
        _ => {
            d.error(&entry.value.position, "Expect an account name and a subject");
            None
        }
    }
}

fn subject(d: &mut Decoder<'_>, entry: &Entry) -> Option<String> {
    let subject = d.string(entry)?;
    if names::is_subject(&subject) {
        return Some(subject);
    }
    d.error(&entry.value.position, format!("subject {subject:?} is not a valid subject"));
    None
}

fn parse_response_type(d: &mut Decoder<'_>, entry: &Entry) -> Option<ResponseType> {
    let name = d.string(entry)?;
    match name.to_ascii_lowercase().as_str() {
        "single" | "singleton" => Some(ResponseType::Single),
        "stream" => Some(ResponseType::Stream),
        "chunk" | "chunked" => Some(ResponseType::Chunked),
        _ => {
            d.error(&entry.value.position, format!("Unknown response type: {name:?}"));
            None
        }
    }
}

fn threshold(d: &mut Decoder<'_>, entry: &Entry) -> Option<Duration> {
    let text = d.string(entry)?;
    let threshold = duration::parse_positive(&text).ok();
    if threshold.is_none() {
        let text =
            format!("Expected response threshold to be a parseable time duration, got {text:?}");
        d.error(&entry.value.position, text);
    }
    threshold
}

/// A subject, or `{sampling: 1..100 | headers, subject: s}`.
fn parse_latency(d: &mut Decoder<'_>, entry: &Entry) -> Option<Latency> {
    let Kind::Map(map) = &entry.value.kind else {
        return subject(d, entry).map(|subject| Latency { sampling: 100, subject });
    };
    let mut sampling = 100;
    let mut target = None;
    for item in Map::iter(map) {
        match item.key.to_ascii_lowercase().as_str() {
            "sampling" => set(&mut sampling, parse_sampling(d, item)),
            "subject" => target = subject(d, item),
            _ => d.unknown(item),
        }
    }
    if target.is_none() {
        d.error(&entry.value.position, "Latency subject required, but missing");
    }
    target.map(|subject| Latency { sampling, subject })
}

fn parse_sampling(d: &mut Decoder<'_>, entry: &Entry) -> Option<u8> {
    let percent = match &entry.value.kind {
        Kind::String(text) if text.trim().eq_ignore_ascii_case("headers") => return Some(0),
        Kind::String(text) => text.trim_end_matches('%').parse().ok(),
        Kind::Integer(percent) => u8::try_from(*percent).ok(),
        _ => None,
    };
    let percent = percent.filter(|percent| (1..=100).contains(percent));
    if percent.is_none() {
        d.error(&entry.value.position, "bad sampling percentage, should be 1-100");
    }
    percent
}
