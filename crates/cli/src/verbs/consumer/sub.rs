//! `natterjack consumer sub`: what a consumer delivers, as it comes.

use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt as _;
use natterjack::codec::Binary;
use natterjack::{Connector, Verdict};
use serde_json::Value;

use super::pull::{Came, Delivered, Settle};
use super::{Name, consumer_info, next};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::text;
use crate::units;

/// Print what a consumer delivers as it comes, until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Sub {
    #[command(flatten)]
    name: Name,
    /// End after this many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Leave them to be delivered again
    #[arg(long)]
    no_ack: bool,
    /// Acknowledge them (the default)
    #[arg(long, overrides_with = "no_ack")]
    ack: bool,
    /// Print bodies only
    #[arg(short, long)]
    raw: bool,
    /// End when nothing has come for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    wait: Option<Duration>,
    /// Group that shares what a push consumer delivers; the consumer's if it is not given
    #[arg(long, value_name = "GROUP")]
    deliver_group: Option<String>,
}

impl Sub {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let info = consumer_info(&api, &self.name).await?;
        let how = match text(&info, "/config/ack_policy") {
            "none" => Settle::Nothing,
            _ if self.no_ack => Settle::Nothing,
            _ => Settle::Ack,
        };
        context.interrupt.finish_gracefully();
        let Name { stream, consumer } = &self.name;
        match text(&info, "/config/deliver_subject") {
            "" => {
                context.out.log(format!("Subscribing to consumer {stream} > {consumer}"));
                self.pull(context, &connector, how).await?;
            }
            subject => self.push(context, &connector, &info, subject, how).await?,
        }
        connector.close().await?;
        Ok(())
    }

    async fn pull(&self, context: &Context, connector: &Connector, how: Settle) -> Outcome {
        let Name { stream, consumer } = &self.name;
        let jetstream = context.jetstream(connector);
        // One at a time: what is asked for and not printed would be delivered later, or twice.
        let reading = jetstream.consumer::<Bytes>(stream, consumer).codec(Binary).batch(1);
        let mut messages = reading.attach().await?;
        let mut seen = 0;
        while self.count.is_none_or(|count| seen < count) {
            let message = tokio::select! {
                message = messages.next() => message,
                () = context.interrupt.raised() => break,
                () = idle(self.wait) => break,
            };
            let Some(message) = message else {
                let text = format!("consumer {consumer} of stream {stream} was deleted");
                return Err(Failure::new(status::NOT_FOUND, "js.not_found", text));
            };
            let message = message?;
            Delivered::from(&*message).print(&context.out, self.raw, how);
            if how == Settle::Ack
                && let Err(error) = message.settle(Verdict::AckSync).await
            {
                match error.retryable() {
                    // Where the server is away it is not the end: the message comes again.
                    true => context.out.warn(format!("not acknowledged: {error}")),
                    false => return Err(error.into()),
                }
                continue;
            }
            self.told(context, how);
            seen += 1;
        }
        messages.stop().await?;
        Ok(())
    }

    async fn push(
        &self,
        context: &Context,
        connector: &Connector,
        info: &Value,
        subject: &str,
        how: Settle,
    ) -> Outcome {
        let limit = context.timeout()?;
        let client = connector.raw()?;
        let group = match text(info, "/config/deliver_group") {
            "" => self.deliver_group.clone(),
            group => Some(group.to_owned()),
        };
        let subject = subject.to_owned();
        let subscribed = match group {
            Some(group) => client.queue_subscribe(subject.clone(), group).await,
            None => client.subscribe(subject.clone()).await,
        };
        let gone = |why: String| Failure::new(status::FAILED, "conn.closed", why);
        let mut messages = subscribed.map_err(|error| gone(error.to_string()))?;
        context.out.log(format!("Subscribing to topic {subject}"));
        let prefix = context.jetstream(connector).prefix().to_owned();
        let jetstream = jetstream::with_prefix(client.clone(), &prefix);
        let mut seen = 0;
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                () = context.interrupt.raised() => return Ok(()),
                () = idle(self.wait) => return Ok(()),
            };
            let Some(message) = message else { return Err(gone("the connection is over".into())) };
            if message.status.is_some() {
                // A heartbeat; with a reply it asks whether we still follow.
                let stalled = message.headers.as_ref().and_then(|h| h.get("Nats-Consumer-Stalled"));
                let stalled = stalled.map(|subject| subject.as_str().to_owned());
                if let Some(reply) = message.reply.map(|r| r.to_string()).or(stalled) {
                    let answered = client.publish(reply, Bytes::new()).await;
                    answered.map_err(|error| gone(error.to_string()))?;
                }
                continue;
            }
            let message = Came::read(message, &jetstream)?;
            message.shown.print(&context.out, self.raw, how);
            message.settle(how, limit).await?;
            self.told(context, how);
            seen += 1;
            if self.count.is_some_and(|count| seen >= count) {
                return Ok(());
            }
        }
    }

    /// Says what became of a message.
    fn told(&self, context: &Context, how: Settle) {
        if !self.raw {
            next::say(context, how);
        }
    }
}

async fn idle(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
