//! `STREAM.SNAPSHOT` and `STREAM.RESTORE` (jetstream.md 2.15): what is asked, and whether it may be. The
//! transfers themselves are the server's.

use std::sync::Arc;

use natterjack_subject::is_valid_literal;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::ApiRequest;
use super::respond::{Addressee, Outcome, envelope};
use super::streams::find;
use crate::account::Account;
use crate::archive::ArchiveWriter;
use crate::engine::JetStream;
use crate::error::ApiError;
use crate::host::Host;
use crate::json::{self, int};
use crate::nuid;
use crate::snapshot::{Snapshot, Transfer, pace};
use crate::stream::backup::Sample;
use crate::stream::{Config, Details, StreamCell, StreamInfo, StreamState};
use crate::time::Now;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "JSApiStreamSnapshotRequest")]
struct SnapshotRequest {
    deliver_subject: String,
    no_consumers: bool,
    #[serde(with = "int")]
    chunk_size: i64,
    #[serde(with = "int")]
    window_size: i64,
    /// All that is read is checked anyway.
    #[allow(dead_code, reason = "known, so that strict decoding takes it")]
    jsck: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename = "JSApiStreamRestoreRequest")]
struct RestoreRequest {
    config: Config,
    /// The archive has its own.
    #[allow(dead_code, reason = "known, so that strict decoding takes it")]
    state: IgnoredAny,
}

#[derive(Serialize)]
struct Snapshotted {
    config: Config,
    state: StreamState,
}

#[derive(Serialize)]
struct Restoring<'a> {
    deliver_subject: &'a str,
}

#[derive(Serialize)]
struct NotCreated<'a> {
    error: &'a ApiError,
}

/// Why a transfer is refused while others run.
const TOO_MANY: &str = "too many snapshots and restores at one time";

impl JetStream {
    pub(super) fn stream_snapshot(
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
        let cell = find(account, name)?;
        let asked: SnapshotRequest = json::decode(request.payload, self.shared.options.strict)?;
        if !is_valid_literal(asked.deliver_subject.as_bytes()) {
            return Err(ApiError::SnapshotDeliverSubjectInvalid);
        }
        let transfer = Transfer::begin(&self.shared)
            .ok_or(ApiError::StreamSnapshot { err: TOO_MANY.into() })?;
        let mut stream = cell.lock();
        stream.check_load()?;
        let Sample { config, mut state, consumers, pos } = stream.sample(!asked.no_consumers);
        stream.settle(host, now);
        drop(stream);
        // Strings and numbers always serialize.
        let shown = serde_json::to_vec(&state).unwrap_or_default();
        let (next, last) = (state.first_seq, state.last_seq);
        let payload =
            envelope("stream_snapshot_response", Snapshotted { config, state: state.clone() });
        (state.lost, state.consumer_count) = (None, consumers.len());
        let (chunk, window) = pace(asked.chunk_size, asked.window_size);
        let snapshot = Snapshot {
            _transfer: transfer,
            deliver: asked.deliver_subject,
            acks: format!("$JS.SNAPSHOT.ACK.{name}.{}", nuid::text(22, || host.random())),
            chunk,
            window,
            client: serde_json::to_vec(request.client).unwrap_or_default(),
            began: now.unix_ns,
            state: Some(serde_json::to_vec(&state).unwrap_or_default()),
            consumers: consumers.into_iter(),
            pos: Some(pos),
            next,
            last,
            archive: ArchiveWriter::default(),
            ended: false,
            cell: Arc::clone(&cell),
        };
        snapshot.announce(host, now, &shown);
        // The answer goes first, now or when what it tells is durable.
        if let Outcome::Answer(payload) = self.tell_durable(host, now, &cell, request, payload)? {
            let to = Addressee::of(request, &self.shared.load);
            self.respond(host, now, &to, &payload, true);
        }
        host.send_snapshot(snapshot);
        Ok(Outcome::Later)
    }

    pub(super) fn stream_restore(
        &self,
        host: &mut dyn Host,
        now: Now,
        account: &Arc<Account>,
        request: &ApiRequest<'_>,
        name: &str,
    ) -> Result<Outcome, ApiError> {
        if json::is_empty(request.payload) {
            return Err(ApiError::BadRequest);
        }
        let asked: RestoreRequest = json::decode(request.payload, self.shared.options.strict)?;
        if asked.config.name != name {
            return Err(ApiError::StreamMismatch);
        }
        if account.stream(name).is_some() {
            return Err(ApiError::StreamNameExistRestoreFailed);
        }
        if let Some(reason) = account.offline_reason(name) {
            return Err(ApiError::StreamOfflineReason { err: reason.into() });
        }
        let transfer = Transfer::begin(&self.shared)
            .ok_or(ApiError::StreamRestore { err: TOO_MANY.into() })?;
        let to = Addressee::of(request, &self.shared.load);
        let client = serde_json::to_vec(request.client).unwrap_or_default();
        self.begin_restore(host, now, account, asked.config, transfer, client, {
            move |engine: &Self, host: &mut dyn Host, now: Now, deliver_subject: &str| {
                let payload = envelope("stream_restore_response", Restoring { deliver_subject });
                engine.respond(host, now, &to, &payload, true);
            }
        })?;
        Ok(Outcome::Later)
    }

    /// The last answer of a restore that went well.
    pub(crate) fn answer_created(
        &self,
        host: &mut dyn Host,
        now: Now,
        to: &Addressee,
        cell: &StreamCell,
    ) {
        let (info, _): (StreamInfo, _) = cell.info(now, &Details::default());
        self.respond(host, now, to, &envelope("stream_create_response", info), false);
    }

    /// The last answer of a restore that failed.
    pub(crate) fn answer_not_created(
        &self,
        host: &mut dyn Host,
        now: Now,
        to: &Addressee,
        error: &ApiError,
    ) {
        let payload = envelope("stream_create_response", NotCreated { error });
        self.respond(host, now, to, &payload, false);
    }
}
