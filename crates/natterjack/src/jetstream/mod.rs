//! JetStream: streams, publishing into them, and durable consumers.
//!
//! It speaks the JetStream API itself (ADR-1, ADR-13) over the connection's requests, so that each error
//! keeps the server's code and every wait is bounded and survives a reconnect.

mod api;
mod config;
mod consumer;
mod crashes;
mod dead_letter;
mod delivery;
mod messages;
mod meta;
mod publish;
mod publisher;
mod puller;
mod read;
mod run;
mod settle;
mod stream;

use std::sync::Arc;
use std::time::Duration;

pub use config::{Deliver, Discard, Retention, Storage};
pub use consumer::{ConsumerBuilder, ConsumerInfo, IfDeleted};
pub use dead_letter::DeadLetter;
pub use delivery::{Delivery, Incoming, IntoOutcome, Outcome, Verdict};
pub use messages::Messages;
pub use meta::Meta;
pub use publish::{PubAck, StreamPublish};
pub use publisher::{Publisher, PublisherBuilder, Receipt};
pub use read::{ReadBuilder, ReadEvent, StreamReader};
pub use run::{RunEnd, RunReport};
pub use settle::Progress;
pub use stream::{Ensured, Stream, StreamBuilder, StreamInfo, StreamMessage};

pub(crate) use api::{Api, REPEAT_AFTER, Target, request_or_loss};
pub(crate) use config::{Fields, nanos};
pub(crate) use publish::{PublishOptions, publish_once};
pub(crate) use run::Settled;
pub(crate) use stream::{ensure as ensure_stream, info as stream_info, parse_stored};

use crate::Connector;
use crate::connect::Link;

/// JetStream on a connection. Cheap to clone.
#[derive(Clone)]
pub struct JetStream {
    pub(crate) connector: Connector,
    pub(crate) api: Api,
}

impl std::fmt::Debug for JetStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JetStream").field("prefix", &self.api.prefix).finish_non_exhaustive()
    }
}

impl Connector {
    /// JetStream with the domain or prefix of the connection's options.
    #[must_use]
    pub fn jetstream(&self) -> JetStream {
        let options = &self.link().options;
        let prefix = match (&options.js_api_prefix, &options.js_domain) {
            (Some(prefix), _) => prefix.clone(),
            (None, Some(domain)) => domain_prefix(domain),
            (None, None) => "$JS.API".into(),
        };
        let limit = options.request_timeout;
        JetStream { connector: self.clone(), api: Api { prefix: prefix.into(), limit } }
    }
}

fn domain_prefix(domain: &str) -> String {
    format!("$JS.{domain}.API")
}

impl JetStream {
    /// In another domain (of a leafnode, for example).
    #[must_use]
    pub fn domain(mut self, domain: &str) -> Self {
        self.api.prefix = domain_prefix(domain).into();
        self
    }

    /// With other first tokens of the API's subjects than `$JS.API`.
    #[must_use]
    pub fn api_prefix(mut self, prefix: &str) -> Self {
        self.api.prefix = Arc::from(prefix);
        self
    }

    /// The first tokens of the API's subjects: `$JS.API` unless a domain or prefix was given.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.api.prefix
    }

    /// Limit of each call, instead of the connection's `request_timeout`.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.api.limit = limit;
        self
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        self.connector.link()
    }

    /// Whether JetStream answers, and what the account uses and may use, as the server's own object
    /// (`$JS.API.INFO`).
    ///
    /// # Errors
    /// `JetStreamDisabled`, `Timeout`, ..
    pub async fn account(&self) -> Result<serde_json::Value, crate::error::StreamError> {
        let target = Target::plain("account info");
        Ok(self.api.call(self.link(), "INFO", None, &target).await?)
    }
}
