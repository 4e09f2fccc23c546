//! Messages of a consumer, by pull requests (ADR-37): no more are on their way than were asked for.

use std::time::Duration;

use async_nats::subject::Subject;
use async_nats::{Client, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::json;

use super::core::{ended, unlistened, unsent};
use super::harness::{Seat, waiting};
use super::stats::Meter;
use crate::exit::{Failure, Outcome, status};

/// Asks a consumer for messages.
pub(super) struct Puller {
    client: Client,
    /// Where to ask.
    next: Subject,
    inbox: Subject,
    answers: Subscriber,
    /// How long a request lasts.
    expires: Duration,
    /// Zero for no heartbeats.
    heartbeat: Duration,
    /// Messages that were asked for and have not come.
    pub(super) asked: u64,
}

/// How long the requests of [`Puller::lasting`] last.
const EXPIRES: Duration = Duration::from_secs(30);

/// How often the server says that such a request is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// More than two heartbeats: the request is lost, as with a connection or a server.
const SILENCE: Duration = Duration::from_secs(12);

/// What a status message means.
#[derive(Debug, PartialEq)]
enum Word {
    /// Nothing.
    Alive,
    /// A request is over, and so many messages of it will not come.
    Over(u64),
    /// All requests are over.
    AllOver,
    /// It cannot go on.
    Refused,
}

impl Puller {
    /// With requests that wait for messages.
    pub(super) async fn lasting(seat: &Seat, next: String) -> Result<Self, Failure> {
        Self::open(seat, next, EXPIRES, HEARTBEAT).await
    }

    /// With requests that wait as long as for any answer.
    pub(super) async fn short(seat: &Seat, next: String) -> Result<Self, Failure> {
        Self::open(seat, next, seat.limit, Duration::ZERO).await
    }

    async fn open(
        seat: &Seat,
        next: String,
        expires: Duration,
        heartbeat: Duration,
    ) -> Result<Self, Failure> {
        let client = seat.client.clone();
        let inbox = client.new_inbox();
        let answers = client.subscribe(inbox.clone()).await.map_err(|error| unlistened(&error))?;
        let (next, inbox) = (next.into(), inbox.into());
        Ok(Self { client, next, inbox, answers, expires, heartbeat, asked: 0 })
    }

    /// Asks for more messages.
    pub(super) async fn ask(&mut self, messages: u64) -> Outcome {
        let mut request = json!({
            "batch": messages,
            "expires": u64::try_from(self.expires.as_nanos()).unwrap_or(u64::MAX),
        });
        if !self.heartbeat.is_zero() {
            request["idle_heartbeat"] =
                u64::try_from(self.heartbeat.as_nanos()).unwrap_or(0).into();
        }
        let body = Bytes::from(request.to_string());
        let (next, inbox) = (self.next.clone(), self.inbox.clone());
        let asked = self.client.publish_with_reply(next, inbox, body).await;
        asked.map_err(|error| unsent(&error))?;
        self.asked += messages;
        Ok(())
    }

    /// The next message; `None` if a request is over, so that it may be time for another.
    ///
    /// # Errors
    /// The consumer is gone, or does not take such requests.
    pub(super) async fn next(&mut self, meter: &mut Meter) -> Result<Option<Message>, Failure> {
        loop {
            // A short request has no heartbeats: it is over when the server should have said so.
            let patience = match self.heartbeat.is_zero() {
                true => self.expires + HEARTBEAT,
                false => SILENCE,
            };
            let next = match waiting(&mut self.answers) {
                Some(next) => next,
                None => {
                    meter.rest();
                    match tokio::time::timeout(patience, self.answers.next()).await {
                        Ok(next) => next,
                        Err(_) => {
                            self.asked = 0;
                            return Ok(None);
                        }
                    }
                }
            };
            let message = next.ok_or_else(ended)?;
            let Some(code) = message.status else {
                self.asked = self.asked.saturating_sub(1);
                return Ok(Some(message));
            };
            match word(code, &message) {
                Word::Alive => {}
                Word::Over(missing) => {
                    self.asked = self.asked.saturating_sub(missing);
                    return Ok(None);
                }
                Word::AllOver => {
                    self.asked = 0;
                    return Ok(None);
                }
                Word::Refused => return Err(self.refused(code, &message)),
            }
        }
    }

    fn refused(&self, code: StatusCode, message: &Message) -> Failure {
        let words = message.description.as_deref().unwrap_or_default();
        if code == StatusCode::NO_RESPONDERS {
            let text = format!("nobody answers on {}", self.next);
            return Failure::new(status::NOT_FOUND, "js.not_found", text)
                .hint("the consumer is gone; see natterjack consumer ls");
        }
        let text = format!("the consumer refuses a request: {words} ({code})");
        let hint = match words {
            words if words.contains("MaxRequestBatch") => "a smaller --batch",
            words if words.contains("MaxRequestExpires") => "another --consumer",
            words if words.contains("MaxWaiting") => "fewer --clients",
            words if words.contains("push based") => "a --consumer for pull requests",
            _ => "see natterjack consumer info",
        };
        Failure::new(status::FAILED, "js.pull_refused", text).hint(hint)
    }
}

fn word(code: StatusCode, message: &Message) -> Word {
    let words = message.description.as_deref().unwrap_or_default();
    match code.as_u16() {
        100 => Word::Alive,
        404 | 408 => {
            let pending =
                message.headers.as_ref().and_then(|headers| headers.get("Nats-Pending-Messages"));
            match pending.and_then(|pending| pending.as_str().parse().ok()) {
                Some(missing) => Word::Over(missing),
                None => Word::AllOver,
            }
        }
        // Somebody else goes on with it.
        409 if ["Leadership Change", "Server Shutdown", "Batch Completed"].contains(&words) => {
            Word::AllOver
        }
        _ => Word::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(description: &str, pending: Option<&str>) -> Message {
        let headers = pending.map(|pending| {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Nats-Pending-Messages", pending);
            headers
        });
        Message {
            subject: "inbox".into(),
            reply: None,
            payload: Bytes::new(),
            headers,
            status: None,
            description: Some(description.to_owned()),
            length: 0,
        }
    }

    #[test]
    fn status_messages_are_told_apart() {
        let told = |code: u16, words, pending| {
            word(StatusCode::try_from(code).unwrap(), &message(words, pending))
        };
        assert_eq!(told(100, "Idle Heartbeat", None), Word::Alive);
        assert_eq!(told(408, "Request Timeout", Some("7")), Word::Over(7));
        assert_eq!(told(404, "No Messages", None), Word::AllOver);
        assert_eq!(told(409, "Leadership Change", None), Word::AllOver);
        assert_eq!(told(409, "Consumer Deleted", None), Word::Refused);
        assert_eq!(told(503, "", None), Word::Refused);
    }
}
