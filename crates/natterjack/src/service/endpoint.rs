//! Endpoints: a subject, and the function that answers what comes there.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::FutureExt as _;

use super::report::Counts;
use super::{ERROR, ERROR_CODE, ServiceError};
use crate::codec::{Codec, Decode, Decoder, Encode, Json};
use crate::core::Msg;
use crate::error::{Error, PublishError, TooLarge};
use crate::event::Event;
use crate::otel;

type Answer = Pin<Box<dyn Future<Output = Result<Bytes, ServiceError>> + Send>>;

/// Answers a request.
pub(super) type Handler = Arc<dyn Fn(Msg<Bytes>) -> Answer + Send + Sync>;

/// An endpoint of a service: a subject and what answers there.
pub struct Endpoint {
    pub(super) subject: String,
    pub(super) name: Option<String>,
    pub(super) queue: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) concurrency: usize,
    pub(super) handler: Handler,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("subject", &self.subject)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Answers what comes on `subject`, which may hold wildcards, with what an async function makes of
    /// it; both are JSON.
    ///
    /// A body that does not decode is answered with error 400; a handler that panics, and an answer that
    /// does not encode or exceeds the server's `max_payload`, with 500.
    pub fn new<Q, R, F, Fut>(subject: impl Into<String>, handle: F) -> Self
    where
        Json: Decode<Q> + Encode<R>,
        Q: Send + 'static,
        R: Send + 'static,
        F: Fn(Msg<Q>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, ServiceError>> + Send + 'static,
    {
        Self::with_codec(Json, subject, handle)
    }

    /// As [`new`](Self::new), with another codec.
    pub fn with_codec<C, Q, R, F, Fut>(_codec: C, subject: impl Into<String>, handle: F) -> Self
    where
        C: Decode<Q> + Encode<R>,
        Q: Send + 'static,
        R: Send + 'static,
        F: Fn(Msg<Q>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, ServiceError>> + Send + 'static,
    {
        let handle = Arc::new(handle);
        let handler = move |request: Msg<Bytes>| -> Answer {
            let handle = handle.clone();
            Box::pin(async move {
                let request = request
                    .read(Decoder::<Q>::of::<C>())
                    .map_err(|error| ServiceError::new(400, error.to_string()))?;
                let answer = handle(request).await?;
                C::encode(&answer).map_err(|error| {
                    ServiceError::internal(format!("no answer in {}: {error}", <C as Codec>::NAME))
                })
            })
        };
        Self {
            subject: subject.into(),
            name: None,
            queue: None,
            metadata: BTreeMap::new(),
            concurrency: 1,
            handler: Arc::new(handler),
        }
    }

    /// Its name, of letters, digits, `-` and `_`; otherwise the subject with `-` for what a name cannot
    /// have.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The queue group that shares its requests, instead of the service's.
    #[must_use]
    pub fn queue(mut self, group: impl Into<String>) -> Self {
        self.queue = Some(group.into());
        self
    }

    /// Something that tools should know about it.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// How many requests are handled at once, at least 1; default 1. Others wait, as many as the
    /// `subscription_capacity` option says; what comes beyond is dropped, and told by
    /// [`Event::SlowConsumer`].
    #[must_use]
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers;
        self
    }

    pub(super) fn shown_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        self.name.clone().unwrap_or_else(|| self.subject.chars().map(plain).collect())
    }
}

/// Has a request answered, and counts it.
pub(super) async fn answer(request: Msg<Bytes>, handler: Handler, counts: Arc<Counts>) {
    let began = Instant::now();
    let asked = request.clone();
    let answered = AssertUnwindSafe(async { handler(request).await }).catch_unwind().await;
    let answer = answered.unwrap_or_else(|_| Err(ServiceError::internal("the handler panicked")));
    let answer = answer.and_then(|body| fits(&asked, body));
    // By the numbers of HTTP: below 500 it is who asked that is wrong.
    if let Err(error) = &answer
        && error.code >= 500
    {
        otel::failed(error);
    }
    // Before the answer: who has it sees it counted.
    counts.add(began.elapsed(), answer.as_ref().err());
    if let Err(error) = send(&asked, answer).await {
        asked.link().emit(Event::Background { error });
    }
}

/// What is too large to be sent is an error that the asker is told, instead of nothing.
fn fits(asked: &Msg<Bytes>, body: Bytes) -> Result<Bytes, ServiceError> {
    let (size, limit) = (body.len(), asked.link().client().map_or(usize::MAX, |c| c.max_payload()));
    match size <= limit {
        true => Ok(body),
        false => {
            let (size, limit) = (size as u64, limit as u64);
            Err(ServiceError::internal(TooLarge { size, limit }))
        }
    }
}

async fn send(asked: &Msg<Bytes>, answer: Result<Bytes, ServiceError>) -> Result<(), Error> {
    let told: Result<(), PublishError> = match answer {
        Ok(body) => asked.respond_bytes(body).await,
        Err(ServiceError { code, description }) => {
            let mut headers = HeaderMap::new();
            // The description may have been made without `new`.
            let description = description.replace(['\r', '\n'], " ");
            headers.insert(ERROR, description.as_str());
            headers.insert(ERROR_CODE, code.to_string().as_str());
            asked.respond_with(headers, Bytes::new()).await
        }
    };
    told.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_called_as_its_subject_unless_it_has_a_name() {
        for (subject, name) in [("eur", "eur"), ("v1.eur", "v1-eur"), ("a.*.b_c", "a---b_c")] {
            let echo = |number: Msg<u32>| async move { Ok(number.into_value()) };
            assert_eq!(Endpoint::new(subject, echo).shown_name(), name);
            assert_eq!(Endpoint::new(subject, echo).name("x").shown_name(), "x");
        }
    }
}
