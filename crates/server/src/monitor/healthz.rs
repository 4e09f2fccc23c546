//! `/healthz`: whether the server, an account, a stream or a consumer is fit for work.

use hyper::StatusCode;
use serde_json::json;

use super::Answer;
use super::query::Query;
use crate::hub::Hub;

/// What is wrong: the status of HTTP, the word for it, the kind of thing that it is about.
struct Problem(StatusCode, &'static str, &'static str, String);

pub(super) fn healthz(hub: &Hub, query: &Query) -> Answer {
    let details = query.flag("details")?;
    // Read for their errors: one node has no cluster to wait for.
    for name in ["js-enabled", "js-enabled-only", "js-server-only", "js-meta-only"] {
        query.flag(name)?;
    }
    let Some(Problem(status, word, kind, error)) = problem(hub, query) else {
        return Ok((StatusCode::OK, json!({"status": "ok"})));
    };
    if !details {
        return Ok((status, json!({"status": word, "error": error})));
    }
    let mut one = json!({"type": kind, "error": error});
    for (kind, name) in [("account", "acc"), ("stream", "stream"), ("consumer", "consumer")] {
        if let Some(value) = query.text(kind).or_else(|| query.text(name)) {
            one[kind] = value.into();
        }
    }
    Ok((status, json!({"status": "error", "errors": [one]})))
}

fn problem(hub: &Hub, query: &Query) -> Option<Problem> {
    if hub.is_lame_duck() {
        let error = "failed to be ready for connections after 1ms: server";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return Some(Problem(status, "error", "CONN", error.into()));
    }
    let bad =
        |error: &str| Some(Problem(StatusCode::BAD_REQUEST, "error", "BAD_REQUEST", error.into()));
    let missing = |kind, error| Some(Problem(StatusCode::NOT_FOUND, "unavailable", kind, error));
    let (account, stream, consumer) = (
        query.text("account").or_else(|| query.text("acc")),
        query.text("stream"),
        query.text("consumer"),
    );
    let Some(account) = account else {
        return match (stream, consumer) {
            (Some(_), _) => bad("\"account\" must not be empty when checking stream health"),
            (None, Some(_)) => bad("\"account\" must not be empty when checking consumer health"),
            (None, None) => None,
        };
    };
    if consumer.is_some() && stream.is_none() {
        return bad("\"stream\" must not be empty when checking consumer health");
    }
    let jetstream = hub.jetstream()?;
    let known = hub.accounts().find(account).filter(|of| jetstream.is_enabled(hub, of));
    if known.is_none() {
        return missing("ACCOUNT", format!("JetStream account \"{account}\" not found"));
    }
    let stream = stream?;
    if jetstream.engine().stream(account, stream).is_none() {
        let error = format!("JetStream stream \"{stream}\" not found on account \"{account}\"");
        return missing("STREAM", error);
    }
    let consumer = consumer?;
    if !jetstream.engine().has_consumer(account, stream, consumer) {
        let error = format!(
            "JetStream consumer \"{consumer}\" not found for stream \"{stream}\" on account \"{account}\""
        );
        return missing("CONSUMER", error);
    }
    None
}
