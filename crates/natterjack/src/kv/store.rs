//! Reading and writing keys.
//!
//! Each write carries an id, so that one whose acknowledgement was lost with the connection is sent
//! again without becoming a second change.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_nats::StatusCode;
use bytes::Bytes;
use serde_json::{Value, json};

use super::bucket::{BucketStatus, Coder};
use super::entry::{Entry, Found, KeyMeta, Stored, change};
use super::key::{check_filter, check_key};
use super::watch::{WatchBuilder, WatchEvent, WatchFrom};
use crate::core::new_inbox;
use crate::error::{BadReply, Conflict, Error, KvError};
use crate::jetstream::{
    Ensured, JetStream, PublishOptions, REPEAT_AFTER, StreamInfo, Target, parse_stored,
    publish_once, request_or_loss, stream_info,
};

/// Attempts of [`Kv::modify`] before it reports the conflict.
const MODIFY_TRIES: u32 = 10;

/// Keys share this many turns.
const TURNS: usize = 16;

/// A bucket of values of one type. Cheap to clone.
pub struct Kv<T> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) coder: Coder<T>,
}

pub(crate) struct Shared {
    pub(crate) js: JetStream,
    pub(crate) bucket: String,
    pub(crate) stream: String,
    /// What comes before a key in the subject of a read.
    pub(crate) prefix: String,
    /// What comes before a key in the subject of a write; differs in another domain.
    put_prefix: String,
    direct: bool,
    done: Ensured,
    /// Whose turn it is to modify, by key: tasks of one program need not collide on the server.
    turns: [tokio::sync::Mutex<()>; TURNS],
}

impl<T> Clone for Kv<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), coder: self.coder }
    }
}

impl<T> std::fmt::Debug for Kv<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kv").field("bucket", &self.shared.bucket).finish_non_exhaustive()
    }
}

/// What a write does besides carrying a body.
#[derive(Default)]
struct Write {
    operation: Option<&'static str>,
    rollup: bool,
    expected: Option<u64>,
    ttl: Option<Duration>,
}

impl<T> Kv<T> {
    pub(crate) fn new(
        js: JetStream,
        bucket: String,
        info: &StreamInfo,
        done: Ensured,
        coder: Coder<T>,
    ) -> Self {
        let prefix = format!("$KV.{bucket}.");
        let put_prefix = match &*js.api.prefix {
            "$JS.API" => prefix.clone(),
            other => format!("{other}.{prefix}"),
        };
        let direct = info.config.get("allow_direct").and_then(Value::as_bool).unwrap_or(false);
        let stream = info.name.clone();
        let turns = Default::default();
        let shared = Shared { js, bucket, stream, prefix, put_prefix, direct, done, turns };
        Self { shared: Arc::new(shared), coder }
    }

    /// The bucket's name.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.shared.bucket
    }

    /// What `ensure` did.
    #[must_use]
    pub fn ensured(&self) -> Ensured {
        self.shared.done
    }

    /// The value of a key; `None` if it has none (any more).
    ///
    /// # Errors
    /// `BadName`, `Decode`, `Timeout`, ..
    pub async fn get(&self, key: &str) -> Result<Option<T>, KvError> {
        Ok(self.get_entry(key).await?.map(|entry| entry.value))
    }

    /// As [`get`](Self::get), with revision and time.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub async fn get_entry(&self, key: &str) -> Result<Option<Entry<T>>, KvError> {
        Ok(self.entry(key).await?.and_then(Found::put))
    }

    /// The last change of a key: a value, or how it went; `None` if the bucket knows nothing of it.
    ///
    /// # Errors
    /// `BadName`, `Decode`, `Timeout`, ..
    pub async fn entry(&self, key: &str) -> Result<Option<Found<T>>, KvError> {
        check_key(key)?;
        let stored = self.shared.last(key, self.shared.direct).await?;
        Ok(stored.map(|stored| stored.found(self.coder.decoder)).transpose()?)
    }

    /// The change of a key that has this revision; `None` if it is not there (any more), or belongs to
    /// another key.
    ///
    /// # Errors
    /// `BadName`, `Decode`, `Timeout`, ..
    pub async fn at(&self, key: &str, revision: u64) -> Result<Option<Found<T>>, KvError> {
        check_key(key)?;
        let stored = self.shared.stored(json!({ "seq": revision })).await?;
        let own = stored.filter(|stored| stored.meta.key == key);
        Ok(own.map(|stored| stored.found(self.coder.decoder)).transpose()?)
    }

    /// Sets a key, whatever it was before; the new revision.
    ///
    /// # Errors
    /// `BadName`, `Encode`, `TooLarge`, `Api` (a full bucket), `Timeout`, ..
    pub async fn put(&self, key: &str, value: &T) -> Result<u64, KvError> {
        let body = self.coder.encode(value)?;
        Ok(self.shared.write(key, body, Write::default()).await?)
    }

    /// Sets a key that has no value (it never had, or it was deleted); the new revision.
    ///
    /// # Errors
    /// `Conflict` if it has a value; else as for [`put`](Self::put).
    pub async fn create(&self, key: &str, value: &T) -> Result<u64, KvError> {
        Ok(self.shared.create(key, self.coder.encode(value)?, None).await?)
    }

    /// As [`create`](Self::create), for a time; the bucket needs [`markers`](super::KvBuilder::markers).
    ///
    /// # Errors
    /// See [`create`](Self::create).
    pub async fn create_for(&self, key: &str, value: &T, ttl: Duration) -> Result<u64, KvError> {
        Ok(self.shared.create(key, self.coder.encode(value)?, Some(ttl)).await?)
    }

    /// Sets a key if its last change has this revision; the new revision.
    ///
    /// # Errors
    /// `Conflict` if it has another; else as for [`put`](Self::put).
    pub async fn update(&self, key: &str, value: &T, revision: u64) -> Result<u64, KvError> {
        let body = self.coder.encode(value)?;
        let write = Write { expected: Some(revision), ..Write::default() };
        Ok(self.shared.write(key, body, write).await?)
    }

    /// Changes a key by a function of its value, again if somebody else wrote meanwhile; `None` deletes
    /// it. The revision that it has then (0 if there was nothing to do).
    ///
    /// # Errors
    /// `Conflict` after ten attempts; else as for [`get`](Self::get) and [`put`](Self::put).
    pub async fn modify(
        &self,
        key: &str,
        mut change: impl FnMut(Option<T>) -> Option<T>,
    ) -> Result<u64, KvError> {
        check_key(key)?;
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let turn = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or(0);
        let _turn = self.shared.turns[turn].lock().await;
        let mut tries = 0;
        loop {
            let started = Instant::now();
            // Not a direct get: a replica may lag behind the conflict that was just seen.
            let last = self.shared.last(key, false).await?;
            let revision = last.as_ref().map_or(0, |stored| stored.meta.revision);
            let found = last.map(|stored| stored.found(self.coder.decoder)).transpose()?;
            let before = found.and_then(Found::put).map(|entry| entry.value);
            let had = before.is_some();
            let written = match change(before) {
                Some(after) => {
                    let body = self.coder.encode(&after)?;
                    let write = Write { expected: Some(revision), ..Write::default() };
                    self.shared.write(key, body, write).await
                }
                None if had => self.shared.delete(key, Some(revision)).await,
                None => return Ok(revision),
            };
            match written {
                Err(Error::Conflict(_)) if tries + 1 < MODIFY_TRIES => {
                    tries += 1;
                    // Spread the competitors over a span that doubles with each collision, beginning
                    // with the time that an attempt takes.
                    let span = started.elapsed().saturating_mul(1 << tries.min(8));
                    tokio::time::sleep(span.mul_f64(rand::random())).await;
                }
                other => return Ok(other?),
            }
        }
    }

    /// Deletes a key; its history is kept. Deleting what is not there is no error.
    ///
    /// # Errors
    /// `BadName`, `Timeout`, ..
    pub async fn delete(&self, key: &str) -> Result<u64, KvError> {
        Ok(self.shared.delete(key, None).await?)
    }

    /// Deletes a key if its last change has this revision.
    ///
    /// # Errors
    /// `Conflict` if it has another; `BadName`, `Timeout`, ..
    pub async fn delete_if(&self, key: &str, revision: u64) -> Result<u64, KvError> {
        Ok(self.shared.delete(key, Some(revision)).await?)
    }

    /// Deletes a key and its history.
    ///
    /// # Errors
    /// `BadName`, `Timeout`, ..
    pub async fn purge(&self, key: &str) -> Result<u64, KvError> {
        let write = Write { operation: Some("PURGE"), rollup: true, ..Write::default() };
        Ok(self.shared.write(key, Bytes::new(), write).await?)
    }

    /// Forgets deleted keys: those deleted longer ago than `older_than` altogether, the history of the
    /// others. The number of keys that were forgotten altogether.
    ///
    /// # Errors
    /// `Timeout`, `Api`, ..
    pub async fn purge_deletes(&self, older_than: Duration) -> Result<u64, KvError> {
        let mut gone = Vec::new();
        let mut watch = self.watch(">").meta_only().start().await?;
        while let Some(event) = watch.next().await {
            match event {
                WatchEvent::Deleted(meta)
                | WatchEvent::Purged(meta)
                | WatchEvent::Expired(meta) => {
                    gone.push(meta);
                }
                WatchEvent::Ready => break,
                _ => {}
            }
        }
        let mut forgotten = 0;
        for meta in gone {
            let old = meta.age() > older_than;
            let filter = format!("{}{}", self.shared.prefix, meta.key);
            // Up to the mark and no further: what was put meanwhile is no deleted key any more.
            let end = meta.revision + u64::from(old);
            if end <= 1 {
                // There is nothing before the first message. nats-server to 2.14.0 would take all.
                continue;
            }
            let body = json!({ "filter": filter, "seq": end });
            let target = Target::of("purge", "bucket", &self.shared.bucket);
            let call = format!("STREAM.PURGE.{}", self.shared.stream);
            let js = &self.shared.js;
            let _: Value = js.api.call(js.link(), &call, Some(&body), &target).await?;
            forgotten += u64::from(old);
        }
        Ok(forgotten)
    }

    /// The changes of a key that the bucket has, the oldest first.
    ///
    /// # Errors
    /// `BadName`, `Decode`, `Timeout`, ..
    pub async fn history(&self, key: &str) -> Result<Vec<Found<T>>, KvError>
    where
        T: Send + 'static,
    {
        check_key(key)?;
        let mut changes = Vec::new();
        let mut watch = self.watch(key).from(WatchFrom::History).start().await?;
        while let Some(event) = watch.next().await {
            match event {
                WatchEvent::Put(entry) => changes.push(Found::Put(entry)),
                WatchEvent::Deleted(meta) => changes.push(Found::Deleted(meta)),
                WatchEvent::Purged(meta) => changes.push(Found::Purged(meta)),
                WatchEvent::Expired(meta) => changes.push(Found::Expired(meta)),
                WatchEvent::Undecodable { error, .. } => return Err(error.into()),
                WatchEvent::Ready => return Ok(changes),
                WatchEvent::Touched(_) | WatchEvent::Resumed { .. } => {}
            }
        }
        Err(self
            .shared
            .js
            .link()
            .check_open()
            .err()
            .unwrap_or(self.shared.js.link().offline())
            .into())
    }

    /// The keys that have a value and match a filter (`>` for all), in order of their last change.
    ///
    /// # Errors
    /// `BadName`, `Timeout`, ..
    pub async fn keys(&self, filter: &str) -> Result<Vec<String>, KvError> {
        let mut keys = Vec::new();
        let mut watch = self.watch(filter).meta_only().start().await?;
        while let Some(event) = watch.next().await {
            match event {
                WatchEvent::Touched(meta) => keys.push(meta.key),
                WatchEvent::Ready => return Ok(keys),
                _ => {}
            }
        }
        Err(self
            .shared
            .js
            .link()
            .check_open()
            .err()
            .unwrap_or(self.shared.js.link().offline())
            .into())
    }

    /// Watches keys that match a filter (`>` for all); several with
    /// [`and`](WatchBuilder::and).
    pub fn watch(&self, filter: impl Into<String>) -> WatchBuilder<T> {
        WatchBuilder::new(self.clone(), filter.into())
    }

    /// How full it is and how it is set up.
    ///
    /// # Errors
    /// `NotFound`, `Timeout`, ..
    pub async fn status(&self) -> Result<BucketStatus, KvError> {
        let shared = &self.shared;
        let info = stream_info(&shared.js, &shared.stream, "bucket", &shared.bucket).await?;
        Ok(BucketStatus::of(&shared.bucket, info))
    }

    /// Removes the bucket with all it holds.
    ///
    /// # Errors
    /// `NotFound`, `Timeout`, ..
    pub async fn delete_bucket(&self) -> Result<(), KvError> {
        let shared = &self.shared;
        let target = Target::of("delete", "bucket", &shared.bucket);
        let call = format!("STREAM.DELETE.{}", shared.stream);
        let _: Value = shared.js.api.call(shared.js.link(), &call, None, &target).await?;
        Ok(())
    }
}

impl Shared {
    /// The key in a subject of this bucket.
    pub(crate) fn key_of<'s>(&self, subject: &'s str) -> Option<&'s str> {
        subject.strip_prefix(&self.prefix)
    }

    /// Checks a filter and gives its subject.
    pub(crate) fn filter_subject(&self, filter: &str) -> Result<String, Error> {
        check_filter(filter)?;
        Ok(format!("{}{filter}", self.prefix))
    }

    async fn last(&self, key: &str, direct: bool) -> Result<Option<Stored>, Error> {
        if direct {
            match self.direct_get(key).await {
                // No leader that answers directly: ask the other way.
                Err(Error::NoResponders(_)) => {}
                other => return other,
            }
        }
        let subject = format!("{}{key}", self.prefix);
        self.stored(json!({ "last_by_subj": subject })).await
    }

    async fn stored(&self, body: Value) -> Result<Option<Stored>, Error> {
        let target = Target::of("get from", "bucket", &self.bucket);
        let call = format!("STREAM.MSG.GET.{}", self.stream);
        let answer: Value =
            match self.js.api.call(self.js.link(), &call, Some(&body), &target).await {
                Err(Error::NotFound(missing)) if missing.err_code == 10037 => return Ok(None),
                other => other?,
            };
        let message = parse_stored(&answer)?;
        let Some(key) = self.key_of(&message.subject) else { return Ok(None) };
        let meta = KeyMeta {
            key: key.to_owned(),
            revision: message.seq,
            created: parse_time(&message.time)?,
        };
        Ok(Some(Stored { meta, change: change(&message.headers), body: message.payload }))
    }

    /// The last change of a key from any replica (ADR-31).
    async fn direct_get(&self, key: &str) -> Result<Option<Stored>, Error> {
        let call = format!("DIRECT.GET.{}.{}{key}", self.stream, self.prefix);
        let subject = self.js.api.subject(&call);
        let started = Instant::now();
        let answer = loop {
            let left = self.js.api.limit.saturating_sub(started.elapsed());
            let patience = left.min(REPEAT_AFTER);
            match request_or_loss(self.js.link(), &subject, None, Bytes::new(), patience).await {
                Err(Error::Offline(_)) if started.elapsed() < self.js.api.limit => {}
                Err(Error::Timeout(_)) if left > REPEAT_AFTER => {}
                other => break other?,
            }
        };
        match answer.status {
            Some(StatusCode::NOT_FOUND) => return Ok(None),
            Some(status) => {
                return Err(crate::error::Api {
                    code: status.as_u16(),
                    err_code: 0,
                    description: answer.description.unwrap_or_default(),
                    request: format!("get from bucket {}", self.bucket),
                }
                .into());
            }
            None => {}
        }
        let headers = answer.headers.unwrap_or_default();
        let header = |name: &str| headers.get(name).map(|value| value.as_str()).unwrap_or_default();
        let revision = header("Nats-Sequence")
            .parse::<u64>()
            .map_err(|error| BadReply { request: subject.clone(), error: Arc::new(error) })?;
        let created = parse_time(header("Nats-Time-Stamp"))?;
        let meta = KeyMeta { key: key.to_owned(), revision, created };
        Ok(Some(Stored { meta, change: change(&headers), body: answer.payload }))
    }

    async fn delete(&self, key: &str, expected: Option<u64>) -> Result<u64, Error> {
        let write = Write { operation: Some("DEL"), expected, ..Write::default() };
        self.write(key, Bytes::new(), write).await
    }

    async fn create(&self, key: &str, body: Bytes, ttl: Option<Duration>) -> Result<u64, Error> {
        let first = Write { expected: Some(0), ttl, ..Write::default() };
        let conflict = match self.write(key, body.clone(), first).await {
            Err(Error::Conflict(conflict)) => conflict,
            other => return other,
        };
        // A key that was deleted has a last change too, which creating may follow.
        match self.last(key, false).await? {
            Some(last) if last.change == super::entry::Change::Put => {
                Err(Conflict { actual: Some(last.meta.revision), ..conflict }.into())
            }
            last => {
                let revision = last.map_or(0, |last| last.meta.revision);
                let again = Write { expected: Some(revision), ttl, ..Write::default() };
                match self.write(key, body, again).await {
                    Err(Error::Conflict(second)) => Err(Conflict { expected: 0, ..second }.into()),
                    other => other,
                }
            }
        }
    }

    async fn write(&self, key: &str, body: Bytes, write: Write) -> Result<u64, Error> {
        check_key(key)?;
        let mut options = PublishOptions::default();
        options.header("Nats-Msg-Id", &new_inbox());
        options.id = true;
        if let Some(operation) = write.operation {
            options.header("KV-Operation", operation);
        }
        if write.rollup {
            options.header("Nats-Rollup", "sub");
        }
        if let Some(ttl) = write.ttl {
            options.header("Nats-TTL", &format!("{}s", ttl.as_secs().max(1)));
        }
        if let Some(expected) = write.expected {
            options.header("Nats-Expected-Last-Subject-Sequence", &expected.to_string());
            options.expected = Some(expected);
        }
        let subject = format!("{}{key}", self.put_prefix);
        let ack = publish_once(self.js.link(), &subject, body, options, self.js.api.limit).await;
        match ack {
            Ok(ack) => Ok(ack.seq),
            Err(Error::Conflict(conflict)) => {
                Err(Conflict { key: key.to_owned(), ..conflict }.into())
            }
            Err(Error::NotFound(mut missing)) => {
                missing.kind = "bucket".into();
                missing.name.clone_from(&self.bucket);
                Err(missing.into())
            }
            Err(error) => Err(error),
        }
    }
}

fn parse_time(text: &str) -> Result<SystemTime, Error> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|error| BadReply { request: "time stamp".into(), error: Arc::new(error) })?;
    Ok(time.into())
}
