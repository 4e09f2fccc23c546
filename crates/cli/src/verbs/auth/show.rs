//! What tokens say, for people. No seed is ever among it.

use natterjack_core::jwt::{
    AccountClaims, Activation, Claims, Generic, OperatorClaims, SigningKey, SubjectClaims,
    UserClaims, UserPermissionLimits,
};
use serde::Serialize;
use serde_json::Value;

use crate::exit::Outcome;
use crate::output::Output;
use crate::table::Sheet;
use crate::units;

/// Shows claims: with `--json` as they stand in the token.
pub(super) fn print<B: Serialize>(
    out: Output,
    claims: &Claims<B>,
    sheet: impl FnOnce(&Claims<B>) -> Sheet,
) -> Outcome {
    match out.json {
        true => out.document(claims),
        false => sheet(claims).print(&out),
    }
    Ok(())
}

/// A moment in seconds of Unix time.
fn moment(seconds: i64, none: &str) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(at) if seconds != 0 => units::moment(&at.to_string(), none),
        _ => none.to_owned(),
    }
}

/// When it ends, and whether that was already.
pub(super) fn expiry(seconds: i64) -> String {
    let now = jiff::Timestamp::now().as_second();
    match seconds {
        0 => "never".to_owned(),
        past if past <= now => format!("{} (expired)", moment(past, "?")),
        later => moment(later, "?"),
    }
}

/// The rows that all tokens have.
fn head<B>(title: &str, claims: &Claims<B>) -> Sheet {
    let mut sheet = Sheet::new(format!("{title} {}", claims.name));
    sheet.row("Name", claims.name.clone());
    sheet.row("Subject", claims.sub.clone());
    sheet.row("Issuer", claims.iss.clone());
    sheet.row("Issued", moment(claims.iat, "?"));
    sheet.row("Expires", expiry(claims.exp));
    if claims.nbf != 0 {
        sheet.row("Valid From", moment(claims.nbf, "?"));
    }
    sheet
}

fn list(sheet: &mut Sheet, label: &str, list: &[String]) {
    sheet.row_if(label, Some(list.join(", ")).filter(|text| !text.is_empty()));
}

fn text(sheet: &mut Sheet, label: &str, text: &str) {
    sheet.row_if(label, Some(text).filter(|text| !text.is_empty()));
}

pub(super) fn operator(claims: &OperatorClaims) -> Sheet {
    let mut sheet = head("Operator", claims);
    let body = &claims.nats;
    text(&mut sheet, "System Account", &body.system_account);
    list(&mut sheet, "Signing Keys", &body.signing_keys);
    let strict = if body.strict_signing_key_usage { "yes" } else { "no" };
    sheet.row("Signing Keys Required", strict);
    list(&mut sheet, "Service URLs", &body.operator_service_urls);
    text(&mut sheet, "Account Server", &body.account_server_url);
    list(&mut sheet, "Tags", &body.tags);
    sheet
}

/// A limit of a token: -1 is unlimited, and 0 is none.
fn limit(value: i64, show: impl Fn(u64) -> String) -> String {
    match u64::try_from(value) {
        Err(_) => "unlimited".to_owned(),
        Ok(0) => "none".to_owned(),
        Ok(value) => show(value),
    }
}

pub(super) fn account(claims: &AccountClaims) -> Sheet {
    let mut sheet = head("Account", claims);
    let body = &claims.nats;
    text(&mut sheet, "Description", &body.description);
    list(&mut sheet, "Tags", &body.tags);
    let limits = &body.limits;
    sheet.section("Limits");
    let count = |value: i64| limit(value, units::count);
    sheet.row("Connections", count(limits.conn));
    sheet.row("Leafnodes", count(limits.leaf));
    sheet.row("Subscriptions", count(limits.subs));
    sheet.row("Message Payload", limit(limits.payload, units::size));
    sheet.row("Imports", count(limits.imports));
    sheet.row("Exports", count(limits.exports));
    let bearer = if limits.disallow_bearer { "no" } else { "yes" };
    sheet.row("Bearer Tokens Allowed", bearer);
    sheet.section("JetStream");
    let stream = &limits.jetstream;
    sheet.row("Memory", limit(stream.mem_storage, units::size));
    sheet.row("Disk", limit(stream.disk_storage, units::size));
    // Here 0 is no limit, too.
    let other = |value: i64| units::limit(value, units::count);
    sheet.row("Streams", other(stream.streams));
    sheet.row("Consumers", other(stream.consumer));
    list(&mut sheet, "Tiers", &limits.tiered_limits.keys().cloned().collect::<Vec<_>>());
    sheet.section("Signing Keys");
    for key in &body.signing_keys {
        match key {
            SigningKey::Plain(key) => sheet.row("Key", key.clone()),
            SigningKey::Scoped(scope) => {
                let limits = one_line(&scope.template);
                sheet.row(&format!("Role {}", scope.role), format!("{} {limits}", scope.key));
            }
        }
    }
    sheet.section("Shared");
    sheet.row("Exports", units::count(body.exports.len()));
    sheet.row("Imports", units::count(body.imports.len()));
    sheet.section("Revocations");
    for (user, at) in &body.revocations {
        sheet.row(user, format!("issued until {}", moment(*at, "?")));
    }
    sheet
}

/// Rows of permissions, by name.
fn permissions(limits: &UserPermissionLimits) -> Vec<(&'static str, String)> {
    let UserPermissionLimits { publish, subscribe, responses, .. } = limits;
    let subjects = |subjects: &[String]| subjects.join(", ");
    let SubjectClaims { allow: may_publish, deny: not_publish } = publish;
    let SubjectClaims { allow: may_subscribe, deny: not_subscribe } = subscribe;
    let answers =
        responses.map(|answers| format!("{} answers", units::limit(answers.max, units::count)));
    let mut rows = vec![
        ("Publish allow", subjects(may_publish)),
        ("Publish deny", subjects(not_publish)),
        ("Subscribe allow", subjects(may_subscribe)),
        ("Subscribe deny", subjects(not_subscribe)),
        ("Responses", answers.unwrap_or_default()),
        ("Sources", limits.src.join(", ")),
        ("Connection Types", limits.allowed_connection_types.join(", ")),
        ("Bearer Token", if limits.bearer_token { "yes".to_owned() } else { String::new() }),
    ];
    rows.retain(|(_, text)| !text.is_empty());
    rows
}

fn one_line(limits: &UserPermissionLimits) -> String {
    let rows: Vec<String> =
        permissions(limits).into_iter().map(|(name, text)| format!("{name}: {text}")).collect();
    if rows.is_empty() { String::new() } else { format!("({})", rows.join("; ")) }
}

pub(super) fn user(claims: &UserClaims) -> Sheet {
    let mut sheet = head("User", claims);
    let body = &claims.nats;
    text(&mut sheet, "Issuer Account", &body.issuer_account);
    list(&mut sheet, "Tags", &body.tags);
    let limits = &body.permissions;
    if limits.is_blank() {
        sheet.row("Permissions", "those of the signing key's role");
        return sheet;
    }
    sheet.section("Limits");
    sheet.row("Subscriptions", limit(limits.subs, units::count));
    sheet.row("Message Payload", limit(limits.payload, units::size));
    sheet.section("Permissions");
    for (name, text) in permissions(limits) {
        sheet.row(name, text);
    }
    sheet
}

pub(super) fn activation(claims: &Claims<Activation>) -> Sheet {
    let mut sheet = head("Activation", claims);
    text(&mut sheet, "Issuer Account", &claims.nats.issuer_account);
    text(&mut sheet, "Kind", &claims.nats.import_kind);
    text(&mut sheet, "Imported Subject", &claims.nats.import_subject);
    sheet
}

pub(super) fn generic(claims: &Claims<Generic>) -> Sheet {
    let mut sheet = head("Token", claims);
    sheet.row("Type", claims.nats.kind.clone());
    for (name, value) in &claims.nats.fields {
        let text = value.as_str().map_or_else(|| Value::to_string(value), str::to_owned);
        sheet.row(name, text);
    }
    sheet
}
