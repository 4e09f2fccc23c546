//! Messages of a consumer, one after the other, to be settled by hand.

use std::time::Duration;

use super::consumer::{ConsumerBuilder, IfDeleted, Spec};
use super::delivery::{Delivery, Incoming};
use super::meta::Meta;
use super::puller::{Pulled, Puller};
use super::settle::Settler;
use crate::codec::{Decode, Decoder};
use crate::error::{Error, StreamError};

/// The simple way to read a consumer: [`next`](Self::next), then settle. Outlives restarts, missed
/// heartbeats and leader changes. For concurrency, retries and dead letters use
/// [`ConsumerBuilder::run`].
pub struct Messages<T> {
    puller: Puller,
    decoder: Decoder<T>,
    batch: usize,
    limit: Duration,
    done: bool,
}

impl<T, C: Decode<T>> ConsumerBuilder<T, C> {
    /// Makes sure that the consumer exists, and reads from it.
    ///
    /// # Errors
    /// As for [`ensure`](Self::ensure).
    pub async fn messages(self) -> Result<Messages<T>, StreamError> {
        self.spec.ensure().await?;
        self.read().await
    }

    /// Reads from the consumer as it is, whatever the options say of it; when it is deleted, the messages
    /// end. A consumer of any name will do, also one that is not durable.
    ///
    /// # Errors
    /// `NotFound` if there is none, `BadName`, `Timeout`, ..
    pub async fn attach(mut self) -> Result<Messages<T>, StreamError> {
        let Spec { js, stream, name, .. } = &self.spec;
        js.consumer_info(stream, name).await?;
        self.spec.if_deleted = IfDeleted::Stop;
        self.read().await
    }

    async fn read(self) -> Result<Messages<T>, StreamError> {
        let limit = self.spec.js.api.limit;
        let puller = Puller::new(self.spec).await?;
        Ok(Messages { puller, decoder: Decoder::of::<C>(), batch: self.batch, limit, done: false })
    }
}

impl<T> Messages<T> {
    /// The next message; `None` when the consumer is deleted (and is not to be made anew) or the
    /// connection is over. A body that does not decode is an error item, its message is terminated,
    /// and the next call goes on. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Incoming<T>, StreamError>> {
        if self.done {
            return None;
        }
        match self.puller.next(self.batch).await {
            Ok(Pulled::Message(message)) => Some(self.open(message).await.map_err(Into::into)),
            Ok(Pulled::Gone | Pulled::Closed) => {
                self.done = true;
                None
            }
            Err(error) => {
                self.done = true;
                Some(Err(error.into()))
            }
        }
    }

    async fn open(&self, message: async_nats::Message) -> Result<Incoming<T>, Error> {
        let reply = message.reply.as_ref().map(|reply| reply.to_string()).unwrap_or_default();
        let meta = Meta::parse(&reply)?;
        let settler = Settler { link: self.puller.link().clone(), reply, limit: self.limit };
        match Delivery::decode(message, meta, self.decoder) {
            Ok(delivery) => Ok(Incoming { delivery, settler }),
            Err(error) => {
                settler.term(&error.to_string()).await?;
                Err(error.into())
            }
        }
    }

    /// Stops reading; messages that had come and were not read go back to the consumer at once.
    ///
    /// # Errors
    /// As for publishing.
    pub async fn stop(self) -> Result<(), StreamError> {
        let (link, limit) = (self.puller.link().clone(), self.limit);
        for message in self.puller.stop().await {
            if let Some(reply) = message.reply {
                Settler { link: link.clone(), reply: reply.into_string(), limit }.nak(None).await?;
            }
        }
        Ok(())
    }
}

impl<T> std::fmt::Debug for Messages<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Messages")
    }
}
