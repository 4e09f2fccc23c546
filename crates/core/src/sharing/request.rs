//! Service imports: how a request gets from the importing account to the exporting one.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock, Weak};

use natterjack_proto::headers::{HeaderBlock, Headers};

use super::answers::Answers;
use super::client_info::ClientInfo;
use super::declared::Service;
use super::latency::{self, Tracked};
use super::rename::Rename;
use super::shares::answers_between;
use crate::account::{Account, Routed};
use crate::batch::Batch;
use crate::mapping::Mapped;
use crate::service::{Message, Origin};
use crate::trace::{self, What};

/// What tells a service who asks.
const INFO: &str = "Nats-Request-Info";

/// How a message got where it is routed, when that was through a service import.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Via {
    /// As a request, which the first import introduced.
    Request {
        /// Whether the first importer tells who asks.
        share: bool,
    },
    /// As an answer: its headers are those of who answers, and introduce nobody.
    Answer,
}

/// Stands in the sublist of the importer for a service of the exporter.
pub(crate) struct Request {
    pub(super) importer: Weak<Account>,
    pub(super) exporter: Weak<Account>,
    pub(super) rename: Rename,
    pub(super) share: bool,
    pub(super) service: Service,
    /// Where its answers go, once there was a request.
    pub(super) answers: OnceLock<Arc<Answers>>,
}

/// Replies that keep their subject: acknowledgements of messages that a consumer delivers (nats-server
/// 2.15.1).
pub(super) fn keeps_subject(reply: &[u8]) -> bool {
    reply.starts_with(b"$JS.ACK.")
}

impl Request {
    /// Publishes a request of `account` in the exporter's. True when somebody received it.
    pub(super) fn pass(&self, account: &Account, out: Routed<'_>, batch: &mut Batch) -> bool {
        let (Some(importer), Some(exporter)) = (self.importer.upgrade(), self.exporter.upgrade())
        else {
            return false;
        };
        let message = out.message;
        let Some(mut subject) = self.rename.to_exported(message.subject) else { return false };
        if let Some(mappings) = exporter.mappings() {
            match mappings.apply(&subject, batch.random()) {
                Mapped::Unchanged => {}
                Mapped::To(mapped) => subject = mapped,
                Mapped::Lost => return true,
            }
        }
        if !batch.enter_relay() {
            return false;
        }
        let asker = self.asker(account, out);
        let mut answers = None;
        let mut reply = message.reply.map(Cow::Borrowed);
        if let Some(asked) = message.reply
            && !keeps_subject(asked)
        {
            let tracked = self.track(account, message, asker.as_ref(), batch);
            let awaited = self.answers.get_or_init(|| answers_between(&exporter, &importer, batch));
            match awaited.expect(asked, requester(out.origin), &self.service, tracked, batch) {
                Ok(token) => {
                    reply = Some(Cow::Owned(token.subject.clone()));
                    answers = Some((awaited, token));
                }
                // Too much of this requester's waits already: as if nobody were there.
                Err(tracked) => {
                    if let Some(tracked) = tracked {
                        latency::report_failure(&exporter, &tracked, latency::UNAVAILABLE, batch);
                    }
                    batch.leave_relay();
                    return false;
                }
            }
        } else if message.reply.is_none()
            && let Some(tracked) = self.track(account, message, asker.as_ref(), batch)
        {
            latency::report_failure(&exporter, &tracked, latency::BAD_REQUEST, batch);
        }
        let headers = match &asker {
            Some(asker) => Cow::Owned(introduce(message.headers, asker)),
            None => without_asker(message.headers),
        };
        let inside = Message {
            subject: &subject,
            reply: reply.as_deref(),
            headers: &headers,
            payload: message.payload,
        };
        let via = out.via.unwrap_or(Via::Request { share: self.share });
        let origin = out.origin;
        // What a consumer delivers keeps the subject that it has in the stream.
        let shown = if out.shown == message.subject { &subject } else { out.shown };
        let out = Routed { shown, message: &inside, origin, key: None, via: Some(via) };
        let is_received = if trace::is_traced(out, batch) {
            let what = What::ServiceImport {
                account: exporter.name().clone(),
                from: message.subject.into(),
                to: (*subject).into(),
            };
            trace::beyond(batch, what, self.service.allow_trace, out, |out, batch| {
                exporter.route_found(out, batch)
            })
        } else {
            exporter.route_found(out, batch)
        };
        batch.leave_relay();
        if !is_received
            && let Some((answers, token)) = answers
            && let Some(tracked) = answers.forget(&token)
        {
            latency::report_failure(&exporter, &tracked, latency::UNAVAILABLE, batch);
        }
        is_received
    }

    /// What the service is told about the client. Never what a message claims that no import has
    /// introduced: its headers may be those that a client stored in a stream.
    fn asker(&self, account: &Account, out: Routed<'_>) -> Option<ClientInfo> {
        let reception = account.shares().reception()?;
        let is_shared = match (out.via, out.origin) {
            (None, Origin::Client(client)) => {
                return Some(reception.client_info(client.cid, account.name(), self.share));
            }
            (None, Origin::Internal) => {
                return Some(ClientInfo::internal(
                    account.name(),
                    self.share.then(|| reception.server_id()),
                ));
            }
            (Some(Via::Answer), _) => return None,
            (Some(Via::Request { share }), _) => share,
        };
        // It came through another import, which introduced the client.
        let known = Headers::new(out.message.headers).get(INFO)?;
        let mut info: ClientInfo = serde_json::from_slice(known).ok()?;
        info.svc = account.name().to_string();
        if self.share && !is_shared {
            info.server = reception.server_id().to_owned();
        }
        Some(info)
    }

    /// Begins to measure, if this request is one to measure.
    fn track(
        &self,
        account: &Account,
        message: &Message<'_>,
        asker: Option<&ClientInfo>,
        batch: &mut Batch,
    ) -> Option<Box<Tracked>> {
        let latency = self.service.latency.as_ref()?;
        let headers = latency::sample(latency, message.headers, batch)?;
        let reception: Arc<_> = account.shares().reception()?;
        Some(Box::new(Tracked {
            subject: latency.subject.as_str().into(),
            reception,
            requestor: asker.cloned().unwrap_or_default(),
            headers,
            asked_unix_ns: batch.unix_ns,
        }))
    }
}

/// Who asks, so that each has its share of what may wait; 0 for the server itself.
pub(super) fn requester(origin: Origin<'_>) -> u64 {
    match origin {
        Origin::Client(client) => client.cid,
        Origin::Internal => 0,
    }
}

/// Adds who asks to a header block, in the place of what the client may claim.
fn introduce(headers: &[u8], asker: &ClientInfo) -> Vec<u8> {
    let mut block =
        if headers.is_empty() { HeaderBlock::new() } else { HeaderBlock::from_raw(headers) };
    block.remove(INFO);
    // It holds text and numbers: nothing that JSON cannot tell.
    block.push(INFO, serde_json::to_vec(asker).unwrap_or_default());
    block.into_bytes()
}

/// A header block without what [`introduce`] added, or a client claims.
pub(crate) fn without_asker(headers: &[u8]) -> Cow<'_, [u8]> {
    if headers.is_empty() {
        return Cow::Borrowed(headers);
    }
    let mut block = HeaderBlock::from_raw(headers);
    if !block.remove(INFO) {
        return Cow::Borrowed(headers);
    }
    if block.is_empty() { Cow::Borrowed(&[]) } else { Cow::Owned(block.into_bytes()) }
}
