//! A message delivered by a consumer, and what its handler decides about it.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use async_nats::{HeaderMap, Message};
use bytes::Bytes;

use super::meta::Meta;
use super::settle::Settler;
use crate::codec::Decoder;
use crate::core::decode_failed;
use crate::error::{Decode, StreamError};

/// A delivered message and its value.
#[derive(Clone)]
#[non_exhaustive]
pub struct Delivery<T> {
    /// The subject it was published to.
    pub subject: String,
    /// Its headers; empty if it has none.
    pub headers: HeaderMap,
    /// The body as it came.
    pub payload: Bytes,
    /// Its place in the stream and the consumer.
    pub meta: Meta,
    value: T,
}

impl<T: fmt::Debug> fmt::Debug for Delivery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("subject", &self.subject)
            .field("meta", &self.meta)
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

impl<T> Delivery<T> {
    pub(crate) fn decode(
        message: Message,
        meta: Meta,
        decoder: Decoder<T>,
    ) -> Result<Self, Decode> {
        let value = (decoder.decode)(&message.payload).map_err(|error| {
            decode_failed(&message.subject, decoder.name, error, message.payload.clone())
        })?;
        Ok(Self {
            subject: message.subject.into_string(),
            headers: message.headers.unwrap_or_default(),
            payload: message.payload,
            meta,
            value,
        })
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The value, by itself.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }

    /// The value of a header; the first if there are several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }
}

/// What to do with a delivered message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is done.
    Ack,
    /// It is done, and the server has to confirm that it knows.
    AckSync,
    /// Deliver it again, at once.
    Retry,
    /// Deliver it again after this time.
    RetryAfter(Duration),
    /// Never deliver it again; the reason goes to the server's advisory.
    Reject(String),
    /// Never deliver it again, and keep a copy on the dead-letter subject.
    DeadLetter(String),
}

/// How a handler ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With a verdict.
    Verdict(Verdict),
    /// With an error: retry by the backoff until `max_deliver`, then dead letter.
    Failed(String),
}

/// What a handler may return: a [`Verdict`], nothing (which acknowledges), or a `Result` of either.
pub trait IntoOutcome {
    /// The outcome that it means.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Verdict {
    fn into_outcome(self) -> Outcome {
        Outcome::Verdict(self)
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Verdict(Verdict::Ack)
    }
}

impl<R: IntoOutcome, E: fmt::Display> IntoOutcome for Result<R, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(verdict) => verdict.into_outcome(),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}

/// A delivered message that its reader has to settle. Settling consumes it, so it cannot be done twice;
/// one that is dropped unsettled is delivered again after `ack_wait`.
#[must_use = "settle it, or it is delivered again"]
pub struct Incoming<T> {
    pub(crate) delivery: Delivery<T>,
    pub(crate) settler: Settler,
}

impl<T> Deref for Incoming<T> {
    type Target = Delivery<T>;

    fn deref(&self) -> &Delivery<T> {
        &self.delivery
    }
}

impl<T: fmt::Debug> fmt::Debug for Incoming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.delivery.fmt(f)
    }
}

impl<T> Incoming<T> {
    /// It is done.
    ///
    /// # Errors
    /// As for publishing.
    pub async fn ack(self) -> Result<Delivery<T>, StreamError> {
        self.settle(Verdict::Ack).await
    }

    /// Settles it. `DeadLetter` here rejects it; copies are made by
    /// [`ConsumerBuilder::run`](super::ConsumerBuilder::run).
    ///
    /// # Errors
    /// As for publishing; with `AckSync`, `Timeout` if the server did not confirm.
    pub async fn settle(self, verdict: Verdict) -> Result<Delivery<T>, StreamError> {
        match verdict {
            Verdict::Ack => self.settler.ack().await?,
            Verdict::AckSync => self.settler.ack_sync().await?,
            Verdict::Retry => self.settler.nak(None).await?,
            Verdict::RetryAfter(delay) => self.settler.nak(Some(delay)).await?,
            Verdict::Reject(reason) | Verdict::DeadLetter(reason) => {
                self.settler.term(&reason).await?
            }
        }
        Ok(self.delivery)
    }

    /// Tells the server that it is still being handled: `ack_wait` begins anew.
    ///
    /// # Errors
    /// As for publishing.
    pub async fn in_progress(&self) -> Result<(), StreamError> {
        Ok(self.settler.progress().await?)
    }
}
