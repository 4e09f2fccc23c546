//! Messages that a stream stores together or not at all (ADR-50).

use bytes::Bytes;
use natterjack::Connector;
use natterjack::codec::Binary;
use serde_json::Value;

use super::pipeline::{no_stream, read_ack};
use crate::exit::{Failure, Outcome, status};
use crate::message::Filled;

/// The server takes no more in one batch.
const MOST: u64 = 1000;

/// A batch on its way. The last message commits it, so one is always held back.
pub(super) struct Batch {
    connector: Connector,
    id: String,
    sent: u64,
    held: Option<(Filled, Bytes)>,
}

impl Batch {
    pub(super) fn new(connector: &Connector) -> Self {
        let id = format!("{:032x}", rand::random::<u128>());
        Self { connector: connector.clone(), id, sent: 0, held: None }
    }

    pub(super) async fn add(&mut self, message: Filled, body: Bytes) -> Outcome {
        if let Some((message, body)) = self.held.replace((message, body)) {
            self.send(message, body, false).await?;
        }
        Ok(())
    }

    /// Has the messages stored. Nothing if there were none.
    pub(super) async fn commit(mut self) -> Result<Option<Value>, Failure> {
        match self.held.take() {
            Some((message, body)) => self.send(message, body, true).await,
            None => Ok(None),
        }
    }

    async fn send(
        &mut self,
        message: Filled,
        body: Bytes,
        last: bool,
    ) -> Result<Option<Value>, Failure> {
        self.sent += 1;
        if self.sent > MOST {
            let text = format!("a batch has {MOST} messages at the most");
            return Err(
                Failure::usage(text).hint("none of them was stored; send them in several batches")
            );
        }
        let number = self.sent.to_string();
        let mut headers = message.headers;
        headers.push(("Nats-Batch-Id".to_owned(), self.id.clone()));
        headers.push(("Nats-Batch-Sequence".to_owned(), number));
        if last {
            headers.push(("Nats-Batch-Commit".to_owned(), "1".to_owned()));
        }
        // The first is answered, so that one that no stream takes ends it; and so is the last.
        if self.sent > 1 && !last {
            let mut publish = self.connector.to(&message.subject);
            for (name, value) in &headers {
                publish = publish.header(name, value);
            }
            publish.send_bytes(body).await?;
            return Ok(None);
        }
        let mut ask = self.connector.ask(&message.subject).codec(Binary);
        for (name, value) in &headers {
            ask = ask.header(name, value);
        }
        let answer = ask.send_msg::<[u8], Bytes>(&body).await.map_err(|error| {
            let failure = Failure::from(error);
            match failure.code {
                "request.no_responders" => no_stream(&message.subject),
                _ => failure,
            }
        })?;
        // That the batch goes on is said by an empty answer.
        if answer.payload.is_empty() && !last {
            return Ok(None);
        }
        let ack = read_ack(&message.subject, &answer.payload)?;
        match last {
            true => Ok(Some(ack)),
            // A stream without batches has stored the message by itself.
            false => {
                let text =
                    "the stream does not take atomic batches, and has stored the first message";
                Err(Failure::new(status::PARTLY, "js.no_atomic_batches", text)
                    .hint("natterjack stream edit STREAM --allow-batch"))
            }
        }
    }
}
