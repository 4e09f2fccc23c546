//! How the server names itself in replies of the system account and in advisories.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::hub::{COMPATIBLE_VERSION, Hub};

/// JetStream is on.
const FLAG_JETSTREAM: u64 = 1;

/// The `server` member of such replies, keys in nats-server's order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerInfo {
    name: String,
    host: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    ver: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    feature_flags: BTreeMap<&'static str, bool>,
    jetstream: bool,
    #[serde(skip_serializing_if = "is_zero")]
    flags: u64,
    seq: u64,
    time: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl ServerInfo {
    pub(crate) fn of(hub: &Hub) -> Self {
        let options = hub.options();
        let jetstream = hub.jetstream().is_some();
        ServerInfo {
            name: hub.id().name.clone(),
            host: hub.ports().advertised(&options).0,
            id: hub.id().public_key.clone(),
            domain: options.jetstream.domain.clone(),
            ver: COMPATIBLE_VERSION,
            tags: options.server_tags.clone(),
            metadata: options.server_metadata.clone(),
            feature_flags: options.features(),
            jetstream,
            flags: if jetstream { FLAG_JETSTREAM } else { 0 },
            seq: hub.next_seq(),
            time: rfc3339(hub.clock().unix_ns()),
        }
    }
}

/// RFC 3339 in UTC with nanoseconds.
pub(crate) fn rfc3339(unix_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(unix_ns))
        .map_or_else(|_| String::new(), |time| time.to_string())
}
