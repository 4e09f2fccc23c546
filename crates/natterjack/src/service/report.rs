//! What an instance tells of itself: who it is, and what it has done (ADR-32).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::ServiceError;

const PING: &str = "io.nats.micro.v1.ping_response";
const INFO: &str = "io.nats.micro.v1.info_response";
const STATS: &str = "io.nats.micro.v1.stats_response";

/// Who an instance is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// The service's name, which all its instances have.
    pub name: String,
    /// The instance's own id.
    pub id: String,
    /// The service's version.
    pub version: String,
    /// What tools should know about it.
    pub metadata: BTreeMap<String, String>,
    /// What it is for.
    pub description: String,
    /// Its endpoints.
    pub endpoints: Vec<EndpointInfo>,
}

/// What an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointInfo {
    /// Its name.
    pub name: String,
    /// Its subject.
    pub subject: String,
    /// The queue group that shares its requests.
    pub queue_group: String,
    /// What tools should know about it.
    pub metadata: BTreeMap<String, String>,
}

/// What an instance has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServiceStats {
    /// The service's name.
    pub name: String,
    /// The instance's own id.
    pub id: String,
    /// The service's version.
    pub version: String,
    /// What tools should know about it.
    pub metadata: BTreeMap<String, String>,
    /// Since when it counts (RFC 3339).
    pub started: String,
    /// Each endpoint.
    pub endpoints: Vec<EndpointStats>,
}

/// What an endpoint has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Its name.
    pub name: String,
    /// Its subject.
    pub subject: String,
    /// The queue group that shares its requests.
    pub queue_group: String,
    /// Requests that were handled.
    pub num_requests: u64,
    /// Of these, how many were answered with an error.
    pub num_errors: u64,
    /// The last error as `code:description`; empty if there was none.
    pub last_error: String,
    /// How long all took together, in nanoseconds.
    pub processing_time: u64,
    /// How long one took on average, in nanoseconds.
    pub average_processing_time: u64,
}

/// An answer with its type, and a part of what it tells.
#[derive(Serialize)]
struct Typed<T> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
struct Ping<'a> {
    name: &'a str,
    id: &'a str,
    version: &'a str,
    metadata: &'a BTreeMap<String, String>,
}

/// What an endpoint counts.
#[derive(Default)]
pub(super) struct Counts {
    inner: Mutex<Counted>,
}

#[derive(Clone, Default)]
struct Counted {
    requests: u64,
    errors: u64,
    last_error: String,
    time: Duration,
}

impl Counts {
    fn inner(&self) -> MutexGuard<'_, Counted> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, took: Duration, error: Option<&ServiceError>) {
        let mut inner = self.inner();
        inner.requests += 1;
        inner.time = inner.time.saturating_add(took);
        if let Some(error) = error {
            inner.errors += 1;
            inner.last_error = format!("{}:{}", error.code, error.description);
        }
    }
}

/// What an instance's tasks share.
pub(super) struct Shared {
    pub(super) info: ServiceInfo,
    /// Of each endpoint, in the same order.
    pub(super) counts: Vec<Arc<Counts>>,
    started: Mutex<jiff::Timestamp>,
}

impl Shared {
    pub(super) fn new(info: ServiceInfo) -> Self {
        let counts = info.endpoints.iter().map(|_| Arc::default()).collect();
        Self { info, counts, started: Mutex::new(jiff::Timestamp::now()) }
    }

    fn started(&self) -> MutexGuard<'_, jiff::Timestamp> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reset(&self) {
        for counts in &self.counts {
            *counts.inner() = Counted::default();
        }
        *self.started() = jiff::Timestamp::now();
    }

    pub(super) fn stats(&self) -> ServiceStats {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let endpoints = self.info.endpoints.iter().zip(&self.counts).map(|(endpoint, counts)| {
            let Counted { requests, errors, last_error, time } = counts.inner().clone();
            EndpointStats {
                name: endpoint.name.clone(),
                subject: endpoint.subject.clone(),
                queue_group: endpoint.queue_group.clone(),
                num_requests: requests,
                num_errors: errors,
                last_error,
                processing_time: nanos(time),
                average_processing_time: nanos(time).checked_div(requests).unwrap_or(0),
            }
        });
        let info = &self.info;
        ServiceStats {
            name: info.name.clone(),
            id: info.id.clone(),
            version: info.version.clone(),
            metadata: info.metadata.clone(),
            // In microseconds, always: nats-py reads nothing else.
            started: format!("{:.6}", *self.started()),
            endpoints: endpoints.collect(),
        }
    }
}

/// What tools may ask for.
#[derive(Clone, Copy)]
pub(super) enum Verb {
    Ping,
    Info,
    Stats,
}

impl Verb {
    pub(super) const ALL: [Self; 3] = [Self::Ping, Self::Info, Self::Stats];

    /// The subjects that ask for it: of all, of the service, of the instance.
    pub(super) fn subjects(self, info: &ServiceInfo) -> [String; 3] {
        let verb = match self {
            Self::Ping => "$SRV.PING",
            Self::Info => "$SRV.INFO",
            Self::Stats => "$SRV.STATS",
        };
        let ServiceInfo { name, id, .. } = info;
        [verb.to_owned(), format!("{verb}.{name}"), format!("{verb}.{name}.{id}")]
    }

    pub(super) fn answer(self, shared: &Shared) -> Bytes {
        let info = &shared.info;
        let body = match self {
            Self::Ping => {
                let ServiceInfo { name, id, version, metadata, .. } = info;
                let rest = Ping { name, id, version, metadata };
                serde_json::to_vec(&Typed { kind: PING, rest })
            }
            Self::Info => serde_json::to_vec(&Typed { kind: INFO, rest: info }),
            Self::Stats => serde_json::to_vec(&Typed { kind: STATS, rest: shared.stats() }),
        };
        // The types used here have no form that serde_json refuses.
        body.unwrap_or_default().into()
    }
}
