//! The way into the server: INFO, TLS, login, the account; and the same judged again after a reload.

use std::sync::Arc;

use natterjack_core::auth::{ConnInfo, Identity};
use natterjack_proto::connect::Connect;
use natterjack_proto::encode;
use natterjack_proto::error::{ClosedReason, ServerError};

use super::{Connection, ping_interval, text, with_batch};
use crate::login::Refusal;
use crate::system;
use crate::transport::enter;
use crate::transport::tls::TlsListener;
use crate::transport::tunnel::Tunnel;
use crate::transport::websocket::Cookies;
use crate::{log_debug, log_error, log_info};

impl Connection {
    /// INFO and TLS in the order that the configuration asks for.
    pub(super) async fn enter_tls(
        &mut self,
        tunnel: &Arc<Tunnel>,
        tls: &TlsListener,
    ) -> Result<(), ClosedReason> {
        // Before INFO, so that it counts in the order in which clients see that they are connected.
        let is_within_rate = tls.admits(self.hub.clock().mono_ns());
        let mut awaits_header = self.hub.options().proxy_protocol;
        if awaits_header && enter::speaks_first(tunnel, tls).await {
            self.read_proxy_header().await?;
            awaits_header = false;
        }
        let is_first = enter::is_first(tunnel, tls).await;
        if !is_first {
            self.introduce(awaits_header).await?;
            if self.hub.options().allow_non_tls && !enter::wants_tls(tunnel, tls).await {
                return self.welcome();
            }
        }
        if !is_within_rate {
            let reason = ClosedReason::MaximumConnectionsExceeded;
            return Err(self.refuse(&ServerError::ConnectionThrottling, reason));
        }
        log_debug!(
            self.hub.log(),
            "{} - Starting TLS client connection handshake",
            self.info.prefix()
        );
        match enter::begin(tunnel, tls, is_first).await {
            Ok(session) => {
                log_debug!(
                    self.hub.log(),
                    "{} - TLS handshake complete: version {}, cipher suite {}",
                    self.info.prefix(),
                    session.version,
                    session.cipher_suite
                );
                self.info.add_fact(|facts| facts.tls = Some(Arc::new(session)));
            }
            Err(failure) => {
                match &failure {
                    enter::Failure::Absent(why) => log_debug!(
                        self.hub.log(),
                        "{} - TLS handshake error: {why}",
                        self.info.prefix()
                    ),
                    enter::Failure::Failed(why) => log_error!(
                        self.hub.log(),
                        "{} - TLS handshake error: {why}",
                        self.info.prefix()
                    ),
                }
                return Err(failure.reason());
            }
        }
        // The time to log in runs from here.
        let now = self.hub.clock().mono_ns();
        self.login.begin_again(&self.hub, now);
        if is_first {
            self.say_info(false)?;
        }
        self.welcome()
    }

    /// INFO, and whether there is room for one more. Where a header may still tell who this is, INFO does
    /// not.
    fn say_info(&mut self, awaits_header: bool) -> Result<(), ClosedReason> {
        let mut greeting = Vec::with_capacity(512);
        encode::info(
            &mut greeting,
            &self.hub.info_for(&self.info, self.login.nonce(), awaits_header),
        );
        self.hub.send(self.client(), greeting);
        if !self.info.is_admitted() {
            return Err(self.refuse(
                &ServerError::MaximumConnectionsExceeded,
                ClosedReason::MaximumConnectionsExceeded,
            ));
        }
        Ok(())
    }

    fn welcome(&mut self) -> Result<(), ClosedReason> {
        log_debug!(self.hub.log(), "{} - Client connection created", self.info.prefix());
        if self.login.is_open() { self.enter_open() } else { Ok(()) }
    }

    /// INFO, and behind a load balancer whom the other end of the socket speaks for.
    async fn introduce(&mut self, awaits_header: bool) -> Result<(), ClosedReason> {
        self.say_info(awaits_header)?;
        if awaits_header {
            // Boxed: hardly any connection waits for one.
            Box::pin(self.read_proxy_header()).await?;
        }
        Ok(())
    }

    /// Without TLS, or with all layers there.
    pub(super) async fn enter(&mut self, awaits_header: bool) -> Result<(), ClosedReason> {
        self.introduce(awaits_header).await?;
        self.welcome()
    }

    /// The first estimate of the round trip, as in nats-server: from the greeting to CONNECT.
    fn first_round_trip(&self) -> u64 {
        let since = self.hub.clock().unix_ns() - self.info.start_unix_ns;
        u64::try_from(since).unwrap_or(0).max(1)
    }

    fn enter_open(&mut self) -> Result<(), ClosedReason> {
        match self.hub.open_identity() {
            Some(identity) => self.bind(identity),
            None => Err(ClosedReason::AuthenticationFailure),
        }
    }

    pub(super) async fn log_in(
        &mut self,
        mut connect: Option<Box<Connect>>,
    ) -> Result<(), ClosedReason> {
        if let (Some(connect), Some(tunnel)) = (&mut connect, self.wire.tunnel()) {
            supply(connect, tunnel.cookies());
        }
        let tunnel = self.wire.tunnel();
        let check = self.login.check(&self.hub, connect.as_deref(), &self.info, tunnel.as_deref());
        let identity = match check.await {
            Ok(identity) => identity,
            Err(Refusal::Late) => {
                return Err(self.refuse(
                    &ServerError::AuthenticationTimeout,
                    ClosedReason::AuthenticationTimeout,
                ));
            }
            Err(Refusal::Failed { text, account, reason, closed }) => {
                log_error!(self.hub.log(), "{} - {text}", self.info.prefix());
                if let Some(connect) = &connect {
                    self.info.refused(connect);
                    self.info.set_rtt(Some(self.first_round_trip()));
                }
                with_batch(&self.hub, |batch| {
                    system::refused(&self.hub, &self.info, &account, &reason, batch);
                });
                return Err(self.refuse(&ServerError::AuthorizationViolation, closed));
            }
        };
        if let Some(connect) = &connect {
            self.info.describe(connect);
            // Without an issuer nobody looked at it.
            if let Some(jwt) = connect.jwt.as_deref().filter(|_| identity.issuer_key.is_some()) {
                self.info.add_fact(|facts| facts.jwt = Some(jwt.into()));
            }
            self.info.set_rtt(Some(self.first_round_trip()));
            self.session.apply(connect).map_err(|(error, reason)| self.refuse(&error, reason))?;
        }
        self.bind(identity)?;
        if connect.is_some() {
            let now = self.hub.clock().mono_ns();
            self.alive.connected(now, rand::random());
            with_batch(&self.hub, |batch| {
                self.session.accepted(batch);
                system::connected(&self.hub, &self.info, batch);
            });
        }
        Ok(())
    }

    fn bind(&mut self, identity: Arc<Identity>) -> Result<(), ClosedReason> {
        // A second CONNECT must not count against the account's limit twice.
        self.session.leave();
        let account = match self.hub.enter(&identity) {
            Ok(account) => account,
            Err((error, reason)) => return Err(self.refuse(&error, reason)),
        };
        let limits = self.hub.session_limits(Some(&identity));
        self.limit_sizes(&identity);
        self.parser.allow_headers(self.session.takes_headers());
        self.session.set_limits(limits);
        self.session.bind(account, identity.permissions.clone());
        self.login.bound(&self.hub, &identity);
        self.info.bound(identity);
        Ok(())
    }

    /// What is larger is refused: by the parser, and before it is inflated.
    fn limit_sizes(&mut self, identity: &Identity) {
        let limits = self.hub.parser_limits(Some(identity));
        if let Some(tunnel) = self.wire.tunnel() {
            // Who may publish nothing may still say so (nats-server 2.15.1).
            let max = if limits.max_payload > 0 { limits.max_payload } else { 1 << 20 };
            tunnel.set_max_payload(max.unsigned_abs());
        }
        self.parser.set_limits(limits);
    }

    /// After a reload: limits and permissions as they are now, or the end of a login that no longer
    /// holds.
    pub(super) fn judge_again(&mut self) -> Result<(), ClosedReason> {
        let options = self.hub.options();
        let ping_max = u32::try_from(options.ping_max).unwrap_or(u32::MAX);
        let kind = self.info.connection_type();
        self.alive.set_limits(ping_interval(&options, kind).as_nanos() as u64, ping_max);
        let Some(identity) = self.info.details().identity else { return Ok(()) };
        let connection = ConnInfo { remote_ip: Some(self.info.peer().ip()), kind };
        let now_unix = self.hub.clock().unix_ns() / 1_000_000_000;
        let renewed = self.hub.authenticator().recheck(&identity, &connection, now_unix);
        let identity = renewed.map_err(|failure| {
            log_error!(self.hub.log(), "{} - authentication error ({failure})", self.info.prefix());
            match failure.closing_error() {
                Some(error) => self.refuse(&error, failure.closed_reason()),
                None => failure.closed_reason(),
            }
        })?;
        self.limit_sizes(&identity);
        self.session.set_limits(self.hub.session_limits(Some(&identity)));
        self.session.set_permissions(identity.permissions.clone());
        self.login.bound(&self.hub, &identity);
        let dropped = with_batch(&self.hub, |batch| self.session.drop_forbidden(batch));
        for subscription in dropped {
            log_info!(
                self.hub.log(),
                "Removed sub \"{}\" (sid \"{}\") for User \"{}\" - not authorized",
                text(subscription.subject()),
                text(subscription.sid()),
                identity.user.as_deref().unwrap_or_default()
            );
        }
        self.info.bound(identity);
        Ok(())
    }
}

/// Puts what cookies say where CONNECT says nothing.
fn supply(connect: &mut Connect, cookies: Cookies) {
    for (field, value) in [
        (&mut connect.jwt, cookies.jwt),
        (&mut connect.user, cookies.user),
        (&mut connect.pass, cookies.pass),
        (&mut connect.auth_token, cookies.token),
    ] {
        if field.as_deref().is_none_or(str::is_empty) && value.is_some() {
            *field = value;
        }
    }
}
