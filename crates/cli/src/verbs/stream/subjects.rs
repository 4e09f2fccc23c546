//! `natterjack stream subjects` and `gaps`: what a stream holds, and what it holds no more.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::{check_name, stream_info};
use crate::api::Api;
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::json::number;
use crate::table::Table;
use crate::units;

/// Show the subjects of a stream's messages, and how many each has.
#[derive(Debug, Args)]
pub(crate) struct Subjects {
    /// Name of the stream
    #[arg(add = complete::streams())]
    stream: String,
    /// Only these; * and > are wildcards
    #[arg(default_value = ">")]
    filter: String,
    /// In which order
    #[arg(long, default_value = "messages")]
    sort: Sort,
    /// In the other order
    #[arg(short = 'R', long)]
    reverse: bool,
    /// Names only
    #[arg(short, long)]
    names: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    #[value(alias = "subjects")]
    Name,
    #[value(alias = "count")]
    Messages,
}

impl Subjects {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let connector = context.connect().await?;
        let api = Api::new(&connector, context);
        let mut rows = subjects(&api, &self.stream, &self.filter).await?;
        connector.close().await?;
        rows.sort();
        if self.sort == Sort::Messages {
            rows.sort_by_key(|(_, messages)| *messages);
        }
        if self.reverse {
            rows.reverse();
        }
        if out.json && self.names {
            out.document(&rows.iter().map(|(subject, _)| subject).collect::<Vec<_>>());
        } else if out.json {
            let object: Map<String, Value> =
                rows.into_iter().map(|(subject, count)| (subject, count.into())).collect();
            out.document(&object);
        } else if self.names {
            rows.iter().for_each(|(subject, _)| out.line(subject));
        } else if rows.is_empty() {
            out.say(format!("No subjects found matching {}", self.filter));
        } else {
            let title = format!("{} Subjects in stream {}", units::count(rows.len()), self.stream);
            let mut table = Table::new(title, &["Subject", "Count"]).right(&[1]);
            for (subject, messages) in rows {
                table.row([subject, units::count(messages)]);
            }
            table.print(&out);
        }
        Ok(())
    }
}

/// All subjects of a stream that a filter matches, with their messages; they come in pages.
async fn subjects(api: &Api, stream: &str, filter: &str) -> Result<Vec<(String, u64)>, Failure> {
    check_name("stream", stream)?;
    let mut all = Vec::new();
    loop {
        let body = json!({ "subjects_filter": filter, "offset": all.len() });
        let info = match api.ask(&format!("STREAM.INFO.{stream}"), &body).await {
            Ok(info) => info,
            Err(failure) => return Err(api.did_you_mean(failure, stream).await),
        };
        let page = info.pointer("/state/subjects").and_then(Value::as_object);
        let page = page.into_iter().flatten();
        let before = all.len();
        all.extend(page.map(|(name, count)| (name.clone(), count.as_u64().unwrap_or(0))));
        if all.len() == before || all.len() as u64 >= number(&info, "/total") {
            return Ok(all);
        }
    }
}

/// Runs of messages that were deleted between the first and the last one.
pub(super) async fn gaps(context: &Context, stream: &str) -> Outcome {
    let out = context.out;
    let connector = context.connect().await?;
    let api = Api::new(&connector, context);
    stream_info(&api, stream).await?;
    let body = json!({ "deleted_details": true });
    let info = api.ask(&format!("STREAM.INFO.{stream}"), &body).await?;
    connector.close().await?;
    let deleted = info.pointer("/state/deleted").and_then(Value::as_array);
    let gaps = runs(deleted.into_iter().flatten().filter_map(Value::as_u64));
    if out.json {
        let list: Vec<Value> =
            gaps.iter().map(|(first, last)| json!({ "first": first, "last": last })).collect();
        out.document(&list);
    } else if gaps.is_empty() {
        out.say(format!("No deleted messages in {stream}"));
    } else {
        let title = format!("Gaps in Stream {stream}");
        let head = ["First Message", "Last Message", "Messages"];
        let mut table = Table::new(title, &head).right(&[0, 1, 2]);
        for (first, last) in gaps {
            table.row([first, last, last - first + 1].map(units::count));
        }
        table.print(&out);
    }
    Ok(())
}

/// Numbers that follow each other, as first and last.
fn runs(numbers: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_gap() {
        assert_eq!(runs([2, 3, 4, 7, 9, 10].into_iter()), [(2, 4), (7, 7), (9, 10)]);
        assert!(runs(std::iter::empty()).is_empty());
    }
}
