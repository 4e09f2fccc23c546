//! The tables: connections, streams, consumers.

use std::time::Duration;

use serde_json::Value;

use super::model::{Model, Tab};
use super::source::Sample;
use crate::json::{flag, number, text};
use crate::units;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Whether it holds numbers.
    pub(super) right: bool,
}

const fn words(name: &'static str) -> Column {
    Column { name, right: false }
}

const fn count(name: &'static str) -> Column {
    Column { name, right: true }
}

/// Those at the end are left out where there is no room.
const CONNECTIONS: &[Column] = &[
    count("CID"),
    words("NAME"),
    words("HOST"),
    count("SUBS"),
    count("PENDING"),
    count("MSGS TO"),
    count("MSGS FROM"),
    count("BYTES TO"),
    count("BYTES FROM"),
    words("UPTIME"),
    words("ACCOUNT"),
    words("USER"),
    words("LANG"),
    words("VERSION"),
    words("RTT"),
    words("LAST ACTIVITY"),
    words("SUBSCRIPTIONS"),
];

const STREAMS: &[Column] = &[
    words("NAME"),
    count("MESSAGES"),
    count("BYTES"),
    count("MSGS/S"),
    count("CONSUMERS"),
    count("FIRST"),
    count("LAST"),
    words("STORAGE"),
    words("ACCOUNT"),
    words("LAST MESSAGE"),
    words("SUBJECTS"),
];

const CONSUMERS: &[Column] = &[
    words("NAME"),
    words("STREAM"),
    count("LAG"),
    count("ACK PENDING"),
    words("STATE"),
    count("REDELIVERED"),
    count("WAITING"),
    count("DELIVERED"),
    count("ACK FLOOR"),
    words("ACCOUNT"),
    words("LAST DELIVERY"),
];

/// The columns of a tab; the server has none.
pub(super) fn columns(tab: Tab) -> &'static [Column] {
    match tab {
        Tab::Server => &[],
        Tab::Connections => CONNECTIONS,
        Tab::Streams => STREAMS,
        Tab::Consumers => CONSUMERS,
    }
}

/// The column that a tab is sorted by at first: messages, lag.
pub(super) fn first_sort(tab: Tab) -> usize {
    match tab {
        Tab::Server | Tab::Connections => 0,
        Tab::Streams => 1,
        Tab::Consumers => 2,
    }
}

/// What rows are sorted by.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) enum Key {
    Number(f64),
    Text(String),
}

/// A row of a table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) cells: Vec<String>,
    pub(super) keys: Vec<Key>,
    /// The server's object.
    pub(super) object: Value,
    /// Of a connection.
    pub(super) cid: Option<u64>,
}

impl Row {
    /// Whether a cell holds a text, in small letters.
    pub(super) fn has(&self, text: &str) -> bool {
        self.cells.iter().any(|cell| cell.to_lowercase().contains(text))
    }
}

/// Cells with what they are sorted by.
#[derive(Default)]
struct Cells {
    cells: Vec<String>,
    keys: Vec<Key>,
}

impl Cells {
    fn text(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.keys.push(Key::Text(text.to_lowercase()));
        self.cells.push(text);
    }

    fn number(&mut self, value: f64, shown: impl Into<String>) {
        self.keys.push(Key::Number(value));
        self.cells.push(shown.into());
    }

    fn count(&mut self, value: u64) {
        self.number(value as f64, units::count(value));
    }

    /// A moment, by its age; what never was is the oldest.
    fn moment(&mut self, text: &str) {
        self.keys.push(Key::Text(text.to_owned()));
        self.cells.push(units::ago(text));
    }

    fn row(self, object: &Value, cid: Option<u64>) -> Row {
        Row { cells: self.cells, keys: self.keys, object: object.clone(), cid }
    }
}

/// The rows of the model's tab.
pub(super) fn of(model: &Model, sample: &Sample) -> Vec<Row> {
    match model.tab {
        Tab::Server => Vec::new(),
        Tab::Connections => {
            let all = sample.connz.get("connections").and_then(Value::as_array);
            all.into_iter().flatten().map(|one| connection(model, one)).collect()
        }
        Tab::Streams => {
            streams(&sample.jsz).map(|(account, one)| stream(model, account, one)).collect()
        }
        Tab::Consumers => streams(&sample.jsz)
            .flat_map(|(account, stream)| {
                let all = stream.get("consumer_detail").and_then(Value::as_array);
                all.into_iter().flatten().map(move |one| consumer(account, one))
            })
            .collect(),
    }
}

/// All streams, with their accounts.
pub(super) fn streams(jsz: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let accounts = jsz.get("account_details").and_then(Value::as_array);
    accounts.into_iter().flatten().flat_map(|account| {
        let all = account.get("stream_detail").and_then(Value::as_array);
        let name = text(account, "/name");
        all.into_iter().flatten().map(move |one| (name, one))
    })
}

fn connection(model: &Model, one: &Value) -> Row {
    let get = |pointer: &str| text(one, pointer);
    let count = |pointer: &str| number(one, pointer);
    let mut cells = Cells::default();
    let cid = count("/cid");
    cells.number(cid as f64, cid.to_string());
    cells.text(get("/name"));
    let host = model.names.of(get("/ip"));
    cells.text(format!("{host}:{}", count("/port")));
    cells.count(count("/subscriptions"));
    let bytes = |cells: &mut Cells, value: u64| cells.number(value as f64, model.size(value));
    bytes(&mut cells, count("/pending_bytes"));
    cells.count(count("/out_msgs"));
    cells.count(count("/in_msgs"));
    bytes(&mut cells, count("/out_bytes"));
    bytes(&mut cells, count("/in_bytes"));
    // The one that began last has been there for the shortest time.
    cells.keys.push(Key::Text(get("/start").to_owned()));
    cells.cells.push(get("/uptime").to_owned());
    cells.text(get("/account"));
    cells.text(get("/authorized_user"));
    cells.text(get("/lang"));
    cells.text(get("/version"));
    let rtt = go_span(get("/rtt"));
    cells.number(rtt.as_secs_f64(), get("/rtt"));
    cells.moment(get("/last_activity"));
    let subjects = one.get("subscriptions_list").and_then(Value::as_array);
    let subjects = subjects.into_iter().flatten().filter_map(Value::as_str);
    cells.text(subjects.collect::<Vec<_>>().join(" "));
    cells.row(one, Some(cid))
}

/// A span as Go writes it, `1.234ms`.
fn go_span(text: &str) -> Duration {
    units::parse_duration(text).unwrap_or_default()
}

fn stream(model: &Model, account: &str, one: &Value) -> Row {
    let get = |pointer: &str| text(one, pointer);
    let count = |pointer: &str| number(one, pointer);
    let mut cells = Cells::default();
    cells.text(get("/name"));
    cells.count(count("/state/messages"));
    let bytes = count("/state/bytes");
    cells.number(bytes as f64, model.size(bytes));
    let rate = model.stream_rates.get(&format!("{account} {}", get("/name"))).copied();
    let rate = rate.unwrap_or(0.0);
    cells.number(rate, units::count(rate.round() as u64));
    cells.count(count("/state/consumer_count"));
    cells.count(count("/state/first_seq"));
    cells.count(count("/state/last_seq"));
    cells.text(get("/config/storage"));
    cells.text(account);
    cells.moment(get("/state/last_ts"));
    let subjects = one.pointer("/config/subjects").and_then(Value::as_array);
    let subjects = subjects.into_iter().flatten().filter_map(Value::as_str);
    cells.text(subjects.collect::<Vec<_>>().join(" "));
    cells.row(one, None)
}

fn consumer(account: &str, one: &Value) -> Row {
    let get = |pointer: &str| text(one, pointer);
    let count = |pointer: &str| number(one, pointer);
    let mut cells = Cells::default();
    cells.text(get("/name"));
    cells.text(get("/stream_name"));
    cells.count(count("/num_pending"));
    cells.count(count("/num_ack_pending"));
    cells.text(state(one));
    cells.count(count("/num_redelivered"));
    cells.count(count("/num_waiting"));
    cells.count(count("/delivered/stream_seq"));
    cells.count(count("/ack_floor/stream_seq"));
    cells.text(account);
    cells.moment(get("/delivered/last_active"));
    cells.row(one, None)
}

/// How a consumer is doing, in a word: messages wait and nobody asks for them, messages wait, or none do.
fn state(consumer: &Value) -> &'static str {
    let count = |pointer: &str| number(consumer, pointer);
    let pushes = !text(consumer, "/config/deliver_subject").is_empty();
    let listens = flag(consumer, "/push_bound") || count("/num_waiting") > 0;
    match count("/num_pending") {
        _ if flag(consumer, "/paused") => "paused",
        0 => "ok",
        _ if listens => "behind",
        _ if pushes || count("/num_ack_pending") == 0 => "stalled",
        _ => "behind",
    }
}
