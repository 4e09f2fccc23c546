//! The connector's own pings: a round trip at each interval, and an end to a server that stays silent.
//!
//! async-nats allows two outstanding PINGs and no other number. A round trip is a request to a subject
//! that nobody listens on, which the server answers at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::hooks::reconnect;
use super::link::Link;
use crate::event::{ConnState, DisconnectReason};
use crate::signal::raised;

/// How often a state that fell out of step with async-nats would be noticed.
const HEAL_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn run(link: Arc<Link>) {
    let mut stop = link.stop();
    let period = link.options.ping_interval;
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heal = tokio::time::interval(HEAL_INTERVAL);
    heal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = raised(&mut stop) => return,
            _ = heal.tick() => link.heal(),
            _ = ticks.tick() => tick(&link).await,
        }
    }
}

async fn tick(link: &Arc<Link>) {
    if !matches!(link.state(), ConnState::Connected | ConnState::Draining) {
        return;
    }
    let outstanding = link.outstanding_pings.fetch_add(1, Ordering::Relaxed) + 1;
    let allowed = u64::from(link.options.max_outstanding_pings);
    if outstanding > allowed {
        tracing::debug!(outstanding, "no answer to pings");
        link.outstanding_pings.store(0, Ordering::Relaxed);
        reconnect(link, DisconnectReason::StalePing).await;
        return;
    }
    let link = link.clone();
    let limit = link.options.stale_after();
    tokio::spawn(async move {
        if crate::core::round_trip(&link, limit).await.is_ok() {
            // Any answer shows that the server is alive, whatever is outstanding.
            link.outstanding_pings.store(0, Ordering::Relaxed);
        }
    });
}
