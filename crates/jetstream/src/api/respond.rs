//! Answers: their envelope, their sending, and the audit advisory.

use serde::Serialize;

use super::ApiRequest;
use crate::advisory::{self, Event};
use crate::engine::JetStream;
use crate::engine::load::{Kept, Load};
use crate::host::{Host, Outgoing};
use crate::time::Now;

/// Where every counted request is shown.
pub(super) const AUDIT: &str = "$JS.EVENT.ADVISORY.API";

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// This answer.
    Answer(Vec<u8>),
    /// This answer, which carries an error.
    Failed(Vec<u8>),
    /// The answer waits until what it says is durable.
    Later,
    /// Nothing is ever answered.
    Silent,
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    body: T,
}

/// `{"type":"io.nats.jetstream.api.v1.<kind>", …body}`
pub(super) fn envelope<T: Serialize>(kind: &str, body: T) -> Vec<u8> {
    let kind = format!("io.nats.jetstream.api.v1.{kind}");
    // The bodies are structs of strings, numbers and lists, which always serialize.
    serde_json::to_vec(&Envelope { kind: &kind, body }).unwrap_or_default()
}

/// `"success":true`
#[derive(Debug, Default, Serialize)]
pub(super) struct Success {
    pub(super) success: bool,
}

/// Whom an answer is for; owned, because it may have to wait.
#[derive(Debug)]
pub(crate) struct Addressee {
    account: String,
    subject: Vec<u8>,
    reply: Option<Vec<u8>>,
    request: Vec<u8>,
    client: Vec<u8>,
    /// The header block of the answer, or empty.
    headers: Vec<u8>,
    /// A request counts among what waits.
    _kept: Option<Kept>,
}

impl Addressee {
    pub(super) fn of(request: &ApiRequest<'_>, load: &Load) -> Self {
        let bytes = request.subject.len() + request.payload.len();
        Self {
            _kept: Some(load.keep(bytes)),
            account: request.account.to_owned(),
            subject: request.subject.to_vec(),
            reply: request.reply().map(<[u8]>::to_vec),
            request: request.payload.to_vec(),
            client: serde_json::to_vec(request.client).unwrap_or_default(),
            headers: Vec::new(),
        }
    }
}

impl Addressee {
    /// Whoever waits at `reply`, of whose request nothing is told.
    pub(crate) fn to(account: &str, reply: &[u8]) -> Self {
        Self {
            _kept: None,
            account: account.to_owned(),
            subject: Vec::new(),
            reply: Some(reply.to_vec()),
            request: Vec::new(),
            client: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// The answer has this header block.
    pub(super) fn with_headers(self, headers: Vec<u8>) -> Self {
        Self { headers, ..self }
    }

    pub(super) fn headers(&self) -> &[u8] {
        &self.headers
    }

    pub(super) fn reply(&self) -> Option<&[u8]> {
        self.reply.as_deref()
    }
}

impl JetStream {
    /// Sends an answer, and the advisory about it where somebody listens.
    pub(crate) fn respond(
        &self,
        host: &mut dyn Host,
        now: Now,
        to: &Addressee,
        payload: &[u8],
        audited: bool,
    ) {
        if let Some(reply) = &to.reply {
            host.deliver(&Outgoing {
                account: &to.account,
                route: reply,
                subject: reply,
                reply: None,
                headers: &to.headers,
                payload,
            });
        }
        if audited {
            self.audit(host, now, to, payload);
        }
    }

    /// Shows a request and its answer to whom it may concern.
    pub(super) fn audit(&self, host: &mut dyn Host, now: Now, to: &Addressee, payload: &[u8]) {
        if !advisory::wanted(host, &to.account, AUDIT) {
            return;
        }
        let options = &self.shared.options;
        Event::advisory(host, now, "api_audit")
            .text("server", &options.server_name)
            .raw("client", &to.client)
            .text("subject", &String::from_utf8_lossy(&to.subject))
            .text_if("request", &String::from_utf8_lossy(&to.request))
            .text("response", &String::from_utf8_lossy(payload))
            .send(host, &to.account, options.domain.as_deref(), AUDIT);
    }
}
