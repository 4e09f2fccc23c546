//! `$JS.API`: requests in, JSON out (jetstream.md 1).

mod account;
mod backups;
mod consumers;
mod direct;
mod endpoint;
mod respond;
mod streams;

use serde::Serialize;

use crate::engine::JetStream;
use crate::error::ApiError;
use crate::host::Host;
use crate::stream::{headers, meta};
use crate::time::Now;
use endpoint::Endpoint;
pub(crate) use respond::Addressee;
use respond::Outcome;
pub(crate) use streams::find;

/// Who sends a request; what advisories show of them. Spans are nanoseconds.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs, reason = "the fields are the advisory's")]
pub struct ClientInfo {
    #[serde(with = "crate::json::with::stamp")]
    pub start: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    pub id: u64,
    pub acc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ver: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub rtt: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_tag: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_type: String,
}

impl ClientInfo {
    /// Nobody in particular.
    pub const fn nobody() -> Self {
        Self {
            start: 0,
            host: String::new(),
            id: 0,
            acc: String::new(),
            user: String::new(),
            name: String::new(),
            lang: String::new(),
            ver: String::new(),
            rtt: 0,
            server: String::new(),
            issuer_key: String::new(),
            name_tag: String::new(),
            tags: Vec::new(),
            kind: String::new(),
            client_type: String::new(),
        }
    }
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// A publish on `$JS.API.>` (or, with a domain, `$JS.<domain>.API.>`).
#[derive(Debug, Clone, Copy)]
pub struct ApiRequest<'a> {
    /// The account it was published in.
    pub account: &'a str,
    /// The complete subject.
    pub subject: &'a [u8],
    /// Where the answer goes; without it the request is executed and not answered.
    pub reply: Option<&'a [u8]>,
    /// The header block, or empty.
    pub headers: &'a [u8],
    /// The body.
    pub payload: &'a [u8],
    /// The sender.
    pub client: &'a ClientInfo,
}

impl ApiRequest<'_> {
    fn reply(&self) -> Option<&[u8]> {
        self.reply.filter(|reply| !reply.is_empty())
    }

    /// True when `Nats-Required-Api-Level` asks for more than this server is.
    fn level_too_high(&self) -> bool {
        headers::get(self.headers, b"Nats-Required-Api-Level").is_some_and(|value| {
            let level = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
            level.is_none_or(|level| level > meta::API_LEVEL as i64)
        })
    }
}

impl JetStream {
    /// Serves a request. False: nobody serves this subject, and a requester hears 503.
    pub fn api(&self, host: &mut dyn Host, now: Now, request: &ApiRequest<'_>) -> bool {
        let Some(rest) =
            endpoint::strip_prefix(request.subject, self.shared.options.domain.as_deref())
        else {
            return false;
        };
        let Ok(rest) = std::str::from_utf8(rest) else { return true };
        // Below the API a subject that fits no endpoint is met with silence (nats-server 2.15.1).
        let Some(endpoint) = Endpoint::parse(rest) else { return true };
        match &endpoint {
            Endpoint::DirectGet { stream, subject } => {
                return self.direct_get(host, now, request, stream, *subject);
            }
            Endpoint::ConsumerNext { stream, consumer } => {
                return self.consumer_next(host, now, request, stream, consumer);
            }
            _ => {}
        }
        let account = self.account(request.account);
        let counted = !endpoint.is_uncounted();
        let outcome = match &account {
            Some(account) if account.is_enabled() => {
                if request.level_too_high() {
                    endpoint.refuse(&ApiError::RequiredApiLevel)
                } else if endpoint.is_change()
                    && self.shared.load.is_full(self.shared.options.requests_max)
                {
                    self.shared.refuse_request(host, now);
                    endpoint.refuse(&ApiError::InsufficientResources)
                } else {
                    self.dispatch(host, now, account, request, &endpoint)
                }
            }
            _ => endpoint.refuse(&ApiError::NotEnabledForAccount),
        };
        let failed = matches!(outcome, Outcome::Failed(_));
        if let Some(account) = &account
            && (counted || failed)
            && !matches!(outcome, Outcome::Silent)
        {
            account.count_api(failed);
        }
        if let Outcome::Answer(payload) | Outcome::Failed(payload) = outcome {
            let audited = counted || failed;
            let to = Addressee::of(request, &self.shared.load);
            self.respond(host, now, &to, &payload, audited);
        }
        true
    }
}
