//! `server check message` and `request`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use natterjack::Error;
use natterjack::codec::Binary;
use regex::bytes::Regex;
use serde_json::json;

use super::result::{Metric, Report};
use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::units;
use crate::verbs::stream::{check_name, get};

/// The last message of a subject in a stream.
#[derive(Debug, Args)]
pub(super) struct Message {
    /// Name of the stream
    #[arg(long, value_name = "NAME")]
    stream: String,
    /// Subject of the message
    #[arg(long, value_name = "SUBJECT", default_value = ">")]
    subject: String,
    /// Warn when it is older than this
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    age_warn: Option<Duration>,
    /// Critical when it is older than this
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    age_critical: Option<Duration>,
    /// Critical when the body does not match this regular expression
    #[arg(long, value_name = "REGEX", default_value = ".")]
    content: Regex,
    /// Take the body as the time of the message, in seconds since 1970
    #[arg(long)]
    body_timestamp: bool,
}

/// Somebody who answers requests.
#[derive(Debug, Args)]
pub(super) struct Request {
    /// Subject of the request
    #[arg(long, value_name = "SUBJECT")]
    subject: String,
    /// Body of the request
    #[arg(long, value_name = "TEXT", default_value = "")]
    payload: String,
    /// Header of the request, may be given several times
    #[arg(short = 'H', long = "headers", value_name = "KEY:VALUE")]
    headers: Vec<String>,
    /// Critical when the answer does not match this regular expression
    #[arg(long, value_name = "REGEX")]
    match_payload: Option<Regex>,
    /// Critical when the answer has not this header, may be given several times
    #[arg(long, value_name = "KEY:VALUE")]
    match_headers: Vec<String>,
    /// Warn when the answer takes longer than this
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    response_warn: Option<Duration>,
    /// Critical when the answer takes longer than this
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    response_critical: Option<Duration>,
}

fn seconds(span: Option<Duration>) -> f64 {
    span.map_or(0.0, |span| span.as_secs_f64())
}

/// Files a time that is longer than a limit; what is not is no news.
fn late(report: &mut Report, value: f64, warn: f64, critical: f64, text: String) {
    if critical > 0.0 && value > critical {
        report.critical(text);
    } else if warn > 0.0 && value > warn {
        report.warn(text);
    }
}

impl Message {
    pub(super) async fn run(&self, context: &Context, report: &mut Report) -> Outcome {
        check_name("stream", &self.stream)?;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let found = get(&api, &self.stream, &json!({ "last_by_subj": self.subject })).await?;
        connector.close().await?;
        let Some(message) = found else {
            report.critical("no message found");
            return Ok(());
        };
        let time = match self.body_timestamp {
            true => std::str::from_utf8(&message.body)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()),
            false => units::parse_moment(&message.time),
        };
        let Some(time) = time else {
            report.critical("invalid timestamp body");
            return Ok(());
        };
        let age = units::since(time);
        let (warn, critical) = (seconds(self.age_warn), seconds(self.age_critical));
        let metric = Metric::new("age", age.as_secs_f64(), "The age of the message").unit("s");
        report.metric(metric.limits(warn, critical));
        let size = message.body.len() as f64;
        report.metric(Metric::new("size", size, "The size of the message").unit("B"));
        let text = format!("{} old", units::duration(age));
        late(report, age.as_secs_f64(), warn, critical, text);
        if !self.content.is_match(&message.body) {
            report.critical(format!("does not match regex: {}", self.content));
        }
        if report.status() == 0 {
            report.ok(format!("Valid message on {} > {}", self.stream, self.subject));
        }
        Ok(())
    }
}

impl Request {
    pub(super) fn name(&self) -> &str {
        &self.subject
    }

    pub(super) async fn run(&self, context: &Context, report: &mut Report) -> Outcome {
        let pair = |header: &String| match header.split_once(':') {
            Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
            None => Err(Failure::usage(format!("header `{header}` is not of the form Key:Value"))),
        };
        let headers: Vec<(String, String)> =
            self.headers.iter().map(pair).collect::<Result<_, _>>()?;
        let wanted: Vec<(String, String)> =
            self.match_headers.iter().map(pair).collect::<Result<_, _>>()?;
        let connector = context.connect().await?;
        let mut ask = connector.ask(&self.subject).codec(Binary);
        for (key, value) in &headers {
            ask = ask.header(key, value);
        }
        let began = Instant::now();
        let answer = ask.send_msg::<[u8], Bytes>(self.payload.as_bytes()).await;
        let took = began.elapsed().as_secs_f64();
        let (warn, critical) = (seconds(self.response_warn), seconds(self.response_critical));
        let metric = Metric::new("time", took, "How long the request took").unit("s");
        report.metric(metric.limits(warn, critical));
        let answer = answer.map_err(|error| {
            let failure = Failure::from(Error::from(error));
            Failure { message: format!("could not send request: {}", failure.message), ..failure }
        })?;
        if self.match_payload.as_ref().is_some_and(|regex| !regex.is_match(&answer.payload)) {
            report.critical("response does not match regexp");
        }
        for (key, value) in &wanted {
            let found = answer.header(key).unwrap_or_default();
            if found != value {
                report.critical(format!("invalid header {key:?} = {found:?}"));
            }
        }
        let text = format!("response took {}", units::duration(Duration::from_secs_f64(took)));
        late(report, took, warn, critical, text);
        if report.status() == 0 {
            report.ok("Valid response");
        }
        connector.close().await?;
        Ok(())
    }
}
