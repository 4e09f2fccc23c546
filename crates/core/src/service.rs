//! Parts of the server that receive messages like a subscriber: streams, the JetStream API, acks.

use std::sync::Arc;

use crate::batch::Batch;
use crate::client::Client;

/// A message on its way, borrowed from a read buffer or a stored record.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The literal subject.
    pub subject: &'a [u8],
    /// Where an answer shall go.
    pub reply: Option<&'a [u8]>,
    /// A whole header block, or empty.
    pub headers: &'a [u8],
    /// The body.
    pub payload: &'a [u8],
}

/// Where a message comes from. It decides whether echo and permissions apply.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// A client published it.
    Client(&'a Client),
    /// The server itself: replies of services, deliveries of consumers, advisories.
    Internal,
}

/// A receiver inside the server.
pub trait Service: Send + Sync {
    /// Takes a message. What it causes goes into `batch`. Returns false where clients expect "no
    /// responders" because there is nobody behind this subject.
    fn receive(
        &self,
        account: &str,
        message: &Message<'_>,
        origin: Origin<'_>,
        batch: &mut Batch,
    ) -> bool;

    /// The stream behind it, if it is one: traces of messages name it.
    fn stream_name(&self) -> Option<String> {
        None
    }

    /// Called once at the end of a batch in which the service asked for it with [`Batch::settle_later`].
    fn settle(&self, batch: &mut Batch) {
        let _ = batch;
    }

    /// An identity, so that a batch settles each service once; 0 never settles.
    fn key(&self) -> u64 {
        0
    }
}

/// A receiver that keeps what it gets in a queue of its own until the end of the batch: a mirror, to which
/// a consumer of another stream delivers. What is sent first is taken first, whichever thread sends.
pub trait Inlet: Send + Sync {
    /// Takes a message whose stored subject is `shown`. A stream may be locked meanwhile: nothing but
    /// the queue may be.
    fn take(&self, shown: &[u8], message: &Message<'_>);

    /// The [`Service::key`] of who empties the queue.
    fn key(&self) -> u64;

    /// Who empties the queue when it is settled; `None` when nobody does any more.
    fn service(&self) -> Option<Arc<dyn Service>>;
}
