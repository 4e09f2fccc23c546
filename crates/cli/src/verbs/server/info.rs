//! `natterjack server info`.

use clap::Args;
use serde_json::{Value, json};

use super::sys;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::json::{flag, number, text};
use crate::table::Sheet;
use crate::units;

/// Show one server.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Name or id of the server; without one, the one that is connected to
    // Not `server`: that is the id of the global option.
    name: Option<String>,
}

impl Info {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let connector = context.connect().await?;
        let wanted = match self.name {
            Some(name) => name,
            None => connector.raw()?.server_info().server_id,
        };
        // An id has one form, which no name should have.
        let is_id = wanted.len() == 56 && wanted.starts_with('N');
        let body = match is_id {
            true => json!({ "id": wanted }),
            false => json!({ "server_name": wanted, "exact_match": true }),
        };
        let kind = "VARZ";
        // Servers that are not meant stay silent, so that one answer is all there is.
        let all = sys::ask_all(context, &connector, kind, &body, Some(1)).await?;
        connector.close().await?;
        let is_it =
            |one: &&Value| text(one, "/server/name") == wanted || text(one, "/server/id") == wanted;
        let Some(varz) = all.iter().find(is_it).and_then(|one| one.get("data")) else {
            let text = format!("no answer from server {wanted}");
            return Err(Failure::new(status::NOT_FOUND, "sys.not_found", text)
                .hint("natterjack server list shows the servers"));
        };
        if context.out.json {
            context.out.document(varz);
        } else {
            sheet(varz).print(&context.out);
        }
        Ok(())
    }
}

fn sheet(varz: &Value) -> Sheet {
    let name = text(varz, "/server_name");
    let mut sheet =
        Sheet::new(format!("Server information for {name} ({})", text(varz, "/server_id")));
    let filled = |pointer| Some(text(varz, pointer)).filter(|text| !text.is_empty());
    let count = |pointer| units::count(number(varz, pointer));
    let yes = |on: bool| if on { "yes" } else { "no" };
    sheet.section("Process Details");
    sheet.row("Version", text(varz, "/version"));
    sheet.row_if("Git Commit", filled("/git_commit"));
    sheet.row_if("Go Version", filled("/go"));
    sheet.row("Start Time", units::moment(text(varz, "/start"), "-"));
    sheet.row("Configuration Load Time", units::moment(text(varz, "/config_load_time"), "-"));
    sheet.row("Uptime", text(varz, "/uptime"));
    sheet.section("Connection Details");
    sheet.row("Auth Required", yes(flag(varz, "/auth_required")));
    sheet.row("TLS Required", yes(flag(varz, "/tls_required")));
    sheet.row("Host", format!("{}:{}", text(varz, "/host"), number(varz, "/port")));
    sheet.row_if("Cluster", filled("/cluster/name"));
    sheet.section("Limits");
    sheet.row("Max Conn", count("/max_connections"));
    sheet.row("Max Payload", units::size(number(varz, "/max_payload")));
    sheet.row("Write Deadline", units::nanos(crate::json::int(varz, "/write_deadline"), "none"));
    sheet.section("Statistics");
    let cpu = varz.pointer("/cpu").and_then(Value::as_f64).unwrap_or(0.0);
    sheet.row("CPU Cores", count("/cores"));
    sheet.row("CPU", format!("{cpu:.2}%"));
    sheet.row("Memory", units::size(number(varz, "/mem")));
    sheet.row("Connections", count("/connections"));
    sheet.row("Total Connections", count("/total_connections"));
    sheet.row("Subscriptions", count("/subscriptions"));
    for (label, msgs, bytes) in
        [("Msgs In", "/in_msgs", "/in_bytes"), ("Msgs Out", "/out_msgs", "/out_bytes")]
    {
        let size = units::size(number(varz, bytes));
        sheet.row(label, format!("{} ({size})", count(msgs)));
    }
    sheet.row("Slow Consumers", count("/slow_consumers"));
    if varz.pointer("/jetstream/config").is_some() {
        let size = |pointer| units::size(number(varz, pointer));
        sheet.section("JetStream");
        sheet.row_if("Domain", filled("/jetstream/config/domain"));
        sheet.row_if("Storage Directory", filled("/jetstream/config/store_dir"));
        sheet.row("Max Memory", size("/jetstream/config/max_memory"));
        sheet.row("Max File", size("/jetstream/config/max_storage"));
        sheet.row("Active Accounts", count("/jetstream/stats/accounts"));
        sheet.row("Memory In Use", size("/jetstream/stats/memory"));
        sheet.row("File In Use", size("/jetstream/stats/storage"));
        sheet.row("API Requests", count("/jetstream/stats/api/total"));
        sheet.row("API Errors", count("/jetstream/stats/api/errors"));
    }
    sheet
}
