//! `/accountz` and `/accstatz`: accounts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::StatusCode;
use natterjack_config::options as config;
use natterjack_core::account::Account;
use natterjack_core::sharing::{Export, ExportKind, Import, Importers, Responses, Sharing};
use serde_json::{Map, Value, json};

use super::query::{BadQuery, Query};
use super::{Answer, decoded, envelope};
use crate::hub::Hub;
use crate::server_info::rfc3339;

pub(super) fn accountz(hub: &Hub, query: &Query) -> Answer {
    let mut body = json!({});
    if let Some(system) = hub.accounts().system() {
        body["system_account"] = (**system.name()).into();
    }
    match query.text("acc") {
        None => {
            let names = hub.accounts().all();
            body["accounts"] = names.iter().map(|account| Value::from(&**account.name())).collect();
        }
        Some(name) => {
            let account = hub.accounts().find(name);
            let account = account.ok_or_else(|| BadQuery::NoAccount(name.to_owned()))?;
            body["account_detail"] = detail(hub, &account);
        }
    }
    Ok((StatusCode::OK, envelope(hub, body, false)))
}

fn detail(hub: &Hub, account: &Account) -> Value {
    let name = &**account.name();
    let authenticator = hub.authenticator();
    let info = authenticator.account(name);
    let now = hub.clock().unix_ns() / 1_000_000_000;
    let jetstream = hub.jetstream().is_some_and(|jetstream| jetstream.is_enabled(hub, account));
    let mut detail = json!({
        "account_name": name,
        "update_time": rfc3339(hub.start_unix_ns()),
        "expired": info.as_ref().and_then(|info| info.expires_unix).is_some_and(|end| end <= now),
        "complete": true,
        "jetstream_enabled": jetstream,
        "leafnode_connections": 0,
        "client_connections": connections(account),
        "subscriptions": account.subscription_count(),
        "sublist_stats": {
            "num_subscriptions": account.subscription_count(),
            "num_cache": 0,
            "num_inserts": account.subscription_count(),
            "num_removes": 0,
            "num_matches": 0,
            "cache_hit_rate": 0,
            "max_fanout": 0,
            "avg_fanout": 0,
        },
    });
    if hub.accounts().is_system(name) {
        detail["is_system"] = true.into();
    }
    let options = hub.options();
    let configured = options.accounts.iter().find(|configured| configured.name == name);
    let of_claims;
    let (mapped, sharing) = match (configured, &info) {
        (Some(configured), _) => {
            (mappings(&configured.mappings), crate::sharing::of_account(configured))
        }
        (None, Some(info)) => {
            of_claims = info.mappings.iter().map(|(source, destinations)| {
                // A weight that is left out is all.
                let weight = |weight: i64| if weight == 0 { 100 } else { weight };
                let to = destinations.iter();
                let to = to.map(|to| destination(&to.subject, weight(to.weight), &to.cluster));
                (source.clone(), to.collect())
            });
            (of_claims.collect(), info.sharing.clone())
        }
        (None, None) => (mappings(&options.mappings), Sharing::nothing(account.name())),
    };
    if !mapped.is_empty() {
        detail["mappings"] = mapped.into();
    }
    let mut exports: Vec<Value> = sharing.exports.iter().map(export).collect();
    let mut imports: Vec<Value> = sharing.imports.iter().map(import).collect();
    if let Some(system) = hub.accounts().system() {
        built_in(name, system.name(), &mut exports, &mut imports);
    }
    for (member, list) in [("exports", exports), ("imports", imports)] {
        if !list.is_empty() {
            detail[member] = list.into();
        }
    }
    detail["name_tag"] = name.into();
    if let Some(info) = &info {
        detail["name_tag"] = (*info.name).into();
        if let Some(token) = info.token.as_deref() {
            detail["jwt"] = token.into();
            detail["issuer_key"] = info.issuer.as_deref().unwrap_or_default().into();
            detail["decoded_jwt"] = decoded(token);
        }
        if !info.tags.is_empty() {
            detail["tags"] = info.tags.clone().into();
        }
        if !info.revocations.is_empty() {
            let revoked = info.revocations.iter().map(|(user, until)| {
                (user.clone(), rfc3339(until.saturating_mul(1_000_000_000)).into())
            });
            detail["revoked_user"] = Value::Object(revoked.collect());
        }
    }
    detail
}

/// What the system account offers to every account, as nats-server shows it. Here it stands in each account.
fn built_in(name: &str, system: &str, exports: &mut Vec<Value>, imports: &mut Vec<Value>) {
    let is_system = name == system;
    if is_system {
        for (subject, responses) in [
            ("$SYS.DEBUG.SUBSCRIBERS", "Singleton"),
            ("$SYS.REQ.USER.*.INFO", "Singleton"),
            ("$SYS.REQ.ACCOUNT.*.CONNZ", "Streamed"),
            ("$SYS.REQ.ACCOUNT.*.STATZ", "Streamed"),
        ] {
            exports
                .push(json!({"subject": subject, "type": "service", "response_type": responses}));
        }
    }
    for (subject, local, is_shared) in [
        (format!("$SYS.REQ.USER.{name}.INFO"), "$SYS.REQ.USER.INFO", true),
        (format!("$SYS.REQ.ACCOUNT.{name}.CONNZ"), "$SYS.REQ.ACCOUNT.PING.CONNZ", false),
        (format!("$SYS.REQ.ACCOUNT.{name}.CONNZ"), "$SYS.REQ.SERVER.PING.CONNZ", false),
        (format!("$SYS.REQ.ACCOUNT.{name}.STATZ"), "$SYS.REQ.ACCOUNT.PING.STATZ", false),
    ] {
        // The system account asks of all accounts, and imports the user's own only.
        if is_system && !is_shared {
            continue;
        }
        imports.push(json!({
            "subject": subject, "account": system, "to": local, "local_subject": local,
            "type": "service", "invalid": false, "share": is_shared, "tracking": false,
        }));
    }
}

fn mappings(configured: &[config::Mapping]) -> Map<String, Value> {
    let one = |mapping: &config::Mapping| {
        let to = mapping.destinations.iter();
        let to = to.map(|to| destination(&to.destination, to.weight.into(), &to.cluster));
        (mapping.source.clone(), to.collect())
    };
    configured.iter().map(one).collect()
}

fn destination(subject: &str, weight: i64, cluster: &str) -> Value {
    let mut destination = json!({"subject": subject, "weight": weight});
    if !cluster.is_empty() {
        destination["cluster"] = cluster.into();
    }
    destination
}

fn export(export: &Export) -> Value {
    let mut shown = json!({"subject": export.subject});
    match &export.kind {
        ExportKind::Stream => shown["type"] = "stream".into(),
        ExportKind::Service(service) => {
            shown["type"] = "service".into();
            shown["response_type"] = match service.responses {
                Responses::Singleton => "Singleton",
                Responses::Streamed => "Streamed",
                Responses::Chunked => "Chunked",
            }
            .into();
            if let Some(latency) = &service.latency {
                shown["latency"] =
                    json!({"sampling": latency.sampling, "results": latency.subject});
            }
        }
    }
    match &export.importers {
        Importers::All => {}
        Importers::Only(names) => shown["approved_accounts"] = names.clone().into(),
        Importers::Named(position) => shown["account_token_position"] = (*position).into(),
        Importers::Activated { .. } => shown["token_req"] = true.into(),
    }
    shown
}

fn import(import: &Import) -> Value {
    let local = if import.local.is_empty() { &import.subject } else { &import.local };
    let mut shown = json!({
        "subject": import.subject,
        "account": import.account,
        "local_subject": local,
        "type": if import.is_service { "service" } else { "stream" },
        "invalid": false,
        "share": import.share,
        "tracking": false,
    });
    if import.is_service && !import.local.is_empty() {
        shown["to"] = import.local.as_str().into();
    }
    shown
}

fn connections(account: &Account) -> u64 {
    u64::try_from(account.connections.load(Ordering::Relaxed)).unwrap_or(0)
}

pub(super) fn accstatz(hub: &Hub, query: &Query) -> Answer {
    let named = query.list("names");
    let unused = query.flag("unused")? || !named.is_empty();
    let stats: Vec<Value> = hub
        .accounts()
        .all()
        .iter()
        .filter(|account| named.is_empty() || named.contains(&&**account.name()))
        .filter(|account| unused || connections(account) > 0)
        .map(|account| stat(hub, account))
        .collect();
    Ok((StatusCode::OK, envelope(hub, json!({"account_statz": stats}), false)))
}

/// An account in numbers: what its connections did, those that are closed by now as well.
pub(crate) fn stat(hub: &Hub, account: &Arc<Account>) -> Value {
    let ended = hub.system().ended_of(account.name());
    let mut sums = ended.traffic;
    for info in hub.connections() {
        let identity = info.details().identity;
        if identity.is_some_and(|identity| identity.account == *account.name()) {
            for (sum, more) in sums.iter_mut().zip(info.client.traffic.counts()) {
                *sum += more;
            }
        }
    }
    let traffic = |msgs: u64, bytes: u64| {
        let none = json!({"msgs": 0, "bytes": 0});
        json!({"msgs": msgs, "bytes": bytes, "gateways": none, "routes": none, "leafs": none})
    };
    json!({
        "acc": &**account.name(),
        "name": &**account.name(),
        "conns": connections(account),
        "leafnodes": 0,
        "total_conns": connections(account),
        "num_subscriptions": account.subscription_count(),
        "sent": traffic(sums[2], sums[3]),
        "received": traffic(sums[0], sums[1]),
        "slow_consumers": ended.slow_consumers,
    })
}
