//! The stream endpoints.

use std::sync::Arc;

use natterjack_store::{Purge, SEQ_MAX};
use serde::{Deserialize, Serialize};

use super::ApiRequest;
use super::endpoint::Endpoint;
use super::respond::{Addressee, Outcome, Success, envelope};
use crate::account::Account;
use crate::advisory::{self, Event};
use crate::engine::JetStream;
use crate::error::ApiError;
use crate::host::Host;
use crate::json::{self, int};
use crate::stream::{Config, Details, GetRequest, StreamCell, StreamInfo, SubjectsPage};
use crate::time::Now;

const NAMES_PAGE: usize = 1024;
const LIST_PAGE: usize = 256;

/// `total`, `offset` and `limit`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Page {
    pub(super) total: usize,
    pub(super) offset: usize,
    pub(super) limit: usize,
}

impl Page {
    /// Cuts `items` to the page that starts at `offset`, which is lowered to the end.
    pub(super) fn of<T>(items: Vec<T>, offset: i64, limit: usize) -> (Self, Vec<T>) {
        let total = items.len();
        let offset = usize::try_from(offset).unwrap_or(0).min(total);
        let items = items.into_iter().skip(offset).take(limit).collect();
        (Self { total, offset, limit }, items)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "JSApiStreamNamesRequest")]
struct NamesRequest {
    #[serde(with = "int")]
    offset: i64,
    subject: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "JSApiStreamInfoRequest")]
struct InfoRequest {
    #[serde(with = "int")]
    offset: i64,
    deleted_details: bool,
    subjects_filter: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "JSApiStreamPurgeRequest")]
struct PurgeRequest {
    seq: u64,
    filter: String,
    keep: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "JSApiMsgDeleteRequest")]
struct DeleteRequest {
    seq: u64,
    no_erase: bool,
}

#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    info: StreamInfo,
    did_create: bool,
}

#[derive(Serialize)]
struct Names {
    #[serde(flatten)]
    page: Page,
    streams: Option<Vec<String>>,
}

#[derive(Serialize)]
struct List {
    #[serde(flatten)]
    page: Page,
    streams: Vec<StreamInfo>,
}

#[derive(Serialize)]
struct Info {
    #[serde(flatten)]
    page: Page,
    #[serde(flatten)]
    info: StreamInfo,
}

#[derive(Serialize)]
struct Purged {
    success: bool,
    purged: u64,
}

/// Decodes a body that may be left out: what is no object or list counts as absent.
pub(super) fn optional<T>(body: &[u8], strict: bool) -> Result<T, ApiError>
where
    T: serde::de::DeserializeOwned + Default,
{
    match body.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'{' | b'[') => Ok(json::decode(body, strict)?),
        _ => Ok(T::default()),
    }
}

/// 10038 unless the body says nothing.
pub(super) fn expect_empty(body: &[u8]) -> Result<(), ApiError> {
    if json::is_empty(body) { Ok(()) } else { Err(ApiError::NotEmptyRequest) }
}

impl JetStream {
    /// Serves all endpoints but those with answers of their own kind.
    pub(super) fn dispatch(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Arc<Account>,
        request: &ApiRequest<'_>,
        endpoint: &Endpoint<'_>,
    ) -> Outcome {
        let result = match *endpoint {
            Endpoint::AccountInfo => Ok(self.account_info(account)),
            Endpoint::StreamCreate { stream } => {
                self.stream_create(host, now, account, request, stream)
            }
            Endpoint::StreamUpdate { stream } => {
                self.stream_update(host, now, account, request, stream)
            }
            Endpoint::StreamNames => self.stream_names(account, request),
            Endpoint::StreamList => self.stream_list(now, account, request),
            Endpoint::StreamInfo { stream } => {
                self.stream_info(host, now, account, request, stream)
            }
            Endpoint::StreamDelete { stream } => {
                self.stream_delete(host, now, account, request, stream)
            }
            Endpoint::StreamPurge { stream } => {
                self.stream_purge(host, now, account, request, stream)
            }
            Endpoint::StreamSnapshot { stream } => {
                self.stream_snapshot(host, now, account, request, stream)
            }
            Endpoint::StreamRestore { stream } => {
                self.stream_restore(host, now, account, request, stream)
            }
            Endpoint::MsgGet { stream } => self.msg_get(host, now, account, request, stream),
            Endpoint::MsgDelete { stream } => self.msg_delete(host, now, account, request, stream),
            Endpoint::Cluster(_) => Err(ApiError::ClusterRequired),
            _ => return self.dispatch_consumer(host, now, account, request, endpoint),
        };
        result.unwrap_or_else(|error| endpoint.refuse(&error))
    }

    fn stream_create(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Arc<Account>,
        request: &ApiRequest<'_>,
        name: &str,
    ) -> Result<Outcome, ApiError> {
        let config: Config = json::decode(request.payload, self.shared.options.strict)?;
        if config.name != name {
            return Err(ApiError::StreamMismatch);
        }
        let to = Addressee::of(request, &self.shared.load);
        self.create_stream(host, now, account, config, move |engine, host, now, stream| {
            let (info, _) = stream.info(now, &Details::default());
            let payload = envelope("stream_create_response", Created { info, did_create: true });
            engine.respond(host, now, &to, &payload, true);
        })?;
        Ok(Outcome::Later)
    }

    fn stream_update(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Arc<Account>,
        request: &ApiRequest<'_>,
        name: &str,
    ) -> Result<Outcome, ApiError> {
        let config: Config = json::decode(request.payload, self.shared.options.strict)?;
        let to = Addressee::of(request, &self.shared.load);
        self.update_stream(host, now, account, name, config, move |engine, host, now, stream| {
            let (info, _) = stream.info(now, &Details::default());
            let payload = envelope("stream_update_response", info);
            engine.respond(host, now, &to, &payload, true);
        })?;
        Ok(Outcome::Later)
    }

    fn stream_delete(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Arc<Account>,
        request: &ApiRequest<'_>,
        name: &str,
    ) -> Result<Outcome, ApiError> {
        expect_empty(request.payload)?;
        let to = Addressee::of(request, &self.shared.load);
        self.delete_stream(host, now, account, name, move |engine, host, now| {
            let payload = envelope("stream_delete_response", Success { success: true });
            engine.respond(host, now, &to, &payload, true);
        })?;
        Ok(Outcome::Later)
    }

    fn stream_names(
        &self,
        account: &Account,
        request: &ApiRequest<'_>,
    ) -> Result<Outcome, ApiError> {
        let asked: NamesRequest = optional(request.payload, self.shared.options.strict)?;
        let names = matching(account, &asked.subject)
            .iter()
            .map(|stream| stream.scope().stream.to_string())
            .collect();
        let (page, names) = Page::of(names, asked.offset, NAMES_PAGE);
        // The reference shows an empty list of names as null.
        let streams = (!names.is_empty()).then_some(names);
        Ok(Outcome::Answer(envelope("stream_names_response", Names { page, streams })))
    }

    fn stream_list(
        &self,
        now: Now,
        account: &Account,
        request: &ApiRequest<'_>,
    ) -> Result<Outcome, ApiError> {
        let asked: NamesRequest = optional(request.payload, self.shared.options.strict)?;
        let streams = matching(account, &asked.subject);
        let (page, streams) = Page::of(streams, asked.offset, LIST_PAGE);
        let details = Details { list: true, ..Details::default() };
        let streams = streams.iter().map(|stream| stream.info(now, &details).0).collect();
        Ok(Outcome::Answer(envelope("stream_list_response", List { page, streams })))
    }

    fn stream_info(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Account,
        request: &ApiRequest<'_>,
        name: &str,
    ) -> Result<Outcome, ApiError> {
        let asked: InfoRequest = optional(request.payload, self.shared.options.strict)?;
        let stream = find(account, name)?;
        let subjects =
            (!asked.subjects_filter.is_empty()).then_some(asked.subjects_filter.as_bytes());
        let (info, SubjectsPage { total, offset, limit }) = stream.info(
            now,
            &Details {
                deleted: asked.deleted_details,
                subjects,
                offset: usize::try_from(asked.offset).unwrap_or(0),
                leader: true,
                list: false,
            },
        );
        let page = Page { total, offset, limit };
        let payload = envelope("stream_info_response", Info { page, info });
        self.tell_durable(host, now, &stream, request, payload)
    }

    /// Answers with what a stream holds, once all of that is durable: nobody acts on a message or
    /// an ack that a crash takes back.
    ///
    /// # Errors
    /// 10023 when too many answers wait already.
    pub(super) fn tell_durable(
        &self,
        host: &mut dyn Host,
        now: Now,
        cell: &StreamCell,
        request: &ApiRequest<'_>,
        payload: Vec<u8>,
    ) -> Result<Outcome, ApiError> {
        let mut stream = cell.lock();
        if stream.is_durable() {
            return Ok(Outcome::Answer(payload));
        }
        stream.check_load()?;
        if let Some(reply) = request.reply() {
            stream.answer(reply, &payload);
        }
        drop(stream);
        self.audit(host, now, &Addressee::of(request, &self.shared.load), &payload);
        Ok(Outcome::Later)
    }

    fn stream_purge(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Account,
        request: &ApiRequest<'_>,
        name: &str,
    ) -> Result<Outcome, ApiError> {
        let asked: PurgeRequest = optional(request.payload, self.shared.options.strict)?;
        if asked.seq > 0 && asked.keep > 0 {
            return Err(ApiError::BadRequest);
        }
        let cell = find(account, name)?;
        if asked.seq > SEQ_MAX {
            let err = format!("sequence can not be above {SEQ_MAX}").into();
            return Err(ApiError::StreamPurgeFailed { err });
        }
        let filter = Some(asked.filter.as_bytes()).filter(|f| !f.is_empty() && *f != b">");
        let purge = Purge {
            filter,
            below_seq: (asked.seq > 0).then_some(asked.seq),
            keep: (asked.keep > 0).then_some(asked.keep),
        };
        let mut stream = cell.lock();
        let purged = stream.purge(&purge)?;
        let payload = envelope("stream_purge_response", Purged { success: true, purged });
        if let Some(reply) = request.reply() {
            stream.answer(reply, &payload);
        }
        stream.settle(host, now);
        drop(stream);
        self.audit(host, now, &Addressee::of(request, &self.shared.load), &payload);
        Ok(Outcome::Later)
    }

    fn msg_delete(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Account,
        request: &ApiRequest<'_>,
        name: &str,
    ) -> Result<Outcome, ApiError> {
        if json::is_empty(request.payload) {
            return Err(ApiError::BadRequest);
        }
        let asked: DeleteRequest = json::decode(request.payload, self.shared.options.strict)?;
        let cell = find(account, name)?;
        let payload = envelope("stream_msg_delete_response", Success { success: true });
        let mut stream = cell.lock();
        stream.delete(asked.seq, !asked.no_erase, request.reply(), &payload)?;
        stream.settle(host, now);
        drop(stream);
        self.audit(host, now, &Addressee::of(request, &self.shared.load), &payload);
        Ok(Outcome::Later)
    }

    fn msg_get(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Account,
        request: &ApiRequest<'_>,
        name: &str,
    ) -> Result<Outcome, ApiError> {
        if json::is_empty(request.payload) {
            return Err(ApiError::BadRequest);
        }
        let asked: GetRequest = json::decode(request.payload, self.shared.options.strict)?;
        asked.check()?;
        let cell = find(account, name)?;
        if let Some(reply) = request.reply() {
            let mut stream = cell.lock();
            stream.get(host, reply, &asked);
            stream.settle(host, now);
        }
        Ok(Outcome::Later)
    }

    /// `STREAM.CREATED`, `.UPDATED` and `.DELETED`.
    pub(crate) fn stream_advisory(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &str,
        stream: &str,
        (event, action): (&str, &str),
    ) {
        let subject = format!("{}STREAM.{event}.{stream}", advisory::ADVISORY);
        if advisory::wanted(host, account, &subject) {
            Event::advisory(host, now, "stream_action")
                .text("stream", stream)
                .text("action", action)
                .send(host, account, self.shared.options.domain.as_deref(), &subject);
        }
    }
}

/// The stream of this name.
pub(crate) fn find(account: &Account, name: &str) -> Result<Arc<StreamCell>, ApiError> {
    account.stream(name).ok_or_else(|| match account.offline_reason(name) {
        Some(reason) => ApiError::StreamOfflineReason { err: reason.into() },
        None => ApiError::StreamNotFound,
    })
}

/// The streams with a subject that overlaps `filter`, by name; all for an empty filter.
fn matching(account: &Account, filter: &str) -> Vec<Arc<StreamCell>> {
    let mut streams = account.all_streams();
    if !filter.is_empty() {
        streams.retain(|stream| {
            let stream = stream.lock();
            let mut subjects = stream.config.subjects.iter();
            subjects.any(|own| natterjack_subject::overlaps(own.as_bytes(), filter.as_bytes()))
        });
    }
    streams
}
