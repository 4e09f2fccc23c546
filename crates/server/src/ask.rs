//! Requests that the server itself puts to somebody in an account, and waits for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use natterjack_core::account::{Account, Matches};
use natterjack_core::batch::Batch;
use natterjack_core::service::{Message, Origin, Service};
use natterjack_core::subscription::Subscription;
use natterjack_jetstream::nuid;
use tokio::sync::oneshot;

use crate::connection::with_batch;
use crate::hub::Hub;

/// What is asked, and where.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) subject: &'a [u8],
    /// A whole header block, or empty.
    pub(crate) headers: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// Takes the first answer.
struct Inbox(Mutex<Option<oneshot::Sender<Vec<u8>>>>);

impl Service for Inbox {
    fn receive(&self, _: &str, message: &Message<'_>, _: Origin<'_>, _: &mut Batch) -> bool {
        let taker = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match taker {
            Some(taker) => taker.send(message.payload.to_vec()).is_ok(),
            None => false,
        }
    }
}

/// Ends the subscription of an inbox, also when nobody waits any more.
struct Subscribed<'a> {
    account: &'a Arc<Account>,
    subscription: Arc<Subscription>,
}

impl Drop for Subscribed<'_> {
    fn drop(&mut self) {
        self.account.unsubscribe_service(&self.subscription);
    }
}

/// Publishes in an account and waits for the first answer. `None` when there is none in time; at once when
/// nobody is there to ask.
pub(crate) async fn ask(
    hub: &Arc<Hub>,
    account: &Arc<Account>,
    question: Question<'_>,
    timeout: Duration,
) -> Option<Vec<u8>> {
    let (taker, answer) = oneshot::channel();
    // As nats-server's inboxes look: tools and services know them by their beginning.
    let reply =
        format!("$SYS._INBOX.{}.{}", nuid::text(8, rand::random), nuid::text(8, rand::random));
    let inbox = Arc::new(Inbox(Mutex::new(Some(taker))));
    let subscription = account.subscribe_service(reply.as_bytes(), inbox);
    let _subscribed = Subscribed { account, subscription };
    let is_received = with_batch(hub, |batch| {
        let mut matches = Matches::default();
        account.find(question.subject, &mut matches);
        let message = Message {
            subject: question.subject,
            reply: Some(reply.as_bytes()),
            headers: question.headers,
            payload: question.payload,
        };
        account.route(&matches, question.subject, &message, Origin::Internal, batch) > 0
    });
    if !is_received {
        return None;
    }
    tokio::time::timeout(timeout, answer).await.ok()?.ok()
}
