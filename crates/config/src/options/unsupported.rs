//! Keys that nats-server knows and we do not build yet, and the names inside their blocks.
//!
//! Refused: what secures or restricts (a server that ignored it would be open where its owner
//! believes it closed), and what opens a listener. Ignored with a warning: everything else.

use super::decode::Decoder;
use crate::language::{Entry, Kind, Map};

const REFUSED: [(&str, &[&str]); 6] = [
    ("ocsp", &["mode", "urls", "url"]),
    ("mqtt", MQTT),
    ("leafnodes", LEAFNODES),
    ("leaf", LEAFNODES),
    ("cluster", CLUSTER),
    ("gateway", GATEWAY),
];

/// What a value must be, although it is ignored.
#[derive(Clone, Copy)]
enum Shape {
    Integer,
    Map,
}

const IGNORED: [(&str, Shape); 6] = [
    ("prof_port", Shape::Integer),
    ("prof_block_rate", Shape::Integer),
    ("ocsp_cache", Shape::Map),
    ("connect_error_reports", Shape::Integer),
    ("reconnect_error_reports", Shape::Integer),
    ("default_js_domain", Shape::Map),
];

const MQTT: &[&str] = &[
    "listen",
    "host",
    "net",
    "port",
    "tls",
    "authorization",
    "authentication",
    "no_auth_user",
    "ack_wait",
    "ackwait",
    "max_ack_pending",
    "max_pending",
    "max_inflight",
    "js_domain",
    "js_api_timeout",
    "api_timeout",
    "stream_replicas",
    "consumer_replicas",
    "consumer_memory_storage",
    "consumer_inactive_threshold",
    "consumer_auto_cleanup",
    "reject_qos2_publish",
    "downgrade_qos2_subscribe",
];

const LEAFNODES: &[&str] = &[
    "listen",
    "host",
    "net",
    "port",
    "advertise",
    "no_advertise",
    "authorization",
    "tls",
    "remotes",
    "reconnect",
    "reconnect_delay",
    "reconnect_interval",
    "min_version",
    "minimum_version",
    "compression",
    "isolate_leafnode_interest",
    "isolate",
    "dial_timeout",
    "connect_backoff",
    "write_deadline",
    "write_timeout",
];

const CLUSTER: &[&str] = &[
    "name",
    "listen",
    "host",
    "net",
    "port",
    "authorization",
    "routes",
    "tls",
    "advertise",
    "cluster_advertise",
    "no_advertise",
    "connect_retries",
    "connect_backoff",
    "permissions",
    "pool_size",
    "accounts",
    "compression",
    "ping_interval",
    "ping_max",
    "write_deadline",
    "write_timeout",
];

const GATEWAY: &[&str] = &[
    "name",
    "listen",
    "host",
    "net",
    "port",
    "authorization",
    "tls",
    "advertise",
    "connect_retries",
    "connect_backoff",
    "gateways",
    "reject_unknown",
    "reject_unknown_cluster",
    "write_deadline",
    "write_timeout",
];

/// Reports a key of the top level that is known but not built; false if it is not known.
pub(super) fn top(d: &mut Decoder<'_>, key: &str, entry: &Entry) -> bool {
    if let Some((_, fields)) = REFUSED.iter().find(|(name, _)| *name == key) {
        if !says_off(entry) {
            d.refuse(entry);
        }
        unknown_fields(d, entry, fields);
        return true;
    }
    if let Some((_, shape)) = IGNORED.iter().find(|(name, _)| *name == key) {
        if has_shape(d, entry, *shape) && !says_off(entry) {
            d.ignore(entry);
        }
        return true;
    }
    false
}

/// Whether an ignored value is at least of the right kind; reports it if not.
fn has_shape(d: &mut Decoder<'_>, entry: &Entry, shape: Shape) -> bool {
    match (shape, &entry.value.kind) {
        (Shape::Integer, _) => d.integer(entry).is_some(),
        // `ocsp_cache: true` is allowed too.
        (Shape::Map, Kind::Bool(_)) => true,
        (Shape::Map, _) => d.map(entry).is_some(),
    }
}

/// Whether the value merely says what we do anyway: `proxy_protocol: false`.
pub(super) fn says_off(entry: &Entry) -> bool {
    matches!(&entry.value.kind, Kind::Bool(false))
        || entry.value.kind.as_str().is_some_and(|text| text.eq_ignore_ascii_case("never"))
}

/// The names inside a block that is not built are checked all the same.
pub(super) fn unknown_fields(d: &mut Decoder<'_>, entry: &Entry, fields: &[&str]) {
    let Kind::Map(map) = &entry.value.kind else { return };
    if fields.is_empty() {
        return;
    }
    for item in Map::iter(map) {
        if !fields.contains(&item.key.to_ascii_lowercase().as_str()) {
            d.unknown(item);
        }
    }
}
