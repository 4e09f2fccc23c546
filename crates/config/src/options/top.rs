//! The keys at the top of the file.

use super::decode::{Decoder, set, set_some};
use super::{
    Options, WriteTimeout, accounts, auth, callout, features, jetstream, mappings, operator,
    proxies, tls, unsupported, websocket,
};
use crate::language::{Entry, Kind, Map};
use std::time::Duration;

pub(super) fn decode(d: &mut Decoder<'_>, tree: &Map, o: &mut Options) {
    for entry in tree.iter() {
        let key = entry.key.to_ascii_lowercase();
        let known = network(d, &key, entry, o)
            || logging(d, &key, entry, o)
            || limits(d, &key, entry, o)
            || security(d, &key, entry, o);
        if !known && !unsupported::top(d, &key, entry) {
            d.unknown(entry);
        }
    }
    auth::check_duplicates(d, o);
    callout::check_accounts(d, o);
}

fn network(d: &mut Decoder<'_>, key: &str, entry: &Entry, o: &mut Options) -> bool {
    match key {
        "listen" => {
            if let Some((host, port)) = address(d, entry) {
                set_some(&mut o.host, host);
                o.port = port;
            }
        }
        "port" => set(&mut o.port, port(d, entry)),
        "host" | "net" => o.host = d.string(entry).filter(|host| !host.is_empty()),
        "client_advertise" => set_some(&mut o.client_advertise, d.string(entry)),
        "server_name" => set_some(&mut o.server_name, server_name(d, entry)),
        "server_tags" => set(&mut o.server_tags, tags(d, entry)),
        "server_metadata" => {
            for item in d.map(entry).into_iter().flat_map(Map::iter) {
                if let Some(text) = d.string(item) {
                    o.server_metadata.insert(item.key.clone(), text);
                }
            }
        }
        "feature_flags" => features::features(d, entry, o),
        "http" => {
            if let Some((host, port)) = address(d, entry) {
                set_some(&mut o.http_host, host);
                o.http_port = Some(port);
            }
        }
        "http_port" | "monitor_port" => match entry.value.kind {
            Kind::Integer(0) => o.http_port = None,
            _ => set_some(&mut o.http_port, port(d, entry)),
        },
        "https" => {
            if let Some((host, port)) = address(d, entry) {
                set_some(&mut o.http_host, host);
                o.https_port = Some(port);
            }
        }
        "https_port" => match entry.value.kind {
            Kind::Integer(0) => o.https_port = None,
            _ => set_some(&mut o.https_port, port(d, entry)),
        },
        "http_base_path" => set(&mut o.http_base_path, d.string(entry).map(base_path)),
        _ => return false,
    }
    true
}

fn logging(d: &mut Decoder<'_>, key: &str, entry: &Entry, o: &mut Options) -> bool {
    match key {
        "debug" => set(&mut o.debug, d.bool(entry)),
        "trace" => set(&mut o.trace, d.bool(entry)),
        "trace_verbose" => {
            set(&mut o.trace_verbose, d.bool(entry));
            o.trace |= o.trace_verbose;
        }
        "trace_headers" => {
            set(&mut o.trace_headers, d.bool(entry));
            o.trace |= o.trace_headers;
        }
        "logtime" => set(&mut o.logtime, d.bool(entry)),
        "logtime_utc" => set(&mut o.logtime_utc, d.bool(entry)),
        "syslog" => set(&mut o.syslog, d.bool(entry)),
        "remote_syslog" => set_some(&mut o.remote_syslog, path(d, entry)),
        "logfile" | "log_file" => set_some(&mut o.log_file, path(d, entry)),
        "logfile_size_limit" | "log_size_limit" => set(&mut o.log_size_limit, d.count(entry)),
        "logfile_max_num" | "log_max_num" => set(&mut o.log_max_num, d.count(entry)),
        "max_traced_msg_len" => set(&mut o.max_traced_msg_len, d.count(entry)),
        "pidfile" | "pid_file" => set_some(&mut o.pid_file, path(d, entry)),
        "ports_file_dir" => set_some(&mut o.ports_file_dir, path(d, entry)),
        _ => return false,
    }
    true
}

fn write_timeout(d: &mut Decoder<'_>, entry: &Entry) -> Option<WriteTimeout> {
    match entry.value.kind.as_str() {
        Some("default") => Some(WriteTimeout::Default),
        Some("close") => Some(WriteTimeout::Close),
        Some("retry") => Some(WriteTimeout::Retry),
        _ => {
            let text = "write_timeout must be 'default', 'close' or 'retry'";
            d.error(&entry.value.position, text);
            None
        }
    }
}

/// Where nats-server takes 0 for "not set", so do we: the default stays.
fn limits(d: &mut Decoder<'_>, key: &str, entry: &Entry, o: &mut Options) -> bool {
    let nonzero = |count: &u64| *count > 0;
    let positive = |duration: &Duration| !duration.is_zero();
    match key {
        "max_control_line" => set(&mut o.max_control_line, d.size32(entry).filter(nonzero)),
        "max_payload" => set(&mut o.max_payload, d.size32(entry).filter(nonzero)),
        "max_pending" => set(&mut o.max_pending, d.count(entry).filter(nonzero)),
        "max_connections" | "max_conn" => {
            set(&mut o.max_connections, d.limit(entry).filter(|limit| *limit != Some(0)));
        }
        "max_subscriptions" | "max_subs" => {
            set(&mut o.max_subscriptions, d.limit(entry).map(|limit| limit.filter(nonzero)));
        }
        "max_sub_tokens" | "max_subscription_tokens" => {
            if let Some(count) = d.count(entry) {
                match u8::try_from(count) {
                    Ok(count) => o.max_sub_tokens = Some(count).filter(|count| *count > 0),
                    Err(_) => {
                        d.error(&entry.value.position, format!("{} value is too big", entry.key));
                    }
                }
            }
        }
        "max_closed_clients" => set(&mut o.max_closed_clients, d.count(entry).filter(nonzero)),
        "ping_interval" => set(&mut o.ping_interval, d.duration(entry).filter(positive)),
        "ping_max" => set(&mut o.ping_max, d.count(entry).filter(nonzero)),
        "write_deadline" => set(&mut o.write_deadline, d.duration(entry).filter(positive)),
        "write_timeout" => set(&mut o.write_timeout, write_timeout(d, entry)),
        "lame_duck_duration" => set(&mut o.lame_duck_duration, lame_duck_duration(d, entry)),
        "lame_duck_grace_period" => {
            set(&mut o.lame_duck_grace_period, lame_duck_grace_period(d, entry));
        }
        "no_header_support" => set(&mut o.no_header_support, d.bool(entry)),
        "no_fast_producer_stall" => set(&mut o.no_fast_producer_stall, d.bool(entry)),
        "disable_sublist_cache" | "no_sublist_cache" => {
            set(&mut o.disable_sublist_cache, d.bool(entry));
        }
        _ => return false,
    }
    true
}

fn security(d: &mut Decoder<'_>, key: &str, entry: &Entry, o: &mut Options) -> bool {
    match key {
        "tls" => set_some(&mut o.tls, tls::tls(d, entry)),
        "proxy_protocol" => set(&mut o.proxy_protocol, d.bool(entry)),
        "proxies" => proxies::proxies(d, entry, o),
        "allow_non_tls" => set(&mut o.allow_non_tls, d.bool(entry)),
        "websocket" | "ws" => set_some(&mut o.websocket, websocket::websocket(d, entry)),
        "authorization" => auth::authorization(d, entry, o),
        "accounts" => accounts::accounts(d, entry, o),
        "no_auth_user" => set_some(&mut o.no_auth_user, path(d, entry)),
        "system_account" | "system" => set_some(&mut o.system_account, path(d, entry)),
        "no_system_account" | "no_system" | "no_sys_acc" => {
            set(&mut o.no_system_account, d.bool(entry));
        }
        "mappings" | "maps" => o.mappings = mappings::mappings(d, entry),
        "operator" | "operators" | "root" | "roots" | "root_operator" | "root_operators" => {
            operator::operators(d, entry, o);
        }
        "trusted" | "trusted_keys" => operator::trusted_keys(d, entry, o),
        "default_sentinel" => operator::default_sentinel(d, entry, o),
        "resolver" | "account_resolver" | "accounts_resolver" => operator::resolver(d, entry, o),
        "resolver_tls" => operator::resolver_tls(d, entry, o),
        "resolver_preload" => operator::preload(d, entry, o),
        "resolver_pinned_accounts" => {
            set(&mut o.resolver_pinned_accounts, d.strings(entry));
        }
        "jetstream" => jetstream::jetstream(d, entry, o),
        "store_dir" => jetstream::store_dir(d, entry, o),
        _ => return false,
    }
    true
}

/// A string where an empty one means "not set".
fn path(d: &mut Decoder<'_>, entry: &Entry) -> Option<String> {
    d.string(entry).filter(|text| !text.is_empty())
}

fn base_path(text: String) -> String {
    let trimmed = text.trim_matches('/');
    format!("/{trimmed}")
}

/// A port: -1 lets the system choose, which is 0 from here on.
pub(super) fn port(d: &mut Decoder<'_>, entry: &Entry) -> Option<u16> {
    let number = d.integer(entry)?;
    checked_port(d, entry, number)
}

fn checked_port(d: &mut Decoder<'_>, entry: &Entry, number: i64) -> Option<u16> {
    let port = parse_port(number);
    if port.is_none() {
        let text = format!("{} {number} is not a port, -1 (any free one) to 65535", entry.key);
        d.error(&entry.value.position, text);
    }
    port
}

/// The port for a number in a file or flag: -1 lets the system choose, which is 0 from here on, and
/// 0 is the default port, as in nats-server.
pub(crate) fn parse_port(number: i64) -> Option<u16> {
    match number {
        -1 => Some(0),
        0 => Some(super::DEFAULT_PORT),
        _ => u16::try_from(number).ok(),
    }
}

/// `host:port`, `:port`, or a port.
pub(super) fn address(d: &mut Decoder<'_>, entry: &Entry) -> Option<(Option<String>, u16)> {
    match &entry.value.kind {
        Kind::Integer(number) => Some((None, checked_port(d, entry, *number)?)),
        Kind::String(text) => match split_address(text) {
            Ok((host, number)) => Some((host, checked_port(d, entry, number)?)),
            Err(error) => {
                d.error(&entry.value.position, error);
                None
            }
        },
        kind => {
            let text = format!("{:?} must be host:port or a port, not {}", entry.key, kind.noun());
            d.error(&entry.value.position, text);
            None
        }
    }
}

/// Splits `host:port`; an IPv6 host stands in brackets.
pub(crate) fn split_address(text: &str) -> Result<(Option<String>, i64), String> {
    let bad = || format!("could not parse address string {text:?}");
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(bad)?,
        None if host.contains([':', ']']) => return Err(bad()),
        None => host,
    };
    let port = port.parse().map_err(|_| format!("could not parse port {port:?}"))?;
    Ok((Some(host.to_owned()).filter(|host| !host.is_empty()), port))
}

fn server_name(d: &mut Decoder<'_>, entry: &Entry) -> Option<String> {
    let name = path(d, entry)?;
    if name.contains(' ') {
        d.error(&entry.value.position, "server name cannot contain spaces");
        return None;
    }
    Some(name)
}

/// Tags are compared and shown in lower case; a text is split at commas.
fn tags(d: &mut Decoder<'_>, entry: &Entry) -> Option<Vec<String>> {
    let mut tags: Vec<String> = Vec::new();
    for text in d.strings(entry)? {
        for tag in text.split(',') {
            let tag = tag.trim().to_lowercase();
            if !tag.is_empty() && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    Some(tags)
}

fn lame_duck_duration(d: &mut Decoder<'_>, entry: &Entry) -> Option<Duration> {
    let duration = d.duration_text(entry)?;
    if duration < Duration::from_secs(30) {
        let text = format!(
            "invalid lame_duck_duration of {}, minimum is 30 seconds",
            crate::duration::format(duration)
        );
        d.error(&entry.value.position, text);
        return None;
    }
    Some(duration)
}

fn lame_duck_grace_period(d: &mut Decoder<'_>, entry: &Entry) -> Option<Duration> {
    if let Kind::String(text) = &entry.value.kind
        && crate::duration::parse(text).is_ok_and(|nanos| nanos < 0)
    {
        let text = "invalid lame_duck_grace_period, needs to be positive";
        d.error(&entry.value.position, text);
        return None;
    }
    d.duration_text(entry)
}
