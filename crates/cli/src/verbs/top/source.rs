//! Where samples come from: a monitoring port, or the system account.

use std::time::Instant;

use natterjack::{ConnState, Connector};
use serde_json::{Value, json};

use super::super::server::ask;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::monitor::Monitor;

/// A server that can be asked.
pub(super) enum Source {
    Monitor(Monitor),
    /// The server that is connected to, as a user of the system account.
    System(Connector),
}

/// What is wanted of the connections.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) limit: usize,
    pub(super) subscriptions: bool,
}

/// What a server said about itself at one time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) varz: Value,
    pub(super) connz: Value,
    pub(super) jsz: Value,
}

impl Source {
    pub(super) async fn open(context: &Context, monitor: Option<&str>) -> Result<Self, Failure> {
        match monitor {
            Some(url) => Ok(Self::Monitor(Monitor::new(url, context.timeout()?)?)),
            None => {
                let connector = context.connect().await?;
                let source = Self::System(connector);
                // Said at once, and not as a banner over nothing.
                let wish = Wish { limit: 1, subscriptions: false };
                match source.sample(context, &wish).await {
                    Ok(_) => Ok(source),
                    Err(failure) => Err(Failure {
                        hint: "connect as a user of the system account, or name a monitoring \
                               port with --monitor"
                            .to_owned(),
                        ..failure
                    }),
                }
            }
        }
    }

    pub(super) async fn sample(&self, context: &Context, wish: &Wish) -> Result<Sample, Failure> {
        let (varz, connz, jsz) = match self {
            Self::Monitor(monitor) => {
                let subs = if wish.subscriptions { "&subs=1" } else { "" };
                let connz = format!("/connz?auth=1&limit={}{subs}", wish.limit);
                let (_, varz) = monitor.get("/varz").await?;
                let (_, connz) = monitor.get(&connz).await?;
                let (_, jsz) = monitor.get("/jsz?streams=1&consumers=1&config=1").await?;
                (varz, connz, jsz)
            }
            Self::System(connector) => {
                if connector.state() != ConnState::Connected {
                    return Err(Failure::new(3, "conn.offline", "the connection is lost"));
                }
                let id = connector.raw()?.server_info().server_id;
                let get = async |kind: &str, body: Value| {
                    let subject = format!("$SYS.REQ.SERVER.{id}.{kind}");
                    let mut answers = ask(context, connector, &subject, &body, Some(1)).await?;
                    let answer = answers.pop().map(|mut answer| answer.value["data"].take());
                    Ok::<Value, Failure>(answer.unwrap_or_default())
                };
                let connz = json!({
                    "auth": true, "limit": wish.limit, "subscriptions": wish.subscriptions,
                });
                let jsz =
                    json!({ "accounts": true, "streams": true, "consumer": true, "config": true });
                (get("VARZ", json!({})).await?, get("CONNZ", connz).await?, get("JSZ", jsz).await?)
            }
        };
        Ok(Sample { at: Instant::now(), varz, connz, jsz })
    }

    /// Tells the server to close a connection.
    pub(super) async fn kick(&self, context: &Context, cid: u64) -> Outcome {
        match self {
            Self::Monitor(_) => {
                let text = "a monitoring port closes no connection: use the system account";
                Err(Failure::new(status::REFUSED, "refused", text))
            }
            Self::System(connector) => {
                let id = connector.raw()?.server_info().server_id;
                let subject = format!("$SYS.REQ.SERVER.{id}.KICK");
                ask(context, connector, &subject, &json!({ "cid": cid }), Some(1)).await?;
                Ok(())
            }
        }
    }

    pub(super) async fn close(self) -> Outcome {
        if let Self::System(connector) = self {
            connector.close().await?;
        }
        Ok(())
    }
}
