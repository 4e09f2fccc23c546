//! Beyond the pairs: a micro-service, which tools can find and measure.
//!
//! **Shows:** a service with an endpoint. It answers who it is and how it does (ADR-32):
//! `natterjack service list`, `natterjack service stats quotes`. What it refuses is counted.
//!
//! **Run it:** `natterjack serve` in one terminal, then `cargo run --example more_service`; with
//! `-- --count 0` it goes on until Ctrl-C, and `natterjack service request quotes eur 2` asks it.
//!
//! **Expect:** ten questions of its own with their answers, then `10 requests, 1 errors`.
//!
//! **Read on:** <https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-32.md>

use std::process::ExitCode;

use natterjack::codec::Text;
use natterjack::error::RequestError;
use natterjack::service::{Endpoint, ServiceError};
use natterjack::{Connector, Msg};
use natterjack_examples::{Options, Out, Outcome, Stop, start};

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
    let eur = Endpoint::with_codec(Text, "quotes.eur", |pieces: Msg<String>| async move {
        match pieces.value().trim().parse::<u32>() {
            Ok(pieces) => Ok(format!("{}.00", u64::from(pieces) * 3)),
            Err(_) => Err(ServiceError::new(400, "no number of pieces")),
        }
    });
    let service = connector
        .service("quotes", "1.2.0")
        .description("prices in euros")
        .with(eur.name("eur"))
        .start()
        .await?;

    for n in options.numbers() {
        if options.count == 0 {
            stop.raised().await;
            break;
        }
        // The last question makes no sense.
        let question = if n == options.count { "many".to_owned() } else { n.to_string() };
        let ask = connector.ask("quotes.eur").codec(Text);
        match ask.send::<str, String>(&question).await {
            Ok(price) => out.good(format!("{question} pieces: {price} EUR")),
            Err(RequestError::Refused(refused)) => {
                out.warn(format!("{question} pieces: {}", refused.description));
            }
            Err(error) => return Err(error.into()),
        }
    }

    for endpoint in service.stats().endpoints {
        let (requests, errors) = (endpoint.num_requests, endpoint.num_errors);
        out.note(format!("{}: {requests} requests, {errors} errors", endpoint.name));
    }
    service.stop().await;
    connector.drain().await?;
    Ok(())
}
