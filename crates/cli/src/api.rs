//! The JetStream API as JSON: what `info` verbs print is the server's own object.

use bytes::Bytes;
use natterjack::codec::Binary;
use natterjack::{Connector, Error};
use serde_json::{Value, json};

use crate::connect::Context;
use crate::exit::{Failure, status};
use crate::output::Output;
use crate::units;

/// Asks the API over one connection.
pub(crate) struct Api {
    connector: Connector,
    prefix: String,
    trace: bool,
    out: Output,
}

impl Api {
    pub(crate) fn new(connector: &Connector, context: &Context) -> Self {
        let prefix = context.jetstream(connector).prefix().to_owned();
        Self { connector: connector.clone(), prefix, trace: context.global.trace, out: context.out }
    }

    /// Asks `PREFIX.subject`; `Value::Null` sends an empty body.
    ///
    /// # Errors
    /// The server's error; JetStream is off; nobody answers.
    pub(crate) async fn ask(&self, subject: &str, body: &Value) -> Result<Value, Failure> {
        let full = format!("{}.{subject}", self.prefix);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        if self.trace {
            self.out.trace(&format!(">>> {full}\n{body}"));
        }
        let ask = self.connector.ask(&full).codec(Binary);
        let answer =
            ask.send_msg::<[u8], Bytes>(body.as_bytes()).await.map_err(
                |error| match Error::from(error) {
                    Error::NoResponders(_) => self.nobody(subject),
                    other => other.into(),
                },
            )?;
        if self.trace {
            self.out.trace(&format!("<<< {}", String::from_utf8_lossy(&answer.payload)));
        }
        let value: Value = serde_json::from_slice(&answer.payload).map_err(|error| {
            let text = format!("the answer on {full} is not JSON: {error}");
            Failure::new(status::FAILED, "js.bad_reply", text)
        })?;
        match value.get("error") {
            Some(error) => {
                let number = |name| error.get(name).and_then(Value::as_u64).unwrap_or(0);
                let words = error.get("description").and_then(Value::as_str).unwrap_or_default();
                Err(Failure::api(number("code"), number("err_code"), words, subject))
            }
            None => Ok(value),
        }
    }

    /// Nobody listens on the API: JetStream is off, for the server or for this account.
    fn nobody(&self, subject: &str) -> Failure {
        let has_jetstream = self.connector.server().is_some_and(|server| server.jetstream);
        Failure::api(503, if has_jetstream { 10039 } else { 10076 }, "", subject)
    }

    /// All items of a list that comes in pages (`offset`, `limit`, `total`).
    pub(crate) async fn list(
        &self,
        subject: &str,
        field: &str,
        filter: Value,
    ) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        loop {
            let mut body = filter.clone();
            if !body.is_object() {
                body = json!({});
            }
            body["offset"] = all.len().into();
            let mut page = self.ask(subject, &body).await?;
            let total = page.get("total").and_then(Value::as_u64).unwrap_or(0);
            let items = match page.get_mut(field).map(Value::take) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            let last = items.is_empty();
            all.extend(items);
            if last || all.len() as u64 >= total {
                return Ok(all);
            }
        }
    }

    /// The names of all streams.
    pub(crate) async fn stream_names(&self) -> Result<Vec<String>, Failure> {
        let names = self.list("STREAM.NAMES", "streams", Value::Null).await?;
        Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Turns "stream not found" into one with the nearest name that exists.
    pub(crate) async fn did_you_mean(&self, failure: Failure, name: &str) -> Failure {
        if failure.err_code != 10059 {
            return failure;
        }
        let (kind, prefix) = match ["KV_", "OBJ_"].into_iter().find(|p| name.starts_with(p)) {
            Some(prefix) => ("bucket", prefix),
            None => ("stream", ""),
        };
        let short = |name: &str| name.strip_prefix(prefix).map(str::to_owned);
        let names: Vec<String> = match self.stream_names().await {
            Ok(names) => names.iter().filter_map(|name| short(name)).collect(),
            Err(_) => Vec::new(),
        };
        let wanted = short(name).unwrap_or_default();
        let hint = match units::nearest(&wanted, &names) {
            Some(near) => format!("did you mean {near}?"),
            None if prefix == "KV_" => "natterjack kv ls shows the buckets".to_owned(),
            None if prefix == "OBJ_" => "natterjack object ls shows the buckets".to_owned(),
            None => "natterjack stream ls shows the streams".to_owned(),
        };
        Failure { message: format!("{kind} {wanted} not found"), hint, ..failure }
    }
}
