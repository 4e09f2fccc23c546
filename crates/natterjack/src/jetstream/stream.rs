//! Streams: making sure they exist, and looking at them.

use std::time::Duration;

use async_nats::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::JetStream;
use super::api::Target;
use super::config::{Discard, Fields, Retention, Storage, nanos};
use crate::error::{BadName, BadReply, Error, StreamError};
use crate::units::ByteSize;

/// Fields that the server never lets change.
const FIXED: &[&str] =
    &["storage", "retention", "mirror", "max_consumers", "deny_delete", "deny_purge"];

/// A stream as it should be, made by [`JetStream::stream`].
#[must_use = "nothing happens before `ensure` or `get`"]
#[derive(Clone, Debug)]
pub struct StreamBuilder {
    js: JetStream,
    name: String,
    fields: Fields,
}

/// What [`StreamBuilder::ensure`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// It did not exist.
    Created,
    /// It existed and was changed.
    Updated,
    /// It existed as wanted.
    Unchanged,
}

/// Checks the name of a stream, consumer or bucket (ADR-6).
pub(crate) fn check_name(kind: &'static str, name: &str) -> Result<(), Error> {
    let bad = |why: String| Err(BadName { kind: kind.into(), name: name.to_owned(), why }.into());
    if name.is_empty() {
        return bad("it is empty".into());
    }
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c);
    match name.chars().position(forbidden) {
        Some(at) => {
            let c = name.chars().nth(at).unwrap_or(' ');
            bad(format!("`{}` at position {} is not allowed", c.escape_debug(), at + 1))
        }
        None => Ok(()),
    }
}

impl JetStream {
    /// A stream by its name, with options.
    pub fn stream(&self, name: impl Into<String>) -> StreamBuilder {
        StreamBuilder { js: self.clone(), name: name.into(), fields: Fields::default() }
    }
}

impl StreamBuilder {
    /// The subjects it stores.
    pub fn subjects<S: Into<String>>(mut self, subjects: impl IntoIterator<Item = S>) -> Self {
        let subjects: Vec<String> = subjects.into_iter().map(Into::into).collect();
        self.fields.set("subjects", subjects);
        self
    }

    /// On disk (the default).
    pub fn file(self) -> Self {
        self.storage(Storage::File)
    }

    /// In memory.
    pub fn memory(self) -> Self {
        self.storage(Storage::Memory)
    }

    /// On disk or in memory.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.fields.set_json("storage", &storage);
        self
    }

    /// How many servers of a cluster keep it; default 1.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.fields.set("num_replicas", replicas);
        self
    }

    /// How long it keeps a message.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.fields.set_json("retention", &retention);
        self
    }

    /// What it does when it is full.
    pub fn discard(mut self, discard: Discard) -> Self {
        self.fields.set_json("discard", &discard);
        self
    }

    /// Limit of a message's age.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.fields.set("max_age", nanos(age));
        self
    }

    /// Limit of its size.
    pub fn max_bytes(mut self, size: ByteSize) -> Self {
        self.fields.set("max_bytes", size.bytes());
        self
    }

    /// Limit of its number of messages.
    pub fn max_msgs(mut self, messages: u64) -> Self {
        self.fields.set("max_msgs", messages);
        self
    }

    /// Limit of its number of messages of one subject.
    pub fn max_msgs_per_subject(mut self, messages: u64) -> Self {
        self.fields.set("max_msgs_per_subject", messages);
        self
    }

    /// Limit of a message's size.
    pub fn max_msg_size(mut self, size: ByteSize) -> Self {
        self.fields.set("max_msg_size", size.bytes());
        self
    }

    /// The time in which a message id counts as a duplicate; the server's default is two minutes.
    pub fn dedup(mut self, window: Duration) -> Self {
        self.fields.set("duplicate_window", nanos(window));
        self
    }

    /// What it is for.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.fields.set("description", text.into());
        self
    }

    /// Whether messages may be read by any replica, without the leader.
    pub fn allow_direct(mut self, allow: bool) -> Self {
        self.fields.set("allow_direct", allow);
        self
    }

    /// Whether messages may have a time to live of their own (ADR-43).
    pub fn allow_msg_ttl(mut self, allow: bool) -> Self {
        self.fields.set("allow_msg_ttl", allow);
        self
    }

    /// Any other field of the configuration, by the server's name.
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.set(name, value);
        self
    }

    /// Creates the stream, or changes what may be changed. Fields that were not asked for stay as
    /// they are.
    ///
    /// # Errors
    /// `Drift` if it exists and differs in what cannot be changed; nothing was changed then.
    /// `JetStreamDisabled`, `BadName`, `Api`, `Timeout`, ..
    pub async fn ensure(self) -> Result<Stream, StreamError> {
        check_name("stream", &self.name)?;
        let defaults = json!({
            "name": self.name, "retention": "limits", "storage": "file", "discard": "old",
            "num_replicas": 1, "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0,
            "max_msgs_per_subject": -1, "max_msg_size": -1,
        });
        let (info, done) = ensure(&self.js, &self.name, "stream", &self.fields, defaults).await?;
        Ok(Stream { js: self.js, info, done })
    }

    /// The stream as it is.
    ///
    /// # Errors
    /// `NotFound`, `JetStreamDisabled`, `Timeout`, ..
    pub async fn get(self) -> Result<Stream, StreamError> {
        check_name("stream", &self.name)?;
        let info = info(&self.js, &self.name, "stream", &self.name).await?;
        Ok(Stream { js: self.js, info, done: Ensured::Unchanged })
    }
}

/// Reads a stream's state.
pub(crate) async fn info(
    js: &JetStream,
    stream: &str,
    kind: &'static str,
    name: &str,
) -> Result<StreamInfo, Error> {
    let target = Target::of("look up", kind, name);
    let answer: Value =
        js.api.call(js.link(), &format!("STREAM.INFO.{stream}"), None, &target).await?;
    StreamInfo::read(answer)
}

/// Creates or updates the stream `stream`, called `kind` in errors.
pub(crate) async fn ensure(
    js: &JetStream,
    stream: &str,
    kind: &'static str,
    fields: &Fields,
    defaults: Value,
) -> Result<(StreamInfo, Ensured), Error> {
    let shown = match kind {
        "bucket" => ["KV_", "OBJ_"].iter().find_map(|prefix| stream.strip_prefix(prefix)),
        _ => None,
    };
    let shown = shown.unwrap_or(stream);
    match info(js, stream, kind, shown).await {
        Ok(found) => edit(js, stream, (kind, shown), fields, found).await,
        Err(Error::NotFound(_)) => {
            let wanted = fields.over(defaults);
            let target = Target::of("create", kind, shown);
            let call = format!("STREAM.CREATE.{stream}");
            match js.api.call::<Value>(js.link(), &call, Some(&wanted), &target).await {
                Ok(answer) => Ok((StreamInfo::read(answer)?, Ensured::Created)),
                // Somebody else created it in between, with other options.
                Err(Error::Api(refused)) if refused.err_code == 10058 => {
                    let found = info(js, stream, kind, shown).await?;
                    edit(js, stream, (kind, shown), fields, found).await
                }
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

async fn edit(
    js: &JetStream,
    stream: &str,
    (kind, shown): (&'static str, &str),
    fields: &Fields,
    found: StreamInfo,
) -> Result<(StreamInfo, Ensured), Error> {
    let differences = fields.differences(&found.config);
    let Some(first) = differences.first() else { return Ok((found, Ensured::Unchanged)) };
    let object = format!("{kind} {shown}");
    if let Some(fixed) = differences.iter().find(|(name, ..)| FIXED.contains(&name.as_str())) {
        return Err(Fields::drift(&object, fixed).into());
    }
    let target = Target::of("update", kind, shown);
    let wanted = fields.over(found.config.clone());
    let call = format!("STREAM.UPDATE.{stream}");
    match js.api.call::<Value>(js.link(), &call, Some(&wanted), &target).await {
        Ok(answer) => Ok((StreamInfo::read(answer)?, Ensured::Updated)),
        // "stream configuration update can not change ..": the server knows better what is fixed.
        Err(Error::Api(refused)) if refused.err_code == 10052 => {
            Err(Fields::drift(&object, first).into())
        }
        Err(error) => Err(error),
    }
}

/// A stream that exists.
#[derive(Clone, Debug)]
pub struct Stream {
    js: JetStream,
    info: StreamInfo,
    done: Ensured,
}

/// What the server says about a stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its name.
    pub name: String,
    /// The subjects it stores.
    pub subjects: Vec<String>,
    /// `file` or `memory`.
    pub storage: String,
    /// Messages it holds.
    pub messages: u64,
    /// Bytes it holds.
    pub bytes: u64,
    /// The first sequence it holds.
    pub first_seq: u64,
    /// The last sequence it gave out.
    pub last_seq: u64,
    /// Consumers it has.
    pub consumers: u64,
    /// When it was created (RFC 3339).
    pub created: String,
    /// Its replicas.
    pub replicas: u64,
    /// The whole configuration, as the server's own object.
    pub config: Value,
    /// The whole answer, as the server's own object.
    pub raw: Value,
}

impl StreamInfo {
    pub(crate) fn read(answer: Value) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Answer {
            config: Value,
            #[serde(default)]
            created: String,
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(default)]
            messages: u64,
            #[serde(default)]
            bytes: u64,
            #[serde(default)]
            first_seq: u64,
            #[serde(default)]
            last_seq: u64,
            #[serde(default)]
            consumer_count: u64,
        }
        let parsed: Answer = serde_json::from_value(answer.clone()).map_err(|error| BadReply {
            request: "stream info".into(),
            error: std::sync::Arc::new(error),
        })?;
        let text =
            |name: &str| parsed.config.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let subjects = parsed.config.get("subjects").and_then(Value::as_array);
        Ok(Self {
            name: text("name"),
            subjects: subjects
                .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default(),
            storage: text("storage"),
            messages: parsed.state.messages,
            bytes: parsed.state.bytes,
            first_seq: parsed.state.first_seq,
            last_seq: parsed.state.last_seq,
            consumers: parsed.state.consumer_count,
            created: parsed.created,
            replicas: parsed.config.get("num_replicas").and_then(Value::as_u64).unwrap_or(1),
            config: parsed.config,
            raw: answer,
        })
    }
}

/// A message as a stream holds it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamMessage {
    /// The subject it was published to.
    pub subject: String,
    /// Its sequence in the stream.
    pub seq: u64,
    /// Its body.
    pub payload: Bytes,
    /// Its headers.
    pub headers: HeaderMap,
    /// When it was stored (RFC 3339).
    pub time: String,
}

impl Stream {
    /// The state when this handle was made or last asked.
    #[must_use]
    pub fn cached_info(&self) -> &StreamInfo {
        &self.info
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// What `ensure` did.
    #[must_use]
    pub fn ensured(&self) -> Ensured {
        self.done
    }

    /// Asks for the state.
    ///
    /// # Errors
    /// `NotFound`, `Timeout`, ..
    pub async fn info(&mut self) -> Result<&StreamInfo, StreamError> {
        self.info = info(&self.js, &self.info.name, "stream", &self.info.name).await?;
        Ok(&self.info)
    }

    /// Removes all messages; the number removed.
    ///
    /// # Errors
    /// `NotFound`, `Api`, `Timeout`, ..
    pub async fn purge(&self) -> Result<u64, StreamError> {
        let name = &self.info.name;
        let target = Target::of("purge", "stream", name);
        let call = format!("STREAM.PURGE.{name}");
        let answer: Value = self.js.api.call(self.js.link(), &call, None, &target).await?;
        Ok(answer.get("purged").and_then(Value::as_u64).unwrap_or(0))
    }

    /// Removes the stream with all it holds.
    ///
    /// # Errors
    /// `NotFound`, `Api`, `Timeout`, ..
    pub async fn delete(&self) -> Result<(), StreamError> {
        let name = &self.info.name;
        let target = Target::of("delete", "stream", name);
        let call = format!("STREAM.DELETE.{name}");
        let _: Value = self.js.api.call(self.js.link(), &call, None, &target).await?;
        Ok(())
    }

    /// The message with a sequence.
    ///
    /// # Errors
    /// `NotFound` if it is not there (any more), `Timeout`, ..
    pub async fn get(&self, seq: u64) -> Result<StreamMessage, StreamError> {
        Ok(self.fetch(json!({ "seq": seq }), &seq.to_string()).await?)
    }

    /// The last message of a subject.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Timeout`, ..
    pub async fn last(&self, subject: &str) -> Result<StreamMessage, StreamError> {
        Ok(self.fetch(json!({ "last_by_subj": subject }), subject).await?)
    }

    async fn fetch(&self, body: Value, name: &str) -> Result<StreamMessage, Error> {
        let target = Target::of("get", "message", name);
        let call = format!("STREAM.MSG.GET.{}", self.info.name);
        let answer: Value = self.js.api.call(self.js.link(), &call, Some(&body), &target).await?;
        parse_stored(&answer)
    }
}

/// Reads the answer of `STREAM.MSG.GET`.
pub(crate) fn parse_stored(answer: &Value) -> Result<StreamMessage, Error> {
    #[derive(Deserialize)]
    struct Answer {
        message: Stored,
    }
    #[derive(Deserialize)]
    struct Stored {
        subject: String,
        seq: u64,
        #[serde(default)]
        data: String,
        #[serde(default)]
        hdrs: String,
        #[serde(default)]
        time: String,
    }
    fn bad(error: impl std::error::Error + Send + Sync + 'static) -> Error {
        BadReply { request: "message get".into(), error: std::sync::Arc::new(error) }.into()
    }
    let Answer { message } = Answer::deserialize(answer).map_err(bad)?;
    let headers = STANDARD.decode(&message.hdrs).map_err(bad)?;
    Ok(StreamMessage {
        subject: message.subject,
        seq: message.seq,
        payload: STANDARD.decode(&message.data).map_err(bad)?.into(),
        headers: parse_headers(&headers),
        time: message.time,
    })
}

/// Reads a header block (ADR-4); lines that are none are skipped.
fn parse_headers(block: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in String::from_utf8_lossy(block).split("\r\n").skip(1) {
        if let Some((name, value)) = line.split_once(':')
            && !name.is_empty()
            && let Ok(value) = value.trim().parse::<async_nats::HeaderValue>()
        {
            headers.append(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_message_is_read_with_its_headers() {
        let answer = json!({"message": {
            "subject": "a", "seq": 7, "data": STANDARD.encode("body"), "time": "2026-01-01T00:00:00Z",
            "hdrs": STANDARD.encode("NATS/1.0\r\nKV-Operation: DEL\r\nx:y\r\n\r\n")
        }});
        let message = parse_stored(&answer).unwrap();
        assert_eq!((message.seq, &message.payload[..]), (7, &b"body"[..]));
        assert_eq!(message.headers.get("KV-Operation").unwrap().as_str(), "DEL");
        assert_eq!(message.headers.get("x").unwrap().as_str(), "y");
        assert!(
            parse_stored(&json!({"message": {"subject": "a", "seq": 1, "data": "!"}})).is_err()
        );
    }

    #[test]
    fn names_are_checked_with_position() {
        for (name, why) in [
            ("ORDERS", None),
            ("", Some("it is empty")),
            ("a b", Some("` ` at position 2 is not allowed")),
            ("a.b", Some("`.` at position 2 is not allowed")),
            ("a>", Some("`>` at position 2 is not allowed")),
        ] {
            let got = check_name("stream", name).err().map(|error| error.to_string());
            assert_eq!(got, why.map(|why| format!("bad stream name `{name}`: {why}")), "{name}");
        }
    }
}
