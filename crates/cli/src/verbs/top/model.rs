//! What is shown, and how it changes with samples and keys.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use clap::ValueEnum;
use serde_json::Value;

use super::names::Names;
use super::rows::{self, Row, columns};
use super::source::{Sample, Wish};
use crate::exit::{Failure, Outcome};
use crate::json::{number, text};
use crate::units;

/// Looks that the sparklines go back.
pub(super) const HISTORY: usize = 300;

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Tab {
    Server,
    Connections,
    Streams,
    Consumers,
}

impl Tab {
    pub(super) const ALL: [Self; 4] =
        [Self::Server, Self::Connections, Self::Streams, Self::Consumers];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Connections => "Connections",
            Self::Streams => "Streams",
            Self::Consumers => "Consumers",
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// What is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) what: Asked,
    pub(super) text: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Sort,
    Limit,
    Filter,
    /// Whether to close this connection.
    Kick(u64),
}

/// By what a table is sorted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sort {
    pub(super) column: usize,
    /// Largest first.
    pub(super) down: bool,
}

/// Per second, since the look before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) in_msgs: f64,
    pub(super) out_msgs: f64,
    pub(super) in_bytes: f64,
    pub(super) out_bytes: f64,
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) tab: Tab,
    pub(super) sorts: [Sort; 4],
    pub(super) filter: String,
    pub(super) limit: usize,
    pub(super) paused: bool,
    pub(super) subscriptions: bool,
    pub(super) lookup: bool,
    pub(super) raw_bytes: bool,
    pub(super) help: bool,
    /// Whether the selected row is shown in full.
    pub(super) detail: bool,
    pub(super) selected: usize,
    pub(super) prompt: Option<Prompt>,
    /// What was known last.
    pub(super) sample: Option<Sample>,
    pub(super) rates: Rates,
    pub(super) history: VecDeque<Rates>,
    /// Messages per second of each stream, by account and name.
    pub(super) stream_rates: HashMap<String, f64>,
    /// Why the server cannot be asked, and since when.
    pub(super) lost: Option<(String, Instant)>,
    /// The answer to a key.
    pub(super) note: Option<String>,
    pub(super) names: Names,
}

impl Model {
    pub(super) fn new(tab: Tab) -> Self {
        // Streams and consumers: by what is behind most; connections: by number.
        let sorts = Tab::ALL
            .map(|tab| Sort { column: rows::first_sort(tab), down: tab != Tab::Connections });
        Self {
            tab,
            sorts,
            filter: String::new(),
            limit: 1024,
            paused: false,
            subscriptions: false,
            lookup: false,
            raw_bytes: false,
            help: false,
            detail: false,
            selected: 0,
            prompt: None,
            sample: None,
            rates: Rates::default(),
            history: VecDeque::new(),
            stream_rates: HashMap::new(),
            lost: None,
            note: None,
            names: Names::default(),
        }
    }

    /// What to ask the server for.
    pub(super) fn wish(&self) -> Wish {
        Wish { limit: self.limit, subscriptions: self.subscriptions }
    }

    /// Sorts the tab, or the connections if it has no columns, by this one.
    ///
    /// # Errors
    /// There is no such column.
    pub(super) fn sort_by(&mut self, name: &str) -> Outcome {
        let tab = if columns(self.tab).is_empty() { Tab::Connections } else { self.tab };
        self.sort_in(tab, name)
    }

    pub(super) fn sort_in(&mut self, tab: Tab, name: &str) -> Outcome {
        let names: Vec<String> =
            columns(tab).iter().map(|column| column.name.to_lowercase()).collect();
        let wanted = name.trim().to_lowercase().replace(['_', '-'], " ");
        // As much of a name as tells it from those after it.
        let found = names.iter().position(|name| *name == wanted);
        let found = found.or_else(|| names.iter().position(|name| name.starts_with(&wanted)));
        match found {
            Some(column) if !wanted.is_empty() => {
                let sort = &mut self.sorts[tab.index()];
                let number = columns(tab)[column].right;
                let again = sort.column == column && self.sample.is_some();
                *sort =
                    Sort { column, down: if again { !sort.down } else { number && column > 0 } };
                Ok(())
            }
            _ => {
                let text = format!("no column is called `{name}`");
                Err(Failure::usage(text).hint(format!("one of: {}", names.join(", "))))
            }
        }
    }

    /// Takes in what a look brought.
    pub(super) fn apply(&mut self, sample: Result<Sample, Failure>, now: Instant) {
        let sample = match sample {
            Ok(sample) => sample,
            Err(failure) => {
                let since = self.lost.take().map_or(now, |(_, since)| since);
                self.lost = Some((failure.message, since));
                return;
            }
        };
        self.lost = None;
        let before = self.sample.as_ref().filter(|before| {
            // The counters of another process begin anew.
            text(&before.varz, "/server_id") == text(&sample.varz, "/server_id")
        });
        if let Some(before) = before {
            let seconds = sample.at.saturating_duration_since(before.at).as_secs_f64().max(1e-3);
            let rate = |pointer: &str| {
                let (new, old) = (number(&sample.varz, pointer), number(&before.varz, pointer));
                new.saturating_sub(old) as f64 / seconds
            };
            self.rates = Rates {
                in_msgs: rate("/in_msgs"),
                out_msgs: rate("/out_msgs"),
                in_bytes: rate("/in_bytes"),
                out_bytes: rate("/out_bytes"),
            };
            let (old, new) = (last_sequences(&before.jsz), last_sequences(&sample.jsz));
            let rate = |(name, last): (String, u64)| {
                let stored = last.saturating_sub(*old.get(&name)?);
                Some((name, stored as f64 / seconds))
            };
            self.stream_rates = new.into_iter().filter_map(rate).collect();
        } else {
            self.rates = Rates::default();
            self.stream_rates.clear();
        }
        self.history.push_back(self.rates);
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
        if self.lookup {
            let connections = sample.connz.get("connections").and_then(Value::as_array);
            self.names.ask(connections.into_iter().flatten().map(|one| text(one, "/ip")));
        }
        self.sample = Some(sample);
        self.selected = self.selected.min(self.rows().len().saturating_sub(1));
    }

    /// The rows of the tab that pass the filter, in order.
    pub(super) fn rows(&self) -> Vec<Row> {
        let Some(sample) = &self.sample else { return Vec::new() };
        let mut rows = rows::of(self, sample);
        let filter = self.filter.to_lowercase();
        rows.retain(|row| filter.is_empty() || row.has(&filter));
        let Sort { column, down } = self.sorts[self.tab.index()];
        rows.sort_by(|one, other| {
            let order = one.keys.get(column).partial_cmp(&other.keys.get(column));
            let order = order.unwrap_or(std::cmp::Ordering::Equal);
            if down { order.reverse() } else { order }
        });
        rows
    }

    /// Bytes as the user wants them.
    pub(super) fn size(&self, bytes: u64) -> String {
        if self.raw_bytes { bytes.to_string() } else { units::size(bytes) }
    }
}

/// The last sequence of each stream, by account and name.
fn last_sequences(jsz: &Value) -> HashMap<String, u64> {
    let mut found = HashMap::new();
    for (account, stream) in rows::streams(jsz) {
        let key = format!("{account} {}", text(stream, "/name"));
        found.insert(key, number(stream, "/state/last_seq"));
    }
    found
}
