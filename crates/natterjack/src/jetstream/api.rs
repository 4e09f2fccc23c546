//! Calls of the JetStream API and what their errors mean (ADR-7).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::connect::Link;
use crate::core::raw_request;
use crate::error::{
    self, BadReply, Conflict, DisabledScope, Error, JetStreamDisabled, NotFound, Timeout,
};
use crate::event::ConnState;

/// Where the API is, and how long to wait for it.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) prefix: Arc<str>,
    pub(crate) limit: Duration,
}

/// What a call is about, for its errors.
pub(crate) struct Target<'a> {
    /// The call in words: `create stream ORDERS`.
    pub(crate) what: Cow<'a, str>,
    /// What a "not found" is about.
    pub(crate) kind: &'static str,
    pub(crate) name: &'a str,
    /// What a wrong sequence is about, and the one that was expected.
    pub(crate) expected: Option<(&'a str, u64)>,
}

impl<'a> Target<'a> {
    pub(crate) fn plain(what: &'a str) -> Self {
        Self { what: what.into(), kind: "answer", name: what, expected: None }
    }

    pub(crate) fn of(verb: &str, kind: &'static str, name: &'a str) -> Self {
        Self { what: format!("{verb} {kind} {name}").into(), kind, name, expected: None }
    }

    pub(crate) fn expecting(mut self, key: &'a str, sequence: u64) -> Self {
        self.expected = Some((key, sequence));
        self
    }
}

#[derive(Deserialize)]
struct Failure {
    error: Refusal,
}

/// An error as the API sends it.
#[derive(Deserialize)]
pub(crate) struct Refusal {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl Refusal {
    /// The typed error that it means.
    pub(crate) fn explain(self, target: &Target<'_>) -> Error {
        let not_found = |kind: &'static str| {
            NotFound { kind: kind.into(), name: target.name.to_owned(), err_code: self.err_code }
                .into()
        };
        match self.err_code {
            10039 => JetStreamDisabled { scope: DisabledScope::Account }.into(),
            10076 => JetStreamDisabled { scope: DisabledScope::Server }.into(),
            10059 if target.kind == "bucket" => not_found("bucket"),
            10059 => not_found("stream"),
            10014 => not_found("consumer"),
            10037 => not_found(target.kind),
            10071 | 10164 if target.expected.is_some() => {
                let (key, expected) = target.expected.unwrap_or(("", 0));
                // "wrong last sequence: 5"; 10164 leaves the number out.
                let actual = self.description.rsplit(' ').next().and_then(|n| n.parse().ok());
                Conflict { key: key.to_owned(), expected, actual }.into()
            }
            _ => error::Api {
                code: self.code,
                err_code: self.err_code,
                description: self.description,
                request: target.what.clone().into_owned(),
            }
            .into(),
        }
    }
}

/// A call that reaches a cluster without a leader is dropped there without an answer (nats-server
/// 2.15.1), and so is a message for a stream without one: they are sent again after this long.
pub(crate) const REPEAT_AFTER: Duration = Duration::from_secs(3);

/// "JetStream system temporarily unavailable": the cluster says itself that it has no leader.
const UNAVAILABLE: u32 = 10008;
const PAUSE: Duration = Duration::from_millis(250);

impl Api {
    /// The subject of a call.
    pub(crate) fn subject(&self, call: &str) -> String {
        format!("{}.{call}", self.prefix)
    }

    /// Calls, and reads the answer.
    ///
    /// A call is repeated within the limit when the connection was lost under it, and when a cluster
    /// that elects a leader does not answer: it may have been carried out already, so only calls for
    /// which that does not matter go through here.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        link: &Link,
        call: &str,
        body: Option<&Value>,
        target: &Target<'_>,
    ) -> Result<T, Error> {
        let subject = self.subject(call);
        let body: Bytes = body.map(|body| body.to_string().into()).unwrap_or_default();
        let started = Instant::now();
        loop {
            let left = self.limit.saturating_sub(started.elapsed());
            match request_or_loss(link, &subject, None, body.clone(), left.min(REPEAT_AFTER)).await
            {
                Ok(answer) => match read(&answer.payload, &subject, target) {
                    Err(Error::Api(refusal)) if refusal.err_code == UNAVAILABLE && left > PAUSE => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    result => return result,
                },
                Err(Error::NoResponders(_)) => return Err(nobody(link)),
                Err(Error::Timeout(_)) if left > REPEAT_AFTER => {}
                Err(Error::Timeout(_)) => {
                    let what = target.what.clone().into_owned().into();
                    return Err(Timeout { what, after: self.limit }.into());
                }
                Err(Error::Offline(_)) if started.elapsed() < self.limit => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Nobody answers on an API subject: JetStream is off, for the server or for this account.
pub(crate) fn nobody(link: &Link) -> Error {
    let info = link.client().ok().and_then(async_nats::Client::try_server_info);
    let scope = match info {
        Some(info) if info.jetstream => DisabledScope::Account,
        _ => DisabledScope::Server,
    };
    JetStreamDisabled { scope }.into()
}

/// Reads an answer: an error document, or a `T`.
pub(crate) fn read<T: DeserializeOwned>(
    body: &[u8],
    subject: &str,
    target: &Target<'_>,
) -> Result<T, Error> {
    if let Ok(failure) = serde_json::from_slice::<Failure>(body) {
        return Err(failure.error.explain(target));
    }
    serde_json::from_slice(body)
        .map_err(|error| BadReply { request: subject.to_owned(), error: Arc::new(error) }.into())
}

/// A request that ends with `Offline` when the connection is lost before the answer came, instead of
/// waiting for an answer that the restarted server knows nothing about.
pub(crate) async fn request_or_loss(
    link: &Link,
    subject: &str,
    headers: Option<async_nats::HeaderMap>,
    body: Bytes,
    limit: Duration,
) -> Result<async_nats::Message, Error> {
    let started = Instant::now();
    link.connected("request", limit).await?;
    let generation = link.generation();
    let mut state = link.watch_state();
    let lost = async {
        // Fails only when the link is gone, and with it the request.
        let _ = state
            .wait_for(|state| {
                !matches!(state, ConnState::Connected | ConnState::Draining)
                    || link.generation() != generation
            })
            .await;
    };
    tokio::select! {
        answer = raw_request(link, subject, headers, body, limit.saturating_sub(started.elapsed())) => answer,
        () = lost => {
            link.check_open()?;
            Err(link.offline())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(json: &str, target: &Target<'_>) -> Error {
        read::<Value>(json.as_bytes(), "x", target).unwrap_err()
    }

    #[test]
    fn codes_become_typed_errors_and_keep_their_number() {
        let stream = Target::of("look up", "stream", "S");
        let doc = |code: u16, err: u32, text: &str| {
            format!(
                r#"{{"type":"t","error":{{"code":{code},"err_code":{err},"description":"{text}"}}}}"#
            )
        };
        let error = explained(&doc(404, 10059, "stream not found"), &stream);
        assert_eq!(error.to_string(), "stream S not found");
        assert!(matches!(error, Error::NotFound(NotFound { err_code: 10059, .. })));
        let error = explained(&doc(503, 10076, "jetstream not enabled"), &stream);
        assert!(matches!(error, Error::JetStreamDisabled(_)));
        let error = explained(&doc(400, 10058, "stream name already in use"), &stream);
        assert_eq!(
            error.to_string(),
            "look up stream S: stream name already in use (code 400, err_code 10058)"
        );
    }

    #[test]
    fn a_wrong_sequence_becomes_a_conflict_with_both_numbers() {
        for (err_code, text, actual) in
            [(10071, "wrong last sequence: 5", Some(5)), (10164, "wrong last sequence", None)]
        {
            let json = format!(
                r#"{{"error":{{"code":400,"err_code":{err_code},"description":"{text}"}}}}"#
            );
            let error = explained(&json, &Target::plain("put").expecting("k", 3));
            let Error::Conflict(conflict) = error else { panic!("{error}") };
            assert_eq!(
                (conflict.key.as_str(), conflict.expected, conflict.actual),
                ("k", 3, actual)
            );
        }
    }

    #[test]
    fn an_answer_that_is_not_json_is_a_bad_reply() {
        assert_eq!(explained("hello", &Target::plain("x")).code(), "js.bad_reply");
    }
}
