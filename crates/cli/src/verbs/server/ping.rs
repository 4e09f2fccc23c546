//! `natterjack server ping`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::sys;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::text;
use crate::units;

/// Ask all servers for a sign of life.
#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// How many servers there should be
    expect: Option<usize>,
    /// Show ids, too
    #[arg(long)]
    id: bool,
}

impl Ping {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let connector = context.connect().await?;
        let subject = "$SYS.REQ.SERVER.PING";
        let mut answers = sys::ask(context, &connector, subject, &Value::Null, self.expect).await?;
        connector.close().await?;
        answers.sort_by_key(|answer| answer.rtt);
        for answer in &answers {
            let (name, id) =
                (text(&answer.value, "/server/name"), text(&answer.value, "/server/id"));
            if out.json {
                let nanos = u64::try_from(answer.rtt.as_nanos()).unwrap_or(u64::MAX);
                out.object(&json!({ "name": name, "id": id, "rtt_ns": nanos }));
            } else {
                let id = if self.id { format!(" {id}") } else { String::new() };
                out.line(format!("{name:<40}{id} rtt={}", units::duration(answer.rtt)));
            }
        }
        let times: Vec<Duration> = answers.iter().map(|answer| answer.rtt).collect();
        let [min, max] =
            [times.iter().min(), times.iter().max()].map(|time| time.copied().unwrap_or_default());
        let total: Duration = times.iter().sum();
        let average = total / u32::try_from(times.len().max(1)).unwrap_or(u32::MAX);
        out.say(format!(
            "\n---- ping statistics ----\n{} replies max: {} min: {} avg: {}",
            times.len(),
            units::duration(max),
            units::duration(min),
            units::duration(average)
        ));
        match self.expect {
            Some(expect) if times.len() < expect => {
                let text = format!("{} of {expect} servers answered", times.len());
                Err(Failure::new(status::PARTLY, "partly", text))
            }
            _ => Ok(()),
        }
    }
}
