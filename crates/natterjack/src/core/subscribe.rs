//! Receiving messages.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::Stream;

use super::message::Msg;
use super::queue::{self, Overflow, Queue, Reader, Room};
use super::serve::{self, Task};
use super::wait;
use crate::Connector;
use crate::codec::{Codec, Decode, Decoder, Json};
use crate::connect::violation;
use crate::error::{self, Draining, Error, SubscribeError, Timeout};
use crate::event::{ConnState, Operation};

/// Options of a subscription, made by [`Connector::on`].
#[must_use = "nothing is subscribed before `open` or `serve`"]
pub struct SubscribeBuilder<'a, C = Json> {
    connector: &'a Connector,
    subject: String,
    group: Option<String>,
    capacity: Option<usize>,
    overflow: Overflow,
    limit: Option<u64>,
    timeout: Option<Duration>,
    codec: std::marker::PhantomData<C>,
}

impl Connector {
    /// Subscribes to `subject`, which may hold wildcards, for JSON values.
    ///
    /// Returns when the server has seen the subscription: a message published after that is received.
    ///
    /// # Errors
    /// See [`SubscribeBuilder::open`].
    pub async fn subscribe<T>(&self, subject: &str) -> Result<Subscription<T>, SubscribeError>
    where
        Json: Decode<T>,
    {
        self.on(subject).open().await
    }

    /// A subscription to `subject`, with options.
    pub fn on(&self, subject: impl Into<String>) -> SubscribeBuilder<'_> {
        SubscribeBuilder {
            connector: self,
            subject: subject.into(),
            group: None,
            capacity: None,
            overflow: Overflow::default(),
            limit: None,
            timeout: None,
            codec: std::marker::PhantomData,
        }
    }
}

impl<'a, C: Codec> SubscribeBuilder<'a, C> {
    /// The queue group: each message goes to one member of it.
    pub fn queue(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Messages that are kept for a slow reader, instead of the `subscription_capacity` option.
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = Some(messages);
        self
    }

    /// What to do when that is not enough; default [`Overflow::DropNewest`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Ends the subscription after this many messages.
    pub fn limit(mut self, messages: u64) -> Self {
        self.limit = Some(messages);
        self
    }

    /// Limit of the wait for the server, instead of the `request_timeout` option.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// How bodies become values; JSON otherwise.
    pub fn codec<D: Codec>(self, _codec: D) -> SubscribeBuilder<'a, D> {
        SubscribeBuilder {
            connector: self.connector,
            subject: self.subject,
            group: self.group,
            capacity: self.capacity,
            overflow: self.overflow,
            limit: self.limit,
            timeout: self.timeout,
            codec: std::marker::PhantomData,
        }
    }

    /// Subscribes.
    ///
    /// # Errors
    /// `BadSubject`; `PermissionDenied` if the user may not; `Timeout` if the server does not answer;
    /// `Draining`, `Closed`.
    pub async fn open<T>(self) -> Result<Subscription<T>, SubscribeError>
    where
        C: Decode<T>,
    {
        let keep = Some(self.connector.clone());
        let reader = self.reader(false, keep).await?;
        Ok(Subscription { reader, decoder: Decoder::of::<C>() })
    }

    /// Subscribes and calls an async function with each message, up to `concurrency` at once. Bodies
    /// that do not decode are logged and skipped. What the function returns is not looked at; answer
    /// with [`Msg::respond`].
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn serve<T, F, Fut>(
        self,
        concurrency: usize,
        handle: F,
    ) -> Result<Task, SubscribeError>
    where
        C: Decode<T>,
        T: Send + 'static,
        F: Fn(Msg<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Send> + Send + 'static,
    {
        let reader = self.reader(true, None).await?;
        Ok(serve::start(reader, Decoder::of::<C>(), concurrency, handle))
    }

    async fn reader(self, served: bool, keep: Option<Connector>) -> Result<Reader, Error> {
        let link = self.connector.link();
        let limit = self.timeout.unwrap_or(link.options.request_timeout);
        let started = Instant::now();
        error::check_subject(&self.subject, true)?;
        if let Some(group) = &self.group
            && (group.is_empty() || group.contains(char::is_whitespace))
        {
            let why = format!("the queue group `{group}` must not be empty or hold blanks");
            return Err(error::BadSubject { subject: self.subject, why }.into());
        }
        if link.state() == ConnState::Draining {
            return Err(Draining {}.into());
        }
        link.connected("subscribe", limit).await?;
        let client = link.client()?;
        let mark = link.violations.mark();
        let subscribed = async {
            match self.group.clone() {
                Some(group) => client.queue_subscribe(self.subject.clone(), group).await,
                None => client.subscribe(self.subject.clone()).await,
            }
        };
        let subscriber = match tokio::time::timeout(limit, subscribed).await {
            Ok(Ok(subscriber)) => subscriber,
            Ok(Err(_)) => {
                link.check_open()?;
                return Err(link.offline());
            }
            Err(_) => return Err(Timeout { what: "subscribe".into(), after: limit }.into()),
        };
        let room = Room {
            messages: self.capacity.unwrap_or(link.options.subscription_capacity),
            bytes: link.options.subscription_bytes.bytes(),
        };
        let queue =
            Queue::new(self.subject.clone(), self.group, room, self.overflow, self.limit, served);
        link.subscriptions.add(&queue);
        let reader = Reader { queue: queue.clone(), link: link.clone(), _keep: keep };
        tokio::spawn(queue::pump(link.clone(), queue, subscriber));
        wait::round_trip(link, limit.saturating_sub(started.elapsed())).await?;
        if let Some(denied) = violation(link, mark, Operation::Subscribe, &self.subject).await {
            return Err(denied.into());
        }
        Ok(reader)
    }
}

/// Messages as they come. A body that does not decode is an item and not the end.
///
/// Dropping it unsubscribes.
pub struct Subscription<T> {
    reader: Reader,
    decoder: Decoder<T>,
}

impl<T> Subscription<T> {
    /// The next message; `None` when no more will come.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Msg<T>, error::Decode>> {
        let message = std::future::poll_fn(|cx| self.reader.queue.poll_next(cx)).await?;
        Some(Msg::decode(message, self.decoder, &self.reader.link))
    }

    /// Unsubscribes; messages that have arrived can still be read, then the stream ends.
    pub fn stop(&self) {
        self.reader.queue.stop_intake();
    }

    /// Messages lost because they were not read in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.reader.queue.dropped()
    }

    /// Messages that wait to be read.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.reader.queue.pending()
    }

    /// The subject it was opened with.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.reader.queue.subject
    }
}

impl<T> Stream for Subscription<T> {
    type Item = Result<Msg<T>, error::Decode>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.reader
            .queue
            .poll_next(cx)
            .map(|message| message.map(|m| Msg::decode(m, self.decoder, &self.reader.link)))
    }
}

impl<T> std::fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("subject", &self.subject()).finish_non_exhaustive()
    }
}
