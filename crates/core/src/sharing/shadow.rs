//! Stream imports: what subscriptions of the importing account hear of the exporting one.

use std::sync::Arc;

use natterjack_subject::matches;

use super::rename::Rename;
use crate::account::Routed;
use crate::batch::Batch;
use crate::client::Client;
use crate::service::Message;
use crate::subscription::{Subscription, Target};
use crate::trace::{self, What};

/// Stands in the sublist of the exporter for a subscription of the importer.
pub(crate) struct Shadow {
    original: Arc<Subscription>,
    rename: Arc<Rename>,
    allow_trace: bool,
}

impl Shadow {
    pub(super) fn new(original: Arc<Subscription>, rename: Arc<Rename>, allow_trace: bool) -> Self {
        Shadow { original, rename, allow_trace }
    }

    pub(super) fn client(&self) -> Option<&Arc<Client>> {
        match self.original.target() {
            Target::Client(client) => Some(client),
            Target::Service(_) | Target::Import(_) | Target::Inlet(_) => None,
        }
    }

    /// Delivers a message under its name in the importing account.
    pub(super) fn pass(&self, out: Routed<'_>, batch: &mut Batch) -> bool {
        // What came through a service import stays with the service's account (nats-server 2.15.1).
        if out.via.is_some() {
            return false;
        }
        let Some(subject) = self.rename.to_local(out.message.subject) else { return false };
        // The shadow may cover more than the subscription itself.
        if !matches(self.original.subject(), &subject) {
            return false;
        }
        let Some(account) = self.original.account() else { return false };
        let message = Message { subject: &subject, ..*out.message };
        // What a consumer delivers keeps the subject that it has in the stream (nats-server 2.15.1; the
        // buckets of another account depend on it).
        let keeps = out.shown != out.message.subject;
        let shown = if keeps { out.shown } else { &subject };
        let out = Routed { shown, message: &message, key: None, ..out };
        if trace::is_traced(out, batch) {
            let what =
                What::StreamExport { account: account.name().clone(), to: (*subject).into() };
            return trace::beyond(batch, what, self.allow_trace, out, |out, batch| {
                trace::offer(&account, &self.original, out, batch)
            });
        }
        account.offer(&self.original, out, batch)
    }
}
