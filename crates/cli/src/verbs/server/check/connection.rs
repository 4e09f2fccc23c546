//! `server check connection`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use natterjack::codec::Binary;
use rand::RngExt as _;

use super::result::{Metric, Report};
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::units;

/// Connecting, round trip, and a message to oneself.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// Warn when connecting takes this long
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = units::parse_duration)]
    connect_warn: Duration,
    /// Critical when connecting takes this long
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::parse_duration)]
    connect_critical: Duration,
    /// Warn at this round trip
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = units::parse_duration)]
    rtt_warn: Duration,
    /// Critical at this round trip
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::parse_duration)]
    rtt_critical: Duration,
    /// Warn when a message to oneself takes this long
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = units::parse_duration)]
    req_warn: Duration,
    /// Critical when a message to oneself takes this long
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::parse_duration)]
    req_critical: Duration,
}

impl Connection {
    pub(super) async fn run(&self, context: &Context, report: &mut Report) -> Outcome {
        let began = Instant::now();
        let connector = context.connect().await.map_err(|failure| Failure {
            message: format!("connection failed: {}", failure.message),
            ..failure
        })?;
        let took = began.elapsed();
        let address = connector.server().map(|server| server.address).unwrap_or_default();
        let limits = (self.connect_warn, self.connect_critical);
        let text = format!("connected to {address} in {}", units::duration(took));
        file(report, took, limits, &text);
        let metric =
            Metric::new("connect_time", took.as_secs_f64(), "Time taken to connect to NATS");
        add(report, metric, limits);

        let rtt = connector.rtt().await?;
        let limits = (self.rtt_warn, self.rtt_critical);
        file(report, rtt, limits, &format!("rtt time {}", units::duration(rtt)));
        let help = "The round-trip-time of the connection";
        add(report, Metric::new("rtt", rtt.as_secs_f64(), help), limits);

        let inbox = connector.raw()?.new_inbox();
        let mut answers = connector.on(&inbox).codec(Binary).open::<Bytes>().await?;
        let body: Vec<u8> = (0..100).map(|_| rand::rng().random_range(b'a'..=b'z')).collect();
        let began = Instant::now();
        connector.to(&inbox).send_bytes(body.clone()).await?;
        let answer = tokio::time::timeout(context.timeout()?, answers.next()).await;
        let took = began.elapsed();
        match answer {
            Ok(Some(Ok(message))) if message.payload == body => {
                let limits = (self.req_warn, self.req_critical);
                let text = format!("round trip took {:.6}s", took.as_secs_f64());
                file(report, took, limits, &text);
                let help = "Time taken for a full Request-Reply operation";
                add(report, Metric::new("request_time", took.as_secs_f64(), help), limits);
            }
            Ok(Some(_)) => report.critical("did not receive expected message"),
            Ok(None) | Err(_) => report.critical(format!("did not receive from {inbox}")),
        }
        connector.close().await?;
        Ok(())
    }
}

fn file(report: &mut Report, took: Duration, (warn, critical): (Duration, Duration), text: &str) {
    let [took, warn, critical] = [took, warn, critical].map(|span| span.as_secs_f64());
    let text = match (took >= critical && critical > 0.0, took >= warn && warn > 0.0) {
        (true, _) => format!("{text}, exceeded {critical}s"),
        (false, true) => format!("{text}, exceeded {warn}s"),
        (false, false) => text.to_owned(),
    };
    report.at_least(took, warn, critical, &text);
}

fn add(report: &mut Report, metric: Metric, (warn, critical): (Duration, Duration)) {
    report.metric(metric.unit("s").limits(warn.as_secs_f64(), critical.as_secs_f64()));
}
