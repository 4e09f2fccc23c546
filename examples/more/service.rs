//! Beyond the pairs: a micro-service, which tools can find and measure.
//!
//! **Shows:** a service with an endpoint, made with the official client that the connector rests on
//! (`Connector::raw`). It answers who it is and how it does (ADR-32): `natterjack service list`,
//! `natterjack service stats quotes`.
//!
//! **Run it:** `natterjack serve` in one terminal, then `cargo run --example more_service`; with
//! `-- --count 0` it goes on until Ctrl-C, and `natterjack service request quotes eur 2` asks it.
//!
//! **Expect:** ten questions of its own with their answers, then `10 requests, 1 errors`.
//!
//! **Read on:** <https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-32.md>

use std::process::ExitCode;

use async_nats::service::ServiceExt as _;
use async_nats::service::error::Error;
use futures_util::StreamExt as _;
use natterjack::Connector;
use natterjack::codec::Text;
use natterjack_examples::{Failure, Options, Out, Outcome, Stop, start};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Answers questions, and asks some.
pub async fn run(options: Options, out: Out, stop: Stop) -> Outcome {
    let connector = Connector::builder()
        .servers(options.url.split(','))
        .name("NATS service example")
        .build()
        .await?;
    out.connected(&connector).await?;
    let failed = |error: &dyn std::fmt::Display| Failure::new("service", 1, error.to_string());
    let service = connector
        .raw()?
        .service_builder()
        .description("prices in euros")
        .start("quotes", "1.2.0")
        .await
        .map_err(|error| failed(&error))?;
    let eur = service.endpoint_builder().name("eur").add("quotes.eur").await;
    let mut requests = eur.map_err(|error| failed(&error))?;
    let answering = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let text = String::from_utf8_lossy(&request.message.payload);
            let answer = match text.trim().parse::<u32>() {
                Ok(pieces) => Ok(format!("{}.00", pieces * 3).into()),
                Err(_) => Err(Error { status: "no number of pieces".into(), code: 400 }),
            };
            if request.respond(answer).await.is_err() {
                return;
            }
        }
    });

    for n in options.numbers() {
        if options.count == 0 {
            stop.raised().await;
            break;
        }
        // The last question makes no sense.
        let question = if n == options.count { "many".to_owned() } else { n.to_string() };
        let answer =
            connector.ask("quotes.eur").codec(Text).send_msg::<str, String>(&question).await;
        let answer = answer.map_err(|error| failed(&error))?;
        match answer.header("Nats-Service-Error") {
            None => out.good(format!("{question} pieces: {} EUR", answer.value())),
            Some(error) => out.warn(format!("{question} pieces: {error}")),
        }
    }

    for (name, stats) in service.stats().await {
        out.note(format!("{name}: {} requests, {} errors", stats.requests, stats.errors));
    }
    service.stop().await.map_err(|error| failed(&error))?;
    answering.await.ok();
    connector.drain().await?;
    Ok(())
}
