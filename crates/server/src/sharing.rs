//! Imports and exports between accounts: from what is configured to what `core` puts into effect, and
//! what services learn about clients.

use std::cell::RefCell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use natterjack_config::Options;
use natterjack_config::options as config;
use natterjack_core::sharing::{
    ClientInfo, Export, ExportKind, Import, Importers, Latency, Place, Reception, Responses,
    Service, Sharing, check as check_declared, wire,
};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::connection::with_batch;
use crate::connection_info::ConnectionInfo;
use crate::hub::Hub;
use crate::log_error;
use crate::server_info::rfc3339;
use crate::start::StartError;

/// What is further away than this is looked at in between: what a timer holds is limited.
const FAR_NS: u64 = 86_400_000_000_000;

/// Checks what accounts of the configuration import and export.
///
/// # Errors
/// All that does not hold, a line for each.
pub(crate) fn check(options: &Options) -> Result<(), StartError> {
    let declared = declared(options);
    let is_account = |name: &str| options.accounts.iter().any(|account| account.name == name);
    // Activations are of operator mode only: the time does not matter.
    let faults = check_declared(&declared, &is_account, 0);
    if faults.is_empty() {
        return Ok(());
    }
    let lines = faults.iter().map(|fault| {
        let account = options.accounts.iter().find(|account| account.name == *fault.account);
        let position = account.and_then(|account| match fault.place {
            Place::Export(at) => account.exports.get(at).map(|export| &export.position),
            Place::Import(at) => account.imports.get(at).map(|import| &import.position),
        });
        match position {
            Some(position) => format!("{position}: {}", fault.error),
            None => fault.error.to_string(),
        }
    });
    Err(StartError::Sharing(lines.collect::<Vec<_>>().join("\n")))
}

/// Puts into effect what accounts import and export. What the JWT of an account declares and does not
/// hold is left out, and logged.
pub(crate) fn set_up(hub: &Arc<Hub>) {
    let options = hub.options();
    let now_unix = hub.clock().unix_ns() / 1_000_000_000;
    let mut declared = match options.is_operator_mode() {
        true => declared_by_jwt(hub, now_unix),
        false => declared(&options),
    };
    // An account that is not configured any more shares nothing.
    for account in hub.accounts().all() {
        if !declared.iter().any(|sharing| sharing.account == *account.name()) {
            declared.push(Sharing::nothing(account.name()));
        }
    }
    let reception: Arc<dyn Reception> = hub.reception().clone();
    wire(&declared, &|name| hub.accounts().find(name), &reception);
    if let Some(jetstream) = hub.jetstream() {
        jetstream.set_apis(hub);
    }
}

fn declared_by_jwt(hub: &Hub, now_unix: i64) -> Vec<Sharing> {
    let authenticator = hub.authenticator();
    let ids = authenticator.claimed_accounts();
    let accounts = ids.iter().filter_map(|id| authenticator.account(id));
    let mut declared: Vec<Sharing> = accounts.map(|account| account.sharing.clone()).collect();
    // Also for what is left out now: its time may come.
    let changes = declared.iter().filter_map(|sharing| sharing.changes_unix(now_unix));
    hub.reception().judge_again(hub, changes.min());
    let is_account = |name: &str| authenticator.account(name).is_some();
    let mut faults = check_declared(&declared, &is_account, now_unix);
    for fault in &faults {
        log_error!(hub.log(), "Account [{}]: {}", fault.account, fault.error);
    }
    // From the back, so that places stay what they are.
    faults.reverse();
    for fault in faults {
        let of = declared.iter_mut().find(|sharing| sharing.account == fault.account);
        let Some(sharing) = of else { continue };
        match fault.place {
            Place::Export(at) => drop(sharing.exports.remove(at)),
            Place::Import(at) => drop(sharing.imports.remove(at)),
        }
    }
    declared
}

fn declared(options: &Options) -> Vec<Sharing> {
    options.accounts.iter().map(of_account).collect()
}

/// What an account of the configuration exports and imports.
pub(crate) fn of_account(account: &config::Account) -> Sharing {
    Sharing {
        account: account.name.as_str().into(),
        exports: account.exports.iter().map(export).collect(),
        imports: account.imports.iter().map(import).collect(),
    }
}

fn export(configured: &config::Export) -> Export {
    let importers = match (configured.account_token_position, configured.accounts.as_slice()) {
        (Some(position), _) => Importers::Named(position as usize),
        (None, []) => Importers::All,
        (None, names) => Importers::Only(names.to_vec()),
    };
    let kind = match &configured.kind {
        config::ExportKind::Stream => ExportKind::Stream,
        config::ExportKind::Service { response_type, response_threshold, latency } => {
            let mut service = Service {
                responses: match response_type {
                    config::ResponseType::Single => Responses::Singleton,
                    config::ResponseType::Stream => Responses::Streamed,
                    config::ResponseType::Chunked => Responses::Chunked,
                },
                allow_trace: configured.allow_trace,
                ..Service::default()
            };
            if let Some(threshold) = response_threshold {
                service.threshold_ns = u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX);
            }
            service.latency = latency.as_ref().map(|latency| Latency {
                sampling: latency.sampling,
                subject: latency.subject.clone(),
            });
            ExportKind::Service(service)
        }
    };
    Export { subject: configured.subject.clone(), importers, kind }
}

fn import(configured: &config::Import) -> Import {
    let config::Import { service, account, subject, to, prefix, share, allow_trace, .. } =
        configured;
    let local = match (to, prefix.as_deref().unwrap_or_default()) {
        (Some(to), _) => to.clone(),
        (None, prefix) if prefix.is_empty() || *service => String::new(),
        (None, prefix) => format!("{}.{subject}", prefix.trim_end_matches('.')),
    };
    Import {
        is_service: *service,
        account: account.clone(),
        subject: subject.clone(),
        local,
        share: *share,
        activation: None,
        allow_trace: *allow_trace,
    }
}

thread_local! {
    /// The connection that asked last on this thread, and its server.
    static LAST: RefCell<(Weak<Hub>, Weak<ConnectionInfo>)> = const { RefCell::new((Weak::new(), Weak::new())) };
}

/// What services learn about clients, and when accounts want to be called.
pub(crate) struct Lobby {
    hub: Weak<Hub>,
    server_id: String,
    next_ns: AtomicU64,
    /// When an activation begins or ends to count, in seconds of Unix time.
    judge_unix: AtomicI64,
    changed: Notify,
}

impl Lobby {
    pub(crate) fn new(hub: Weak<Hub>, server_id: String) -> Self {
        Lobby {
            hub,
            server_id,
            next_ns: AtomicU64::new(u64::MAX),
            judge_unix: AtomicI64::new(i64::MAX),
            changed: Notify::new(),
        }
    }

    /// A connection by its id. Requests come in turns: the table of all is asked once for each.
    fn connection(&self, cid: u64) -> Option<Arc<ConnectionInfo>> {
        let last =
            LAST.with_borrow(|(of, last)| if of.ptr_eq(&self.hub) { last.upgrade() } else { None });
        if let Some(last) = last.filter(|last| last.client.cid == cid) {
            return Some(last);
        }
        let found = self.hub.upgrade()?.connection(cid)?;
        LAST.set((self.hub.clone(), Arc::downgrade(&found)));
        Some(found)
    }

    /// Imports are to be judged again at this time.
    fn judge_again(&self, hub: &Hub, at_unix: Option<i64>) {
        self.judge_unix.store(at_unix.unwrap_or(i64::MAX), Ordering::Release);
        if let Some(at_unix) = at_unix {
            let left = i128::from(at_unix) * 1_000_000_000 - i128::from(hub.clock().unix_ns());
            let left = u64::try_from(left.max(0)).unwrap_or(u64::MAX);
            self.call_at(hub.clock().mono_ns().saturating_add(left.min(FAR_NS)));
        }
    }
}

impl Reception for Lobby {
    fn client_info(&self, cid: u64, account: &str, all: bool) -> ClientInfo {
        let Some(info) = self.connection(cid) else { return ClientInfo::brief(account, 0) };
        if !all {
            return ClientInfo::brief(account, info.rtt_ns());
        }
        let details = info.details();
        let user = details.identity.as_ref().and_then(|identity| identity.user.as_deref());
        ClientInfo {
            start: rfc3339(info.start_unix_ns),
            host: info.peer().ip().to_string(),
            id: cid,
            user: user.unwrap_or_default().into(),
            name: details.name().into(),
            lang: details.lang().into(),
            ver: details.version().into(),
            server: self.server_id.clone(),
            jwt: details.jwt().unwrap_or_default().into(),
            issuer_key: details.issuer_key().unwrap_or_default().into(),
            name_tag: details.user_name().unwrap_or_default().into(),
            tags: details.tags().to_vec(),
            kind: "Client".into(),
            client_type: details.client_type().into(),
            ..ClientInfo::brief(account, info.rtt_ns())
        }
    }

    fn server_id(&self) -> &str {
        &self.server_id
    }

    fn time_text(&self, unix_ns: i64) -> String {
        rfc3339(unix_ns)
    }

    fn call_at(&self, mono_ns: u64) {
        if mono_ns < self.next_ns.fetch_min(mono_ns, Ordering::AcqRel) {
            self.changed.notify_one();
        }
    }
}

/// Calls accounts when requests between them have waited too long, until the server has stopped.
pub(crate) async fn run(hub: Arc<Hub>, mut stopped: watch::Receiver<bool>) {
    let lobby = hub.reception();
    loop {
        if lobby.next_ns.load(Ordering::Acquire) <= hub.clock().mono_ns() {
            // Whoever asks from here on is asked again.
            lobby.next_ns.store(u64::MAX, Ordering::Release);
            let judge_unix = lobby.judge_unix.load(Ordering::Acquire);
            if hub.clock().unix_ns() / 1_000_000_000 >= judge_unix {
                let _changing = hub.changing();
                set_up(&hub);
            } else if judge_unix != i64::MAX {
                lobby.judge_again(&hub, Some(judge_unix));
            }
            let next = with_batch(&hub, |batch| {
                hub.accounts().all().iter().filter_map(|account| account.tick(batch)).min()
            });
            lobby.next_ns.fetch_min(next.unwrap_or(u64::MAX), Ordering::AcqRel);
        }
        let next_ns = lobby.next_ns.load(Ordering::Acquire);
        let sleep = async {
            match next_ns {
                u64::MAX => std::future::pending().await,
                next_ns => {
                    tokio::time::sleep_until(Instant::from_std(hub.clock().instant(next_ns))).await;
                }
            }
        };
        tokio::select! {
            () = sleep => {}
            () = lobby.changed.notified() => {}
            // An error is the end as well: the server's own task is gone.
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}
