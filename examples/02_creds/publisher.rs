//! Pair 2, publisher: logging in with a credentials file.
//!
//! **New since 1:** a credentials file, which holds who the user is (a JWT, signed by the account) and
//! the key to prove it. The server knows neither passwords nor users, only its operator. What the user
//! may do stands in the JWT; this program also tries what the user may not do.
//!
//! **Run it:** `natterjack auth quick demo` makes all files; `natterjack serve -c demo/server.conf`; then
//! `cargo run --example 02_creds_publisher -- --creds demo/demo.creds` and the subscriber likewise.
//!
//! **Expect:** what pair 1 prints, then `permission denied: publish demo.secret`. A missing, damaged,
//! expired or revoked file gives an error of its own and exit code 4. Files are read anew at each
//! reconnect: replace one while the server is away, and the new one is used.
//!
//! **Read on:** <https://docs.nats.io/using-nats/developer/connecting/creds>

use std::process::ExitCode;
use std::time::Instant;

use natterjack::codec::Text;
use natterjack::error::PublishError;
use natterjack::{Auth, Backoff, Connector, Event, Reconnect, ServerOrder, pretty, secs};
use natterjack_examples::{CredsOptions, Out, Outcome, SENT_AT, Stop, now, start};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, sends, says goodbye.
pub async fn run(options: CredsOptions, out: Out, stop: Stop) -> Outcome {
    let events = out.clone();
    let connector = Connector::builder()
        .servers([&options.url])
        .name("NATS creds example publisher")
        .auth(Auth::creds_file(&options.creds))
        .connect_timeout(secs(10))
        .ping_interval(secs(20)) // a silent server is asked every 20 s ..
        .max_outstanding_pings(6) // .. and given up when it has not answered six times
        .reconnect(Reconnect::Forever)
        .server_order(ServerOrder::Shuffled) // matters with several servers
        .backoff(Backoff::fixed(options.reconnect_wait).jitter(0.0)) // 5 s between attempts
        .echo(true) // own messages come back if we subscribe to them
        .on_event(move |event| {
            report(&events, &event);
            async {}
        })
        .build()
        .await?;
    out.connected(&connector).await?;

    let began = Instant::now();
    let (mut sent, mut failed) = (0, 0);
    for n in options.numbers() {
        let text = format!("Hello #{n} from NATS publisher");
        let message = connector.to(&options.subject).codec(Text).header(SENT_AT, now());
        match message.send(&text).await {
            Ok(()) => {
                sent += 1;
                out.sent(&options.subject, &text, &[]);
            }
            Err(PublishError::Closed(_)) => break, // the server refused us twice
            Err(error) => {
                failed += 1;
                out.error(error);
            }
        }
        if !stop.pause(options.interval).await {
            break;
        }
    }

    // A plain publish would seem to work: only a confirmed one says that it was not allowed.
    match connector.to(&options.forbidden).codec(Text).confirmed().send("psst").await {
        Ok(()) => out.note(format!("this user may publish to {}", options.forbidden)),
        Err(PublishError::PermissionDenied(denied)) => out.warn(denied),
        Err(error) => out.error(error),
    }

    // Waits until the server has taken everything; a plain exit could lose the last messages.
    let report = connector.drain().await?;
    out.total_sent(sent, sent - report.unsent, failed, began.elapsed());
    Ok(())
}

/// Two of the connection's events are worth a line here; pair 4 shows all of them.
fn report(out: &Out, event: &Event) {
    match event {
        Event::ReconnectFailed { retry_in: Some(wait), .. } => {
            out.warn(format!("disconnected, retrying in {}", pretty(*wait)));
        }
        Event::Reconnected { outage, .. } => {
            out.good(format!("reconnected after {}", pretty(*outage)));
        }
        _ => {}
    }
}
