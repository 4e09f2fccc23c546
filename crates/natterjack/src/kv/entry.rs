//! What a bucket says about a key.

use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use bytes::Bytes;

use crate::codec::Decoder;
use crate::core::decode_failed;
use crate::error::Decode;

/// A key with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<T> {
    /// The key.
    pub key: String,
    /// The value.
    pub value: T,
    /// The revision: the sequence of the change in the bucket's stream.
    pub revision: u64,
    /// When it was written.
    pub created: SystemTime,
}

/// A change of a key, without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyMeta {
    /// The key.
    pub key: String,
    /// The revision of the change.
    pub revision: u64,
    /// When it was made.
    pub created: SystemTime,
}

impl KeyMeta {
    /// How long ago it was made; zero if the clocks disagree.
    #[must_use]
    pub fn age(&self) -> Duration {
        SystemTime::now().duration_since(self.created).unwrap_or_default()
    }
}

impl<T> Entry<T> {
    /// How long ago it was written; zero if the clocks disagree.
    #[must_use]
    pub fn age(&self) -> Duration {
        SystemTime::now().duration_since(self.created).unwrap_or_default()
    }
}

/// The last (or an earlier) change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// A value was put.
    Put(Entry<T>),
    /// The key was deleted; its history is kept.
    Deleted(KeyMeta),
    /// The key was purged with its history.
    Purged(KeyMeta),
    /// The value had a time to live, and that was over.
    Expired(KeyMeta),
}

impl<T> Found<T> {
    /// The entry, if it is a value.
    #[must_use]
    pub fn put(self) -> Option<Entry<T>> {
        match self {
            Self::Put(entry) => Some(entry),
            Self::Deleted(_) | Self::Purged(_) | Self::Expired(_) => None,
        }
    }

    /// The revision of the change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        match self {
            Self::Put(entry) => entry.revision,
            Self::Deleted(meta) | Self::Purged(meta) | Self::Expired(meta) => meta.revision,
        }
    }
}

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Put,
    Deleted,
    Purged,
    Expired,
}

/// Reads the operation from the headers: the client's word, or the server's marker (ADR-8, ADR-43).
pub(crate) fn change(headers: &HeaderMap) -> Change {
    let get = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
    match (get("KV-Operation"), get("Nats-Marker-Reason")) {
        (Some("DEL"), _) => Change::Deleted,
        (Some("PURGE"), _) => Change::Purged,
        (Some(_), _) => Change::Put,
        (None, Some("MaxAge")) => Change::Expired,
        (None, Some("Purge")) => Change::Purged,
        (None, Some("Remove")) => Change::Deleted,
        (None, _) => Change::Put,
    }
}

/// A change as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) meta: KeyMeta,
    pub(crate) change: Change,
    pub(crate) body: Bytes,
}

impl Stored {
    pub(crate) fn found<T>(self, decoder: Decoder<T>) -> Result<Found<T>, Decode> {
        let meta = self.meta;
        Ok(match self.change {
            Change::Put => {
                let value = (decoder.decode)(&self.body)
                    .map_err(|error| decode_failed(&meta.key, decoder.name, error, self.body))?;
                let KeyMeta { key, revision, created } = meta;
                Found::Put(Entry { key, value, revision, created })
            }
            Change::Deleted => Found::Deleted(meta),
            Change::Purged => Found::Purged(meta),
            Change::Expired => Found::Expired(meta),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operation_is_that_of_the_headers() {
        for (header, want) in [
            (None, Change::Put),
            (Some(("KV-Operation", "PUT")), Change::Put),
            (Some(("KV-Operation", "DEL")), Change::Deleted),
            (Some(("KV-Operation", "PURGE")), Change::Purged),
            (Some(("Nats-Marker-Reason", "MaxAge")), Change::Expired),
            (Some(("Nats-Marker-Reason", "Purge")), Change::Purged),
            (Some(("Nats-Marker-Reason", "Remove")), Change::Deleted),
        ] {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value);
            }
            assert_eq!(change(&headers), want, "{header:?}");
        }
    }
}
