//! `natterjack events`: what servers and JetStream tell about themselves, as it happens.

mod line;

use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use natterjack::codec::Binary;
use serde_json::{Map, Value, json};

use super::server::ask;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::output::put_body;

/// Show what servers and JetStream tell about themselves, as it happens.
///
/// Connects and disconnects are told to users of the system account; JetStream tells the account whose
/// streams they are.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Everything
    #[arg(short, long)]
    all: bool,
    /// The kind and what it is about, without details
    #[arg(long)]
    short: bool,
    /// What happens to streams and consumers, and who asks the JetStream API what
    #[arg(long)]
    js_advisory: bool,
    /// How long acknowledgements take, of consumers that sample them
    #[arg(long)]
    js_metric: bool,
    /// Leave out connects, disconnects and refused logins
    #[arg(long)]
    no_srv_advisory: bool,
    /// Also messages on these subjects, may be given several times
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',')]
    subjects: Vec<String>,
    /// End after this many
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Where servers tell of clients (nats-server 2.15, `server/events.go`).
const SERVER: [&str; 4] = [
    "$SYS.ACCOUNT.*.CONNECT",
    "$SYS.ACCOUNT.*.DISCONNECT",
    "$SYS.SERVER.*.CLIENT.AUTH.ERR",
    "$SYS.ACCOUNT.CLIENT.AUTH.ERR",
];

impl Events {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let connector = context.connect().await?;
        let mut subjects = Vec::new();
        let (mut servers, js_advisory, js_metric) = match self.all {
            true => (true, true, true),
            false => (!self.no_srv_advisory, self.js_advisory, self.js_metric),
        };
        if servers {
            let told =
                ask(context, &connector, "$SYS.REQ.SERVER.PING", &Value::Null, Some(1)).await;
            if let Err(failure) = told {
                if !js_advisory && !js_metric && self.subjects.is_empty() {
                    return Err(failure);
                }
                servers = false;
                out.warn("connects and disconnects are not shown: no user of the system account");
            }
        }
        if servers {
            subjects.extend(SERVER.map(str::to_owned));
        }
        let prefix = context.event_prefix();
        if js_advisory {
            subjects.push(format!("{prefix}.ADVISORY.>"));
        }
        if js_metric {
            subjects.push(format!("{prefix}.METRIC.>"));
        }
        subjects.extend(self.subjects.iter().cloned());
        let mut all = Vec::new();
        for subject in &subjects {
            all.push(connector.on(subject).codec(Binary).open::<Bytes>().await?);
        }
        context.interrupt.finish_gracefully();
        out.log(format!("Listening for events on {}", subjects.join(", ")));
        let mut events = select_all(all);
        let mut seen = 0;
        while self.count.is_none_or(|count| seen < count) {
            let event = tokio::select! {
                event = events.next() => event,
                () = context.interrupt.raised() => break,
            };
            // Bytes always decode as bytes.
            let Some(Ok(message)) = event else { break };
            seen += 1;
            let value = serde_json::from_slice::<Value>(&message.payload).ok();
            if out.json {
                let mut object = Map::from_iter([("subject".to_owned(), message.subject.into())]);
                match value {
                    Some(value) => drop(object.insert("event".to_owned(), value)),
                    None => put_body(&mut object, &message.payload),
                }
                out.object(&json!(object));
            } else {
                out.line(line::of(&message.subject, value.as_ref(), &message.payload, self.short));
            }
        }
        drop(events);
        connector.close().await?;
        Ok(())
    }
}
