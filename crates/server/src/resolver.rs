//! Where account JWTs come from beside the configuration: a directory, requests of the system account that
//! change it, and other servers that are asked for what is not there; or a web server (core.md 3.8).

mod flights;
mod requests;
mod store;
mod web;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use natterjack_config::Options;
use natterjack_config::options::Resolver as Configured;
use natterjack_core::account::Account;
use natterjack_core::auth::Authenticator;
use natterjack_core::jwt::{self, decode};
use natterjack_core::subscription::Subscription;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::ask::{self, Question};
use crate::hub::Hub;
use crate::log::Log;
use crate::start::StartError;
use crate::{accounts, log_debug, log_error, log_info, log_warn, tenants};
use flights::Flights;
use requests::Asked;
use store::Store;
use web::Web;

/// Requests that wait at a time; what comes while so many do gets no answer.
const REQUESTS: usize = 64;
/// Accounts that are looked for at a time. Whoever names one more waits, as long as a login may take.
const FETCHES: usize = 64;
/// Accounts that one account brings with it, as those that it imports from.
const EXPORTERS: usize = 64;
/// How long an account whose JWT is over is not asked for again.
const REFRESH_NS: u64 = 1_000_000_000;
/// How often files whose time is over are looked for, at least.
const EXPIRY_CHECK: Duration = Duration::from_secs(60);

/// The directory of account JWTs, if one is configured, and those who ask for changes.
pub(crate) struct Resolver {
    store: Option<Mutex<Store>>,
    web: Option<Web>,
    /// When accounts were asked for again whose JWTs are over.
    refreshed: Mutex<HashMap<Box<str>, u64>>,
    fetches: Semaphore,
    flights: Flights,
    asked: mpsc::Sender<Asked>,
    waiting: Mutex<Option<mpsc::Receiver<Asked>>>,
}

impl Resolver {
    /// Opens the directory and lets the authenticator know what is in it.
    ///
    /// # Errors
    /// The directory cannot be used, the web server does not answer, or the system account is not there.
    pub(crate) fn open(
        options: &Options,
        authenticator: &Authenticator,
        log: &Log,
        now_ns: i64,
        runtime: &Runtime,
    ) -> Result<Self, StartError> {
        let (asked, waiting) = mpsc::channel(REQUESTS);
        let store = match &options.resolver {
            Some(Configured::Directory(directory)) => {
                let mut report = |path: &Path, why: &str| unusable(log, path, why);
                let mut store = Store::open(directory.clone(), now_ns, &mut report)
                    .map_err(|error| StartError::Operator(format!("{}: {error}", directory.dir)))?;
                fill(&mut store, options, authenticator, log, now_ns)?;
                Some(Mutex::new(store))
            }
            _ => None,
        };
        let web = match &options.resolver {
            Some(Configured::Url(url)) => {
                let web = Web::new(url, options.resolver_tls.as_ref());
                let web = web.map_err(StartError::Operator)?;
                runtime.block_on(meet(&web, authenticator, log)).map_err(StartError::Operator)?;
                Some(web)
            }
            _ => None,
        };
        Ok(Resolver {
            store,
            web,
            refreshed: Mutex::default(),
            fetches: Semaphore::new(FETCHES),
            flights: Flights::default(),
            asked,
            waiting: Mutex::new(Some(waiting)),
        })
    }

    fn store(&self) -> Option<MutexGuard<'_, Store>> {
        let store = self.store.as_ref()?;
        Some(store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the directory again, and applies what changed. To be called while the configuration
    /// changes.
    pub(crate) fn reload(&self, hub: &Arc<Hub>) {
        let now_ns = hub.clock().unix_ns();
        let Some(mut store) = self.store() else { return };
        let mut report = |path: &Path, why: &str| unusable(hub.log(), path, why);
        let changed = match store.scan(now_ns, &mut report) {
            Ok(changed) => changed,
            Err(error) => {
                log_error!(hub.log(), "DirResolver - Update got error on load: {error}");
                return;
            }
        };
        let changed: Vec<(String, String)> = changed
            .into_iter()
            .filter_map(|id| store.load(&id, now_ns).ok().flatten().map(|token| (id, token)))
            .collect();
        drop(store);
        for (id, token) in changed {
            changed_to(hub, &id, &token);
        }
    }

    /// Whether to ask for an account again whose JWT is over: where it can have changed without our
    /// hearing of it, and no more than once a second.
    pub(crate) fn refreshes(&self, hub: &Hub, id: &str) -> bool {
        if self.web.is_none() {
            return false;
        }
        let now_ns = hub.clock().mono_ns();
        let mut refreshed = self.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
        let last_ns = refreshed.get(id).copied();
        if last_ns.is_some_and(|last_ns| now_ns.saturating_sub(last_ns) < REFRESH_NS) {
            return false;
        }
        // Only accounts that are known come here.
        refreshed.insert(id.into(), now_ns);
        true
    }

    /// Gets the JWT of an account that is not known, from the directory, the web server, or other servers.
    /// Returns whether the account is known now. The caller bounds the time that it takes.
    pub(crate) async fn fetch(&self, hub: &Arc<Hub>, id: &str) -> bool {
        if jwt::key_kind(id) != Some(jwt::KeyKind::Account) {
            return false;
        }
        if self.store.is_none() && self.web.is_none() {
            return false;
        }
        // Boxed: it is seldom needed, and large.
        let look_up = Box::pin(async {
            let Ok(_place) = self.fetches.acquire().await else { return false };
            match &self.web {
                Some(web) => self.fetch_from(web, hub, id).await,
                None => self.fetch_stored(hub, id).await,
            }
        });
        self.flights.join(id, look_up).await
    }

    /// Gets an account from the directory, or from other servers.
    async fn fetch_stored(&self, hub: &Arc<Hub>, id: &str) -> bool {
        let (task_hub, task_id) = (hub.clone(), id.to_owned());
        let stored = hub.runtime().spawn_blocking(move || {
            let resolver = task_hub.resolver();
            let token = {
                let mut store = resolver.store()?;
                store.load(&task_id, task_hub.clock().unix_ns()).ok().flatten()?
            };
            let _changing = task_hub.changing();
            Some(apply(&task_hub, &task_id, &token).is_ok())
        });
        if let Ok(Some(is_known)) = stored.await {
            return is_known;
        }
        let Some(token) = self.ask_others(hub, id).await else { return false };
        let (task_hub, task_id) = (hub.clone(), id.to_owned());
        let applied = hub.runtime().spawn_blocking(move || {
            let _changing = task_hub.changing();
            let resolver = task_hub.resolver();
            let stored = resolver
                .store()
                .map(|mut store| store.save(&task_id, &token, task_hub.clock().unix_ns()));
            match stored {
                Some(Ok(_)) => apply(&task_hub, &task_id, &token),
                Some(Err(error)) => Err(error.to_string()),
                None => Err("there is no directory".to_owned()),
            }
        });
        match applied.await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                log_error!(hub.log(), "DirResolver - Error looking up account {id:?}: {error}");
                false
            }
            Err(_) => false,
        }
    }

    /// Gets an account from the web server, and then those that it imports from.
    async fn fetch_from(&self, web: &Web, hub: &Arc<Hub>, id: &str) -> bool {
        let mut wanted = vec![id.to_owned()];
        let mut asked = HashSet::new();
        let mut is_known = false;
        while let Some(next) = wanted.pop() {
            if !asked.insert(next.clone()) || asked.len() > EXPORTERS {
                continue;
            }
            let token = match web.get(&next).await {
                Ok(token) => token,
                Err(error) => {
                    log_warn!(hub.log(), "Account fetch failed: {error}");
                    continue;
                }
            };
            let (task_hub, task_id) = (hub.clone(), next.clone());
            let applied = hub.runtime().spawn_blocking(move || {
                let _changing = task_hub.changing();
                apply(&task_hub, &task_id, token.trim())
            });
            match applied.await {
                Ok(Ok(())) => is_known |= next == id,
                Ok(Err(error)) => {
                    log_error!(hub.log(), "Error looking up account {next:?}: {error}");
                }
                Err(_) => {}
            }
            let authenticator = hub.authenticator();
            let Some(info) = authenticator.account(&next) else { continue };
            let exporters = info.sharing.imports.iter().map(|import| &import.account);
            let unknown = exporters.filter(|account| authenticator.account(account).is_none());
            wanted.extend(unknown.cloned());
        }
        is_known
    }

    /// Asks for a JWT in the system account. Where nobody else could answer, nobody is waited for.
    async fn ask_others(&self, hub: &Arc<Hub>, id: &str) -> Option<String> {
        let timeout = self.store()?.options().timeout;
        let system = hub.accounts().system()?;
        let subject = format!("$SYS.REQ.ACCOUNT.{id}.CLAIMS.LOOKUP");
        let question = Question { subject: subject.as_bytes(), headers: &[], payload: &[] };
        let answer = ask::ask(hub, &system, question, timeout).await?;
        String::from_utf8(answer).ok().filter(|token| !token.is_empty())
    }
}

/// Sees that the web server is there, and gets the system account.
async fn meet(web: &Web, authenticator: &Authenticator, log: &Log) -> Result<(), String> {
    web.get("").await?;
    let Some(system) = authenticator.system_account() else { return Ok(()) };
    let learned = match web.get(system).await {
        Ok(token) => authenticator.learn(system, token.trim()).map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = learned {
        // Asked for again when somebody logs in to it, as in nats-server.
        log_warn!(log, "system account {system} cannot be used yet: {error}");
    }
    Ok(())
}

fn unusable(log: &Log, path: &Path, why: &str) {
    log_error!(log, "account JWT {} cannot be used: {why}", path.display());
}

/// Puts what is preloaded into the directory, and tells the authenticator of all that is in it.
fn fill(
    store: &mut Store,
    options: &Options,
    authenticator: &Authenticator,
    log: &Log,
    now_ns: i64,
) -> Result<(), StartError> {
    for (id, preloaded) in &options.resolver_preload {
        // As nats-server, which does not say so either: an older one changes nothing.
        let issued = |token: &str| decode::<jwt::Generic>(token).map_or(0, |claims| claims.iat);
        let stored = store.load(id, now_ns).ok().flatten();
        if stored.is_some_and(|stored| issued(&stored) > issued(&preloaded.value)) {
            continue;
        }
        if let Err(error) = store.save(id, &preloaded.value, now_ns) {
            log_warn!(log, "account {id} cannot be stored: {error}");
        }
    }
    for id in store.keys() {
        let loaded = store.load(&id, now_ns).map_err(|error| error.to_string());
        let learned = loaded.and_then(|token| match token {
            Some(token) => authenticator.learn(&id, &token).map(drop),
            None => Ok(()),
        });
        if let Err(error) = learned {
            log_error!(log, "account {id} cannot be used: {error}");
        }
    }
    let Some(system) = authenticator.system_account() else {
        return Err(StartError::Operator(
            "using nats based account resolver - the system account needs to be specified in \
             configuration or the operator jwt"
                .to_owned(),
        ));
    };
    if authenticator.account(system).is_none() {
        let path = store.directory().join(format!("{system}.jwt"));
        return Err(StartError::Operator(format!(
            "error resolving system account: open {}: no such file or directory",
            path.display()
        )));
    }
    let scope = if store.options().is_cache { "some" } else { "all" };
    log_info!(log, "Managing {scope} jwt in exclusive directory {}", store.directory().display());
    Ok(())
}

/// Subscribes what the system account may ask about JWTs.
pub(crate) fn subscribe(hub: &Arc<Hub>, account: &Arc<Account>) -> Vec<Arc<Subscription>> {
    requests::subscribe(hub, account)
}

/// Answers requests one after the other, in the order they came, until the server has stopped.
pub(crate) async fn run(hub: Arc<Hub>, mut stopped: watch::Receiver<bool>) {
    let waiting = hub.resolver().waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut waiting) = waiting else { return };
    let ttl = hub.resolver().store().and_then(|store| store.options().ttl);
    let check = ttl.map_or(EXPIRY_CHECK, |ttl| (ttl / 2).min(EXPIRY_CHECK));
    let mut due = tokio::time::interval(check.max(Duration::from_millis(1)));
    loop {
        let asked = tokio::select! {
            asked = waiting.recv() => Some(asked),
            _ = due.tick() => None,
            // An error is the end as well: the server's own task is gone.
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let task_hub = hub.clone();
        // Files are read and written: not on a worker.
        let work = match asked {
            Some(Some(asked)) => hub.runtime().spawn_blocking(move || asked.answer(&task_hub)),
            Some(None) => return,
            None => hub.runtime().spawn_blocking(move || {
                if let Some(mut store) = task_hub.resolver().store() {
                    store.expire(task_hub.clock().unix_ns());
                }
            }),
        };
        let _ = work.await;
    }
}

/// Takes over the JWT of an account, and lets those feel it who are connected. To be called while the
/// configuration changes.
fn apply(hub: &Arc<Hub>, id: &str, token: &str) -> Result<(), String> {
    let claims = decode::<jwt::Account>(token).map_err(|error| error.to_string())?;
    let now_unix = hub.clock().unix_ns() / 1_000_000_000;
    let is_over = claims.exp != 0 && now_unix >= claims.exp;
    let is_early = claims.nbf != 0 && now_unix < claims.nbf;
    if is_over || is_early || !jwt::account_faults(&claims).is_empty() {
        return Err("account validation failed".to_owned());
    }
    let info = hub.authenticator().learn(id, token).map_err(|error| {
        log_debug!(hub.log(), "account {id}: {error}");
        "account validation failed".to_owned()
    })?;
    log_debug!(hub.log(), "Updating account claims: {id}/{}", info.name);
    tenants::claimed(hub, &info);
    accounts::judge_again(hub, id);
    Ok(())
}

/// As [`apply`], for a token that is stored whether it can be used or not, as nats-server does.
fn changed_to(hub: &Arc<Hub>, id: &str, token: &str) {
    if let Err(error) = apply(hub, id, token) {
        log_error!(hub.log(), "DirResolver - Update for account {id:?} resulted in error {error}");
    }
}

/// The JWT of an account is gone: whoever is logged in goes too.
fn deleted(hub: &Arc<Hub>, id: &str) {
    log_debug!(hub.log(), "Disable account {id} due to remove");
    hub.authenticator().forget(id);
    tenants::forgotten(hub, id);
    accounts::judge_again(hub, id);
}
