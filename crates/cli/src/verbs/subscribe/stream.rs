//! `natterjack sub --stream`: what a stream holds, through a passing or a durable consumer.

use std::time::Duration;

use bytes::Bytes;
use natterjack::codec::Binary;
use natterjack::jetstream::ReadEvent;
use natterjack::{Connector, Deliver, Delivery};
use serde_json::{Value, json};

use super::printer::{Place, Printer, Source};
use super::{Subscribe, end, idle};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::message::Received;
use crate::verbs::stream::{first_since, stream_info};

/// Messages that are asked for at once.
const BATCH: usize = 64;

/// How long to wait at the end for what other readers gave back.
const OTHERS: Duration = Duration::from_millis(500);

impl Subscribe {
    /// Whether an option asks for a stream.
    pub(super) fn reads_stream(&self) -> bool {
        self.stream.is_some()
            || self.durable.is_some()
            || self.all
            || self.new
            || self.last
            || self.last_per_subject
            || self.since.is_some()
            || self.start_sequence.is_some()
            || self.terminate_at_end
    }

    pub(super) async fn read_stream(&self, context: &Context, connector: &Connector) -> Outcome {
        let api = Api::new(connector, context);
        let stream = match &self.stream {
            Some(stream) => stream.clone(),
            None => stream_of(&api, &self.subjects).await?,
        };
        let info = stream_info(&api, &stream).await?;
        let from = self.from(&api, &info).await?;
        let filters = match self.subjects.join(", ") {
            all if all.is_empty() => String::new(),
            filters => format!(" on {filters}"),
        };
        context.interrupt.finish_gracefully();
        context.out.log(format!("Subscribing to JetStream Stream {stream:?}{filters}"));
        let mut printer = Printer::new(self, context, &connector.effective_options().inbox_prefix);
        match &self.durable {
            Some(durable) => {
                self.read_durable(context, connector, &stream, durable, from, &mut printer).await?;
            }
            None => self.read_passing(context, connector, &stream, from, &mut printer).await?,
        }
        printer.finish();
        end(connector).await
    }

    /// Where to begin; `None` leaves it to the consumer.
    async fn from(&self, api: &Api, info: &Value) -> Result<Option<Deliver>, Failure> {
        Ok(match (self.since, self.start_sequence) {
            (Some(since), _) => Some(Deliver::From(first_since(api, info, since).await?)),
            (None, Some(seq)) => Some(Deliver::From(seq.max(1))),
            (None, None) if self.new => Some(Deliver::New),
            (None, None) if self.last => Some(Deliver::Last),
            (None, None) if self.last_per_subject => Some(Deliver::LastPerSubject),
            (None, None) if self.all => Some(Deliver::All),
            (None, None) => None,
        })
    }

    /// Through a passing consumer, which leaves nothing behind.
    async fn read_passing(
        &self,
        context: &Context,
        connector: &Connector,
        stream: &str,
        from: Option<Deliver>,
        printer: &mut Printer<'_>,
    ) -> Outcome {
        let mut read = context.jetstream(connector).read(stream).from(from.unwrap_or_default());
        for subject in &self.subjects {
            read = read.filter(subject);
        }
        if self.headers_only || self.subjects_only {
            read = read.headers_only();
        }
        let mut messages = read.start().await?;
        loop {
            let event = tokio::select! {
                event = messages.next() => event,
                () = context.interrupt.raised() => break,
                () = idle(self.wait) => break,
            };
            let message = match event {
                Some(ReadEvent::Message(message)) => message,
                Some(ReadEvent::Ready) if self.terminate_at_end => break,
                Some(_) => continue,
                None => {
                    let text = "the connection is over";
                    return Err(Failure::new(status::FAILED, "conn.closed", text));
                }
            };
            let source = Source::Stream(place_of(&message));
            if printer.take(&source, &received(&message)).await? {
                break;
            }
        }
        messages.stop().await;
        Ok(())
    }

    /// Through a durable consumer. What was printed is acknowledged, unless that is not wanted.
    async fn read_durable(
        &self,
        context: &Context,
        connector: &Connector,
        stream: &str,
        durable: &str,
        from: Option<Deliver>,
        printer: &mut Printer<'_>,
    ) -> Outcome {
        let jetstream = context.jetstream(connector);
        let mut consumer = jetstream.consumer::<Bytes>(stream, durable).codec(Binary);
        consumer = match self.subjects.as_slice() {
            [] => consumer,
            [subject] => consumer.filter(subject),
            subjects => consumer.filters(subjects),
        };
        if let Some(from) = from {
            consumer = consumer.deliver(from);
        }
        if let Some(count) = self.count {
            consumer = consumer.batch(usize::try_from(count).unwrap_or(BATCH).clamp(1, BATCH));
        }
        let info = consumer.ensure().await?;
        // What was delivered before and not acknowledged may come again.
        let mut left = info.pending + info.ack_pending;
        if self.terminate_at_end && left == 0 {
            return Ok(());
        }
        let mut pending = info.pending;
        let mut messages = consumer.messages().await?;
        loop {
            let at_end = self.terminate_at_end && pending == 0;
            let message = tokio::select! {
                message = messages.next() => message,
                () = context.interrupt.raised() => break,
                () = idle(self.wait) => break,
                () = idle(at_end.then_some(OTHERS)) => break,
            };
            let Some(message) = message else {
                let text = format!("consumer {durable} of stream {stream} is gone");
                return Err(Failure::new(status::NOT_FOUND, "js.not_found", text));
            };
            let message = message?;
            let place = place_of(&message);
            pending = place.pending;
            left = left.saturating_sub(1);
            let done = self.terminate_at_end && pending == 0 && left == 0;
            let last = printer.take(&Source::Stream(place), &received(&message)).await?;
            if !self.no_ack {
                message.ack().await?;
            }
            if last || done {
                break;
            }
        }
        messages.stop().await?;
        Ok(())
    }
}

fn place_of(message: &Delivery<Bytes>) -> Place {
    let meta = &message.meta;
    Place {
        stream: meta.stream.clone(),
        consumer: meta.consumer.clone(),
        seq: meta.stream_seq,
        delivered: meta.delivered,
        pending: meta.pending,
        time: jiff::Timestamp::try_from(meta.timestamp).ok(),
    }
}

/// Without the subject for acknowledgements.
fn received(message: &Delivery<Bytes>) -> Received<'_> {
    Received {
        subject: &message.subject,
        reply: None,
        headers: &message.headers,
        body: &message.payload,
    }
}

/// The one stream that listens on the subjects.
async fn stream_of(api: &Api, subjects: &[String]) -> Result<String, Failure> {
    let subject = subjects.first().map_or("", String::as_str);
    let filter = json!({ "subject": subject });
    let names = api.list("STREAM.NAMES", "streams", filter).await?;
    match names.as_slice() {
        [name] => Ok(name.as_str().unwrap_or_default().to_owned()),
        [] => {
            let text = format!("no stream listens on {subject}");
            Err(Failure::new(status::NOT_FOUND, "js.not_found", text)
                .hint("natterjack stream ls shows the streams"))
        }
        names => {
            let text = format!("{} streams listen on {subject}", names.len());
            Err(Failure::usage(text).hint("choose one with --stream"))
        }
    }
}
