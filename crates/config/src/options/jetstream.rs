//! `jetstream` and `store_dir`.

use super::decode::{Decoder, set, set_some};
use super::{BatchLimits, JetStreamLimits, Options, SyncPolicy, unsupported};
use crate::language::{Entry, Kind, Map};
use crate::names;

pub(super) fn jetstream(d: &mut Decoder<'_>, entry: &Entry, o: &mut Options) {
    let position = &entry.value.position;
    match &entry.value.kind {
        Kind::Bool(enabled) => o.jetstream.enabled = *enabled,
        Kind::String(text) => match text.to_ascii_lowercase().as_str() {
            "enabled" | "enable" => o.jetstream.enabled = true,
            "disabled" | "disable" => o.jetstream.enabled = false,
            _ => d.error(
                position,
                format!("Expected 'enabled' or 'disabled' for string value, got '{text}'"),
            ),
        },
        Kind::Map(map) => block(d, map, o),
        kind => {
            let noun = kind.noun();
            d.error(
                position,
                format!("Expected map, bool or string to define JetStream, got {noun}"),
            );
        }
    }
}

pub(super) fn store_dir(d: &mut Decoder<'_>, entry: &Entry, o: &mut Options) {
    let Some(directory) = d.string(entry).filter(|text| !text.is_empty()) else { return };
    if o.jetstream.store_dir.is_some() {
        d.error(&entry.value.position, "Duplicate 'store_dir' configuration");
    }
    o.jetstream.store_dir = Some(directory);
}

fn block(d: &mut Decoder<'_>, map: &Map, o: &mut Options) {
    let mut enabled = true;
    for item in map.iter() {
        let js = &mut o.jetstream;
        match item.key.to_ascii_lowercase().as_str() {
            "enabled" | "enable" => set(&mut enabled, d.bool(item)),
            "disabled" | "disable" => set(&mut enabled, d.bool(item).map(|off| !off)),
            "store" | "store_dir" | "storedir" => store_dir(d, item, o),
            "max_memory_store" | "max_mem_store" | "max_mem" => {
                set(&mut js.max_memory, storage_size(d, item));
            }
            "max_file_store" | "max_file" => set(&mut js.max_store, storage_size(d, item)),
            "domain" => set_some(&mut js.domain, domain(d, item)),
            "sync" | "sync_interval" => set(&mut js.sync, sync_policy(d, item)),
            "strict" => set(&mut js.strict, d.bool(item)),
            "limits" => js.limits = limits(d, item),
            "max_buffered_size" => set_some(&mut js.max_buffered_size, d.count(item)),
            "max_buffered_msgs" => set_some(&mut js.max_buffered_msgs, d.count(item)),
            "request_queue_limit" => set_some(&mut js.request_queue_limit, d.count(item)),
            "info_queue_limit" => set_some(&mut js.info_queue_limit, d.count(item)),
            // Encryption at rest: its owner believes the disk unreadable.
            "key" | "ek" | "encryption_key" | "prev_key" | "prev_ek" | "prev_encryption_key" => {
                if item.value.kind.as_str() != Some("") {
                    d.refuse(item);
                }
            }
            "cipher" => cipher(d, item),
            "tpm" => {
                d.refuse(item);
                let fields = ["keys_file", "encryption_password", "srk_password", "pcr", "cipher"];
                unsupported::unknown_fields(d, item, &fields);
            }
            "unique_tag"
            | "extension_hint"
            | "max_outstanding_catchup"
            | "max_concurrent_io"
            | "meta_compact"
            | "meta_compact_size"
            | "meta_compact_sync" => d.ignore(item),
            _ => d.unknown(item),
        }
    }
    o.jetstream.enabled = enabled;
}

/// A cipher alone encrypts nothing; with a key the key is refused.
fn cipher(d: &mut Decoder<'_>, entry: &Entry) {
    let Some(name) = d.string(entry) else { return };
    match name.to_ascii_lowercase().as_str() {
        "chacha" | "chachapoly" | "aes" => d.ignore(entry),
        _ => d.error(&entry.value.position, format!("Unknown cipher type: {name:?}")),
    }
}

/// Bytes; as a string with one of the suffixes `K M G T`, in powers of 1024. Negative is "not set".
fn storage_size(d: &mut Decoder<'_>, entry: &Entry) -> Option<Option<u64>> {
    let Kind::String(text) = &entry.value.kind else { return d.limit(entry) };
    if text.is_empty() {
        return Some(None);
    }
    let position = &entry.value.position;
    let shift = match text.as_bytes().last() {
        Some(b'K') => 10,
        Some(b'M') => 20,
        Some(b'G') => 30,
        Some(b'T') => 40,
        _ => {
            let text = format!("{} sizes defined as strings must end in K, M, G, T", entry.key);
            d.error(position, text);
            return None;
        }
    };
    let digits = &text[..text.len() - 1];
    match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift)) {
        Some(size) => Some(Some(size)),
        None => {
            d.error(position, format!("{}: {digits:?} is not a number of bytes", entry.key));
            None
        }
    }
}

/// A domain becomes one token of subjects.
fn domain(d: &mut Decoder<'_>, entry: &Entry) -> Option<String> {
    let domain = d.string(entry).filter(|text| !text.is_empty())?;
    let text = if domain.contains(['.', '*', '>']) {
        "invalid domain name: may not contain ., * or >".to_owned()
    } else if !names::is_subject(&domain) {
        format!("invalid domain name: derived \"$JS.{domain}.API.>\" is not a valid subject")
    } else {
        return Some(domain);
    };
    d.error(&entry.value.position, text);
    None
}

/// `always`, or how long data may stay unsynced.
fn sync_policy(d: &mut Decoder<'_>, entry: &Entry) -> Option<SyncPolicy> {
    if entry.value.kind.as_str().is_some_and(|text| text.eq_ignore_ascii_case("always")) {
        return Some(SyncPolicy::BeforeAck);
    }
    d.duration(entry).map(|interval| {
        if interval.is_zero() { SyncPolicy::BeforeAck } else { SyncPolicy::Every(interval) }
    })
}

fn limits(d: &mut Decoder<'_>, entry: &Entry) -> JetStreamLimits {
    let mut limits = JetStreamLimits::default();
    let Kind::Map(map) = &entry.value.kind else {
        let noun = entry.value.kind.noun();
        let text = format!("Expected a map to define JetStreamLimits, got {noun}");
        d.error(&entry.value.position, text);
        return limits;
    };
    for item in Map::iter(map) {
        match item.key.to_ascii_lowercase().as_str() {
            "max_ack_pending" => set(&mut limits.max_ack_pending, d.limit(item)),
            "max_ha_assets" => d.ignore(item),
            "max_request_batch" => set(&mut limits.max_request_batch, d.limit(item)),
            "duplicate_window" => {
                set_some(&mut limits.duplicate_window, d.duration_text(item));
            }
            "default_max_consumers" => {
                set_some(&mut limits.default_max_consumers, d.integer(item));
            }
            "batch" => limits.batch = batch(d, item),
            _ => d.unknown(item),
        }
    }
    limits
}

fn batch(d: &mut Decoder<'_>, entry: &Entry) -> BatchLimits {
    let mut batch = BatchLimits::default();
    for item in d.map(entry).into_iter().flat_map(Map::iter) {
        match item.key.to_ascii_lowercase().as_str() {
            "max_inflight_per_stream" => set(&mut batch.max_inflight_per_stream, d.limit(item)),
            "max_inflight_total" => set(&mut batch.max_inflight_total, d.limit(item)),
            "max_msgs" => set(&mut batch.max_msgs, d.limit(item)),
            "timeout" => set_some(&mut batch.timeout, d.duration_text(item)),
            _ => d.unknown(item),
        }
    }
    batch
}
