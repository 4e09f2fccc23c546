//! What stands in for `metrics` without the feature: nothing.

use std::time::Duration;

use crate::jetstream::Settled;

pub(crate) struct Meters;

pub(crate) struct Handling;

impl Handling {
    pub(crate) fn end(self) {}
}

impl Meters {
    pub(crate) fn new(_patterns: &[String]) -> Self {
        Self
    }

    pub(crate) fn received(&self, _subject: &str, _bytes: usize) {}

    pub(crate) fn sent(&self, _subject: &str, _bytes: usize) {}

    pub(crate) fn published(&self, _subject: &str, _took: Duration) {}

    pub(crate) fn asked(&self, _subject: &str, _took: Duration) {}

    pub(crate) fn handling(&self, _subject: &str) -> Handling {
        Handling
    }

    pub(crate) fn settled(&self, _how: Settled) {}

    pub(crate) fn redelivered(&self) {}

    pub(crate) fn dead_lettered(&self) {}

    pub(crate) fn dropped_in(&self, _messages: u64) {}

    pub(crate) fn dropped_out(&self) {}

    pub(crate) fn reconnected(&self) {}

    pub(crate) fn watch_lag(&self, _changes: u64) {}
}
