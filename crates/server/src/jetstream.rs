//! JetStream inside the server (being connected).

use std::sync::{Arc, Weak};

use natterjack_config::Options;
use natterjack_core::batch::Batch;
use tokio::sync::watch;

use crate::builder::Store;
use crate::hub::Hub;
use crate::log::Log;
use crate::start::StartError;

pub(crate) struct Engine;
pub(crate) struct JetStreamGlue;

/// The short id shown at start, as nats-server derives it from the name.
pub(crate) fn node_name(name: &str) -> String {
    name.chars().take(8).collect()
}

pub(crate) fn open(_: &Options, _: &Store, _: &str, _: &Log) -> Result<Engine, StartError> {
    Err(StartError::Store("JetStream is being connected".into()))
}

impl JetStreamGlue {
    pub(crate) fn new(_: Engine, _: &Weak<Hub>) -> Self {
        JetStreamGlue
    }
    pub(crate) fn recover(&self, _: &Arc<Hub>) -> Result<(), StartError> {
        Ok(())
    }
    pub(crate) fn set_accounts(&self, _: &Arc<Hub>) {}
    pub(crate) fn interest_changed(&self, _: &Hub, _: &mut Batch, _: &Arc<str>, _: &[u8]) {}
    pub(crate) fn shut_down(&self, _: &Arc<Hub>, _: &mut Batch) {}
    pub(crate) async fn idle(&self) {}
    pub(crate) fn release(&self, _: &Hub) {}
}

pub(crate) async fn run_timers(_: Arc<Hub>, _: watch::Receiver<bool>) {}
