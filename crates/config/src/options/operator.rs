//! Operator mode: whose accounts are trusted, and where their JWTs come from.

use super::decode::{Decoder, set_some};
use super::{Deletion, DirectoryResolver, Located, Options, Resolver};
use crate::language::{Entry, Kind, Map, Position};
use crate::{duration, names};
use std::time::Duration;

/// How long others may take to send an account, and how many accounts a cache holds, by default.
const FETCH_TIMEOUT: Duration = Duration::from_millis(1900);
const CACHED: u64 = 1000;
/// What is said of a resolver that is none.
const WRONG: &str = "error parsing account resolver, should be MEM or  URL(\"url\") or a map \
                     containing dir and type state=[FULL|CACHE])";

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
            _ => match url(text) {
                Some(Ok(url)) => o.resolver = Some(Resolver::Url(url)),
                Some(Err(error)) => d.error(position, error),
                None => d.error(position, WRONG),
            },
        },
        Kind::Map(map) => o.resolver = typed(d, position, map),
        kind => {
            let text = format!("error parsing operator resolver, wrong type {}", kind.noun());
            d.error(position, text);
        }
    }
}

/// The address in `URL(http://…)`, which may stand in quotes; `None` if this is something else.
fn url(text: &str) -> Option<Result<String, String>> {
    let rest = text.get(..3).filter(|word| word.eq_ignore_ascii_case("url")).map(|_| &text[3..])?;
    let inner = rest.trim().strip_prefix('(')?.strip_suffix(')')?;
    let url = inner.trim().trim_matches('"');
    if url.contains(char::is_whitespace) {
        return None;
    }
    let is_address = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
    if !is_address || url.contains(|c: char| c.is_control()) {
        return Some(Err(format!("error parsing account resolver url [{url:?}]")));
    }
    Some(Ok(url.to_owned()))
}

/// TLS towards the server of a `URL(…)`.
pub(super) fn resolver_tls(d: &mut Decoder<'_>, entry: &Entry, o: &mut Options) {
    if let Kind::Map(map) = &entry.value.kind {
        let mut items = Map::iter(map);
        if let Some(item) = items.find(|item| item.key.eq_ignore_ascii_case("insecure"))
            && !super::unsupported::says_off(item)
        {
            // It would take JWTs from whoever stands in between.
            d.refuse(item);
        }
    }
    o.resolver_tls = super::tls::tls(d, entry);
}

/// `resolver { type: … }`
fn typed(d: &mut Decoder<'_>, position: &Position, map: &Map) -> Option<Resolver> {
    let mut dir = None;
    let (mut kind, mut allow, mut hard) = (None, None, None);
    let (mut limit, mut interval, mut timeout, mut ttl) = (None, None, None, None);
    for item in map.iter() {
        match item.key.as_str() {
            "type" => set_some(&mut kind, d.string(item)),
            "dir" => set_some(&mut dir, d.string(item)),
            "allow_delete" => set_some(&mut allow, d.bool(item)),
            "hard_delete" => set_some(&mut hard, d.bool(item)),
            "limit" => set_some(&mut limit, d.integer(item)),
            "interval" => set_some(&mut interval, span(d, item)),
            "timeout" => set_some(&mut timeout, span(d, item)),
            "ttl" => set_some(&mut ttl, span(d, item)),
            _ => d.unknown(item),
        }
    }
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    let is_cache = match kind.as_str() {
        "memory" | "mem" => return Some(Resolver::Memory),
        "full" => false,
        "cache" => true,
        _ => {
            d.error(position, WRONG);
            return None;
        }
    };
    let allow = allow.unwrap_or_default();
    let mut refuse = |is_wrong: bool, text: &str| {
        if is_wrong {
            d.error(position, text);
        }
    };
    let dir = dir.unwrap_or_default();
    refuse(dir.is_empty(), "dir has no value and needs to point to a directory");
    if is_cache {
        refuse(interval.is_some(), "CACHE does not accept sync");
        refuse(allow, "CACHE does not accept allow_delete");
        refuse(hard.is_some(), "CACHE does not accept hard_delete");
    } else {
        refuse(ttl.is_some(), "FULL does not accept ttl");
        refuse(hard.is_some() && !allow, "hard_delete has no effect without delete");
    }
    let delete = match (allow || is_cache, is_cache || hard.unwrap_or_default()) {
        (false, _) => Deletion::Never,
        (true, false) => Deletion::Rename,
        (true, true) => Deletion::Remove,
    };
    let limit = limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
    Some(Resolver::Directory(DirectoryResolver {
        dir,
        is_cache,
        delete,
        limit: limit.or(is_cache.then_some(CACHED)),
        interval,
        timeout: timeout.unwrap_or(FETCH_TIMEOUT),
        ttl,
    }))
}

/// A duration as text, above zero.
fn span(d: &mut Decoder<'_>, entry: &Entry) -> Option<Duration> {
    let text = d.string(entry)?;
    match duration::parse_positive(&text) {
        Ok(duration) if !duration.is_zero() => Some(duration),
        Ok(_) => None,
        Err(error) => {
            d.error(&entry.value.position, error);
            None
        }
    }
}

pub(super) fn default_sentinel(d: &mut Decoder<'_>, entry: &Entry, o: &mut Options) {
    if let Some(value) = d.string(entry).filter(|text| !text.is_empty()) {
        let position = entry.value.position.clone();
        o.default_sentinel = Some(Located { value, position });
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
