//! The login of one connection: nonce, timeout, the check of its credentials, and its expiry.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use natterjack_core::auth::{
    AuthFailure, CertificateNames, ConnInfo, ConnectionType, Credentials, GLOBAL_ACCOUNT, Identity,
};
use natterjack_proto::connect::Connect;
use natterjack_proto::error::{ClosedReason, ServerError};
use tokio::time::Instant;

use crate::callout::{self, Applicant};
use crate::connection_info::ConnectionInfo;
use crate::hub::Hub;
use crate::log_warn;
use crate::program::{LoginAttempt, Program};
use crate::transport::tunnel::Tunnel;

/// Where a connection stands between accept and the end of its right to be here.
pub(crate) struct Login {
    nonce: Option<String>,
    is_open: bool,
    /// When the time to log in is over, on the monotonic clock.
    timeout_ns: Option<u64>,
    /// When the login expires: on the monotonic clock, for the timer, and as it was given.
    expires: Option<(u64, i64)>,
    /// What is said then.
    expiry: ServerError,
}

/// Why a login was refused.
pub(crate) enum Refusal {
    /// The time to log in was over before it was decided.
    Late,
    /// The rules, or the authorization service, do not admit it.
    Failed {
        /// For the log.
        text: String,
        /// The account that hears of it.
        account: Arc<str>,
        /// What that account hears.
        reason: String,
        /// How the end of the connection is recorded.
        closed: ClosedReason,
    },
}

impl Refusal {
    /// By the rules of the server.
    fn by_rules(hub: &Hub, text: String) -> Self {
        Self::recorded_as(hub, text, ClosedReason::AuthenticationFailure)
    }

    fn recorded_as(hub: &Hub, text: String, closed: ClosedReason) -> Self {
        let account = hub.authenticator().callout_account().unwrap_or(GLOBAL_ACCOUNT).into();
        Refusal::Failed { text, account, reason: closed.as_str().to_owned(), closed }
    }
}

impl Login {
    /// A connection was accepted.
    pub(crate) fn begin(hub: &Hub, kind: ConnectionType, now_ns: u64) -> Self {
        let authenticator = hub.authenticator();
        let admits_anonymous = authenticator.admits_anonymous(kind);
        // Neither a login nor a `no_auth_user`, whatever the kind of connection.
        let is_open = admits_anonymous
            && !authenticator.auth_required_of(kind)
            && !hub.options().requires_login();
        Login {
            // 11 random bytes, 15 characters, as in nats-server.
            nonce: authenticator
                .needs_nonce()
                .then(|| BASE64URL_NOPAD.encode(&rand::random::<[u8; 11]>())),
            timeout_ns: (!admits_anonymous)
                .then(|| now_ns.saturating_add(authenticator.timeout().as_nanos() as u64)),
            is_open,
            expires: None,
            expiry: ServerError::UserAuthenticationExpired,
        }
    }

    /// The time to log in begins anew: what came before it took its own.
    pub(crate) fn begin_again(&mut self, hub: &Hub, now_ns: u64) {
        if self.timeout_ns.is_some() {
            let timeout = hub.authenticator().timeout().as_nanos() as u64;
            self.timeout_ns = Some(now_ns.saturating_add(timeout));
        }
    }

    /// The text that the client signs.
    pub(crate) fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// Whether operations are served before CONNECT.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// The next instant at which [`Login::fire`] has something to say.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        self.timeout_ns.or(self.expires.map(|(mono_ns, _)| mono_ns))
    }

    /// A timer fired: why the connection must end, if it must.
    pub(crate) fn fire(
        &mut self,
        now_ns: u64,
        now_unix_ns: i64,
    ) -> Option<(ServerError, ClosedReason)> {
        if self.timeout_ns.is_some_and(|timeout| now_ns >= timeout) {
            return Some((ServerError::AuthenticationTimeout, ClosedReason::AuthenticationTimeout));
        }
        let (mono_ns, unix) = self.expires?;
        if now_ns < mono_ns {
            return None;
        }
        if now_unix_ns / 1_000_000_000 < unix {
            // The wall clock was set back, or the deadline was cut to what a timer can hold.
            self.expires = Some((after(now_ns, now_unix_ns, unix), unix));
            return None;
        }
        Some((self.expiry.clone(), ClosedReason::AuthenticationExpired))
    }

    /// The login was accepted.
    pub(crate) fn bound(&mut self, hub: &Hub, identity: &Identity) {
        self.timeout_ns = None;
        let clock = hub.clock();
        let user = identity.expires_unix.map(|at| (at, ServerError::UserAuthenticationExpired));
        let account =
            identity.account_expires_unix.map(|at| (at, ServerError::AccountAuthenticationExpired));
        let next = user.into_iter().chain(account).min_by_key(|(at, _)| *at);
        self.expires =
            next.as_ref().map(|(unix, _)| (after(clock.mono_ns(), clock.unix_ns(), *unix), *unix));
        if let Some((_, error)) = next {
            self.expiry = error;
        }
    }

    /// Checks the credentials of a CONNECT, or with `None` those of a client that sent none.
    pub(crate) async fn check(
        &self,
        hub: &Arc<Hub>,
        connect: Option<&Connect>,
        info: &ConnectionInfo,
        tunnel: Option<&Tunnel>,
    ) -> Result<Arc<Identity>, Refusal> {
        let authenticator = hub.authenticator();
        if connect.is_some_and(|connect| connect.account.is_some() || connect.new_account.is_some())
        {
            let text = "authentication error - accounts of clients are not supported";
            return Err(Refusal::by_rules(hub, text.to_owned()));
        }
        let kind = info.connection_type();
        if connect.is_none() && !authenticator.admits_before_connect(kind) {
            return Err(Refusal::by_rules(hub, "authentication error".to_owned()));
        }
        if let Some(program) = hub.program_logins() {
            return self.ask_program(hub, program, connect, info).await;
        }
        let connection = ConnInfo { remote_ip: Some(info.peer().ip()), kind };
        let tls = info.facts().and_then(|facts| facts.tls.clone());
        let shown = tls.as_ref().and_then(|tls| tls.names.as_ref());
        // Where certificates name the users, one that is not shown names nobody.
        let nobody = CertificateNames::default();
        let certificate = shown.or(hub.transports().maps(kind).then_some(&nobody));
        let nonce = self.nonce.clone().unwrap_or_default();
        let now_unix = || hub.clock().unix_ns() / 1_000_000_000;
        let empty = Connect::default();
        let connect = connect.unwrap_or(&empty);
        let given = Credentials { certificate, ..Credentials::from(connect) };
        let mut outcome = if authenticator.costs_cpu(&given) {
            self.check_password(hub, connect, connection).await?
        } else {
            authenticator.authenticate(&given, &nonce, &connection, now_unix())
        };
        let wanted = match &outcome {
            Err(AuthFailure::AccountNotFound(id)) => Some(id.clone()),
            Err(AuthFailure::AccountExpired(id)) if hub.resolver().refreshes(hub, id) => {
                Some(id.clone())
            }
            _ => None,
        };
        if let Some(id) = wanted
            && self.in_time(hub, hub.resolver().fetch(hub, &id)).await?
        {
            outcome = hub.authenticator().authenticate(&given, &nonce, &connection, now_unix());
        }
        // What the rules decided is not the last word where a service is asked.
        if let Some(callout) = hub.authenticator().callout(&given, &outcome) {
            let applicant = Applicant { connect, info, nonce: &nonce, connection, tunnel };
            return callout::decide(hub, &callout, applicant).await.map_err(|reason| {
                log_warn!(hub.log(), "{reason}");
                let text = format!("authentication error{}", given.log_suffix());
                let closed = ClosedReason::AuthenticationFailure;
                Refusal::Failed { text, account: callout.account.clone(), reason, closed }
            });
        }
        outcome.map_err(|failure| {
            // A refused login is recorded as such, whatever it lacks; only proxies have their own words.
            let closed = match failure.closed_reason() {
                reason @ (ClosedReason::ProxyNotTrusted | ClosedReason::ProxyRequired) => reason,
                _ => ClosedReason::AuthenticationFailure,
            };
            Refusal::recorded_as(hub, describe(&failure, &given), closed)
        })
    }

    /// Asks the embedding program, in a task of its own: what goes wrong there is a refusal.
    async fn ask_program(
        &self,
        hub: &Arc<Hub>,
        program: &Program,
        connect: Option<&Connect>,
        info: &ConnectionInfo,
    ) -> Result<Arc<Identity>, Refusal> {
        let empty = Connect::default();
        let connect = connect.unwrap_or(&empty);
        let attempt = LoginAttempt::new(connect, info, self.nonce().unwrap_or_default());
        let program = program.clone();
        // Also what is done before there is something to wait for.
        let deciding = hub.runtime().spawn_foreign(async move { program.decide(attempt).await });
        let abort = deciding.abort_handle();
        let decided = self.in_time(hub, deciding).await.inspect_err(|_| abort.abort())?;
        let suffix = Credentials::from(connect).log_suffix();
        let refused =
            |why: String| Refusal::by_rules(hub, format!("authentication error{suffix} ({why})"));
        let granted = match decided {
            Ok(granted) => granted.map_err(refused)?,
            Err(_) => return Err(refused("the check was aborted".to_owned())),
        };
        let admitted = hub.authenticator().admit(granted.into_admitted());
        admitted.map_err(|failure| refused(failure.to_string()))
    }

    /// A bcrypt check takes a tenth of a second: not on a worker, and only two at a time. They queue, and
    /// the time to log in runs meanwhile.
    async fn check_password(
        &self,
        hub: &Arc<Hub>,
        connect: &Connect,
        connection: ConnInfo,
    ) -> Result<Result<Arc<Identity>, AuthFailure>, Refusal> {
        let (authenticator, nonce) = (hub.authenticator(), self.nonce.clone().unwrap_or_default());
        let now_unix = hub.clock().unix_ns() / 1_000_000_000;
        let connect = connect.clone();
        let check = async {
            let permit = hub.password_checks().acquire().await;
            // It changes nothing: what goes wrong there is a refusal as well.
            let outcome = tokio::task::spawn_blocking(move || {
                let given = Credentials::from(&connect);
                authenticator.authenticate(&given, &nonce, &connection, now_unix)
            })
            .await;
            drop(permit);
            outcome
        };
        let outcome = self.in_time(hub, check).await?;
        let aborted = "authentication error - the check was aborted";
        outcome.map_err(|_| Refusal::by_rules(hub, aborted.to_owned()))
    }

    /// Waits for what decides, until the time to log in is over.
    async fn in_time<D: Future>(&self, hub: &Hub, decision: D) -> Result<D::Output, Refusal> {
        let Some(timeout_ns) = self.timeout_ns else { return Ok(decision.await) };
        let until = Instant::from_std(hub.clock().instant(timeout_ns));
        tokio::time::timeout_at(until, decision).await.map_err(|_| Refusal::Late)
    }
}

fn describe(failure: &AuthFailure, given: &Credentials<'_>) -> String {
    format!("authentication error{} ({failure})", given.log_suffix())
}

/// The monotonic instant of a wall clock time in seconds.
fn after(mono_ns: u64, unix_ns: i64, unix: i64) -> u64 {
    let left = i128::from(unix) * 1_000_000_000 - i128::from(unix_ns);
    mono_ns.saturating_add(u64::try_from(left).unwrap_or(0))
}
