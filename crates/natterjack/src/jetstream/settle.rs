//! Telling the stream what became of a delivered message (ADR-15).

use std::sync::Arc;
use std::time::Duration;

use async_nats::message::OutboundMessage;
use bytes::Bytes;
use serde_json::json;

use super::api;
use crate::connect::Link;
use crate::core::send;
use crate::error::Error;

/// Whether a message that is being handled is kept from being delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// "In progress" is sent every half `ack_wait` while its handler runs, up to `max_processing`.
    #[default]
    Auto,
    /// It is not; after `ack_wait` the message is delivered again.
    Off,
}

/// The answering end of a delivered message.
#[derive(Clone)]
pub(crate) struct Settler {
    pub(crate) link: Arc<Link>,
    pub(crate) reply: String,
    pub(crate) limit: Duration,
}

impl Settler {
    /// Answers; while there is no connection the answer waits in the buffer, since acknowledgements
    /// of a durable consumer stay valid across a restart.
    async fn tell(&self, word: impl Into<Bytes>) -> Result<(), Error> {
        let message = OutboundMessage {
            subject: self.reply.as_str().into(),
            reply: None,
            payload: word.into(),
            headers: None,
        };
        send(&self.link, message, self.limit).await
    }

    pub(crate) async fn ack(&self) -> Result<(), Error> {
        self.tell("+ACK").await
    }

    /// Acknowledges and waits until the server says that it has noted it.
    pub(crate) async fn ack_sync(&self) -> Result<(), Error> {
        let started = std::time::Instant::now();
        loop {
            let left = self.limit.saturating_sub(started.elapsed());
            match api::request_or_loss(&self.link, &self.reply, None, "+ACK".into(), left).await {
                Ok(_) => return Ok(()),
                // Acknowledging twice does no harm.
                Err(Error::Offline(_)) if started.elapsed() < self.limit => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) async fn nak(&self, delay: Option<Duration>) -> Result<(), Error> {
        match delay {
            Some(delay) if !delay.is_zero() => {
                let delay = json!({ "delay": super::nanos(delay) });
                self.tell(format!("-NAK {delay}")).await
            }
            _ => self.tell("-NAK").await,
        }
    }

    pub(crate) async fn term(&self, reason: &str) -> Result<(), Error> {
        let reason = reason.replace(['\r', '\n'], " ");
        if reason.is_empty() {
            self.tell("+TERM").await
        } else {
            self.tell(format!("+TERM {reason}")).await
        }
    }

    pub(crate) async fn progress(&self) -> Result<(), Error> {
        self.tell("+WPI").await
    }
}
