//! Snapshots and restores on their way: each is a task that sends or takes chunks, at the pace of the
//! other side. The archive itself is `natterjack-jetstream`'s.

mod restore;
mod snapshot;

use std::future::poll_fn;
use std::sync::Weak;
use std::task::{Poll, Waker};
use std::time::Duration;

use natterjack_jetstream::{Delivered, Host as _, Now, Outgoing};

use super::effects::Effects;
use super::{JetStreamGlue, now};
use crate::connection::with_batch;
use crate::hub::Hub;

pub(super) use restore::take as take_restore;
pub(super) use snapshot::send as send_snapshot;

/// How long the other side may be silent (nats-server 2.15.1).
const PATIENCE: Duration = Duration::from_secs(5);

/// The server, while it is there.
#[derive(Clone)]
struct Home(Weak<Hub>);

impl Home {
    /// Calls the engine; `None` once the server is gone.
    fn call<R>(&self, work: impl FnOnce(&JetStreamGlue, &mut Effects<'_>, Now) -> R) -> Option<R> {
        let hub = self.0.upgrade()?;
        let glue = hub.jetstream()?;
        Some(with_batch(&hub, |batch| {
            batch.as_service(|batch| {
                let now = now(batch);
                work(glue, &mut Effects::new(&hub, batch), now)
            })
        }))
    }

    /// Calls the engine until it is ready; `None` once the server is gone.
    async fn poll<R>(
        &self,
        mut work: impl FnMut(&JetStreamGlue, &mut Effects<'_>, Now, &Waker) -> Poll<R>,
    ) -> Option<R> {
        poll_fn(|cx| {
            let polled = self.call(|glue, host, now| work(glue, host, now, cx.waker()));
            polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
        })
        .await
    }

    /// Whether somebody listens to `subject`.
    fn is_heard(&self, account: &str, subject: &str) -> bool {
        self.call(|_, host, _| host.has_interest(account, subject.as_bytes())) == Some(true)
    }

    /// Publishes; false when nobody listens.
    fn publish(&self, account: &str, subject: &[u8], message: &Outbound<'_>) -> bool {
        let outgoing = Outgoing {
            account,
            route: subject,
            subject,
            reply: message.reply,
            headers: message.headers,
            payload: message.payload,
        };
        let delivered = self.call(|_, host, _| host.deliver(&outgoing));
        delivered.is_some_and(|delivered| delivered != Delivered::No)
    }
}

/// What is published.
#[derive(Clone, Copy, Default)]
struct Outbound<'a> {
    reply: Option<&'a [u8]>,
    headers: &'a [u8],
    payload: &'a [u8],
}
