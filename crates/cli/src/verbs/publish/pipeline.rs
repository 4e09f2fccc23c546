//! Publishing to a stream with several acknowledgements on their way.
//!
//! Messages are sent in order, each with a reply subject of its own below one inbox; acknowledgements
//! are handed out in order too. Nothing is added to the messages, and nothing is sent twice.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use natterjack::codec::Binary;
use natterjack::{Connector, Event, EventStream, Operation, Subscription};
use serde_json::Value;

use crate::exit::{Failure, Outcome, status};
use crate::json;
use crate::message::Filled;
use crate::units;

/// Acknowledgements that are waited for at once.
const IN_FLIGHT: usize = 256;

/// A message that a stream has stored.
pub(super) struct Stored {
    pub(super) subject: String,
    pub(super) size: usize,
    /// The stream's answer.
    pub(super) ack: Value,
}

/// A message on its way.
struct Sent {
    subject: String,
    size: usize,
    answer: Option<Bytes>,
}

/// Messages on their way.
pub(super) struct Pipeline {
    connector: Connector,
    inbox: String,
    answers: Subscription<Bytes>,
    sent: VecDeque<Sent>,
    /// The number of the first of them.
    first: u64,
    limit: Duration,
}

impl Pipeline {
    pub(super) async fn start(connector: &Connector) -> Result<Self, Failure> {
        let inbox = connector.raw()?.new_inbox();
        let answers = connector.on(format!("{inbox}.*")).codec(Binary).open().await?;
        let limit = connector.effective_options().request_timeout;
        let connector = connector.clone();
        Ok(Self { connector, inbox, answers, sent: VecDeque::new(), first: 0, limit })
    }

    /// Whether another message may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.sent.len() < IN_FLIGHT
    }

    pub(super) async fn send(&mut self, message: Filled, body: Bytes) -> Outcome {
        let number = self.first + self.sent.len() as u64;
        let mut publish =
            self.connector.to(&message.subject).reply(format!("{}.{number}", self.inbox));
        for (name, value) in &message.headers {
            publish = publish.header(name, value);
        }
        let size = body.len();
        publish.send_bytes(body).await?;
        self.sent.push_back(Sent { subject: message.subject, size, answer: None });
        Ok(())
    }

    /// The acknowledgement of the first message that has been told of none yet.
    pub(super) async fn next(&mut self, events: &mut EventStream) -> Result<Stored, Failure> {
        let deadline = tokio::time::Instant::now() + self.limit;
        while self.sent.front().is_none_or(|sent| sent.answer.is_none()) {
            let message = tokio::select! {
                message = self.answers.next() => message,
                subject = refused(events) => return Err(denied(&subject)),
                () = tokio::time::sleep_until(deadline) => return Err(self.late()),
            };
            let Some(Ok(message)) = message else { return Err(self.late()) };
            let number = message.subject.rsplit('.').next().and_then(|text| text.parse().ok());
            let at = number.and_then(|number: u64| number.checked_sub(self.first));
            let at = at.and_then(|at| usize::try_from(at).ok());
            if let Some(sent) = at.and_then(|at| self.sent.get_mut(at)) {
                sent.answer = Some(message.payload);
            }
        }
        self.first += 1;
        // The loop ends only with an answer at the front.
        let Some(Sent { subject, size, answer: Some(answer) }) = self.sent.pop_front() else {
            return Err(self.late());
        };
        let ack = read_ack(&subject, &answer)?;
        Ok(Stored { subject, size, ack })
    }

    fn late(&self) -> Failure {
        let subject = self.sent.front().map_or("", |sent| sent.subject.as_str());
        let limit = units::duration(self.limit);
        let text = format!("no acknowledgement for {subject} within {limit}");
        Failure::new(status::TIMEOUT, "conn.timeout", text).hint("a longer --timeout")
    }
}

/// The subject of the next message that the server refuses.
async fn refused(events: &mut EventStream) -> String {
    while let Some(event) = events.next().await {
        if let Event::PermissionDenied { op: Operation::Publish, subject, .. } = event {
            return subject;
        }
    }
    std::future::pending().await
}

fn denied(subject: &str) -> Failure {
    let text = format!("permission denied: publish {subject}");
    Failure::new(4, "auth.permission", text)
        .hint("the user's permissions do not cover this subject")
}

/// Nobody stores what is published there.
pub(super) fn no_stream(subject: &str) -> Failure {
    let text = format!("no stream takes {subject}");
    Failure::new(status::TIMEOUT, "request.no_responders", text)
        .hint(format!("natterjack stream add NAME --subjects {subject}, on a server with -js"))
}

/// The answer of a stream, or its error. An empty answer is the server's word that nobody listens.
pub(super) fn read_ack(subject: &str, answer: &[u8]) -> Result<Value, Failure> {
    if answer.is_empty() {
        return Err(no_stream(subject));
    }
    let bad = || {
        let text = format!("{subject} was answered by something that is no stream");
        Failure::new(status::FAILED, "js.bad_reply", text)
            .hint("leave out -J, or use `natterjack request`")
    };
    let ack: Value = serde_json::from_slice(answer).map_err(|_| bad())?;
    if ack.get("error").is_some() {
        let (code, err_code) =
            (json::number(&ack, "/error/code"), json::number(&ack, "/error/err_code"));
        return Err(Failure::api(code, err_code, json::text(&ack, "/error/description"), subject));
    }
    if ack.get("stream").is_none() {
        return Err(bad());
    }
    Ok(ack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let code = |answer: &str| read_ack("s", answer.as_bytes()).map_err(|failure| failure.code);
        assert_eq!(code(r#"{"stream":"S","seq":1}"#).unwrap()["seq"], 1);
        assert_eq!(code(""), Err("request.no_responders"));
        assert_eq!(code("pong"), Err("js.bad_reply"));
        assert_eq!(code("{}"), Err("js.bad_reply"));
        let full =
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}"#;
        assert_eq!(code(full), Err("js.api"));
        let conflict =
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 4"}}"#;
        assert_eq!(code(conflict), Err("js.conflict"));
    }
}
