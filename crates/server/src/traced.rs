//! Reports about messages whose publishers want to know what became of them (ADR-41), in nats-server's
//! form.

use natterjack_core::batch::Batch;
use natterjack_core::trace::{Event, Report, What};
use serde_json::{Map, Value, json};

use crate::hub::Hub;
use crate::server_info::{ServerInfo, rfc3339};
use crate::system::Packing;

/// A connection of a client, by nats-server's numbers.
const CLIENT: u32 = 0;

/// Publishes the reports of a batch, each in the account that it is about.
#[cold]
pub(crate) fn report(hub: &Hub, batch: &mut Batch) {
    for report in batch.take_reports() {
        let text = json(hub, &report).to_string();
        let packing = report
            .headers
            .get("Accept-Encoding")
            .and_then(|values| Packing::named(values.first()?));
        let (headers, payload) = match packing {
            Some(packing) => packing.pack(text.as_bytes()),
            None => (Vec::new(), text.into_bytes()),
        };
        hub.publish_with(batch, &report.account, &report.destination, &headers, &payload);
    }
}

fn json(hub: &Hub, report: &Report) -> Value {
    json!({
        "server": ServerInfo::of(hub),
        "request": {"header": report.headers, "msgsize": report.size},
        "events": report.events.iter().map(|event| shown(hub, event)).collect::<Vec<_>>(),
    })
}

fn shown(hub: &Hub, event: &Event) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
    let kind = match &event.what {
        What::In { .. } => "in",
        What::Mapped { .. } => "sm",
        What::StreamExport { .. } => "se",
        What::ServiceImport { .. } => "si",
        What::JetStream { .. } => "js",
        _ => "eg",
    };
    put("type", kind.into());
    put("ts", rfc3339(event.unix_ns).into());
    match &event.what {
        What::In { cid, account, subject, error } => {
            connection(hub, *cid, &mut put);
            put("acc", (**account).into());
            put("subj", text(subject));
            if let Some(error) = error {
                put("error", error.as_str().into());
            }
        }
        What::Mapped { to } => put("to", text(to)),
        What::StreamExport { account, to } => {
            put("acc", (**account).into());
            put("to", text(to));
        }
        What::ServiceImport { account, from, to } => {
            put("acc", (**account).into());
            put("from", text(from));
            put("to", text(to));
        }
        What::JetStream { stream, subject } => {
            put("stream", stream.as_str().into());
            put("subject", text(subject));
        }
        What::Out { cid, account, subject, queue, error } => {
            connection(hub, *cid, &mut put);
            if let Some(account) = account {
                put("acc", (**account).into());
            }
            put("sub", text(subject));
            if let Some(queue) = queue {
                put("queue", text(queue));
            }
            if let Some(error) = error {
                put("error", (*error).into());
            }
        }
        _ => {}
    }
    members.into()
}

fn connection(hub: &Hub, cid: u64, put: &mut impl FnMut(&str, Value)) {
    put("kind", CLIENT.into());
    put("cid", cid.into());
    let details = hub.connection(cid).map(|info| info.details());
    if let Some(details) = details
        && !details.name().is_empty()
    {
        put("name", details.name().into());
    }
}
