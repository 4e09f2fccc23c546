//! The consumer endpoints.

use std::sync::{Arc, MutexGuard};

use serde::{Deserialize, Serialize};

use super::ApiRequest;
use super::endpoint::Endpoint;
use super::respond::{Addressee, Outcome, Success, envelope};
use super::streams::{Page, expect_empty, find, optional};
use crate::account::Account;
use crate::consumer::{
    self, AckPolicy, Action, ConsumerInfo, CreateRequest, CreateSubject, Limits,
};
use crate::engine::JetStream;
use crate::engine::catalog::Change;
use crate::error::ApiError;
use crate::host::{Host, Outgoing};
use crate::json::{self, int, time};
use crate::nuid;
use crate::stream::config::Retention;
use crate::stream::{Stream, StreamCell, headers};
use crate::time::{Now, rfc3339};

const NAMES_PAGE: usize = 1024;
const LIST_PAGE: usize = 256;
/// Characters of a name that the server makes up.
const NAME_LEN: usize = 8;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "JSApiConsumersRequest")]
struct PageRequest {
    #[serde(with = "int")]
    offset: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "JSApiConsumerPauseRequest")]
struct PauseRequest {
    #[serde(with = "time")]
    pause_until: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "JSApiConsumerResetRequest")]
struct ResetRequest {
    seq: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "JSApiConsumerUnpinRequest")]
struct UnpinRequest {
    group: String,
}

#[derive(Serialize)]
struct Names {
    #[serde(flatten)]
    page: Page,
    consumers: Vec<String>,
}

#[derive(Serialize)]
struct List {
    #[serde(flatten)]
    page: Page,
    consumers: Vec<ConsumerInfo>,
}

#[derive(Serialize)]
struct Reset {
    #[serde(flatten)]
    info: ConsumerInfo,
    reset_seq: u64,
}

/// An answer that says no more than its type.
#[derive(Serialize)]
struct Nothing {}

/// Tells which of the streams that had a name this is (nats-server 2.14).
const IDENTITY: &str = "Nats-Stream-Identity";

fn stream_identity(created: i64) -> String {
    nuid::hash8(rfc3339(created).as_bytes()).iter().map(|byte| char::from(*byte)).collect()
}

/// The header block of an answer that tells it.
fn identity_block(identity: &str) -> Vec<u8> {
    format!("NATS/1.0\r\n{IDENTITY}: {identity}\r\n\r\n").into_bytes()
}

/// 10225 for a request that is meant for another stream of this name.
fn check_identity(block: &[u8], identity: &str) -> Result<(), ApiError> {
    match headers::get(block, IDENTITY.as_bytes()) {
        Some(asked) if asked != identity.as_bytes() => {
            Err(ApiError::ConsumerStreamIdentityMismatch { msg: identity.to_owned().into() })
        }
        _ => Ok(()),
    }
}

/// What a mirror or source that asks for a consumer gets (nats-server 2.14): of a stream that keeps what
/// nobody settled, one that is kept and settles by flow control; else one of its own, since the name
/// that it asks for is always the same.
fn fill_sourcing(host: &mut dyn Host, stream: &Stream, config: &mut consumer::Config) {
    if !config.direct || !config.sourcing || config.name.is_empty() {
        return;
    }
    if stream.config.retention == Retention::Limits {
        let random = nuid::text(NAME_LEN, || host.random());
        config.name = format!("{}-{random}", config.name);
        return;
    }
    config.direct = false;
    config.durable_name.clone_from(&config.name);
    config.ack_policy = AckPolicy::FlowControl;
    (config.ack_wait, config.max_deliver, config.inactive_threshold) = (0, 0, 0);
}

/// One request with what it is served from.
struct Call<'a> {
    host: &'a mut dyn Host,
    now: Now,
    account: &'a Arc<Account>,
    request: &'a ApiRequest<'a>,
}

impl JetStream {
    pub(super) fn dispatch_consumer(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Arc<Account>,
        request: &ApiRequest<'_>,
        endpoint: &Endpoint<'_>,
    ) -> Outcome {
        let call = Call { host, now, account, request };
        let result = match *endpoint {
            Endpoint::ConsumerCreate { stream, consumer: Some(consumer), filter } => {
                self.consumer_create(call, stream, CreateSubject::Named { consumer, filter })
            }
            Endpoint::ConsumerCreate { stream, .. } => {
                self.consumer_create(call, stream, CreateSubject::Legacy)
            }
            Endpoint::DurableCreate { stream, consumer } => {
                self.consumer_create(call, stream, CreateSubject::Durable { consumer })
            }
            Endpoint::ConsumerNames { stream } => self.consumer_names(call, stream),
            Endpoint::ConsumerList { stream } => self.consumer_list(call, stream),
            Endpoint::ConsumerInfo { stream, consumer } => {
                self.consumer_info(call, stream, consumer)
            }
            Endpoint::ConsumerDelete { stream, consumer } => {
                self.consumer_delete(call, stream, consumer)
            }
            Endpoint::ConsumerPause { stream, consumer } => {
                self.consumer_pause(call, stream, consumer)
            }
            Endpoint::ConsumerReset { stream, consumer } => {
                self.consumer_reset(call, stream, consumer)
            }
            Endpoint::ConsumerUnpin { stream, consumer } => {
                self.consumer_unpin(call, stream, consumer)
            }
            _ => return Outcome::Silent,
        };
        result.unwrap_or_else(|error| endpoint.refuse(&error))
    }

    fn consumer_create(
        &self,
        call: Call<'_>,
        name: &str,
        subject: CreateSubject<'_>,
    ) -> Result<Outcome, ApiError> {
        let Call { host, now, account, request } = call;
        let server = self.shared.limits();
        let strict = self.shared.options.strict;
        let mut asked: CreateRequest = json::decode(request.payload, strict)?;
        consumer::resolve_name(&mut asked, name, subject)?;
        let cell = find(account, name)?;
        let mut stream = cell.lock();
        stream.release_settled();
        account.check_tier()?;
        let limits_of = account.limits();
        let subjects = stream.config.subjects.clone();
        let account_max = limits_of.max_ack_pending.unwrap_or(0);
        let limits = Limits {
            stream_subjects: &subjects,
            inactive_threshold: stream.config.consumer_limits.inactive_threshold,
            stream_max_ack_pending: stream.config.consumer_limits.max_ack_pending,
            max_ack_pending: server.max_ack_pending.unwrap_or(0),
            account_max_ack_pending: i64::try_from(account_max).unwrap_or(i64::MAX),
            max_request_batch: server.max_request_batch.unwrap_or(0),
            queue: stream.config.retention == Retention::Workqueue,
        };
        let mut to = Addressee::of(request, &self.shared.load);
        if asked.config.direct || asked.config.sourcing {
            let identity = stream_identity(cell.created());
            check_identity(request.headers, &identity)?;
            to = to.with_headers(identity_block(&identity));
        }
        let mut config = asked.config;
        fill_sourcing(host, &stream, &mut config);
        consumer::fill_defaults(&mut config, &limits, asked.pedantic)?;
        consumer::check(&config, &limits)?;
        let known = stream.consumers.get(&config.name).filter(|_| !config.name.is_empty());
        if let Some(known) = known {
            let name = config.name.clone();
            if config.sourcing && config.is_durable() {
                let old = known.config();
                config.deliver_policy = old.deliver_policy;
                (config.opt_start_seq, config.opt_start_time) =
                    (old.opt_start_seq, old.opt_start_time);
            }
            config.pause_until = known.config().pause_until;
            consumer::fill_threshold(&mut config, Some(known.config()));
            let same = known.config().same_as(&config);
            if asked.action == Action::Create && !same {
                return Err(ApiError::ConsumerAlreadyExists);
            }
            if !same {
                stream.check_queue(&name, &config)?;
                let sourcing = config.sourcing;
                stream.update_consumer(host, now, &name, config)?;
                if sourcing {
                    // Whoever asks anew lost what was open.
                    stream.reset_consumer(host, now, &name, 0).transpose()?;
                }
            }
            stream.recall_pause(host, now, &name);
            self.consumer_stored(host, now, &cell, stream, &name, to, false);
            return Ok(Outcome::Later);
        }
        if asked.action == Action::Update {
            return Err(ApiError::ConsumerDoesNotExist);
        }
        if !config.direct && !config.sourcing {
            let max = server.consumers_max(stream.config.max_consumers, limits_of.max_consumers);
            if max.is_some_and(|max| stream.consumers.limited() as u64 >= max) {
                return Err(ApiError::MaximumConsumersLimit);
            }
        }
        stream.check_queue("", &config)?;
        consumer::check_name_length(&config.name)?;
        let name = if config.name.is_empty() {
            nuid::text(NAME_LEN, || host.random())
        } else {
            config.name.clone()
        };
        if !stream.scope.memory && config.is_kept() {
            self.shared.check_writable()?;
        }
        stream.add_consumer(host, now, &name, self.shared.next_id(), config);
        self.consumer_stored(host, now, &cell, stream, &name, to, true);
        Ok(Outcome::Later)
    }

    /// Answers a create or update with the consumer's info, once its configuration is durable.
    #[allow(clippy::too_many_arguments, reason = "what one request touches")]
    fn consumer_stored(
        &self,
        host: &mut dyn Host,
        now: Now,
        cell: &Arc<StreamCell>,
        mut stream: MutexGuard<'_, Stream>,
        name: &str,
        to: Addressee,
        created: bool,
    ) {
        let Some(info) = stream.consumer_info(host, now, name, false) else { return };
        let Some(id) = stream.consumers.id(name) else { return };
        let payload = envelope("consumer_create_response", info);
        let (cell, name) = (Arc::clone(cell), name.to_owned());
        if created {
            stream.keep_start(&name);
        }
        let change = stream.consumer_change(&name);
        let then = Box::new(move |engine: &Self, host: &mut dyn Host, now: Now| {
            let mut stream = cell.lock();
            // It also waits for the messages and notes that decided where the consumer starts.
            stream.write_notes();
            stream.consumer_ready(&name, id);
            if stream.log.durable() >= stream.log.end() {
                engine.respond(host, now, &to, &payload, false);
            } else if let Some(reply) = to.reply() {
                stream.answer_with(reply, to.headers(), &payload);
            }
            stream.settle(host, now);
            if created {
                stream.consumer_advisory(host, now, &name, ("CREATED", "create"));
            }
            drop(stream);
            engine.audit(host, now, &to, &payload);
        });
        let recorded = self.shared.record(host, change, then);
        stream.settle(host, now);
        drop(stream);
        self.finish(host, now, recorded);
    }

    fn consumer_names(&self, call: Call<'_>, name: &str) -> Result<Outcome, ApiError> {
        let asked: PageRequest = optional(call.request.payload, self.shared.options.strict)?;
        let cell = find(call.account, name)?;
        let names = cell.lock().consumers.listed().map(str::to_owned).collect();
        let (page, consumers) = Page::of(names, asked.offset, NAMES_PAGE);
        Ok(Outcome::Answer(envelope("consumer_names_response", Names { page, consumers })))
    }

    fn consumer_list(&self, call: Call<'_>, name: &str) -> Result<Outcome, ApiError> {
        let Call { host, now, account, request } = call;
        let asked: PageRequest = optional(request.payload, self.shared.options.strict)?;
        let cell = find(account, name)?;
        let mut stream = cell.lock();
        let names: Vec<String> = stream.consumers.listed().map(str::to_owned).collect();
        let (page, names) = Page::of(names, asked.offset, LIST_PAGE);
        let consumers =
            names.iter().filter_map(|name| stream.consumer_info(host, now, name, true)).collect();
        Ok(Outcome::Answer(envelope("consumer_list_response", List { page, consumers })))
    }

    fn consumer_info(&self, call: Call<'_>, name: &str, of: &str) -> Result<Outcome, ApiError> {
        let Call { host, now, account, request } = call;
        expect_empty(request.payload)?;
        let cell = find(account, name)?;
        let info = cell.lock().told_consumer_info(host, now, of);
        let info = info.ok_or(ApiError::ConsumerNotFound)?;
        let payload = envelope("consumer_info_response", info);
        self.tell_durable(host, now, &cell, request, payload)
    }

    fn consumer_delete(&self, call: Call<'_>, name: &str, of: &str) -> Result<Outcome, ApiError> {
        let Call { host, now, account, request } = call;
        expect_empty(request.payload)?;
        let cell = find(account, name)?;
        let mut stream = cell.lock();
        let stored = stream.is_consumer_stored(of);
        if stored {
            self.shared.check_writable()?;
        }
        let (id, claimed) =
            stream.remove_consumer(host, now, of).ok_or(ApiError::ConsumerNotFound)?;
        let to = Addressee::of(request, &self.shared.load);
        let owner = Arc::clone(&cell);
        let then = Box::new(move |engine: &Self, host: &mut dyn Host, now: Now| {
            if !claimed.is_empty() {
                let mut stream = owner.lock();
                stream.release(&claimed);
                stream.settle(host, now);
            }
            let payload = envelope("consumer_delete_response", Success { success: true });
            engine.respond(host, now, &to, &payload, true);
        });
        let recorded = self.shared.record(host, stored.then_some(Change::DeleteConsumer(id)), then);
        stream.settle(host, now);
        drop(stream);
        self.finish(host, now, recorded);
        Ok(Outcome::Later)
    }

    fn consumer_pause(&self, call: Call<'_>, name: &str, of: &str) -> Result<Outcome, ApiError> {
        let Call { host, now, account, request } = call;
        let asked: PauseRequest = optional(request.payload, self.shared.options.strict)?;
        let cell = find(account, name)?;
        let mut stream = cell.lock();
        if stream.is_consumer_stored(of) {
            self.shared.check_writable()?;
        }
        let paused = stream.pause_consumer(host, now, of, asked.pause_until);
        let paused = paused.ok_or(ApiError::ConsumerNotFound)?;
        let to = Addressee::of(request, &self.shared.load);
        let then = Box::new(move |engine: &Self, host: &mut dyn Host, now: Now| {
            engine.respond(host, now, &to, &envelope("consumer_pause_response", paused), true);
        });
        let recorded = self.shared.record(host, stream.consumer_change(of), then);
        stream.settle(host, now);
        drop(stream);
        self.finish(host, now, recorded);
        Ok(Outcome::Later)
    }

    fn consumer_reset(&self, call: Call<'_>, name: &str, of: &str) -> Result<Outcome, ApiError> {
        let Call { host, now, account, request } = call;
        let cell = match find(account, name) {
            // Of a consumer that is not there nobody listens for resets.
            Ok(cell) if cell.lock().consumers.get(of).is_some() => cell,
            _ => return Ok(Outcome::Silent),
        };
        let asked: ResetRequest = json::decode(request.payload, false)?;
        let mut stream = cell.lock();
        stream.check_load()?;
        let seq = stream.reset_consumer(host, now, of, asked.seq);
        let reset_seq = seq.ok_or(ApiError::ConsumerNotFound)??;
        let info = stream.consumer_info(host, now, of, false).ok_or(ApiError::ConsumerNotFound)?;
        let payload = envelope("consumer_reset_response", Reset { info, reset_seq });
        stream.write_notes();
        if let Some(reply) = request.reply() {
            // Who knows a stream by its identity is told which one this is.
            if headers::get(request.headers, IDENTITY.as_bytes()).is_some() {
                let identity = stream_identity(cell.created());
                stream.answer_with(reply, &identity_block(&identity), &payload);
            } else {
                stream.answer(reply, &payload);
            }
        }
        stream.settle(host, now);
        Ok(Outcome::Later)
    }

    /// `CONSUMER.UNPIN`, which is announced also where nobody was pinned.
    fn consumer_unpin(&self, call: Call<'_>, name: &str, of: &str) -> Result<Outcome, ApiError> {
        let Call { host, now, account, request } = call;
        if request.payload.is_empty() {
            return Err(ApiError::invalid_json("unexpected end of JSON input"));
        }
        let asked: UnpinRequest = json::decode(request.payload, false)?;
        if asked.group.is_empty() {
            return Err(ApiError::invalid_json("consumer group not specified"));
        }
        if !consumer::is_group_name(&asked.group) {
            return Err(ApiError::ConsumerInvalidGroupName);
        }
        let cell = find(account, name)?;
        let mut stream = cell.lock();
        let known = stream.consumers.get(of).ok_or(ApiError::ConsumerNotFound)?;
        if !known.config().priority_groups.contains(&asked.group) {
            return Err(ApiError::ConsumerInvalidPriorityGroup);
        }
        stream.unpin(host, now, of, &asked.group);
        stream.settle(host, now);
        Ok(Outcome::Answer(envelope("consumer_unpin_response", Nothing {})))
    }

    /// `CONSUMER.MSG.NEXT`: false where there is no such consumer, and a requester hears 503.
    pub(super) fn consumer_next(
        &self,
        host: &mut dyn Host,
        now: Now,
        request: &ApiRequest<'_>,
        stream: &str,
        consumer: &str,
    ) -> bool {
        let Some(cell) = self.stream(request.account, stream) else { return false };
        let mut stream = cell.lock();
        if stream.consumers.get(consumer).is_none() {
            return false;
        }
        let Some(reply) = request.reply() else { return true };
        if request.level_too_high() {
            host.deliver(&Outgoing {
                account: request.account,
                route: reply,
                subject: reply,
                reply: None,
                headers: b"NATS/1.0 412 Required Api Level\r\n\r\n",
                payload: &[],
            });
            return true;
        }
        stream.pull(host, now, consumer, reply, request.payload);
        stream.settle(host, now);
        true
    }
}
