//! What the bodies of requests may hold, and how nats-server says that they do not (2.15.1, measured).

use serde_json::Value;

/// The options of a request, by the name of nats-server's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepts {
    Statsz,
    Varz,
    Connz,
    Routez,
    Gatewayz,
    Leafz,
    Subsz,
    Accountz,
    Jsz,
    Healthz,
    Ipqueuesz,
    Raftz,
    Expvarz,
    Profilez,
    AccountStatz,
    AccountInfo,
    /// Which server is meant, and nothing else.
    Filters,
    /// An account, or a subject in it.
    Names,
    /// A client's id.
    Client,
}

/// What one option is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Bool,
    Int,
    Unsigned,
    /// An integer of a type of its own.
    State,
    /// Nanoseconds.
    Span,
    /// Text of a type of its own.
    Sort,
    Texts,
}

/// A body that does not fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misfit {
    #[error("json: cannot unmarshal {found} into Go value of type server.{of}")]
    Body { found: &'static str, of: &'static str },
    #[error("json: cannot unmarshal {found} into Go struct field {of}.{option} of type {kind}")]
    Option { found: String, of: &'static str, option: String, kind: &'static str },
    #[error("json: cannot unmarshal {found} into {of}.{option}.{at} of type string")]
    Member { found: &'static str, of: &'static str, option: String, at: usize },
}

impl Accepts {
    pub(super) fn of_endpoint(path: &str) -> Option<Self> {
        Some(match path {
            "/varz" => Accepts::Varz,
            "/connz" => Accepts::Connz,
            "/routez" => Accepts::Routez,
            "/gatewayz" => Accepts::Gatewayz,
            "/leafz" => Accepts::Leafz,
            "/subsz" => Accepts::Subsz,
            "/accountz" => Accepts::Accountz,
            "/jsz" => Accepts::Jsz,
            "/healthz" => Accepts::Healthz,
            "/ipqueuesz" => Accepts::Ipqueuesz,
            "/raftz" => Accepts::Raftz,
            "/debug/vars" => Accepts::Expvarz,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Accepts::Statsz => "StatszEventOptions",
            Accepts::Varz => "VarzEventOptions",
            Accepts::Connz => "ConnzEventOptions",
            Accepts::Routez => "RoutezEventOptions",
            Accepts::Gatewayz => "GatewayzEventOptions",
            Accepts::Leafz => "LeafzEventOptions",
            Accepts::Subsz => "SubszEventOptions",
            Accepts::Accountz => "AccountzEventOptions",
            Accepts::Jsz => "JszEventOptions",
            Accepts::Healthz => "HealthzEventOptions",
            Accepts::Ipqueuesz => "IpqueueszEventOptions",
            Accepts::Raftz => "RaftzEventOptions",
            Accepts::Expvarz => "ExpvarzEventOptions",
            Accepts::Profilez => "ProfilezEventOptions",
            Accepts::AccountStatz => "AccountStatzEventOptions",
            Accepts::AccountInfo => "AccInfoEventOptions",
            Accepts::Filters => "EventFilterOptions",
            // These are answered with silence.
            Accepts::Names | Accepts::Client => "Request",
        }
    }

    /// What an option is here; `None` for one that is not looked at.
    fn kind(self, option: &str) -> Option<Kind> {
        use Accepts::{
            AccountStatz, Accountz, Client, Connz, Gatewayz, Healthz, Ipqueuesz, Jsz, Leafz, Names,
            Profilez, Raftz, Routez, Subsz,
        };
        let is_filtered = !matches!(self, Names | Client);
        Some(match (self, option) {
            (_, "server_name" | "cluster" | "host" | "domain") if is_filtered => Kind::Text,
            (_, "tags") if is_filtered => Kind::Texts,
            (_, "exact_match") if is_filtered => Kind::Bool,
            (Connz | Subsz | Jsz, "offset" | "limit") => Kind::Int,
            (Connz, "sort") => Kind::Sort,
            (Connz, "state") => Kind::State,
            (Connz | Client, "cid") => Kind::Unsigned,
            (Connz, "auth" | "subscriptions" | "subscriptions_detail") => Kind::Bool,
            (Connz, "user" | "acc" | "filter_subject" | "mqtt_client") => Kind::Text,
            (Routez, "subscriptions" | "subscriptions_detail") => Kind::Bool,
            (Gatewayz, "name" | "account_name") => Kind::Text,
            (Gatewayz, "accounts" | "subscriptions" | "subscriptions_detail") => Kind::Bool,
            (Leafz | Subsz, "subscriptions") => Kind::Bool,
            (Leafz | Subsz | Accountz | Jsz | Healthz, "account") => Kind::Text,
            (Subsz, "test") => Kind::Text,
            (Jsz, "accounts" | "streams" | "consumer" | "config" | "raft") => Kind::Bool,
            (Jsz, "leader_only" | "stream_leader_only") => Kind::Bool,
            (Healthz, "js-enabled" | "js-enabled-only" | "js-server-only" | "details") => {
                Kind::Bool
            }
            (Healthz, "js-meta-only") => Kind::Bool,
            (Healthz, "stream" | "consumer") => Kind::Text,
            (Ipqueuesz, "all") => Kind::Bool,
            (Ipqueuesz, "filter") => Kind::Text,
            (Raftz, "account" | "group") | (Profilez, "name") => Kind::Text,
            (Profilez, "debug") => Kind::Int,
            (Profilez, "duration") => Kind::Span,
            (AccountStatz, "accounts") => Kind::Texts,
            (AccountStatz, "include_unused") => Kind::Bool,
            (Names, "acc" | "subject") => Kind::Text,
            _ => return None,
        })
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Text => "string",
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Unsigned => "uint64",
            Kind::State => "server.ConnState",
            Kind::Span => "time.Duration",
            Kind::Sort => "server.SortOpt",
            Kind::Texts => "[]string",
        }
    }

    fn takes(self, value: &Value) -> bool {
        match self {
            Kind::Text | Kind::Sort => value.is_string(),
            Kind::Bool => value.is_boolean(),
            Kind::Int | Kind::State | Kind::Span => value.is_i64(),
            Kind::Unsigned => value.is_u64(),
            Kind::Texts => value.is_array(),
        }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether a body fits. Nothing at all does, and what is not known is not looked at.
pub(super) fn check(accepts: Accepts, body: &Value) -> Result<(), Misfit> {
    let of = accepts.name();
    let options = match body {
        Value::Null => return Ok(()),
        Value::Object(options) => options,
        other => return Err(Misfit::Body { found: type_of(other), of }),
    };
    for (option, value) in options.iter().filter(|(_, value)| !value.is_null()) {
        let Some(kind) = accepts.kind(option) else { continue };
        if !kind.takes(value) {
            // A number that is not one of this type is shown.
            let found = match (kind, value) {
                (Kind::Int | Kind::Unsigned | Kind::State | Kind::Span, Value::Number(number)) => {
                    format!("number {number}")
                }
                _ => type_of(value).to_owned(),
            };
            return Err(Misfit::Option { found, of, option: option.clone(), kind: kind.name() });
        }
        let members = value.as_array().into_iter().flatten().enumerate();
        for (at, member) in members.filter(|(_, member)| !member.is_null()) {
            if !member.is_string() {
                let (found, option) = (type_of(member), option.clone());
                return Err(Misfit::Member { found, of, option, at });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_fit_is_told_in_the_words_of_the_reference() {
        use Accepts::{AccountStatz, Connz, Healthz, Jsz};
        let field = "into Go struct field";
        for (accepts, body, told) in [
            (Connz, json!("x"), "string into Go value of type server.ConnzEventOptions".into()),
            (Jsz, json!([1]), "array into Go value of type server.JszEventOptions".into()),
            (
                Connz,
                json!({"limit": "x"}),
                format!("string {field} ConnzEventOptions.limit of type int"),
            ),
            (
                Connz,
                json!({"limit": 1.5}),
                format!("number 1.5 {field} ConnzEventOptions.limit of type int"),
            ),
            (
                Connz,
                json!({"cid": -1}),
                format!("number -1 {field} ConnzEventOptions.cid of type uint64"),
            ),
            (
                Connz,
                json!({"sort": 1}),
                format!("number {field} ConnzEventOptions.sort of type server.SortOpt"),
            ),
            (
                Connz,
                json!({"state": "x"}),
                format!("string {field} ConnzEventOptions.state of type server.ConnState"),
            ),
            (
                Connz,
                json!({"tags": [1]}),
                "number into ConnzEventOptions.tags.0 of type string".into(),
            ),
            (
                Jsz,
                json!({"accounts": ["x"]}),
                format!("array {field} JszEventOptions.accounts of type bool"),
            ),
            (
                AccountStatz,
                json!({"accounts": true}),
                format!("bool {field} AccountStatzEventOptions.accounts of type []string"),
            ),
            (
                Healthz,
                json!({"consumer": true}),
                format!("bool {field} HealthzEventOptions.consumer of type string"),
            ),
        ] {
            let error = check(accepts, &body).unwrap_err().to_string();
            assert_eq!(error, format!("json: cannot unmarshal {told}"));
        }
    }

    #[test]
    fn what_is_left_out_or_not_known_fits() {
        for body in [
            json!(null),
            json!({}),
            json!({"limit": null, "unknown": [1]}),
            json!({"limit": -1, "cid": 7, "sort": "zz", "tags": ["a"], "state": 1, "auth": true}),
        ] {
            assert_eq!(check(Accepts::Connz, &body), Ok(()), "{body}");
        }
        assert_eq!(check(Accepts::AccountInfo, &json!({"account": 1})), Ok(()));
    }
}
