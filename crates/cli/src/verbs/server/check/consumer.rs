//! `server check consumer`.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::result::{Metric, Report};
use super::stream::{count, in_metadata, span};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::json::{number, text};
use crate::units;
use crate::verbs::consumer::{Name, consumer_info};

/// A consumer. Limits that are not given come from its metadata, `io.nats.monitor.*`.
#[derive(Debug, Args)]
pub(super) struct Consumer {
    /// Name of the stream
    #[arg(long, value_name = "NAME")]
    stream: String,
    /// Name of the consumer
    #[arg(long, value_name = "NAME")]
    consumer: String,
    /// Critical when so many messages wait for an ack
    #[arg(long, value_name = "N")]
    outstanding_ack_critical: Option<u64>,
    /// Critical when so many pulls wait
    #[arg(long, value_name = "N")]
    waiting_critical: Option<u64>,
    /// Critical when so many messages were not delivered yet
    #[arg(long, value_name = "N")]
    unprocessed_critical: Option<u64>,
    /// Critical when nothing was delivered for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    last_delivery_critical: Option<Duration>,
    /// Critical when nothing was acknowledged for this long
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    last_ack_critical: Option<Duration>,
    /// Critical when so many messages are delivered again
    #[arg(long, value_name = "N")]
    redelivery_critical: Option<u64>,
    /// Critical when a priority group has no pinned client
    #[arg(long)]
    pinned: bool,
}

impl Consumer {
    pub(super) fn name(&self) -> String {
        format!("{}_{}", self.stream, self.consumer)
    }

    pub(super) async fn run(&self, context: &Context, report: &mut Report) -> Outcome {
        let connector = context.connect().await?;
        let name = Name { stream: self.stream.clone(), consumer: self.consumer.clone() };
        let info = consumer_info(&Api::new(&connector, context), &name).await?;
        connector.close().await?;
        self.counts(&info, report)?;
        self.times(&info, report)?;
        self.pins(&info, report);
        Ok(())
    }

    fn counts(&self, info: &Value, report: &mut Report) -> Outcome {
        for (pointer, given, key, metric, words, help) in [
            (
                "/num_ack_pending",
                self.outstanding_ack_critical,
                "outstanding-ack-critical",
                "ack_pending",
                "Ack Pending",
                "The number of messages waiting to be Acknowledged",
            ),
            (
                "/num_waiting",
                self.waiting_critical,
                "waiting-critical",
                "pull_waiting",
                "Waiting Pulls",
                "The number of waiting Pull requests",
            ),
            (
                "/num_pending",
                self.unprocessed_critical,
                "unprocessed-critical",
                "pending",
                "Unprocessed Messages",
                "The number of messages that have not yet been consumed",
            ),
            (
                "/num_redelivered",
                self.redelivery_critical,
                "redelivery-critical",
                "redelivered",
                "Redelivered",
                "The number of messages currently being redelivered",
            ),
        ] {
            let value = number(info, pointer);
            let critical = count(info, given, key)?;
            report.metric(Metric::new(metric, value as f64, help).limits(0.0, critical as f64));
            if critical > 0 {
                report.at_least(value as f64, 0.0, critical as f64, &format!("{words}: {value}"));
            }
        }
        Ok(())
    }

    fn times(&self, info: &Value, report: &mut Report) -> Outcome {
        for (pointer, given, key, metric, words, none, help) in [
            (
                "/delivered/last_active",
                self.last_delivery_critical,
                "last-delivery-critical",
                "last_delivery",
                "Last delivery",
                "No deliveries",
                "Seconds since the last message was delivered",
            ),
            (
                "/ack_floor/last_active",
                self.last_ack_critical,
                "last-ack-critical",
                "last_ack",
                "Last ack",
                "No acks",
                "Seconds since the last message was acknowledged",
            ),
        ] {
            let critical = span(info, given, key)?;
            let age = units::parse_moment(text(info, pointer)).map(units::since);
            if let Some(age) = age {
                let metric = Metric::new(metric, age.as_secs_f64(), help).unit("s");
                report.metric(metric.limits(0.0, critical.as_secs_f64()));
            }
            match age {
                _ if critical.is_zero() => {}
                None => report.critical(none),
                Some(age) => {
                    let text = format!("{words} {} ago", units::duration(age));
                    report.at_least(age.as_secs_f64(), 0.0, critical.as_secs_f64(), &text);
                }
            }
        }
        Ok(())
    }

    fn pins(&self, info: &Value, report: &mut Report) {
        if !self.pinned && in_metadata(info, "pinned") != Some("true") {
            return;
        }
        let groups = info.pointer("/config/priority_groups").and_then(Value::as_array);
        let groups = groups.map_or(0, Vec::len);
        let states = info.pointer("/priority_groups").and_then(Value::as_array);
        let states = states.into_iter().flatten();
        let pinned = states.filter(|group| !text(group, "/pinned_client_id").is_empty()).count();
        if text(info, "/config/priority_policy") != "pinned_client" || groups == 0 {
            report.critical("Not pinned client priority mode");
        } else if pinned != groups {
            report.critical(format!("{pinned} / {groups} pinned clients"));
        } else {
            report.ok(format!("{pinned} pinned clients"));
        }
    }
}
