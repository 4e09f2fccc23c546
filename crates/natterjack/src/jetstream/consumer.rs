//! Durable consumers: how they should be, and making sure they are.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::JetStream;
use super::api::Target;
use super::config::{Deliver, Fields, nanos};
use super::dead_letter::DeadLetter;
use super::delivery::Delivery;
use super::settle::Progress;
use super::stream::check_name;
use crate::codec::{Codec, Json};
use crate::connect::Backoff;
use crate::error::{BadReply, Error, StreamError};
use crate::units::{minutes, secs};

/// Fields that the server never lets change.
const FIXED: &[&str] =
    &["deliver_policy", "ack_policy", "opt_start_seq", "mem_storage", "replay_policy"];

/// What to do when the consumer (or its stream) is deleted while it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfDeleted {
    /// Make it anew, as soon as its stream exists.
    #[default]
    Recreate,
    /// Stop.
    Stop,
}

pub(crate) type KeyFn<T> = Arc<dyn Fn(&Delivery<T>) -> String + Send + Sync>;

/// A consumer as it should be, made by [`JetStream::consumer`].
#[must_use = "nothing happens before `run`, `messages` or `ensure`"]
pub struct ConsumerBuilder<T, C = Json> {
    pub(crate) spec: Spec,
    pub(crate) concurrency: usize,
    pub(crate) batch: usize,
    pub(crate) backoff: Backoff,
    pub(crate) progress: Progress,
    pub(crate) max_processing: Duration,
    pub(crate) dead_letter: Option<DeadLetter>,
    pub(crate) key: Option<KeyFn<T>>,
    pub(crate) until: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pub(crate) limit: Option<u64>,
    codec: std::marker::PhantomData<C>,
}

/// What has to exist on the server.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) js: JetStream,
    pub(crate) stream: String,
    pub(crate) name: String,
    pub(crate) fields: Fields,
    pub(crate) if_deleted: IfDeleted,
}

/// What the server says about a consumer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// Its stream.
    pub stream: String,
    /// Its name.
    pub name: String,
    /// Messages it has still to deliver.
    pub pending: u64,
    /// Messages it has delivered and that are not settled.
    pub ack_pending: u64,
    /// Of these, how many were delivered more than once.
    pub redelivered: u64,
    /// The stream sequence up to which all is settled.
    pub ack_floor: u64,
    /// The stream sequence it has delivered last.
    pub delivered: u64,
    /// How long it waits for a message to be settled.
    pub ack_wait: Duration,
    /// How often it delivers a message at most; `None` if there is no limit.
    pub max_deliver: Option<u64>,
    /// The whole answer, as the server's own object.
    pub raw: Value,
}

impl ConsumerInfo {
    fn read(raw: Value) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Answer {
            stream_name: String,
            name: String,
            #[serde(default)]
            num_pending: u64,
            #[serde(default)]
            num_ack_pending: u64,
            #[serde(default)]
            num_redelivered: u64,
            #[serde(default)]
            ack_floor: Place,
            #[serde(default)]
            delivered: Place,
            config: Config,
        }
        #[derive(Deserialize, Default)]
        struct Place {
            #[serde(default)]
            stream_seq: u64,
        }
        #[derive(Deserialize)]
        struct Config {
            #[serde(default)]
            ack_wait: u64,
            #[serde(default)]
            max_deliver: i64,
        }
        let answer = Answer::deserialize(&raw).map_err(|error| BadReply {
            request: "consumer info".into(),
            error: Arc::new(error),
        })?;
        Ok(Self {
            stream: answer.stream_name,
            name: answer.name,
            pending: answer.num_pending,
            ack_pending: answer.num_ack_pending,
            redelivered: answer.num_redelivered,
            ack_floor: answer.ack_floor.stream_seq,
            delivered: answer.delivered.stream_seq,
            ack_wait: Duration::from_nanos(answer.config.ack_wait),
            max_deliver: u64::try_from(answer.config.max_deliver).ok().filter(|n| *n > 0),
            raw,
        })
    }
}

impl JetStream {
    /// A durable pull consumer of a stream, with options. `T` is the type of the values, which the
    /// handler usually tells.
    pub fn consumer<T>(
        &self,
        stream: impl Into<String>,
        name: impl Into<String>,
    ) -> ConsumerBuilder<T> {
        let (stream, name) = (stream.into(), name.into());
        let mut fields = Fields::default();
        fields.set("ack_policy", "explicit");
        fields.set("durable_name", name.clone());
        let spec =
            Spec { js: self.clone(), stream, name, fields, if_deleted: IfDeleted::default() };
        ConsumerBuilder {
            spec,
            concurrency: 1,
            batch: 64,
            backoff: Backoff::exponential(secs(1), secs(60)),
            progress: Progress::Auto,
            max_processing: minutes(10),
            dead_letter: None,
            key: None,
            until: None,
            limit: None,
            codec: std::marker::PhantomData,
        }
    }

    /// A consumer as it is.
    ///
    /// # Errors
    /// `NotFound`, `Timeout`, ..
    pub async fn consumer_info(
        &self,
        stream: &str,
        name: &str,
    ) -> Result<ConsumerInfo, StreamError> {
        check_name("stream", stream)?;
        check_name("consumer", name)?;
        Ok(consumer_info(self, stream, name).await?)
    }

    /// Removes a consumer.
    ///
    /// # Errors
    /// `NotFound`, `Timeout`, ..
    pub async fn delete_consumer(&self, stream: &str, name: &str) -> Result<(), StreamError> {
        check_name("stream", stream)?;
        check_name("consumer", name)?;
        let target = Target::of("delete", "consumer", name);
        let call = format!("CONSUMER.DELETE.{stream}.{name}");
        let _: Value = self.api.call(self.link(), &call, None, &target).await?;
        Ok(())
    }
}

pub(crate) async fn consumer_info(
    js: &JetStream,
    stream: &str,
    name: &str,
) -> Result<ConsumerInfo, Error> {
    let target = Target::of("look up", "consumer", name);
    let call = format!("CONSUMER.INFO.{stream}.{name}");
    ConsumerInfo::read(js.api.call(js.link(), &call, None, &target).await?)
}

impl<T, C: Codec> ConsumerBuilder<T, C> {
    /// Only messages of this subject, which may hold wildcards.
    pub fn filter(mut self, subject: impl Into<String>) -> Self {
        self.spec.fields.0.remove("filter_subjects");
        self.spec.fields.set("filter_subject", subject.into());
        self
    }

    /// Only messages of these subjects.
    pub fn filters<S: Into<String>>(mut self, subjects: impl IntoIterator<Item = S>) -> Self {
        let subjects: Vec<String> = subjects.into_iter().map(Into::into).collect();
        self.spec.fields.0.remove("filter_subject");
        self.spec.fields.set("filter_subjects", subjects);
        self
    }

    /// Where it begins when it is created; default with the first message.
    pub fn deliver(mut self, from: Deliver) -> Self {
        let policy = match from {
            Deliver::All => "all",
            Deliver::Last => "last",
            Deliver::New => "new",
            Deliver::LastPerSubject => "last_per_subject",
            Deliver::From(seq) => {
                self.spec.fields.set("opt_start_seq", seq);
                "by_start_sequence"
            }
        };
        self.spec.fields.set("deliver_policy", policy);
        self
    }

    /// How long the server waits for a message to be settled before it delivers it again; the server's
    /// default is 30 s.
    pub fn ack_wait(mut self, wait: Duration) -> Self {
        self.spec.fields.set("ack_wait", nanos(wait));
        self
    }

    /// How often a message is delivered at most; no limit by default.
    pub fn max_deliver(mut self, times: u32) -> Self {
        self.spec.fields.set("max_deliver", times);
        self
    }

    /// How many messages may be delivered and unsettled, over all workers; the server's default is
    /// 1000.
    pub fn max_ack_pending(mut self, messages: u32) -> Self {
        self.spec.fields.set("max_ack_pending", messages);
        self
    }

    /// Removes the consumer when nobody has used it for this long.
    pub fn inactive_threshold(mut self, span: Duration) -> Self {
        self.spec.fields.set("inactive_threshold", nanos(span));
        self
    }

    /// Any other field of the configuration, by the server's name.
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.spec.fields.set(name, value);
        self
    }

    /// The waits before a message whose handler failed is delivered again; default 1 s doubling to
    /// 60 s.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How many handlers run at once; default 1.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers.clamp(1, 65_536);
        self
    }

    /// How many messages [`messages`](Self::messages) asks for at a time; default 64.
    pub fn batch(mut self, messages: usize) -> Self {
        self.batch = messages.clamp(1, 65_536);
        self
    }

    /// Messages with the same key are handled one after the other, in order, while others run beside
    /// them. One that is retried comes again later, behind those that followed it.
    pub fn ordered_by(
        mut self,
        key: impl Fn(&Delivery<T>) -> String + Send + Sync + 'static,
    ) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// Whether messages in hand are kept from being delivered again; default [`Progress::Auto`].
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Limit of automatic progress: a handler that takes longer has its message delivered again.
    /// Default 10 minutes.
    pub fn max_processing(mut self, limit: Duration) -> Self {
        self.max_processing = limit;
        self
    }

    /// Where messages go that cannot be handled.
    pub fn dead_letter(mut self, to: DeadLetter) -> Self {
        self.dead_letter = Some(to);
        self
    }

    /// What to do when the consumer is deleted while it is used; default [`IfDeleted::Recreate`].
    pub fn if_deleted(mut self, policy: IfDeleted) -> Self {
        self.spec.if_deleted = policy;
        self
    }

    /// Ends [`run`](Self::run) when this future does.
    pub fn until(mut self, shutdown: impl Future<Output = ()> + Send + 'static) -> Self {
        self.until = Some(Box::pin(shutdown));
        self
    }

    /// Ends [`run`](Self::run) after this many messages were handled.
    pub fn limit(mut self, messages: u64) -> Self {
        self.limit = Some(messages);
        self
    }

    /// How bodies become values; JSON otherwise.
    pub fn codec<D: Codec>(self, _codec: D) -> ConsumerBuilder<T, D> {
        ConsumerBuilder {
            spec: self.spec,
            concurrency: self.concurrency,
            batch: self.batch,
            backoff: self.backoff,
            progress: self.progress,
            max_processing: self.max_processing,
            dead_letter: self.dead_letter,
            key: self.key,
            until: self.until,
            limit: self.limit,
            codec: std::marker::PhantomData,
        }
    }

    /// Creates the consumer, or changes what may be changed.
    ///
    /// # Errors
    /// `Drift` if it exists and differs in what cannot be changed; `NotFound` if the stream does not
    /// exist; `BadName`, `Api`, `Timeout`, ..
    pub fn ensure(&self) -> impl Future<Output = Result<ConsumerInfo, StreamError>> + Send {
        // Not all of it: what `until` waits for cannot be looked at by two threads, and a future that
        // borrowed it could not be awaited in a task.
        let spec = &self.spec;
        async move { Ok(spec.ensure().await?) }
    }
}

impl Spec {
    pub(crate) async fn ensure(&self) -> Result<ConsumerInfo, Error> {
        check_name("stream", &self.stream)?;
        check_name("consumer", &self.name)?;
        let found = match consumer_info(&self.js, &self.stream, &self.name).await {
            Ok(found) => found,
            Err(Error::NotFound(missing)) if missing.kind == "consumer" => {
                return self
                    .create("create", self.fields.over(json!({"deliver_policy": "all"})))
                    .await;
            }
            Err(Error::NotFound(mut missing)) => {
                missing.name.clone_from(&self.stream);
                return Err(missing.into());
            }
            Err(error) => return Err(error),
        };
        let config = found.raw.get("config").cloned().unwrap_or_default();
        let differences = self.fields.differences(&config);
        if differences.is_empty() {
            return Ok(found);
        }
        let object = format!("consumer {}", self.name);
        if let Some(fixed) = differences.iter().find(|(name, ..)| FIXED.contains(&name.as_str())) {
            return Err(Fields::drift(&object, fixed).into());
        }
        let mut wanted = self.fields.over(config);
        // One filter and several exclude each other; the one that was asked for stays.
        if let Value::Object(map) = &mut wanted {
            for (asked, other) in
                [("filter_subject", "filter_subjects"), ("filter_subjects", "filter_subject")]
            {
                if self.fields.0.contains_key(asked) {
                    map.remove(other);
                }
            }
        }
        self.create("update", wanted).await
    }

    async fn create(&self, verb: &str, config: Value) -> Result<ConsumerInfo, Error> {
        let target = Target::of(verb, "consumer", &self.name);
        let mut call = format!("CONSUMER.CREATE.{}.{}", self.stream, self.name);
        if let Some(filter) = config.get("filter_subject").and_then(Value::as_str)
            && !filter.is_empty()
        {
            call = format!("{call}.{filter}");
        }
        let body = json!({ "stream_name": self.stream, "config": config });
        let answer = self.js.api.call(self.js.link(), &call, Some(&body), &target).await;
        match answer {
            Ok(raw) => ConsumerInfo::read(raw),
            Err(Error::NotFound(mut missing)) if missing.kind == "stream" => {
                missing.name.clone_from(&self.stream);
                Err(missing.into())
            }
            Err(error) => Err(error),
        }
    }
}
