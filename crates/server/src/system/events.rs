//! Events of the server in the system account (core.md 6.1). Nothing is made where nobody listens.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use natterjack_core::account::{Account, Matches};
use natterjack_core::auth::GLOBAL_ACCOUNT;
use natterjack_core::batch::Batch;
use natterjack_core::service::{Message, Origin};
use natterjack_jetstream::nuid;
use natterjack_proto::error::ClosedReason;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::statsz;
use crate::connection::with_batch;
use crate::connection_info::ConnectionInfo;
use crate::hub::Hub;
use crate::monitor;
use crate::server_info::{ServerInfo, rfc3339};

/// How often the server reports at first, and in the end.
const FIRST_REPORT: Duration = Duration::from_millis(250);
const LAST_REPORT: Duration = Duration::from_secs(10);
/// How often the connections of an account that has some are told.
const HEARTBEAT: Duration = Duration::from_secs(30);

fn tell(hub: &Hub, batch: &mut Batch, subject: &str, body: impl FnOnce() -> Value) {
    if let Some(system) = hub.accounts().system() {
        tell_in(&system, batch, subject, body);
    }
}

fn tell_in(account: &Account, batch: &mut Batch, subject: &str, body: impl FnOnce() -> Value) {
    let mut matches = Matches::default();
    account.find(subject.as_bytes(), &mut matches);
    if matches.is_empty() {
        return;
    }
    let payload = body().to_string();
    let (subject, payload) = (subject.as_bytes(), payload.as_bytes());
    let message = Message { subject, reply: None, headers: &[], payload };
    account.route(&matches, subject, &message, Origin::Internal, batch);
}

/// The beginning that events share.
fn event(hub: &Hub, kind: &str) -> Value {
    json!({
        "type": format!("io.nats.server.advisory.v1.{kind}"),
        "id": nuid::text(22, rand::random),
        "timestamp": rfc3339(hub.clock().unix_ns()),
        "server": ServerInfo::of(hub),
    })
}

/// The `client` of an event; what is unknown is left out.
fn client(hub: &Hub, info: &ConnectionInfo, account: &str, stop_unix_ns: Option<i64>) -> Value {
    let details = info.details();
    let mut client = Map::new();
    client.insert("start".into(), rfc3339(info.start_unix_ns).into());
    client.insert("host".into(), info.peer().ip().to_string().into());
    client.insert("id".into(), info.client.cid.into());
    let user = details.identity.as_ref().and_then(|identity| identity.user.as_deref());
    let user = user.or(details.refused.as_deref());
    for (name, value) in [
        ("acc", account),
        ("user", user.unwrap_or_default()),
        ("name", details.name()),
        ("lang", details.lang()),
        ("ver", details.version()),
    ] {
        if !value.is_empty() {
            client.insert(name.into(), value.into());
        }
    }
    if let Some(stop) = stop_unix_ns {
        if info.rtt_ns() > 0 {
            client.insert("rtt".into(), info.rtt_ns().into());
        }
        client.insert("stop".into(), rfc3339(stop).into());
    }
    for (name, value) in [("jwt", details.jwt()), ("issuer_key", details.issuer_key())] {
        if let Some(value) = value {
            client.insert(name.into(), value.into());
        }
    }
    let known = hub.authenticator().account(account);
    let name_tag = known.as_ref().map_or(account, |known| &known.name);
    client.insert("name_tag".into(), name_tag.into());
    if !details.tags().is_empty() {
        client.insert("tags".into(), details.tags().to_vec().into());
    }
    client.insert("kind".into(), "Client".into());
    client.insert("client_type".into(), details.client_type().into());
    client.into()
}

/// A client logged in.
pub(crate) fn connected(hub: &Hub, info: &ConnectionInfo, batch: &mut Batch) {
    let Some(identity) = info.details().identity else { return };
    connections(hub, &identity.account, batch);
    tell(hub, batch, &format!("$SYS.ACCOUNT.{}.CONNECT", identity.account), || {
        let mut event = event(hub, "client_connect");
        event["client"] = client(hub, info, &identity.account, None);
        event
    });
}

/// A connection is closed, and out of its account.
pub(crate) fn disconnected(
    hub: &Hub,
    info: &ConnectionInfo,
    reason: ClosedReason,
    batch: &mut Batch,
) {
    if hub.is_stopping() {
        return;
    }
    let identity = info.details().identity;
    let is_refused = matches!(
        reason,
        ClosedReason::AuthenticationFailure
            | ClosedReason::ProxyNotTrusted
            | ClosedReason::ProxyRequired
    );
    let account = match &identity {
        Some(identity) => &*identity.account,
        None if is_refused => GLOBAL_ACCOUNT,
        // Nobody heard of it.
        None => return,
    };
    let body = || ended(hub, info, account, reason.as_str());
    if is_refused {
        let subject = format!("$SYS.SERVER.{}.CLIENT.AUTH.ERR", hub.id().public_key);
        tell(hub, batch, &subject, body);
    } else {
        connections(hub, account, batch);
    }
    tell(hub, batch, &format!("$SYS.ACCOUNT.{account}.DISCONNECT"), body);
}

/// How the end of a connection is told.
fn ended(hub: &Hub, info: &ConnectionInfo, account: &str, reason: &str) -> Value {
    let [in_msgs, in_bytes, out_msgs, out_bytes] = info.client.traffic.counts();
    let mut event = event(hub, "client_disconnect");
    event["client"] = client(hub, info, account, Some(hub.clock().unix_ns()));
    // By the client's view.
    event["sent"] = json!({"msgs": in_msgs, "bytes": in_bytes});
    event["received"] = json!({"msgs": out_msgs, "bytes": out_bytes});
    event["reason"] = reason.into();
    event
}

/// A login was refused: the account hears of it that decided, or would have.
pub(crate) fn refused(
    hub: &Hub,
    info: &ConnectionInfo,
    account: &str,
    reason: &str,
    batch: &mut Batch,
) {
    let Some(account) = hub.accounts().find(account) else { return };
    tell_in(&account, batch, "$SYS.ACCOUNT.CLIENT.AUTH.ERR", || {
        let mut event = ended(hub, info, account.name(), reason);
        // It belongs to no account yet, which is to say to `$G` (nats-server 2.15.1).
        event["client"]["name_tag"] = GLOBAL_ACCOUNT.into();
        event
    });
}

/// How many connections an account has. Nobody hears that of the global account (nats-server 2.15.1).
fn connections(hub: &Hub, account: &str, batch: &mut Batch) {
    if account == GLOBAL_ACCOUNT {
        return;
    }
    // One event, under its old subject and its new one.
    let body = OnceCell::new();
    for subject in [
        format!("$SYS.SERVER.ACCOUNT.{account}.CONNS"),
        format!("$SYS.ACCOUNT.{account}.SERVER.CONNS"),
    ] {
        let event = || account_connections(hub, account).unwrap_or_default();
        tell(hub, batch, &subject, || body.get_or_init(event).clone());
    }
}

/// The `account_connections` event of an account.
pub(super) fn account_connections(hub: &Hub, account: &str) -> Option<Value> {
    let account = hub.accounts().find(account)?;
    let mut event = event(hub, "account_connections");
    let stat = monitor::account_stat(hub, &account);
    if let (Value::Object(members), Value::Object(stat)) = (&mut event, stat) {
        members.extend(stat);
    }
    Some(event)
}

/// Lame duck mode begins.
pub(crate) fn entering_lame_duck(hub: &Hub) {
    told_of_server(hub, "LAMEDUCK");
}

/// The server stops.
pub(crate) fn shutting_down(hub: &Hub) {
    told_of_server(hub, "SHUTDOWN");
}

fn told_of_server(hub: &Hub, what: &str) {
    let subject = format!("$SYS.SERVER.{}.{what}", hub.id().public_key);
    with_batch(hub, |batch| tell(hub, batch, &subject, || json!(ServerInfo::of(hub))));
}

/// Reports until the server has stopped.
pub(crate) async fn run(hub: Arc<Hub>, mut stopped: watch::Receiver<bool>) {
    let subject = format!("$SYS.SERVER.{}.STATSZ", hub.id().public_key);
    let mut gap = FIRST_REPORT;
    let mut report = Instant::now() + gap;
    let mut beat = Instant::now() + HEARTBEAT;
    loop {
        let is_report = tokio::select! {
            () = tokio::time::sleep_until(report) => true,
            () = tokio::time::sleep_until(beat) => false,
            // An error is the end as well: the server's own task is gone.
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        if is_report {
            gap = (gap * 2).min(LAST_REPORT);
            report = Instant::now() + gap;
            with_batch(&hub, |batch| tell(&hub, batch, &subject, || statsz::message(&hub)));
        } else {
            beat = Instant::now() + HEARTBEAT;
            with_batch(&hub, |batch| heartbeat(&hub, batch));
        }
    }
}

/// Tells the connections of all accounts that have some.
fn heartbeat(hub: &Hub, batch: &mut Batch) {
    for account in hub.accounts().all() {
        if account.connections.load(Ordering::Relaxed) > 0 {
            connections(hub, account.name(), batch);
        }
    }
}
