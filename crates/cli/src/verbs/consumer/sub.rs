//! `natterjack consumer sub`: what a consumer delivers, as it comes.

use std::time::Duration;

use async_nats::jetstream;
use clap::Args;
use futures_util::StreamExt as _;
use natterjack::Connector;
use serde_json::Value;

use super::pull::{Delivered, Pull, Settle};
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

/// How long a pull request waits; then it is made again.
const EXPIRES: Duration = Duration::from_secs(30);

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
        let limit = context.timeout()?;
        let Name { stream, consumer } = &self.name;
        let mut pull = Pull::open(context, connector, stream, consumer).await?;
        let mut seen = 0;
        loop {
            // One at a time: what is asked for and not printed would be delivered later, or twice.
            pull.ask(1, EXPIRES).await?;
            loop {
                let message = tokio::select! {
                    message = tokio::time::timeout(EXPIRES + limit, pull.next()) => message,
                    () = context.interrupt.raised() => return Ok(()),
                    () = idle(self.wait) => return Ok(()),
                };
                // A request of which nothing was heard is made again, as after a reconnect.
                let Ok(message) = message else { break };
                let Some(message) = message? else { break };
                if self.take(context, &message, how, limit, &mut seen).await? {
                    return Ok(());
                }
            }
        }
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
                    let answered = client.publish(reply, bytes::Bytes::new()).await;
                    answered.map_err(|error| gone(error.to_string()))?;
                }
                continue;
            }
            let message = Delivered::read(message, &jetstream)?;
            if self.take(context, &message, how, limit, &mut seen).await? {
                return Ok(());
            }
        }
    }

    /// Prints and settles a message. `true` if it was the last one.
    async fn take(
        &self,
        context: &Context,
        message: &Delivered,
        how: Settle,
        limit: Duration,
        seen: &mut u64,
    ) -> Result<bool, Failure> {
        message.print(&context.out, self.raw, how);
        message.settle(how, limit).await?;
        if !self.raw {
            next::say(context, how);
        }
        *seen += 1;
        Ok(self.count.is_some_and(|count| *seen >= count))
    }
}

async fn idle(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
