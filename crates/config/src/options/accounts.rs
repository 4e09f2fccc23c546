//! `accounts`.

use super::decode::{Decoder, set};
use super::{
    Account, AccountJetStream, AccountLimits, Options, auth, mappings, msg_trace, sharing,
};
use crate::language::{Entry, Kind, Map};
use crate::names;

pub(super) fn accounts(d: &mut Decoder<'_>, entry: &Entry, o: &mut Options) {
    match &entry.value.kind {
        Kind::Map(map) => {
            for item in Map::iter(map) {
                if let Some(account) = account(d, item) {
                    o.accounts.push(account);
                }
            }
        }
        // Plain names: accounts that others are configured in.
        Kind::Array(_) => {
            for name in d.strings(entry).unwrap_or_default() {
                let position = entry.value.position.clone();
                o.accounts.push(Account { name, position, ..Account::default() });
            }
        }
        kind => {
            let text = format!("Expected accounts to be a map, got {}", kind.noun());
            d.error(&entry.value.position, text);
        }
    }
}

fn account(d: &mut Decoder<'_>, entry: &Entry) -> Option<Account> {
    let position = &entry.value.position;
    let name = entry.key.as_str();
    if name == "$G" {
        d.error(position, format!("{name:?} is a Reserved Account"));
        return None;
    }
    let Kind::Map(map) = &entry.value.kind else {
        // A key may be there only to be used as a variable.
        d.unknown_with(entry, |_| "Expected map entries for accounts".to_owned());
        return None;
    };
    let mut account =
        Account { name: name.to_owned(), position: position.clone(), ..Account::default() };
    for item in Map::iter(map) {
        match item.key.to_ascii_lowercase().as_str() {
            "nkey" => account.nkey = public_key(d, item),
            "users" => account.users = auth::users(d, item, Some(name)),
            "default_permissions" => account.default_permissions = auth::permissions(d, item),
            "jetstream" => account.jetstream = jetstream(d, item),
            "limits" => account.limits = limits(d, item),
            "mappings" | "maps" => account.mappings = mappings::mappings(d, item),
            "exports" => account.exports = sharing::exports(d, item),
            "imports" => account.imports = sharing::imports(d, item),
            "msg_trace" | "trace_dest" => account.trace = msg_trace::msg_trace(d, item),
            _ => d.unknown(item),
        }
    }
    auth::give_defaults(&mut account.users, &account.default_permissions);
    Some(account)
}

fn public_key(d: &mut Decoder<'_>, entry: &Entry) -> Option<String> {
    let key = d.string(entry)?;
    if names::is_public_key(&key, 'A') {
        return Some(key);
    }
    d.error(&entry.value.position, format!("Not a valid public nkey for an account: {key:?}"));
    None
}

fn limits(d: &mut Decoder<'_>, entry: &Entry) -> AccountLimits {
    let mut limits = AccountLimits::default();
    let Kind::Map(map) = &entry.value.kind else {
        let noun = entry.value.kind.noun();
        d.error(
            &entry.value.position,
            format!("Expected account limits to be a map/struct, got {noun}"),
        );
        return limits;
    };
    for item in Map::iter(map) {
        match item.key.to_ascii_lowercase().as_str() {
            "max_connections" | "max_conn" => set(&mut limits.max_connections, d.limit(item)),
            "max_subscriptions" | "max_subs" => set(&mut limits.max_subscriptions, d.limit(item)),
            "max_payload" | "max_pay" => set(&mut limits.max_payload, d.limit(item)),
            "max_leafnodes" | "max_leafs" => set(&mut limits.max_leafnodes, d.limit(item)),
            _ => {
                d.unknown_with(item, |key| format!("Unknown field {key} parsing account limits"));
            }
        }
    }
    limits
}

fn jetstream(d: &mut Decoder<'_>, entry: &Entry) -> Option<AccountJetStream> {
    let switch = |enabled| Some(AccountJetStream { enabled, ..AccountJetStream::default() });
    let position = &entry.value.position;
    match &entry.value.kind {
        Kind::Bool(enabled) => switch(*enabled),
        Kind::String(text) => match text.to_ascii_lowercase().as_str() {
            "enabled" | "enable" => switch(true),
            "disabled" | "disable" => switch(false),
            _ => {
                let text =
                    format!("Expected 'enabled' or 'disabled' for string value, got '{text}'");
                d.error(position, text);
                None
            }
        },
        Kind::Map(map) => Some(jetstream_limits(d, map)),
        kind => {
            let text =
                format!("Expected map, bool or string to define JetStream, got {}", kind.noun());
            d.error(position, text);
            None
        }
    }
}

fn jetstream_limits(d: &mut Decoder<'_>, map: &Map) -> AccountJetStream {
    let mut js = AccountJetStream { enabled: true, ..AccountJetStream::default() };
    for item in map.iter() {
        match item.key.to_ascii_lowercase().as_str() {
            "max_memory" | "max_mem" | "mem" | "memory" => {
                set(&mut js.max_memory, sized(d, item));
            }
            "max_store" | "max_file" | "max_disk" | "store" | "disk" => {
                set(&mut js.max_store, sized(d, item));
            }
            "max_streams" | "streams" => set(&mut js.max_streams, sized(d, item)),
            "max_consumers" | "consumers" => set(&mut js.max_consumers, sized(d, item)),
            "max_bytes_required" | "max_stream_bytes" | "max_bytes" => {
                set(&mut js.max_bytes_required, d.bool(item));
            }
            "mem_max_stream_bytes" | "memory_max_stream_bytes" => {
                set(&mut js.memory_max_stream_bytes, sized(d, item));
            }
            "disk_max_stream_bytes" | "store_max_stream_bytes" => {
                set(&mut js.disk_max_stream_bytes, sized(d, item));
            }
            "max_ack_pending" => set(&mut js.max_ack_pending, sized(d, item)),
            "cluster_traffic" => match item.value.kind.as_str() {
                Some("system" | "owner" | "") => d.ignore(item),
                found => {
                    let key = names::quote(&item.key);
                    let found = found.unwrap_or(item.value.kind.noun());
                    let text =
                        format!("Expected 'system' or 'owner' string value for {key}, got {found}");
                    d.error(&item.value.position, text);
                }
            },
            _ => d.unknown(item),
        }
    }
    js
}

/// A limit; negative is unlimited.
fn sized(d: &mut Decoder<'_>, entry: &Entry) -> Option<Option<u64>> {
    if entry.value.kind.as_integer().is_none() {
        let (key, noun) = (&entry.key, entry.value.kind.noun());
        let text = format!("Expected a parseable size for {key:?}, got {noun}");
        d.error(&entry.value.position, text);
        return None;
    }
    d.limit(entry)
}
