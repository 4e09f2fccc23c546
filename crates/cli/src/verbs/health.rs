//! `natterjack health`: whether a server is well, for containers and load balancers.

use clap::Args;
use natterjack::HealthLevel;
use serde_json::json;

use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::text;
use crate::monitor::Monitor;
use crate::units;

/// Say whether a server is well: exits with 0 if it is.
///
/// It connects and waits for a round trip; with --monitor it asks `/healthz` of a monitoring port, which
/// needs no login.
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Ask this monitoring port in place of connecting; 8222 of this machine without a value
    #[arg(short = 'm', long, value_name = "URL", num_args = 0..=1, default_missing_value = crate::monitor::DEFAULT)]
    monitor: Option<String>,
    /// Not well without JetStream
    #[arg(long)]
    js: bool,
}

impl Health {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match &self.monitor {
            Some(url) => self.ask_monitor(context, url).await,
            None => self.ask_server(context).await,
        }
    }

    async fn ask_monitor(&self, context: &Context, url: &str) -> Outcome {
        let monitor = Monitor::new(url, context.timeout()?)?;
        let path = if self.js { "/healthz?js-enabled-only=true" } else { "/healthz" };
        let (_, health) = monitor.get(path).await?;
        match text(&health, "/status") {
            "ok" => {
                say(context, &format!("{} is well", monitor.address()), "up");
                Ok(())
            }
            word => Err(unwell(&format!("{word}: {}", text(&health, "/error")))),
        }
    }

    async fn ask_server(&self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let health = connector.health(context.timeout()?).await;
        let server = health.server.clone().unwrap_or_default();
        let rtt = match (health.level, health.rtt) {
            (HealthLevel::Up, Some(rtt)) => rtt,
            _ => return Err(unwell(&format!("{server} does not answer"))),
        };
        if self.js {
            Api::new(&connector, context).ask("INFO", &serde_json::Value::Null).await?;
        }
        connector.close().await?;
        say(context, &format!("{server} is well, rtt {}", units::duration(rtt)), "up");
        Ok(())
    }
}

fn say(context: &Context, text: &str, level: &str) {
    match context.out.json {
        true => context.out.object(&json!({"status": level, "text": text})),
        false => context.out.line(text),
    }
}

fn unwell(why: &str) -> Failure {
    Failure::new(status::FAILED, "health.unwell", why).hint("see the server's log")
}
