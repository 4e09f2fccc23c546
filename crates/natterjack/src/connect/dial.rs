//! The first connect.
//!
//! Servers are tried one by one here, and not by async-nats, so that the error can name each with its
//! own reason, and so that one server that refuses the login does not hide another that would not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{ConnectErrorKind, ServerAddr};
use rand::seq::SliceRandom;

use super::hooks::connect_options;
use super::link::Link;
use super::options::{FirstConnect, ServerOrder};
use super::{hooks, pings, reason, url};
use crate::error::{AuthDenied, Error, TlsFailed, Tried, Unreachable};

/// Once a server refused the login, the others share this time: a refusal has to come at once, and
/// servers of one pool rarely disagree.
const AFTER_REFUSAL: Duration = Duration::from_millis(800);

pub(crate) async fn first_connect(link: &Arc<Link>) -> Result<(), Error> {
    let started = Instant::now();
    match link.options.first_connect {
        FirstConnect::Background => return start_in_background(link).await,
        FirstConnect::FailFast => one_pass(link, started + link.options.connect_deadline).await?,
        FirstConnect::RetryFor(span) => retry(link, started + span).await?,
    }
    link.dialed();
    start_tasks(link);
    measure_and_announce(link.clone()).await;
    tokio::spawn(hooks::report_pool(link.clone()));
    Ok(())
}

async fn start_in_background(link: &Arc<Link>) -> Result<(), Error> {
    let addrs: Vec<ServerAddr> =
        link.options.servers.iter().map(|server| server.addr.clone()).collect();
    let options = connect_options(link).retry_on_initial_connect();
    match async_nats::connect_with_options(addrs, options).await {
        Ok(client) => link.set_client(client),
        Err(error) => return Err(unreachable(vec![], &error.to_string())),
    }
    start_tasks(link);
    Ok(())
}

fn start_tasks(link: &Arc<Link>) {
    tokio::spawn(pings::run(link.clone()));
    tokio::spawn(crate::core::pump_outbox(link.clone()));
}

fn unreachable(mut tried: Vec<Tried>, why: &str) -> Error {
    if tried.is_empty() {
        tried.push(Tried { server: "the pool".into(), why: why.to_owned() });
    }
    Unreachable { tried }.into()
}

/// Takes the time of one round trip and reports the connection.
pub(crate) async fn measure_and_announce(link: Arc<Link>) {
    let started = Instant::now();
    // A server that forbids even the probe has answered too; only silence is cut short.
    let limit = link.options.connect_timeout.min(Duration::from_secs(2));
    let rtt = crate::core::round_trip(&link, limit).await.unwrap_or_else(|_| started.elapsed());
    link.announce(rtt);
}

async fn retry(link: &Arc<Link>, deadline: Instant) -> Result<(), Error> {
    let mut pass = 0;
    loop {
        let error = match one_pass(link, deadline).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let wait = link.options.backoff.wait(pass, rand::random());
        if !matches!(error, Error::Unreachable(_)) || Instant::now() + wait >= deadline {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        pass += 1;
    }
}

/// Tries each server once.
async fn one_pass(link: &Arc<Link>, mut deadline: Instant) -> Result<(), Error> {
    let mut servers: Vec<ServerAddr> =
        link.options.servers.iter().map(|server| server.addr.clone()).collect();
    let pool = servers.clone();
    if link.options.server_order == ServerOrder::Shuffled {
        servers.shuffle(&mut rand::rng());
    }
    let (mut tried, mut denied) = (Vec::new(), None);
    for addr in servers {
        let name = url::label(&addr);
        link.aim(addr.clone());
        let attempt = async_nats::connect_with_options(pool.clone(), connect_options(link));
        let left = deadline.saturating_duration_since(Instant::now());
        let why = match tokio::time::timeout(left, attempt).await {
            Ok(Ok(client)) => {
                link.set_client(client);
                return Ok(());
            }
            Ok(Err(error)) => {
                if let Some(error) = link.take_login_error() {
                    return Err(error);
                }
                let text = error.to_string();
                if reason::is_refusal(&text) {
                    denied.get_or_insert_with(|| refusal(link, &addr, &text));
                    deadline = deadline.min(Instant::now() + AFTER_REFUSAL);
                }
                if error.kind() == ConnectErrorKind::Tls && link.options.servers.len() == 1 {
                    return Err(TlsFailed {
                        stage: "handshake".into(),
                        detail: reason::plain(&text),
                    }
                    .into());
                }
                match error.kind() {
                    ConnectErrorKind::Dns => format!("cannot resolve {}", addr.host()),
                    _ => reason::plain(&text),
                }
            }
            Err(_) => "no answer within the deadline".to_owned(),
        };
        link.count_failure();
        link.note_error(&format!("{name}: {why}"));
        tried.push(Tried { server: name, why });
    }
    match denied {
        Some(denied) => Err(denied.into()),
        None => Err(unreachable(tried, "there is no server")),
    }
}

fn refusal(link: &Link, addr: &ServerAddr, text: &str) -> AuthDenied {
    let plain = reason::plain(text);
    let text = if plain == "authorization violation" { String::new() } else { plain };
    let method = link.options.auth_for(addr).method().to_owned();
    AuthDenied { server: url::label(addr), method, text }
}
