//! Pair 2, subscriber: logging in with a credentials file.
//!
//! **New since 1:** a credentials file, which holds who the user is (a JWT, signed by the account) and
//! the key to prove it. This program also shows what the file says about the user.
//!
//! **Run it:** `natterjack auth quick demo` makes all files; `natterjack serve -c demo/server.conf`; then
//! `cargo run --example 02_creds_subscriber -- --creds demo/demo.creds` and the publisher likewise.
//!
//! **Expect:** `user demo of account A.., never expires`, then what pair 1 prints. A missing, damaged,
//! expired or revoked file gives an error of its own and exit code 4. As in pair 1, a core subject keeps
//! nothing for absentees.
//!
//! **Read on:** <https://docs.nats.io/using-nats/developer/connecting/creds>

use std::process::ExitCode;
use std::time::SystemTime;

use natterjack::codec::Text;
use natterjack::{Auth, Backoff, Connector, Event, Reconnect, ServerOrder, pretty, secs};
use natterjack_examples::{CredsOptions, Out, Outcome, SENT_AT, Stop, age, start};

/// The program starts here: flags and Ctrl-C are read, then [`run`] does the work.
#[tokio::main]
async fn main() -> ExitCode {
    start(run).await
}

/// Connects, receives, says goodbye.
pub async fn run(options: CredsOptions, out: Out, stop: Stop) -> Outcome {
    let login = Auth::creds_file(&options.creds);
    let events = out.clone();
    let connector = Connector::builder()
        .servers([&options.url])
        .name("NATS creds example subscriber")
        .auth(login.clone())
        .connect_timeout(secs(10))
        .ping_interval(secs(20))
        .max_outstanding_pings(6)
        .reconnect(Reconnect::Forever)
        .server_order(ServerOrder::Shuffled)
        .backoff(Backoff::fixed(options.reconnect_wait).jitter(0.0))
        .echo(true)
        .on_event(move |event| {
            report(&events, &event);
            async {}
        })
        .build()
        .await?;
    out.connected(&connector).await?;
    if let Some(user) = login.claims().await? {
        let expiry =
            user.expires.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
        let expiry =
            expiry.map_or("never expires".into(), |left| format!("expires in {}", pretty(left)));
        out.note(format!("user {} of account {}, {expiry}", user.name, user.account));
    }

    let mut messages = connector.on(&options.subject).codec(Text).open::<String>().await?;
    out.note(format!("listening on {}; what was sent before is gone", options.subject));

    let mut received = 0;
    while options.wants_more(received) {
        // `None` is the end of the subscription, Ctrl-C, or a publisher that has fallen silent.
        let Some(message) = stop.or(messages.next(), options.silence(received)).await else {
            break;
        };
        match message {
            Ok(message) => {
                received += 1;
                let took = age(message.header(SENT_AT));
                out.received(&message.subject, message.value(), took, &[]);
            }
            Err(not_text) => out.warn(not_text),
        }
    }

    let dropped = messages.dropped();
    let report = connector.drain().await?;
    out.total_received(received, dropped, 0, report.took);
    options.complete(received, &stop)
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
