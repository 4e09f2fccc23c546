//! Buckets: making sure they exist, and looking at them.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::key::check_bucket;
use super::store::Kv;
use crate::Connector;
use crate::codec::{Codec, CodecError, Decode, Decoder, Encode, Json};
use crate::error::{Error, KvError};
use crate::jetstream::{
    Ensured, Fields, JetStream, Storage, StreamInfo, ensure_stream, nanos, stream_info,
};
use crate::units::ByteSize;

/// A bucket as it should be, made by [`Connector::kv`].
#[must_use = "nothing happens before `ensure` or `get`"]
pub struct KvBuilder<T, C = Json> {
    js: JetStream,
    bucket: String,
    fields: Fields,
    types: std::marker::PhantomData<(fn() -> T, C)>,
}

/// What the server says about a bucket.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct BucketStatus {
    /// Its name.
    pub bucket: String,
    /// Changes it holds, deletions included.
    pub values: u64,
    /// Bytes it holds.
    pub bytes: u64,
    /// Changes it keeps of each key.
    pub history: u64,
    /// How long it keeps a change; `None` if for ever.
    pub ttl: Option<Duration>,
    /// `file` or `memory`.
    pub storage: String,
    /// Its replicas.
    pub replicas: u64,
    /// The revision of the last change.
    pub last_revision: u64,
    /// The whole answer, as the server's own object.
    pub raw: Value,
}

impl BucketStatus {
    pub(crate) fn of(bucket: &str, info: StreamInfo) -> Self {
        let number = |name: &str| info.config.get(name).and_then(Value::as_u64);
        Self {
            bucket: bucket.to_owned(),
            values: info.messages,
            bytes: info.bytes,
            history: number("max_msgs_per_subject").unwrap_or(1),
            ttl: number("max_age").filter(|age| *age > 0).map(Duration::from_nanos),
            storage: info.storage,
            replicas: info.replicas,
            last_revision: info.last_seq,
            raw: info.raw,
        }
    }
}

impl Connector {
    /// A bucket of values of one type, by its name, with options.
    pub fn kv<T>(&self, bucket: impl Into<String>) -> KvBuilder<T> {
        self.jetstream().kv(bucket)
    }
}

impl JetStream {
    /// A bucket of values of one type, by its name, with options.
    pub fn kv<T>(&self, bucket: impl Into<String>) -> KvBuilder<T> {
        KvBuilder {
            js: self.clone(),
            bucket: bucket.into(),
            fields: Fields::default(),
            types: std::marker::PhantomData,
        }
    }
}

impl<T, C: Codec> KvBuilder<T, C> {
    /// How many changes of each key it keeps, 1 to 64; default 1.
    pub fn history(mut self, changes: u8) -> Self {
        self.fields.set("max_msgs_per_subject", changes.clamp(1, 64));
        self
    }

    /// How long it keeps a change.
    pub fn ttl(mut self, age: Duration) -> Self {
        self.fields.set("max_age", nanos(age));
        self
    }

    /// Allows values with a time to live of their own, and leaves a marker for this long when one is
    /// over, so that watchers see [`WatchEvent::Expired`](super::WatchEvent::Expired). At least one
    /// second; needs a server from 2.11 on.
    pub fn markers(mut self, keep: Duration) -> Self {
        self.fields.set("allow_msg_ttl", true);
        self.fields.set("subject_delete_marker_ttl", nanos(keep));
        self
    }

    /// On disk (the default) or in memory.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.fields.set_json("storage", &storage);
        self
    }

    /// In memory.
    pub fn memory(self) -> Self {
        self.storage(Storage::Memory)
    }

    /// How many servers of a cluster keep it; default 1.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.fields.set("num_replicas", replicas);
        self
    }

    /// Limit of its size.
    pub fn max_bytes(mut self, size: ByteSize) -> Self {
        self.fields.set("max_bytes", size.bytes());
        self
    }

    /// Limit of a value's size.
    pub fn max_value_size(mut self, size: ByteSize) -> Self {
        self.fields.set("max_msg_size", size.bytes());
        self
    }

    /// What it is for.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.fields.set("description", text.into());
        self
    }

    /// How values become bodies and back; JSON otherwise.
    pub fn codec<D: Codec>(self, _codec: D) -> KvBuilder<T, D> {
        KvBuilder {
            js: self.js,
            bucket: self.bucket,
            fields: self.fields,
            types: std::marker::PhantomData,
        }
    }
}

impl<T, C: Encode<T> + Decode<T>> KvBuilder<T, C> {
    /// Creates the bucket, or changes what may be changed. Options that were not asked for stay as
    /// they are.
    ///
    /// # Errors
    /// `Drift` if it exists and differs in what cannot be changed; `JetStreamDisabled`, `BadName`,
    /// `Api`, `Timeout`, ..
    pub async fn ensure(self) -> Result<Kv<T>, KvError> {
        check_bucket(&self.bucket)?;
        let stream = format!("KV_{}", self.bucket);
        let defaults = json!({
            "name": stream, "subjects": [format!("$KV.{}.>", self.bucket)], "retention": "limits",
            "storage": "file", "num_replicas": 1, "max_msgs_per_subject": 1, "discard": "new",
            "allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true, "max_msgs": -1,
            "max_consumers": -1, "max_bytes": -1, "max_msg_size": -1, "max_age": 0,
        });
        let (info, done) =
            ensure_stream(&self.js, &stream, "bucket", &self.fields, defaults).await?;
        Ok(self.open(info, done))
    }

    /// The bucket as it is.
    ///
    /// # Errors
    /// `NotFound`, `JetStreamDisabled`, `Timeout`, ..
    pub async fn get(self) -> Result<Kv<T>, KvError> {
        check_bucket(&self.bucket)?;
        let stream = format!("KV_{}", self.bucket);
        let info = stream_info(&self.js, &stream, "bucket", &self.bucket).await?;
        Ok(self.open(info, Ensured::Unchanged))
    }

    fn open(self, info: StreamInfo, done: Ensured) -> Kv<T> {
        Kv::new(self.js, self.bucket, &info, done, Coder::of::<C>())
    }
}

/// A codec for both directions, without its type.
pub(crate) struct Coder<T> {
    pub(crate) decoder: Decoder<T>,
    encode: fn(&T) -> Result<Bytes, CodecError>,
}

impl<T> Clone for Coder<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Coder<T> {}

impl<T> Coder<T> {
    fn of<C: Encode<T> + Decode<T>>() -> Self {
        Self { decoder: Decoder::of::<C>(), encode: C::encode }
    }

    pub(crate) fn encode(&self, value: &T) -> Result<Bytes, Error> {
        (self.encode)(value).map_err(|error| {
            crate::error::Encode { codec: self.decoder.name, error: error.into() }.into()
        })
    }
}
