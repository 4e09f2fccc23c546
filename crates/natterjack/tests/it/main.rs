//! The connector against embedded servers and scripted peers. No network, no sleeping: tests wait for
//! what they want to see.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod connect;
mod core;
mod crashes;
mod gate;
mod jetstream;
mod kv;
mod leaving;
mod metrics;
mod objects;
mod operator;
mod outages;
mod peer;
mod reading;
mod service;
mod silence;
mod tls;
mod traces;

use std::time::Duration;

use natterjack::testing::{self, TestServer};
use natterjack::{Backoff, ConnState, Connector, ConnectorBuilder, Event, EventStream, secs};

/// Long enough for a busy machine; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = secs(60);

pub(crate) async fn server() -> TestServer {
    testing::server().await.unwrap()
}

/// A builder with waits that suit tests.
pub(crate) fn builder(url: impl Into<String>) -> ConnectorBuilder {
    Connector::builder().server(url).backoff(Backoff::fixed(Duration::from_millis(20)))
}

pub(crate) async fn connect(server: &TestServer) -> Connector {
    builder(server.url()).build().await.unwrap()
}

/// The first event that `wanted` names, with what it makes of it.
pub(crate) async fn event<R>(
    events: &mut EventStream,
    mut wanted: impl FnMut(Event) -> Option<R>,
) -> R {
    let find = async {
        while let Some(event) = events.next().await {
            if let Some(found) = wanted(event) {
                return found;
            }
        }
        panic!("the events ended");
    };
    tokio::time::timeout(PATIENCE, find).await.expect("the event comes")
}

pub(crate) async fn state(connector: &Connector, wanted: impl Fn(&ConnState) -> bool) -> ConnState {
    let mut states = connector.watch_state();
    let found = tokio::time::timeout(PATIENCE, states.wait_for(|state| wanted(state)));
    found.await.expect("the state comes").unwrap().clone()
}
