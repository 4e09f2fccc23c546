//! Buckets of objects: making sure they exist.

use std::time::Duration;

use serde_json::json;

use super::store::Objects;
use crate::Connector;
use crate::error::ObjectError;
use crate::jetstream::{Fields, JetStream, Storage, ensure_stream, nanos, stream_info};
use crate::kv::check_bucket;
use crate::units::ByteSize;

/// A bucket of objects as it should be, made by [`Connector::objects`].
#[must_use = "nothing happens before `ensure` or `open`"]
#[derive(Debug)]
pub struct ObjectsBuilder {
    js: JetStream,
    bucket: String,
    fields: Fields,
}

/// The stream of a bucket.
pub(super) fn stream_of(bucket: &str) -> String {
    format!("OBJ_{bucket}")
}

impl Connector {
    /// A bucket of objects, by its name, with options.
    pub fn objects(&self, bucket: impl Into<String>) -> ObjectsBuilder {
        self.jetstream().objects(bucket)
    }
}

impl JetStream {
    /// A bucket of objects, by its name, with options.
    pub fn objects(&self, bucket: impl Into<String>) -> ObjectsBuilder {
        ObjectsBuilder { js: self.clone(), bucket: bucket.into(), fields: Fields::default() }
    }
}

impl ObjectsBuilder {
    /// How long it keeps an object.
    pub fn ttl(mut self, age: Duration) -> Self {
        self.fields.set("max_age", nanos(age));
        self
    }

    /// On disk (the default) or in memory.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.fields.set_json("storage", &storage);
        self
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

    /// What it is for.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.fields.set("description", text.into());
        self
    }

    /// Creates the bucket, or changes what may be changed. Options that were not asked for stay as
    /// they are.
    ///
    /// # Errors
    /// `Drift` if it exists and differs in what cannot be changed; `JetStreamDisabled`, `BadName`,
    /// `Api`, `Timeout`, ..
    pub async fn ensure(self) -> Result<Objects, ObjectError> {
        check_bucket(&self.bucket)?;
        let (stream, bucket) = (stream_of(&self.bucket), &self.bucket);
        let defaults = json!({
            "name": stream, "subjects": [format!("$O.{bucket}.C.>"), format!("$O.{bucket}.M.>")],
            "retention": "limits", "storage": "file", "num_replicas": 1, "discard": "new",
            "allow_rollup_hdrs": true, "allow_direct": true, "max_msgs": -1, "max_consumers": -1,
            "max_bytes": -1, "max_msg_size": -1, "max_msgs_per_subject": -1, "max_age": 0,
        });
        ensure_stream(&self.js, &stream, "bucket", &self.fields, defaults).await?;
        Ok(Objects::new(self.js, self.bucket))
    }

    /// The bucket as it is.
    ///
    /// # Errors
    /// `NotFound`, `JetStreamDisabled`, `Timeout`, ..
    pub async fn open(self) -> Result<Objects, ObjectError> {
        check_bucket(&self.bucket)?;
        stream_info(&self.js, &stream_of(&self.bucket), "bucket", &self.bucket).await?;
        Ok(Objects::new(self.js, self.bucket))
    }
}
