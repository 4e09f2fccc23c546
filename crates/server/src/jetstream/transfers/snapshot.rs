//! Sending a snapshot: chunks go out while fewer than a window of them are unanswered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use natterjack_config::reload::friendly_bytes;
use natterjack_core::batch::Batch;
use natterjack_core::service::{Message, Origin, Service};
use natterjack_jetstream::Snapshot;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Home, Outbound, PATIENCE};
use crate::hub::Hub;
use crate::{log_info, log_warn};

/// How long a receiver may take to listen (nats-server 2.15.1).
const LISTENS_WITHIN: Duration = Duration::from_secs(2);

/// How often it is looked whether the receiver is still there.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the receiver has not answered yet.
#[derive(Default)]
struct Pace {
    unanswered: AtomicUsize,
    answered: Notify,
}

impl Service for Pace {
    fn receive(&self, _: &str, _: &Message<'_>, _: Origin<'_>, _: &mut Batch) -> bool {
        // Answers beyond those that are owed do not widen the window.
        let less = |count: usize| count.checked_sub(1);
        let _ = self.unanswered.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        self.answered.notify_one();
        true
    }
}

/// Why a snapshot is not complete.
enum Broken {
    NoInterest,
    NoFlow,
    Failed(String),
    /// The server stops.
    Stopped,
}

/// Sends a snapshot from a task of its own.
pub(in crate::jetstream) fn send(hub: &Hub, mut snapshot: Snapshot) {
    let Some(account) = hub.accounts().find(snapshot.account()) else { return };
    let pace = Arc::new(Pace::default());
    let answers = format!("{}.>", snapshot.ack_prefix());
    let subscription = account.subscribe_service(answers.as_bytes(), pace.clone());
    let name = format!("'{} > {}'", snapshot.account(), snapshot.stream());
    log_info!(hub.log(), "Starting snapshot for stream {name}");
    let home = Home(hub.weak());
    hub.runtime().spawn(async move {
        let begun = Instant::now();
        let mut sent = 0;
        let outcome = run(&home, &mut snapshot, &pace, &mut sent).await;
        account.unsubscribe_service(&subscription);
        let why = match &outcome {
            Ok(()) => None,
            Err(Broken::NoInterest) => Some("no interest"),
            Err(Broken::NoFlow) => Some("no flow response"),
            Err(Broken::Failed(why)) => Some(why.as_str()),
            Err(Broken::Stopped) => return,
        };
        home.call(|_, host, now| snapshot.ended(host, now, why));
        let Some(hub) = home.0.upgrade() else { return };
        let took = begun.elapsed();
        match why {
            None => log_info!(
                hub.log(),
                "Completed snapshot of {} for stream {name} in {took:?}",
                friendly_bytes(sent)
            ),
            Some(why) => {
                log_warn!(hub.log(), "Snapshot for stream {name} failed after {took:?}: {why}");
            }
        }
    });
}

async fn run(
    home: &Home,
    snapshot: &mut Snapshot,
    pace: &Pace,
    sent: &mut u64,
) -> Result<(), Broken> {
    let (account, subject) = (snapshot.account().to_owned(), snapshot.deliver_subject().to_owned());
    let publish = |message: &Outbound<'_>| home.publish(&account, subject.as_bytes(), message);
    let limit = Instant::now() + LISTENS_WITHIN;
    while !home.is_heard(&account, &subject) && Instant::now() < limit {
        sleep(LOOK_EVERY).await;
    }
    let mut chunks = 0_u64;
    let outcome = loop {
        let next = home.poll(|_, host, now, waker| snapshot.next_chunk(host, now, waker)).await;
        let chunk = match next {
            None => return Err(Broken::Stopped),
            Some(Err(why)) => break Err(Broken::Failed(why)),
            Some(Ok(None)) => break Ok(()),
            Some(Ok(Some(chunk))) => chunk,
        };
        chunks += 1;
        let reply = format!("{}.{}.{chunks}", snapshot.ack_prefix(), chunk.len());
        pace.unanswered.fetch_add(1, Ordering::AcqRel);
        let reply = Some(reply.as_bytes());
        if !publish(&Outbound { reply, payload: &chunk, ..Outbound::default() }) {
            break Err(Broken::NoInterest);
        }
        *sent += chunk.len() as u64;
        if let Err(broken) = room(home, pace, snapshot.window(), (&account, &subject)).await {
            break Err(broken);
        }
    };
    // As nats-server: what is smaller than a chunk needs no answer, and has no status behind it.
    let headers = match &outcome {
        Ok(()) => {
            let rest = snapshot.rest();
            *sent += rest.len() as u64;
            if !rest.is_empty() {
                publish(&Outbound { payload: &rest, ..Outbound::default() });
            }
            if chunks > 0 { "NATS/1.0 204\r\n\r\n".to_owned() } else { String::new() }
        }
        Err(Broken::NoInterest | Broken::Stopped) => "NATS/1.0 408 No Interest\r\n\r\n".to_owned(),
        Err(Broken::NoFlow) => "NATS/1.0 408 No Flow Response\r\n\r\n".to_owned(),
        Err(Broken::Failed(why)) => {
            format!("NATS/1.0 500 {}\r\n\r\n", why.replace(['\r', '\n'], " "))
        }
    };
    publish(&Outbound { headers: headers.as_bytes(), ..Outbound::default() });
    outcome
}

/// Waits until another chunk may be sent.
async fn room(
    home: &Home,
    pace: &Pace,
    window: usize,
    (account, subject): (&str, &str),
) -> Result<(), Broken> {
    let limit = Instant::now() + PATIENCE;
    while pace.unanswered.load(Ordering::Acquire) >= window {
        let look = (Instant::now() + LOOK_EVERY).min(limit);
        if timeout_at(look, pace.answered.notified()).await.is_ok() {
            continue;
        }
        if !home.is_heard(account, subject) {
            return Err(Broken::NoInterest);
        }
        if look == limit {
            return Err(Broken::NoFlow);
        }
    }
    Ok(())
}
