//! The connection of pairs 7 and 8: options, events and what to do about errors, in one place.
//!
//! Pair 4 has all this twice, once in each program. A program that uses NATS in several places would
//! have a struct like this one.

use natterjack::error::{DrainError, StreamError};
use natterjack::jetstream::StreamBuilder;
use natterjack::{
    Backoff, CloseReason, Connector, DrainReport, Event, EventStream, JetStream, Reconnect,
    ServerOrder, secs,
};
use natterjack_examples::{Chaos, Every, Failure, Out, StreamOptions, every};
use tokio::task::JoinHandle;

/// A connection with a stream, made from the programs' options.
pub struct NatsConnect {
    connector: Connector,
    js: JetStream,
    options: StreamOptions,
    out: Out,
    shown: JoinHandle<()>,
    chaos: Option<Every>,
}

impl NatsConnect {
    /// Connects, shows where to, and from then on all that happens to the connection.
    ///
    /// # Errors
    /// The server cannot be reached or refuses the login.
    pub async fn open(name: &str, options: &StreamOptions, out: &Out) -> Result<Self, Failure> {
        let connector = Connector::builder()
            .servers(options.url.split(','))
            .name(name)
            .connect_timeout(secs(10))
            .ping_interval(secs(20))
            .max_outstanding_pings(6)
            .reconnect(Reconnect::For(options.timeout))
            .server_order(ServerOrder::Shuffled)
            .backoff(Backoff::fixed(options.reconnect_wait).jitter(0.0))
            .build()
            .await?;
        out.connected(&connector).await?;
        let shown = tokio::spawn(show(connector.events(), out.clone()));
        let js = connector.jetstream().timeout(options.timeout);
        Ok(Self { connector, js, options: options.clone(), out: out.clone(), shown, chaos: None })
    }

    /// The connection.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// JetStream on it.
    pub fn jetstream(&self) -> &JetStream {
        &self.js
    }

    /// Makes sure that the stream exists, and shows what it holds.
    ///
    /// # Errors
    /// JetStream is off; the stream is missing and must not be made; it exists in another form.
    pub async fn ensure_stream(&self) -> Result<(), StreamError> {
        let wanted = self.stream();
        let no_create = self.options.no_create;
        let stream = if no_create { wanted.get().await? } else { wanted.ensure().await? };
        let info = stream.cached_info();
        let (name, messages, storage) = (&info.name, info.messages, &info.storage);
        self.out.note(format!("stream {name} holds {messages} messages ({storage})"));
        Ok(())
    }

    fn stream(&self) -> StreamBuilder {
        let options = &self.options;
        let stream = self.js.stream(&options.stream).subjects([&options.subject]);
        let stream = options.storage.iter().fold(stream, |s, storage| s.storage((*storage).into()));
        options.replicas.iter().fold(stream, |s, replicas| s.replicas(*replicas))
    }

    /// Loses the connection on purpose, again and again, until [`drain`](Self::drain).
    pub fn shake(&mut self, options: &Chaos<impl clap::Args>) {
        self.chaos = options.chaos().map(|span| {
            every(span, self.connector.clone(), |c| async move { c.reconnect_now().await })
        });
    }

    /// Shows an error with what to do about it.
    pub fn explain(&self, error: &StreamError) {
        let out = &self.out;
        out.error(format!("{} {error} [{}] {}", out.offset(), error.code(), error.hint()));
    }

    /// Decides what to do after an error of a publish: true is to go on with the next message, false
    /// that the connection is over.
    ///
    /// # Errors
    /// The error itself, if trying again is hopeless.
    pub async fn survives(&self, error: StreamError) -> Result<bool, StreamError> {
        self.explain(&error);
        match error {
            StreamError::Closed(_) => Ok(false), // gave up, or the login is no longer valid
            // A stream in memory is gone with its server: begin a new one.
            StreamError::NotFound(_) => self.stream().ensure().await.map(|_| true),
            error if error.retryable() => Ok(true),
            error => Err(error),
        }
    }

    /// Sends what is left, ends the connection, and shows what happened to it up to then. For after an
    /// error, too.
    ///
    /// # Errors
    /// It was over before, for another reason; not all could be sent.
    pub async fn drain(self) -> Result<DrainReport, DrainError> {
        drop(self.chaos);
        let drained = self.connector.drain().await;
        self.shown.await.ok(); // until `Closed`, which is always the last event
        drained
    }
}

/// As in pair 4.
async fn show(mut events: EventStream, out: Out) {
    while let Some(event) = events.next().await {
        let line = format!("{} {event}", out.offset());
        match event {
            Event::Reconnected { .. } | Event::ServersChanged { .. } => out.good(line),
            Event::Draining { .. } => out.good(line),
            Event::Closed { reason: CloseReason::Drained } => out.good(line),
            Event::Disconnected { .. } | Event::ReconnectFailed { .. } => out.warn(line),
            Event::SlowConsumer { .. } | Event::LameDuck { .. } => out.warn(line),
            // PermissionDenied, AuthExpired, MaxConnections, ServerError, Background, Lagged, ..
            _ => out.error(line),
        }
    }
}
