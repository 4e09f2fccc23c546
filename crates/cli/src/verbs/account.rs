//! `natterjack account info`: who is connected to what, and what the account may use.

mod backup;
mod report;

use std::time::Duration;

use bytes::Bytes;
use clap::Subcommand;
use natterjack::Connector;
use natterjack::codec::Binary;
use serde_json::{Value, json};

use crate::api::Api;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::table::Sheet;
use crate::units;

/// The account.
#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Connection, user, expiry, round trip, limits, JetStream use
    #[command(visible_alias = "nfo")]
    Info,
    /// Show what servers know of this account
    #[command(visible_alias = "rep")]
    Report {
        #[command(subcommand)]
        verb: report::Report,
    },
    /// Save all streams into a directory
    #[command(visible_alias = "snapshot")]
    Backup(backup::BackupAll),
    /// Make streams from a backup of an account
    Restore(backup::RestoreAll),
}

impl Account {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Info => info(context).await,
            Self::Report { verb } => verb.run(context).await,
            Self::Backup(verb) => verb.run(context).await,
            Self::Restore(verb) => verb.run(context).await,
        }
    }
}

async fn info(context: &Context) -> Outcome {
    let connector = context.connect().await?;
    let rtt = connector.rtt().await?;
    let user = user_info(&connector).await;
    let jetstream = Api::new(&connector, context).ask("INFO", &Value::Null).await;
    let jetstream = match jetstream {
        Err(failure) if !matches!(failure.code, "js.disabled" | "auth.permission") => {
            return Err(failure);
        }
        other => other,
    };
    let server = connector.raw()?.server_info();
    let address = connector.server().map(|server| server.address).unwrap_or_default();
    connector.close().await?;
    if context.out.json {
        context.out.document(&json!({
            "connection": {
                "client_id": server.client_id,
                "client_ip": server.client_ip,
                "rtt_ns": u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX),
                "headers": server.headers,
                "max_payload": server.max_payload,
                "address": address,
                "cluster": server.cluster,
                "server_id": server.server_id,
                "server_name": server.server_name,
                "server_version": server.version,
                "tls": server.tls_required,
            },
            "user": user,
            "jetstream": jetstream.as_ref().ok(),
            "jetstream_error": jetstream.as_ref().err().map(|failure| failure.json()["error"].clone()),
        }));
        return Ok(());
    }
    let mut sheet = Sheet::new("Connection Information:");
    if let Some(user) = &user {
        let text = |name| user.get(name).and_then(Value::as_str);
        let named = |key: &'static str, name: &'static str| match (text(key)?, text(name)) {
            ("", _) => None,
            (key, Some(name)) if !name.is_empty() && name != key => Some(format!("{key} ({name})")),
            (key, _) => Some(key.to_owned()),
        };
        sheet.row_if("User", named("user", "user_name"));
        sheet.row_if("Account", named("account", "account_name"));
        let expires = user.get("expires").and_then(Value::as_u64).unwrap_or(0);
        let expires = match expires {
            0 => "never".to_owned(),
            nanos => format!("in {}", units::duration(Duration::from_nanos(nanos))),
        };
        sheet.row("Expires", expires);
    }
    sheet.row("Client ID", server.client_id.to_string());
    sheet.row("Client IP", server.client_ip.clone());
    sheet.row("RTT", units::duration(rtt));
    sheet.row("Headers Supported", server.headers.to_string());
    sheet.row("Maximum Payload", units::size(server.max_payload as u64));
    sheet.row_if("Connected Cluster", server.cluster.clone().filter(|name| !name.is_empty()));
    sheet.row("Connected Address", address);
    sheet.row("Connected Server ID", server.server_id.clone());
    sheet.row("Connected Server Version", server.version.clone());
    if server.server_name != server.server_id {
        sheet.row("Connected Server Name", server.server_name.clone());
    }
    sheet.row("TLS Connection", if server.tls_required { "yes" } else { "no" });
    sheet.print(&context.out);
    context.out.line("");
    if let Some(user) = &user {
        permissions(context, user);
    }
    match &jetstream {
        Ok(info) => usage(context, info),
        Err(failure) => unavailable(context, failure),
    }
    Ok(())
}

/// The answer of `$SYS.REQ.USER.INFO`, which servers before 2.10 do not know.
async fn user_info(connector: &Connector) -> Option<Value> {
    let ask = connector.ask("$SYS.REQ.USER.INFO").codec(Binary).timeout(Duration::from_secs(1));
    let answer = ask.send_msg::<[u8], Bytes>(b"").await.ok()?;
    let answer: Value = serde_json::from_slice(&answer.payload).ok()?;
    answer.get("data").cloned()
}

fn permissions(context: &Context, user: &Value) {
    let mut lines = Vec::new();
    for (title, name) in [("Publish", "publish"), ("Subscribe", "subscribe")] {
        for (kind, key) in [("allow", "allow"), ("deny", "deny")] {
            let subjects = user.pointer(&format!("/permissions/{name}/{key}"));
            let subjects = subjects.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let mut subjects: Vec<&str> = subjects.iter().filter_map(Value::as_str).collect();
            subjects.sort_unstable();
            if !subjects.is_empty() {
                lines.push((format!("{title} {kind}"), subjects.join(", ")));
            }
        }
    }
    if lines.is_empty() {
        return;
    }
    let mut sheet = Sheet::new("Connection Permissions:");
    for (label, subjects) in lines {
        sheet.row(&label, subjects);
    }
    sheet.print(&context.out);
    context.out.line("");
}

fn usage(context: &Context, info: &Value) {
    let domain = info.get("domain").and_then(Value::as_str).filter(|domain| !domain.is_empty());
    let title = match domain {
        Some(domain) => format!("JetStream Account Information for domain {domain}:"),
        None => "JetStream Account Information:".to_owned(),
    };
    let number = |value: &Value, name| value.get(name).and_then(Value::as_i64).unwrap_or(0);
    let mut sheet = Sheet::new(title);
    let mut tier = |title: &str, value: &Value| {
        let none = Value::Null;
        let limits = value.get("limits").unwrap_or(&none);
        let of = |limit: i64, show: &dyn Fn(u64) -> String| match u64::try_from(limit) {
            Ok(limit) => show(limit),
            Err(_) => "unlimited".to_owned(),
        };
        let bytes = |name| units::size(u64::try_from(number(value, name)).unwrap_or(0));
        let row = |used: String, limit: &'static str, show: &dyn Fn(u64) -> String| {
            format!("{used} of {}", of(number(limits, limit), show))
        };
        sheet.section(title);
        sheet.row("Memory", row(bytes("memory"), "max_memory", &units::size));
        sheet.row("Storage", row(bytes("storage"), "max_storage", &units::size));
        let count = |name| units::count(number(value, name));
        sheet.row("Streams", row(count("streams"), "max_streams", &units::count));
        sheet.row("Consumers", row(count("consumers"), "max_consumers", &units::count));
        sheet.row("Max Ack Pending", units::limit(number(limits, "max_ack_pending"), units::count));
        let per_stream = |name| units::limit(number(limits, name), units::size);
        sheet.row("Memory Per Stream", per_stream("memory_max_stream_bytes"));
        sheet.row("Storage Per Stream", per_stream("storage_max_stream_bytes"));
        let required = limits.get("max_bytes_required") == Some(&Value::Bool(true));
        sheet.row("Max Bytes Required", required.to_string());
    };
    match info.get("tiers").and_then(Value::as_object).filter(|tiers| !tiers.is_empty()) {
        Some(tiers) => tiers.iter().for_each(|(name, value)| tier(&format!("Tier {name}"), value)),
        None => tier("Account Usage and Limits", info),
    }
    sheet.print(&context.out);
}

fn unavailable(context: &Context, failure: &Failure) {
    context.out.line("JetStream Account Information:\n");
    let hint =
        if failure.hint.is_empty() { String::new() } else { format!(" (try: {})", failure.hint) };
    context.out.line(format!("  {}{hint}", failure.message));
}
