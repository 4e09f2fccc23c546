//! Pull requests: keeping enough of them open, and what their answers mean (ADR-13).
//!
//! Messages and statuses come to one inbox, `<prefix>.<number of the request>`. A request is open until
//! its messages have come, or a status closes it. Silence for two heartbeats, a reconnect, or nobody
//! answering means that the requests are gone: the consumer is looked up, made anew if policy says so,
//! and asked again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Message;
use async_nats::message::OutboundMessage;
use futures_util::StreamExt;
use serde_json::json;

use super::consumer::{IfDeleted, Spec, consumer_info};
use super::nanos;
use crate::connect::{Backoff, Link};
use crate::core::{BOUNDED, Reader, inbox_reader, new_inbox, send};
use crate::error::{self, Error};
use crate::event::{ConnState, Event};

/// How long a request waits for messages.
const EXPIRES: Duration = Duration::from_secs(30);

/// How often the server shows that it is still there.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The same for a request that may reach nobody: the first one, and those after a loss. A cluster that
/// elects the consumer's leader drops requests without a word.
const TRIAL_EXPIRES: Duration = Duration::from_secs(5);
const TRIAL_HEARTBEAT: Duration = Duration::from_secs(1);

/// Waits between attempts to find the consumer again.
const SEARCH: Backoff = Backoff::exponential(Duration::from_millis(250), Duration::from_secs(5));

pub(crate) struct Puller {
    spec: Spec,
    link: Arc<Link>,
    reader: Reader,
    prefix: String,
    next: u64,
    /// Open requests: number, and messages still to come.
    open: VecDeque<(u64, usize)>,
    heard: Instant,
    /// Something was heard since the requests before were lost.
    proven: bool,
    /// The consumer allows no long requests.
    short: bool,
    /// Of the last request.
    heartbeat: Duration,
    generation: u64,
    /// Not to be asked before.
    not_before: Option<Instant>,
    /// The consumer has to be looked up before the next request.
    doubtful: bool,
    searches: u32,
}

/// What a pull brought.
pub(crate) enum Pulled {
    Message(Message),
    /// The consumer is deleted, and is not to be made anew.
    Gone,
    /// The connection is over.
    Closed,
}

/// What a status means.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Heartbeat,
    /// The request is over; ask again at once.
    Over,
    /// The request is over; ask again a little later.
    Later,
    /// Look the consumer up.
    Doubt,
    /// The consumer does not allow requests like this one.
    Limited,
    /// Asking again will not help.
    Fatal,
}

fn meaning(code: u16, text: &str) -> Meaning {
    match code {
        100 => Meaning::Heartbeat,
        404 | 408 => Meaning::Over,
        409 if text == "Batch Completed" || text == "Message Size Exceeds MaxBytes" => {
            Meaning::Over
        }
        409 if text == "Consumer is push based" => Meaning::Fatal,
        409 if text == "Consumer Deleted" => Meaning::Doubt,
        409 if text.starts_with("Exceeded MaxRequest") => Meaning::Limited,
        // Leadership Change, Server Shutdown, Exceeded MaxWaiting, ..
        409 => Meaning::Later,
        503 => Meaning::Doubt,
        400 => Meaning::Fatal,
        _ => Meaning::Later,
    }
}

impl Puller {
    pub(crate) async fn new(spec: Spec) -> Result<Self, Error> {
        let link = spec.js.link().clone();
        let prefix = format!("{}.{}", link.options.inbox_prefix, new_inbox());
        let reader = inbox_reader(&link, format!("{prefix}.*"), BOUNDED).await?;
        Ok(Self {
            generation: link.generation(),
            spec,
            link,
            reader,
            prefix,
            next: 0,
            open: VecDeque::new(),
            heard: Instant::now(),
            proven: false,
            short: false,
            heartbeat: TRIAL_HEARTBEAT,
            not_before: None,
            doubtful: false,
            searches: 0,
        })
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn outstanding(&self) -> usize {
        self.open.iter().map(|(_, left)| left).sum()
    }

    /// The next message, asking for more while fewer than `free` are on their way. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    /// When the consumer cannot be pulled from at all.
    pub(crate) async fn next(&mut self, free: usize) -> Result<Pulled, Error> {
        let mut state = self.link.watch_state();
        loop {
            match self.link.state() {
                ConnState::Closed { .. } => return Ok(Pulled::Closed),
                ConnState::Connected => {
                    self.note_reconnect();
                    if self.doubtful && !self.search().await? {
                        return Ok(Pulled::Gone);
                    }
                    self.ask(free).await?;
                }
                _ => {}
            }
            let silence = self.heard + self.heartbeat * 2;
            let wake = match self.not_before {
                Some(at) if self.open.is_empty() => at,
                _ => silence,
            };
            let idle = self.open.is_empty() && self.not_before.is_none();
            tokio::select! {
                message = self.reader.next() => match message {
                    Some(message) => {
                        if let Some(message) = self.accept(message)? {
                            return Ok(Pulled::Message(message));
                        }
                    }
                    None => return Ok(Pulled::Closed),
                },
                _ = state.changed() => {}
                () = tokio::time::sleep_until(wake.into()), if !idle => {
                    if wake == silence && !self.open.is_empty() {
                        tracing::debug!(consumer = %self.spec.name, "no heartbeat");
                        self.forget();
                        self.doubtful = true;
                    }
                }
            }
        }
    }

    /// Requests are gone with the connection that they were made on.
    fn note_reconnect(&mut self) {
        let generation = self.link.generation();
        if generation != self.generation {
            self.generation = generation;
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.open.clear();
        self.not_before = None;
        self.heard = Instant::now();
        self.proven = false;
    }

    async fn ask(&mut self, free: usize) -> Result<(), Error> {
        if self.not_before.is_some_and(|at| at > Instant::now()) {
            return Ok(());
        }
        let coming = self.outstanding();
        let missing = free.saturating_sub(coming + self.reader.queue.pending());
        if missing == 0 || (coming > 0 && missing * 2 < free) {
            return Ok(());
        }
        let number = self.next;
        let (expires, heartbeat) = match self.proven && !self.short {
            true => (EXPIRES, HEARTBEAT),
            false => (TRIAL_EXPIRES, TRIAL_HEARTBEAT),
        };
        let body = json!({
            "batch": missing, "expires": nanos(expires), "idle_heartbeat": nanos(heartbeat),
        });
        let call = format!("CONSUMER.MSG.NEXT.{}.{}", self.spec.stream, self.spec.name);
        let message = OutboundMessage {
            subject: self.spec.js.api.subject(&call).into(),
            reply: Some(format!("{}.{number}", self.prefix).into()),
            payload: body.to_string().into(),
            headers: None,
        };
        match send(&self.link, message, self.spec.js.api.limit).await {
            Ok(()) => {
                self.next += 1;
                self.open.push_back((number, missing));
                self.not_before = None;
                self.heard = Instant::now();
                self.heartbeat = heartbeat;
                Ok(())
            }
            // The connection is going; its return is noticed.
            Err(
                Error::Offline(_) | Error::Timeout(_) | Error::Backpressure(_) | Error::Closed(_),
            ) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A message for the caller, or nothing if it was a status.
    fn accept(&mut self, message: Message) -> Result<Option<Message>, Error> {
        self.heard = Instant::now();
        let Some(status) = message.status else {
            self.searches = 0;
            self.proven = true;
            if let Some((_, left)) = self.open.front_mut() {
                *left -= 1;
                if *left == 0 {
                    self.open.pop_front();
                }
            }
            return Ok(Some(message));
        };
        let text = message.description.as_deref().unwrap_or("");
        let meaning = meaning(status.as_u16(), text);
        if meaning == Meaning::Heartbeat {
            self.proven = true;
            return Ok(None);
        }
        tracing::debug!(consumer = %self.spec.name, status = status.as_u16(), text, "pull ended");
        let number = message.subject.rsplit('.').next().and_then(|token| token.parse::<u64>().ok());
        let before = self.open.len();
        self.open.retain(|(open, _)| Some(*open) != number);
        if self.open.len() == before {
            // A status of a request that is not counted any more.
            return Ok(None);
        }
        match meaning {
            Meaning::Limited
                if self.proven && !self.short && text.contains("MaxRequestExpires") =>
            {
                self.short = true;
            }
            Meaning::Later => self.not_before = Some(Instant::now() + SEARCH.wait(0, 0.0)),
            Meaning::Doubt => self.doubtful = true,
            Meaning::Fatal | Meaning::Limited => {
                return Err(error::Api {
                    code: status.as_u16(),
                    err_code: 0,
                    description: text.to_owned(),
                    request: format!("pull from consumer {}", self.spec.name),
                }
                .into());
            }
            Meaning::Heartbeat | Meaning::Over => {}
        }
        Ok(None)
    }

    /// Finds the consumer again, or makes it anew. False if it is gone and stays so.
    async fn search(&mut self) -> Result<bool, Error> {
        while self.link.check_open().is_ok() {
            if self.searches > 0 {
                tokio::time::sleep(SEARCH.wait(self.searches - 1, rand::random())).await;
            }
            self.searches += 1;
            let spec = &self.spec;
            let found = match consumer_info(&spec.js, &spec.stream, &spec.name).await {
                Err(Error::NotFound(_)) if spec.if_deleted == IfDeleted::Stop => return Ok(false),
                Err(Error::NotFound(_)) => match spec.ensure().await {
                    Ok(info) => {
                        self.link.emit(Event::ConsumerRecreated {
                            stream: spec.stream.clone(),
                            last_seq: info.delivered,
                            reason: format!("consumer {} was gone", spec.name),
                        });
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                other => other.map(|_| ()),
            };
            match found {
                Ok(()) => {
                    self.doubtful = false;
                    self.forget();
                    return Ok(true);
                }
                Err(error @ (Error::Drift(_) | Error::PermissionDenied(_) | Error::Closed(_))) => {
                    return Err(error);
                }
                Err(error) => {
                    self.link.note_error(&error.to_string());
                    if self.searches == 1 {
                        self.link.emit(Event::Background { error });
                    }
                    if self.link.state() != ConnState::Connected {
                        break;
                    }
                }
            }
        }
        Ok(true)
    }

    /// Takes in no more, and returns what has come and was not asked for by `next` any more.
    pub(crate) async fn stop(mut self) -> Vec<Message> {
        self.reader.queue.stop_intake();
        let mut rest = Vec::new();
        while let Some(message) = self.reader.next().await {
            if message.status.is_none() {
                rest.push(message);
            }
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_mean_what_the_server_means() {
        for (code, text, want) in [
            (100, "Idle Heartbeat", Meaning::Heartbeat),
            (404, "No Messages", Meaning::Over),
            (408, "Request Timeout", Meaning::Over),
            (409, "Batch Completed", Meaning::Over),
            (409, "Leadership Change", Meaning::Later),
            (409, "Server Shutdown", Meaning::Later),
            (409, "Exceeded MaxWaiting", Meaning::Later),
            (409, "Consumer Deleted", Meaning::Doubt),
            (409, "Consumer is push based", Meaning::Fatal),
            (503, "", Meaning::Doubt),
            (400, "Bad Request", Meaning::Fatal),
            (412, "Required Api Level", Meaning::Later),
        ] {
            assert_eq!(meaning(code, text), want, "{code} {text}");
        }
    }
}
