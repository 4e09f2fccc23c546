//! Opening the store and the engine.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use natterjack_config::Options as ServerOptions;
use natterjack_config::options::{JetStreamLimits, SyncPolicy as ConfiguredSync};
use natterjack_config::reload::friendly_bytes;
use natterjack_jetstream::{BatchLimits, JetStream, Options, ServerLimits};
use natterjack_store::commit::JournalOptions;
use natterjack_store::{Blocked, Damage, DiskError, Recovery, SyncPolicy};
use tokio::sync::watch;

use super::{JetStreamGlue, effects::Effects, now};
use crate::builder::Store;
use crate::connection::with_batch;
use crate::disk::{RealDisk, SharedDisk, lock_directory};
use crate::disk_memory::MemoryDisk;
use crate::hub::{COMPATIBLE_VERSION, Hub};
use crate::log::Log;
use crate::server_id::ServerId;
use crate::start::StartError;
use crate::{files, log_error, log_info, log_warn, process};

/// The directory that is ours in the store directory; nats-server's own stands beside it.
const OURS: &str = "natterjack";
/// Where nats-server keeps its streams.
const THEIRS: &str = "jetstream";

/// An engine that has not read its store yet.
pub(crate) struct Engine {
    pub(super) engine: JetStream,
    pub(super) store: OpenStore,
}

/// The disk, and the right to use it.
pub(crate) struct OpenStore {
    disk: SharedDisk,
    directory: PathBuf,
    /// Held for the life of the server.
    lock: Mutex<Option<File>>,
}

impl OpenStore {
    pub(crate) fn disk(&self) -> SharedDisk {
        self.disk.clone()
    }

    /// The disk, if it is one and no memory.
    fn real_disk(&self) -> Option<SharedDisk> {
        (!self.directory.as_os_str().is_empty()).then(|| self.disk())
    }

    pub(crate) fn directory(&self) -> String {
        self.directory.display().to_string()
    }

    /// Whether what is synced survives a power cut.
    fn is_on_disk(&self) -> bool {
        !self.directory.as_os_str().is_empty()
    }

    pub(crate) fn unlock(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Opens the store of these options and takes its lock.
///
/// # Errors
/// Another server uses the directory, or it cannot be written.
pub(crate) fn open(
    options: &ServerOptions,
    store: &Store,
    id: &ServerId,
    log: &Log,
) -> Result<Engine, StartError> {
    log_info!(log, "Starting JetStream");
    let store = match store {
        Store::Memory => OpenStore {
            disk: Arc::new(MemoryDisk::default()),
            directory: PathBuf::new(),
            lock: Mutex::new(None),
        },
        Store::Directory(directory) => open_directory(directory.as_deref(), log)?,
        #[cfg(test)]
        Store::Faulty(directory, faults) => {
            let OpenStore { disk, directory, lock } = open_directory(Some(directory), log)?;
            let faults = faults.clone();
            let disk = Arc::new(crate::disk::faulty::FaultyDisk { disk, faults });
            OpenStore { disk, directory, lock }
        }
    };
    let configured = &options.jetstream;
    // As nats-server: three quarters of the memory, and of what the disk has free.
    let max_memory = configured.max_memory.unwrap_or(process::memory_bytes() / 4 * 3);
    let max_file = configured
        .max_store
        .or_else(|| process::free_disk_bytes(&store.directory).map(|free| free / 4 * 3));
    log_info!(log, "  Max Memory:      {}", friendly_bytes(max_memory));
    if let Some(max_file) = max_file {
        log_info!(log, "  Max Storage:     {}", friendly_bytes(max_file));
    }
    // Zero is the default, as for nats-server.
    let count = |value: Option<u64>, default: usize| {
        let value = value.and_then(|value| usize::try_from(value).ok());
        value.filter(|value| *value > 0).unwrap_or(default)
    };
    let defaults = Options::default();
    let engine = JetStream::new(Options {
        domain: configured.domain.as_deref().map(Into::into),
        server_name: id.name.as_str().into(),
        server_id: id.public_key.as_str().into(),
        server_version: COMPATIBLE_VERSION.into(),
        max_memory: Some(max_memory),
        max_file,
        limits: server_limits(&configured.limits),
        zone: crate::zone::local(),
        strict: configured.strict,
        requests_max: count(configured.request_queue_limit, defaults.requests_max),
        reads_max: count(configured.info_queue_limit, defaults.reads_max),
        buffered_msgs: count(configured.max_buffered_msgs, defaults.buffered_msgs),
        buffered_bytes: count(configured.max_buffered_size, defaults.buffered_bytes),
        sync: match configured.sync {
            ConfiguredSync::BeforeAck => SyncPolicy::Always,
            ConfiguredSync::Every(every) => SyncPolicy::Interval(every),
        },
        ..defaults
    });
    Ok(Engine { engine, store })
}

/// What the `limits` block sets, as the engine takes it.
pub(super) fn server_limits(limits: &JetStreamLimits) -> ServerLimits {
    let number = |value: Option<u64>| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
    let window = limits.duplicate_window.map(|window| window.as_nanos());
    let timeout = limits.batch.timeout.map(|timeout| timeout.as_nanos());
    ServerLimits {
        duplicate_window: window.map(|ns| i64::try_from(ns).unwrap_or(i64::MAX)),
        max_ack_pending: number(limits.max_ack_pending),
        max_request_batch: number(limits.max_request_batch),
        default_max_consumers: limits.default_max_consumers.unwrap_or(0),
        batch: BatchLimits {
            per_stream: limits.batch.max_inflight_per_stream,
            total: limits.batch.max_inflight_total,
            messages: limits.batch.max_msgs,
            timeout_ns: timeout.map(|ns| u64::try_from(ns).unwrap_or(u64::MAX)),
        },
    }
}

fn open_directory(directory: Option<&Path>, log: &Log) -> Result<OpenStore, StartError> {
    let base: PathBuf = directory.map_or_else(files::default_store, Path::to_owned);
    let ours = base.join(OURS);
    let cannot = |error: std::io::Error| {
        StartError::Store(format!("could not use storage directory {:?}: {error}", ours.display()))
    };
    let lock = lock_directory(&ours).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => StartError::Store(format!(
            "storage directory {:?} is in use by another server",
            ours.display()
        )),
        _ => cannot(error),
    })?;
    if base.join(THEIRS).is_dir() {
        log_warn!(
            log,
            "{:?} holds streams of nats-server; they are not read and not touched",
            base.join(THEIRS).display()
        );
    }
    if files::is_volatile(&ours) {
        log_warn!(
            log,
            "{:?} lies in memory (tmpfs): file streams will not survive a power cut",
            ours.display()
        );
    }
    log_info!(log, "  Store Directory: {:?}", ours.display());
    let disk = Arc::new(RealDisk::new(ours.clone()).map_err(cannot)?);
    Ok(OpenStore { disk, directory: ours, lock: Mutex::new(Some(lock)) })
}

/// Reads what is stored and starts the streams. What is damaged is reported and fenced; what cannot be
/// explained is left alone.
pub(super) fn recover(glue: &JetStreamGlue, hub: &Arc<Hub>) -> Result<(), StartError> {
    let disk = glue.store.disk();
    let is_whole = natterjack_store::directory::open(disk.as_ref())
        .map_err(|error| StartError::Store(error.to_string()))?;
    if !is_whole {
        log_warn!(hub.log(), "  The store's FORMAT was not whole and is written anew");
    }
    if glue.store.is_on_disk() {
        open_journal(glue, hub)?;
    }
    let report = with_batch(hub, |batch| {
        batch.as_service(|batch| {
            let now = now(batch);
            glue.engine.recover(disk.as_ref(), now, &mut Effects::new(hub, batch))
        })
    });
    let report = report.map_err(|error| StartError::Store(error.to_string()))?;
    let log = hub.log();
    found(log, "catalog", &report.catalog);
    for stream in &report.streams {
        let name = format!("stream \"{} > {}\"", stream.account, stream.name);
        found(log, &name, &stream.log);
        log_info!(
            log,
            "  Restored {} messages and {} consumers for {name}",
            stream.messages,
            stream.consumers
        );
    }
    for stream in &report.offline {
        log_error!(
            log,
            "stream \"{} > {}\" is offline: {}; its files are left as they are",
            stream.account,
            stream.name,
            stream.reason
        );
    }
    for orphan in &report.orphans {
        log_warn!(log, "directory {orphan:?} belongs to no known stream; it is left as it is");
    }
    Ok(())
}

/// How long after the start the store is settled: clients that were waiting come first.
const SETTLE_AFTER: Duration = Duration::from_secs(1);

/// Makes, among others, the room that is given up when the disk is full, unless the server is stopped
/// before.
pub(crate) async fn settle(hub: Arc<Hub>, mut stop: watch::Receiver<bool>) {
    let Some(disk) = hub.jetstream().and_then(|jetstream| jetstream.store.real_disk()) else {
        return;
    };
    if tokio::time::timeout(SETTLE_AFTER, stop.wait_for(|stop| *stop)).await.is_ok() {
        return;
    }
    let work = move || natterjack_store::directory::settle(disk.as_ref());
    // An error also when the runtime ends; then nobody needs to be told.
    if let Ok(Err(error)) = hub.runtime().spawn_blocking(work).await {
        log_warn!(hub.log(), "The store directory could not be settled: {error}");
    }
}

/// Makes whole what the last server could not finish, and lets streams share syncs from now on.
fn open_journal(glue: &JetStreamGlue, hub: &Arc<Hub>) -> Result<(), StartError> {
    let hub_of_report = hub.weak();
    let stopped = move |error: &DiskError| {
        if let Some(hub) = hub_of_report.upgrade() {
            log_error!(
                hub.log(),
                "the commit journal stops until the next start, each stream syncs by itself: {error}"
            );
        }
    };
    let mut options = JournalOptions::default();
    if matches!(hub.options().jetstream.sync, ConfiguredSync::Every(_)) {
        // What is synced now and then shares nothing, and is not written twice.
        options.round_bytes = 0;
    }
    let redone = glue.io.open_journal(options, rand::random(), stopped);
    let redone = redone.map_err(|error| StartError::Store(error.to_string()))?;
    let log = hub.log();
    if redone.records > 0 {
        log_info!(
            log,
            "  Wrote {} bytes again from {} records of the commit journal",
            redone.bytes,
            redone.records
        );
    }
    for damage in &redone.damage {
        log_error!(
            log,
            "{} damaged bytes in the commit journal at {}:{}; they are kept in {:?}, and streams whose \
             last records were in them report what is missing",
            damage.len,
            damage.path,
            damage.offset,
            damage.copy
        );
    }
    Ok(())
}

/// Says what recovery found in one log beside what belongs there.
fn found(log: &Log, of: &str, recovery: &Recovery) {
    if let Some(torn) = &recovery.torn {
        let copy =
            torn.copy.as_deref().map(|copy| format!("; a copy is in {copy:?}")).unwrap_or_default();
        log_warn!(
            log,
            "{of}: cut off {} bytes of an unfinished write at {}:{}{copy}",
            torn.len,
            torn.path,
            torn.offset
        );
    }
    for damage in &recovery.damage {
        damaged(log, of, damage);
    }
    for file in &recovery.derived {
        log_warn!(
            log,
            "{of}: {file:?} is not whole; what it spares was read instead, and nothing is lost"
        );
    }
    for file in &recovery.set_aside {
        log_error!(log, "{of}: {file:?} holds nothing that can be read; it is set aside");
    }
}

/// Says that the disk refuses what is to be stored, or takes it again.
pub(super) fn blocked(log: &Log, of: &str, reason: Option<&Blocked>) {
    let Some(reason) = reason else {
        log_info!(log, "{of}: the disk takes what is stored again");
        return;
    };
    let (what, until) = match reason {
        Blocked::NoRoom(_) => ("there is no room", "it is tried again each second"),
        Blocked::NoFiles(_) => ("no file can be opened", "it is tried again each second"),
        Blocked::SyncFailed(_) => (
            "a sync failed, and nothing that was not acknowledged counts",
            "it goes on in a new file as soon as the disk lets it",
        ),
        _ => ("the disk failed", "it stays so until the server is started again"),
    };
    log_error!(log, "{of}: nothing is stored, since {what}: {}; {until}", reason.error());
}

/// Says what could not be read, at the start or when it was looked at later.
pub(super) fn damaged(log: &Log, of: &str, damage: &Damage) {
    let what = if damage.durable { "was stored and is lost" } else { "was never acknowledged" };
    log_error!(
        log,
        "{of}: {} damaged bytes at {}:{}; what they held {what} (sequences {:?})",
        damage.len,
        damage.path,
        damage.offset,
        damage.seqs
    );
}
