//! The options that async-nats gets, and its calls back into [`Link`].
//!
//! async-nats wants futures that are `Sync`; ours run in tasks of their own and hand the result over.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_nats::{AuthError, ClientError, ConnectOptions, ReconnectToServer, ServerError};
use tokio::sync::oneshot;

use super::link::Link;
use super::options::OnLameDuck;
use super::url::label;
use super::violations;
use crate::error::PermissionDenied;
use crate::event::{DisconnectReason, Event};

/// Messages that async-nats keeps for one of our readers. Our own queues do the limiting and the
/// counting (see `core::queue`), so this has to be larger than what one poll of the socket can bring.
const RAW_CAPACITY: usize = 1 << 20;

/// async-nats counts a server as stale after three of its intervals.
const NATIVE_PINGS: u32 = 3;

pub(crate) fn connect_options(link: &Arc<Link>) -> ConnectOptions {
    let asked = &link.options;
    let mut options = login_hook(Arc::downgrade(link))
        .name(&asked.name)
        .connection_timeout(asked.connect_timeout)
        .request_timeout(Some(asked.request_timeout))
        .subscription_capacity(RAW_CAPACITY)
        .custom_inbox_prefix(&asked.inbox_prefix)
        // Ours strikes first; this one is for a socket so full that ours cannot get through.
        .ping_interval(asked.stale_after().mul_f64(1.1) / NATIVE_PINGS)
        .reconnect_delay_callback(|_| Duration::ZERO)
        .retain_servers_order();
    options = server_hook(options, Arc::downgrade(link));
    options = event_hook(options, Arc::downgrade(link));
    if !asked.echo {
        options = options.no_echo();
    }
    if !asked.discover {
        options = options.ignore_discovered_servers();
    }
    if let Some(tls) = &asked.tls {
        options = options.require_tls(tls.required);
        if let Some(config) = &tls.config {
            options = options.tls_client_config(config.as_ref().clone());
        }
        if let Some(ca) = &tls.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let Some((cert, key)) = &tls.identity {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        if tls.first {
            options = options.tls_first();
        }
    }
    options
}

fn login_hook(link: Weak<Link>) -> ConnectOptions {
    ConnectOptions::with_auth_callback(move |nonce| {
        let (tell, told) = oneshot::channel();
        if let Some(link) = link.upgrade() {
            tokio::spawn(async move {
                let _ = tell.send(link.login(nonce).await);
            });
        }
        async move {
            match told.await {
                Ok(answer) => answer.map_err(AuthError::new),
                Err(_) => Err(AuthError::new("the connection is closed")),
            }
        }
    })
}

fn server_hook(options: ConnectOptions, link: Weak<Link>) -> ConnectOptions {
    options.reconnect_to_server_callback(move |pool, _| {
        let (tell, told) = oneshot::channel();
        if let Some(link) = link.upgrade() {
            tokio::spawn(async move {
                let _ = tell.send(link.choose(pool).await);
            });
        }
        async move {
            match told.await {
                Ok(Some(choice)) => Some(choice),
                Ok(None) | Err(_) => end_connection_task().await,
            }
        }
    })
}

/// Ends the async-nats task from inside its reconnect loop, which has no other way out: it neither
/// looks at its commands there nor notices that all its handles are gone, and its attempt limit
/// counts all servers together from the first connect on.
///
/// Unwinding without a panic (no hook runs, nothing is printed) drops the task with all it holds: its
/// subscriptions end and its handles report it closed. tokio catches it at the task's edge. Where
/// panics abort, the task sleeps instead, holding its few kilobytes until the runtime ends; all
/// handles of this crate are closed either way.
async fn end_connection_task() -> Option<ReconnectToServer> {
    if cfg!(panic = "unwind") {
        std::panic::resume_unwind(Box::new("connection closed"));
    }
    std::future::pending().await
}

fn event_hook(options: ConnectOptions, link: Weak<Link>) -> ConnectOptions {
    options.event_callback(move |event| {
        if let Some(link) = link.upgrade() {
            on_event(&link, event);
        }
        std::future::ready(())
    })
}

fn on_event(link: &Arc<Link>, event: async_nats::Event) {
    match event {
        async_nats::Event::Connected => link.on_connected(),
        async_nats::Event::Closed => {
            link.ended.send_replace(true);
        }
        async_nats::Event::LameDuckMode => lame_duck(link),
        async_nats::Event::SlowConsumer(sid) => {
            // Only subscriptions made through `raw()`: ours are emptied at once.
            tracing::warn!(sid, "a subscription of the raw client lost a message");
        }
        async_nats::Event::ServerError(ServerError::AuthorizationViolation) => {
            server_error(link, "Authorization Violation");
        }
        async_nats::Event::ServerError(ServerError::Other(text)) => server_error(link, &text),
        async_nats::Event::ServerError(ServerError::SlowConsumer(_))
        // Failed attempts are reported by `Link::choose`, with server and reason.
        | async_nats::Event::ClientError(
            ClientError::Other(_) | ClientError::MaxReconnects | ClientError::ServerNotInPool,
        )
        // The loss itself is seen by `Link::choose`, which async-nats calls right after it.
        | async_nats::Event::Disconnected
        | async_nats::Event::Draining => {}
    }
}

fn server_error(link: &Arc<Link>, text: &str) {
    if let Some(violation) = violations::parse(text) {
        let internal = crate::core::is_probe(&violation.subject);
        link.violations.record(violation.clone());
        link.rights.restricted();
        if !internal {
            let PermissionDenied { op, subject, queue } = violation;
            link.emit(Event::PermissionDenied { op, subject, queue });
        }
        return;
    }
    link.note_error(text);
    let text = text.to_owned();
    match text.to_lowercase().as_str() {
        "stale connection" => link.expect_loss(DisconnectReason::StalePing),
        "maximum connections exceeded" | "maximum account active connections exceeded" => {
            link.expect_loss(DisconnectReason::MaxConnections);
            link.emit(Event::MaxConnections { text });
        }
        lower if super::reason::is_refusal(lower) => {
            link.expect_loss(DisconnectReason::AuthRevoked);
            link.emit(Event::AuthExpired { text });
        }
        lower => {
            if matches!(
                lower,
                "maximum payload violation"
                    | "maximum control line exceeded"
                    | "unknown protocol operation"
                    | "slow consumer"
            ) {
                link.expect_loss(DisconnectReason::Refused);
            }
            let code = lower
                .split(|c: char| !c.is_ascii_alphanumeric())
                .filter(|word| !word.is_empty())
                .collect::<Vec<_>>()
                .join("_");
            link.emit(Event::ServerError { code, text });
        }
    }
}

fn lame_duck(link: &Arc<Link>) {
    link.emit(Event::LameDuck { server: link.server_label() });
    if link.options.on_lame_duck == OnLameDuck::Notify {
        return;
    }
    let link = link.clone();
    tokio::spawn(async move {
        let Ok(client) = link.client() else { return };
        // Alone in the pool, the dying server is better than none.
        if client.server_pool().await.is_ok_and(|pool| pool.len() > 1) {
            reconnect(&link, DisconnectReason::LameDuck).await;
        }
    });
}

/// Drops the connection and makes a new one.
pub(crate) async fn reconnect(link: &Link, reason: DisconnectReason) {
    link.expect_loss(reason);
    if let Ok(client) = link.client() {
        // The command queue may be full behind a dead socket; async-nats's own pings end that.
        let _ = tokio::time::timeout(Duration::from_secs(1), client.force_reconnect()).await;
    }
}

/// Reports how the pool has changed, after a (re)connect.
pub(crate) async fn report_pool(link: Arc<Link>) {
    let Ok(client) = link.client() else { return };
    let pool = tokio::time::timeout(link.options.request_timeout, client.server_pool()).await;
    if let Ok(Ok(pool)) = pool
        && let Some(event) =
            link.compare_pool(pool.iter().map(|server| label(&server.addr)).collect())
    {
        link.emit(event);
    }
}
