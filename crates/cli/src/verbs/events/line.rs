//! An event in one line.

use serde_json::Value;

use crate::json::{int, number, text};
use crate::table::plain;
use crate::units;

/// The time, the kind and what it is about; the details unless `short`.
pub(super) fn of(subject: &str, event: Option<&Value>, body: &[u8], short: bool) -> String {
    let kind = event.map(|event| text(event, "/type")).unwrap_or_default();
    let Some(event) = event.filter(|_| !kind.is_empty()) else {
        let body = plain(&String::from_utf8_lossy(body));
        return format!(
            "{}  message on {subject}: {body}",
            jiff::Zoned::now().strftime("%H:%M:%S")
        );
    };
    let time = match units::moment(text(event, "/timestamp"), "") {
        time if time.is_empty() => jiff::Zoned::now().strftime("%H:%M:%S").to_string(),
        time => time.rsplit(' ').next().unwrap_or_default().to_owned(),
    };
    // `io.nats.server.advisory.v1.client_connect`
    let name = kind.rsplit('.').next().unwrap_or(kind);
    let (about, details) = words(name, event);
    let title = name.replace('_', " ");
    let mut line = format!("{time}  {title}: {about}");
    if !short && !details.is_empty() {
        line.push_str(&format!("; {details}"));
    }
    plain(&line)
}

/// What an event is about, and its details.
fn words(name: &str, event: &Value) -> (String, String) {
    let get = |pointer: &str| text(event, pointer);
    let count = |pointer: &str| number(event, pointer);
    let reason = get("/reason");
    match name {
        "client_connect" => (client(event), origin(event)),
        "client_disconnect" => {
            let traffic = format!(
                "sent {} ({}), received {} ({})",
                units::count(count("/sent/msgs")),
                units::size(count("/sent/bytes")),
                units::count(count("/received/msgs")),
                units::size(count("/received/bytes"))
            );
            (format!("{}: {reason}", client(event)), format!("{traffic}; {}", origin(event)))
        }
        "api_audit" => {
            // The answer stands there as a text.
            let answer = serde_json::from_str::<Value>(get("/response")).unwrap_or_default();
            let how = if answer.get("error").is_some() { "refused" } else { "answered" };
            (get("/subject").to_owned(), format!("{how}; asked by {}", client(event)))
        }
        "stream_action" => {
            let template = get("/template");
            (format!("{} {}", get("/stream"), get("/action")), template.to_owned())
        }
        "consumer_action" | "consumer_pause" => {
            let action = match name {
                "consumer_pause" if event.get("paused") == Some(&Value::Bool(true)) => {
                    format!("paused until {}", units::moment(get("/pause_until"), "?"))
                }
                "consumer_pause" => "resumed".to_owned(),
                _ => get("/action").to_owned(),
            };
            (format!("{} > {} {action}", get("/stream"), get("/consumer")), String::new())
        }
        "max_deliver" | "terminated" | "nak" => (
            format!(
                "{} > {} message {}",
                get("/stream"),
                get("/consumer"),
                units::count(count("/stream_seq"))
            ),
            match (name, reason) {
                ("max_deliver", _) => format!("{} deliveries", count("/deliveries")),
                (_, "") => format!("delivered {} times", count("/deliveries")),
                (_, reason) => reason.to_owned(),
            },
        ),
        "consumer_ack" => {
            let took = u64::try_from(int(event, "/ack_time")).unwrap_or(0);
            (
                format!(
                    "{} > {} message {}",
                    get("/stream"),
                    get("/consumer"),
                    units::count(count("/stream_seq"))
                ),
                format!(
                    "{} after {} deliveries",
                    units::duration(std::time::Duration::from_nanos(took)),
                    count("/deliveries")
                ),
            )
        }
        "snapshot_create" | "snapshot_complete" | "restore_create" | "restore_complete" => {
            (get("/stream").to_owned(), format!("by {}", client(event)))
        }
        // Leaders, quorums, groups, storage: whatever names there are, in the event's order.
        _ => (names(event), reason.to_owned()),
    }
}

/// `"name" cid 5, user u of account A`.
fn client(event: &Value) -> String {
    let get = |name: &str| text(event, &format!("/client/{name}"));
    let mut words = match get("name") {
        "" => format!("cid {}", number(event, "/client/id")),
        name => format!("{name:?} cid {}", number(event, "/client/id")),
    };
    if !get("user").is_empty() {
        words.push_str(&format!(", user {}", get("user")));
    }
    if !get("acc").is_empty() {
        words.push_str(&format!(" of account {}", get("acc")));
    }
    words
}

/// `from 127.0.0.1, rust 0.51.0, server one`.
fn origin(event: &Value) -> String {
    let get = |pointer: &str| text(event, pointer);
    let mut parts = Vec::new();
    if !get("/client/host").is_empty() {
        parts.push(format!("from {}", get("/client/host")));
    }
    if !get("/client/lang").is_empty() {
        parts.push(format!("{} {}", get("/client/lang"), get("/client/ver")));
    }
    if !get("/server/name").is_empty() {
        parts.push(format!("server {}", get("/server/name")));
    }
    parts.join(", ")
}

fn names(event: &Value) -> String {
    let shown = ["stream", "consumer", "group", "account", "leader", "server", "domain"];
    let part = |name: &&str| {
        let value = event.get(*name)?.as_str()?;
        (!value.is_empty()).then(|| format!("{name} {value}"))
    };
    shown.iter().filter_map(part).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(event: &Value, short: bool) -> String {
        let line = of("s", Some(event), b"", short);
        line.split_once("  ").unwrap().1.to_owned()
    }

    #[test]
    fn each_kind_has_its_words() {
        let client = json!({"id": 5, "name": "me", "user": "u", "acc": "A", "host": "h",
            "lang": "rust", "ver": "1"});
        let event = json!({"type": "io.nats.server.advisory.v1.client_connect",
            "timestamp": "2026-01-31T12:00:00Z", "client": client, "server": {"name": "one"}});
        assert_eq!(
            shown(&event, false),
            "client connect: \"me\" cid 5, user u of account A; from h, rust 1, server one"
        );
        assert_eq!(shown(&event, true), "client connect: \"me\" cid 5, user u of account A");
        for (answer, how) in [
            (json!({"error": {"code": 404}}), "refused"),
            (json!({"config": {"metadata": {"error": "none"}}}), "answered"),
        ] {
            let event = json!({"type": "io.nats.jetstream.advisory.v1.api_audit",
                "subject": "$JS.API.INFO", "client": {"id": 5}, "response": answer.to_string()});
            let wanted = format!("api audit: $JS.API.INFO; {how}; asked by cid 5");
            assert_eq!(shown(&event, false), wanted);
        }
        let event = json!({"type": "io.nats.jetstream.advisory.v1.max_deliver", "stream": "S",
            "consumer": "C", "stream_seq": 1234, "deliveries": 3});
        assert_eq!(shown(&event, false), "max deliver: S > C message 1,234; 3 deliveries");
        let event = json!({"type": "io.nats.jetstream.advisory.v1.stream_leader_elected",
            "stream": "S", "leader": "n1", "replicas": []});
        assert_eq!(shown(&event, false), "stream leader elected: stream S, leader n1");
        assert!(of("foo", None, b"a\nb", false).ends_with("  message on foo: a\u{fffd}b"));
        // An event of ours has a type; any other object is a message.
        let object = json!({"a": 1});
        assert!(of("foo", Some(&object), b"{}", false).ends_with("  message on foo: {}"));
    }
}
