//! `/connz`: connections, live and closed.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use natterjack_config::duration;
use natterjack_core::auth::{Authenticator, ConnectionType};
use natterjack_core::client::Client;
use natterjack_core::subscription::Subscription;
use serde_json::{Value, json};

use super::query::{BadQuery, Query};
use super::subsz::detail;
use super::{Answer, envelope, uptime};
use crate::closed::ClosedConnection;
use crate::connection_info::{ConnectionInfo, Details};
use crate::hub::Hub;
use crate::server_info::rfc3339;
use crate::transport::certificate::PeerCertificate;

/// A row with what it can be sorted by.
struct Row {
    cid: u64,
    pending: u64,
    subscriptions: u64,
    /// Messages and bytes from, then to the client.
    traffic: [u64; 4],
    start: i64,
    active: i64,
    stop: i64,
    rtt: u64,
    reason: &'static str,
    user: String,
    json: Value,
    /// While it lives.
    client: Option<Arc<Client>>,
}

/// Whether subscriptions are shown.
#[derive(Clone, Copy)]
enum Subs {
    No,
    List,
    Detail,
}

pub(super) fn connz(hub: &Hub, query: &Query) -> Answer {
    let (offset, mut limit) = (query.number("offset", 0)?, query.number("limit", 1024)?);
    let auth = query.flag("auth")?;
    let subs = match query.text("subs").map(str::to_ascii_lowercase).as_deref() {
        Some("detail") => Subs::Detail,
        _ if query.flag("subs")? => Subs::List,
        _ => Subs::No,
    };
    let state = query.text("state").unwrap_or("open").to_ascii_lowercase();
    let (open, closed) = match state.as_str() {
        "open" => (true, false),
        "closed" => (false, true),
        "any" | "all" => (true, true),
        _ => return Err(BadQuery::State(state)),
    };
    let sort = query.text("sort").unwrap_or("cid");
    let now = hub.clock().unix_ns();
    let authenticator = hub.authenticator();
    let names = auth.then_some(&*authenticator);
    let mut rows = Vec::new();
    // Looked at before a row is made: accounts ask about themselves, and others may have many more.
    let account = query.text("acc");
    if open {
        let all = hub.connections();
        let asked = all.iter().filter(|info| account.is_none_or(|account| info.is_of(account)));
        rows.extend(asked.map(|info| live(info, now, names, subs)));
    }
    if closed {
        let all = hub.closed_connections();
        let asked = all.iter().filter(|entry| {
            let identity = entry.details.identity.as_ref();
            account.is_none_or(|account| identity.is_some_and(|it| *it.account == *account))
        });
        rows.extend(asked.map(|entry| ended(entry, names)));
    }
    // Neither the user nor the subject nor the id is looked at for this (2.15.1, measured).
    let total = rows.len();
    if let Some(cid) = query.text("cid") {
        let number: u64 =
            cid.parse().map_err(|_| BadQuery::Number { name: "cid", value: cid.to_owned() })?;
        rows.retain(|row| row.cid == number);
        limit = 1;
    }
    rows.retain(|row| query.text("user").is_none_or(|user| row.user == user));
    if let Some(filter) = query.text("filter_subject") {
        let fits = |subject: &[u8]| natterjack_subject::is_subset(subject, filter.as_bytes());
        rows.retain(|row| {
            let client = row.client.as_ref();
            client.is_some_and(|client| {
                client.subscriptions().iter().any(|subscription| fits(subscription.subject()))
            })
        });
    }
    order(&mut rows, sort, closed)?;
    let page: Vec<Value> = rows
        .into_iter()
        .skip(usize::try_from(offset).unwrap_or(usize::MAX))
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .map(|row| row.json)
        .collect();
    let body = json!({
        "num_connections": page.len(),
        "total": total,
        "offset": offset,
        "limit": limit,
        "connections": page,
    });
    Ok((StatusCode::OK, envelope(hub, body, false)))
}

fn order(rows: &mut [Row], sort: &str, closed: bool) -> Result<(), BadQuery> {
    // All but the id sort the largest first.
    let key: fn(&Row) -> i128 = match sort {
        "cid" => |row| i128::from(row.cid),
        "start" => |row| i128::from(row.start),
        "subs" => |row| -i128::from(row.subscriptions),
        "pending" => |row| -i128::from(row.pending),
        "msgs_from" => |row| -i128::from(row.traffic[0]),
        "bytes_from" => |row| -i128::from(row.traffic[1]),
        "msgs_to" => |row| -i128::from(row.traffic[2]),
        "bytes_to" => |row| -i128::from(row.traffic[3]),
        "last" => |row| -i128::from(row.active),
        "idle" => |row| i128::from(row.active),
        "uptime" => |row| i128::from(row.start),
        "rtt" => |row| -i128::from(row.rtt),
        "stop" | "reason" if !closed => return Err(BadQuery::SortNeedsClosed(sort.to_owned())),
        "stop" => |row| -i128::from(row.stop),
        "reason" => {
            rows.sort_by_key(|row| row.reason);
            return Ok(());
        }
        _ => return Err(BadQuery::Sort(sort.to_owned())),
    };
    rows.sort_by_key(key);
    Ok(())
}

fn live(info: &Arc<ConnectionInfo>, now: i64, names: Option<&Authenticator>, subs: Subs) -> Row {
    let traffic = info.client.traffic.counts();
    let details = info.details();
    let pending = info.client.outbox().pending() as u64;
    let subscriptions = info.client.subscription_count() as u64;
    let mut json =
        common(info.client.cid, info.peer(), info.start_unix_ns, traffic, &details, names);
    json["uptime"] = uptime(now - info.start_unix_ns).into();
    json["pending_bytes"] = pending.into();
    json["subscriptions"] = subscriptions.into();
    let active = info.active_unix_ns();
    json["last_activity"] = rfc3339(active).into();
    json["idle"] = uptime(now - active).into();
    if info.rtt_ns() > 0 {
        json["rtt"] = round_trip(info.rtt_ns());
    }
    let list = info.client.subscriptions();
    match subs {
        // What is empty is left out.
        Subs::No => {}
        _ if list.is_empty() => {}
        Subs::List => {
            let subject = |one: &Arc<Subscription>| String::from_utf8_lossy(one.subject()).into();
            json["subscriptions_list"] = list.iter().map(subject).collect::<Vec<Value>>().into();
        }
        Subs::Detail => {
            json["subscriptions_list_detail"] =
                list.iter().map(|one| detail(one, None)).collect::<Vec<_>>().into();
        }
    }
    let row = row(
        info.client.cid,
        pending,
        subscriptions,
        traffic,
        info.start_unix_ns,
        &details,
        json,
        info.rtt_ns(),
    );
    Row { active, client: Some(info.client.clone()), ..row }
}

/// A Go duration, cut to microseconds.
fn round_trip(rtt_ns: u64) -> Value {
    duration::format(Duration::from_micros(rtt_ns / 1000)).into()
}

fn ended(entry: &ClosedConnection, names: Option<&Authenticator>) -> Row {
    let mut json =
        common(entry.cid, entry.peer, entry.start_unix_ns, entry.traffic, &entry.details, names);
    json["stop"] = rfc3339(entry.stop_unix_ns).into();
    json["reason"] = entry.reason.as_str().into();
    json["uptime"] = uptime(entry.stop_unix_ns - entry.start_unix_ns).into();
    json["last_activity"] = rfc3339(entry.active_unix_ns).into();
    json["idle"] = uptime(entry.stop_unix_ns - entry.active_unix_ns).into();
    json["rtt"] = round_trip(entry.rtt_ns);
    json["pending_bytes"] = 0.into();
    json["subscriptions"] = 0.into();
    Row {
        stop: entry.stop_unix_ns,
        active: entry.active_unix_ns,
        reason: entry.reason.as_str(),
        ..row(entry.cid, 0, 0, entry.traffic, entry.start_unix_ns, &entry.details, json, 0)
    }
}

#[expect(clippy::too_many_arguments, reason = "the columns of one row")]
fn row(
    cid: u64,
    pending: u64,
    subscriptions: u64,
    traffic: [u64; 4],
    start: i64,
    details: &Details,
    json: Value,
    rtt: u64,
) -> Row {
    let identity = details.identity.as_ref();
    Row {
        cid,
        pending,
        subscriptions,
        traffic,
        start,
        active: 0,
        stop: 0,
        rtt,
        reason: "",
        user: identity.and_then(|identity| identity.user.as_deref()).unwrap_or_default().to_owned(),
        json,
        client: None,
    }
}

/// What open and closed connections show; who they are only with the names of accounts.
fn common(
    cid: u64,
    peer: std::net::SocketAddr,
    start: i64,
    traffic: [u64; 4],
    details: &Details,
    names: Option<&Authenticator>,
) -> Value {
    let mut json = json!({
        "cid": cid,
        "kind": "Client",
        "type": match details.connection_type() {
            ConnectionType::WebSocket => "websocket",
            _ => "nats",
        },
        "ip": peer.ip().to_string(),
        "port": peer.port(),
        "start": rfc3339(start),
        "in_msgs": traffic[0],
        "in_bytes": traffic[1],
        "out_msgs": traffic[2],
        "out_bytes": traffic[3],
    });
    for (name, value) in
        [("name", details.name()), ("lang", details.lang()), ("version", details.version())]
    {
        if !value.is_empty() {
            json[name] = value.into();
        }
    }
    if let Some(tls) = details.facts.as_ref().and_then(|facts| facts.tls.as_ref()) {
        json["tls_version"] = tls.version.into();
        json["tls_cipher_suite"] = tls.cipher_suite.as_str().into();
        if tls.is_first {
            json["tls_first"] = true.into();
        }
        if names.is_some() && !tls.peer.is_empty() {
            let shown = |peer: &PeerCertificate| {
                json!({
                    "subject": peer.subject,
                    "spki_sha256": peer.spki_sha256,
                    "cert_sha256": peer.cert_sha256,
                })
            };
            json["tls_peer_certs"] = tls.peer.iter().map(shown).collect();
        }
    }
    if let Some(key) = details.identity.as_ref().and_then(|identity| identity.proxy.as_deref()) {
        json["proxy"] = json!({"key": key});
    }
    let Some(names) = names else { return json };
    if let Some(user) = &details.refused {
        json["authorized_user"] = (**user).into();
    }
    if let Some(identity) = &details.identity {
        if let Some(user) = identity.user.as_deref() {
            json["authorized_user"] = user.into();
        }
        if *identity.account != *natterjack_core::auth::GLOBAL_ACCOUNT {
            json["account"] = (*identity.account).into();
        }
        if let Some(jwt) = details.facts.as_ref().and_then(|facts| facts.jwt.as_deref()) {
            json["jwt"] = jwt.into();
        }
        if let Some(issuer) = identity.issuer_key.as_deref() {
            json["issuer_key"] = issuer.into();
        }
        if !identity.tags.is_empty() {
            json["tags"] = identity.tags.to_vec().into();
        }
        let account = names.account(&identity.account);
        let name = account.as_ref().map_or(&*identity.account, |account| &account.name);
        json["name_tag"] = name.into();
    }
    json
}
