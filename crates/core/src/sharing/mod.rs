//! What accounts share: exports and imports of streams and services (chapter 3.6 of the protocol notes;
//! nats-server 2.15.1).
//!
//! A *stream import* lets subscriptions of the importing account hear messages of the exporting one. Each
//! subscription that overlaps what is imported gets a shadow in the sublist of the exporter
//! (`shadow`); a publisher there finds it like any other, so that match caches need to know nothing of
//! imports.
//!
//! A *service import* takes requests from the importing account to the exporting one (`request`), under
//! another reply subject. What is published there goes back to the requester (`answers`).
//!
//! Both stand in sublists as [`Target::Import`](crate::subscription::Target::Import): an account without
//! imports pays nothing for them.

mod answers;
mod awaited;
mod check;
mod claims;
mod client_info;
mod declared;
mod latency;
mod rename;
mod request;
mod shadow;
mod shares;
#[cfg(test)]
mod tests;

pub use check::{Fault, Place, SharingError, check};
pub use client_info::ClientInfo;
pub use declared::{Export, ExportKind, Import, Importers, Latency, Responses, Service, Sharing};
pub use shares::{Reception, wire};

pub(crate) use claims::of_claims;
pub use rename::RenameError;
pub(crate) use request::{Via, without_asker};
pub(crate) use shares::Shares;

use crate::account::{Account, Routed};
use crate::batch::Batch;
use std::sync::Arc;

/// A receiver that leads into another account.
pub struct Relay(pub(crate) Leads);

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Relay")
    }
}

/// Where it leads.
pub(crate) enum Leads {
    /// To a subscription of an account that imports a stream.
    Stream(shadow::Shadow),
    /// To the account that exports a service.
    Service(request::Request),
    /// Back to those who asked a service.
    Requester(Arc<answers::Answers>),
}

impl Relay {
    /// The client that is reached in the end, if it is only one.
    pub(crate) fn client(&self) -> Option<&Arc<crate::client::Client>> {
        match &self.0 {
            Leads::Stream(shadow) => shadow.client(),
            Leads::Service(_) | Leads::Requester(_) => None,
        }
    }

    /// Whether it leads to a subscription of an account that imports a stream.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.0, Leads::Stream(_))
    }

    /// Hands a message over; `account` is where it was routed. True when somebody received it.
    #[cold]
    pub(crate) fn pass(&self, account: &Account, out: Routed<'_>, batch: &mut Batch) -> bool {
        match &self.0 {
            Leads::Stream(shadow) => shadow.pass(out, batch),
            Leads::Service(request) => request.pass(account, out, batch),
            Leads::Requester(answers) => answers.pass(out, batch),
        }
    }
}
