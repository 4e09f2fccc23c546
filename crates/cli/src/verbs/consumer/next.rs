//! `natterjack consumer next`.

use std::time::Duration;

use clap::Args;

use super::pull::{Pull, Settle};
use super::{Name, consumer_info};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::text;
use crate::units;

/// Take messages from a pull consumer, and settle them.
#[derive(Debug, Args)]
pub(crate) struct Next {
    #[command(flatten)]
    name: Name,
    /// Messages to take
    #[arg(long, default_value_t = 1, value_name = "N")]
    count: usize,
    /// Acknowledge them (the default)
    #[arg(long, overrides_with = "no_ack")]
    ack: bool,
    /// Leave them to be delivered again
    #[arg(long)]
    no_ack: bool,
    /// Give them back
    #[arg(long, conflicts_with_all = ["term", "no_ack"])]
    nak: bool,
    /// Have them never delivered again
    #[arg(long, conflicts_with = "no_ack")]
    term: bool,
    /// Print bodies only
    #[arg(short, long)]
    raw: bool,
    /// How long to wait for them; --timeout if it is not given
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    wait: Option<Duration>,
}

/// Messages that are asked for at once.
const BATCH: usize = 256;

impl Next {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let info = consumer_info(&api, &self.name).await?;
        let Name { stream, consumer } = &self.name;
        if !text(&info, "/config/deliver_subject").is_empty() {
            let text = format!("consumer {consumer} is a push consumer: nobody can ask it");
            return Err(
                Failure::usage(text).hint(format!("natterjack consumer sub {stream} {consumer}"))
            );
        }
        let how = match text(&info, "/config/ack_policy") {
            "none" => Settle::Nothing,
            _ => self.settle(),
        };
        let limit = context.timeout()?;
        let wait = self.wait.unwrap_or(limit);
        let deadline = tokio::time::Instant::now() + wait;
        let mut pull = Pull::open(context, &connector, stream, consumer).await?;
        let mut taken = 0;
        while taken < self.count {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                break;
            }
            pull.ask((self.count - taken).min(BATCH), left).await?;
            // The server ends the request; this is for one that does not answer at all.
            let answers = async {
                while let Some(message) = pull.next().await? {
                    message.shown.print(&out, self.raw, how);
                    message.settle(how, limit).await?;
                    taken += 1;
                    if !self.raw {
                        say(context, how);
                    }
                }
                Ok::<(), Failure>(())
            };
            if let Ok(ended) = tokio::time::timeout(left + limit, answers).await {
                ended?;
            }
        }
        connector.close().await?;
        let after = units::duration(wait);
        match taken {
            0 => Err(Failure::new(
                status::TIMEOUT,
                "conn.timeout",
                format!("no message received within {after}"),
            )
            .hint(format!("natterjack consumer info {stream} {consumer}"))),
            taken if taken < self.count => {
                let text = format!("{taken} of {} messages received within {after}", self.count);
                Err(Failure::new(status::PARTLY, "partly", text))
            }
            _ => Ok(()),
        }
    }

    fn settle(&self) -> Settle {
        match (self.nak, self.term, self.no_ack) {
            (true, ..) => Settle::Nak,
            (_, true, _) => Settle::Term,
            (.., true) => Settle::Nothing,
            _ => Settle::Ack,
        }
    }
}

pub(super) fn say(context: &Context, how: Settle) {
    match how {
        Settle::Ack => context.out.say("Acknowledged message\n"),
        Settle::Nak => context.out.say("Negative acknowledged message\n"),
        Settle::Term => context.out.say("Terminated message\n"),
        Settle::Nothing => {}
    }
}
