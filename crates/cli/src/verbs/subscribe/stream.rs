//! `natterjack sub --stream`: what a stream holds, through a passing or a durable consumer.

use async_nats::jetstream;
use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use bytes::Bytes;
use futures_util::StreamExt as _;
use natterjack::codec::Binary;
use natterjack::{Connector, Deliver};
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

    /// Through an ordered consumer, which leaves nothing behind.
    async fn read_passing(
        &self,
        context: &Context,
        connector: &Connector,
        stream: &str,
        from: Option<Deliver>,
        printer: &mut Printer<'_>,
    ) -> Outcome {
        let prefix = context.jetstream(connector).prefix().to_owned();
        let jetstream = jetstream::with_prefix(connector.raw()?, &prefix);
        let config = pull::OrderedConfig {
            filter_subjects: match self.subjects.is_empty() {
                true => vec![">".to_owned()],
                false => self.subjects.clone(),
            },
            headers_only: self.headers_only || self.subjects_only,
            deliver_policy: match from {
                None | Some(Deliver::All) => DeliverPolicy::All,
                Some(Deliver::New) => DeliverPolicy::New,
                Some(Deliver::Last) => DeliverPolicy::Last,
                Some(Deliver::LastPerSubject) => DeliverPolicy::LastPerSubject,
                Some(Deliver::From(start_sequence)) => {
                    DeliverPolicy::ByStartSequence { start_sequence }
                }
            },
            ..pull::OrderedConfig::default()
        };
        let stream = jetstream.get_stream_no_info(stream).await.map_err(failed)?;
        let consumer = stream.create_consumer(config).await.map_err(failed)?;
        // It is made anew, under another name, when it was interrupted.
        let mut name = consumer.cached_info().name.clone();
        let mut ended = self.terminate_at_end && consumer.cached_info().num_pending == 0;
        let mut messages = consumer.messages().await.map_err(failed)?;
        while !ended {
            let message = tokio::select! {
                message = messages.next() => message,
                () = context.interrupt.raised() => break,
                () = idle(self.wait) => break,
            };
            let Some(message) = message else { break };
            let message = message.map_err(failed)?;
            let place = place_of(&message)?;
            name.clone_from(&place.consumer);
            let done = self.terminate_at_end && place.pending == 0;
            let headers = message.headers.clone().unwrap_or_default();
            let received = Received {
                subject: &message.subject,
                reply: None,
                headers: &headers,
                body: &message.payload,
            };
            ended = printer.take(&Source::Stream(place), &received).await? || done;
        }
        drop(messages);
        // The server would remove it too, some minutes from now.
        let _ = stream.delete_consumer(&name).await;
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
            let place = Place {
                stream: message.meta.stream.clone(),
                consumer: message.meta.consumer.clone(),
                seq: message.meta.stream_seq,
                delivered: message.meta.delivered,
                pending: message.meta.pending,
                time: jiff::Timestamp::try_from(message.meta.timestamp).ok(),
            };
            pending = place.pending;
            left = left.saturating_sub(1);
            let done = self.terminate_at_end && pending == 0 && left == 0;
            let received = Received {
                subject: &message.subject,
                reply: None,
                headers: &message.headers,
                body: &message.payload,
            };
            let last = printer.take(&Source::Stream(place), &received).await?;
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

fn place_of(message: &jetstream::Message) -> Result<Place, Failure> {
    let info = message.info().map_err(failed)?;
    Ok(Place {
        stream: info.stream.to_owned(),
        consumer: info.consumer.to_owned(),
        seq: info.stream_sequence,
        delivered: u64::try_from(info.delivered).unwrap_or(0),
        pending: info.pending,
        time: jiff::Timestamp::from_nanosecond(info.published.unix_timestamp_nanos()).ok(),
    })
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

/// An error of the client library below the connector.
fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(status::FAILED, "js.api", error.to_string())
}
