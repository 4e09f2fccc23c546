//! What info shows of a mirror and of sources (jetstream.md 2.10).

use serde::Serialize;

use super::feed::{Feed, SourceError, is_zero};
use crate::stream::Stream;
use crate::stream::config::{External, Transform};
use crate::time::Now;

/// How far a stream is with one other.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the fields are the API's")]
pub struct SourceInfo {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// Messages that are still to come.
    pub lag: u64,
    /// The last sequence of a source that was taken; nothing for a mirror, which has the same.
    #[serde(skip_serializing_if = "is_zero")]
    pub seq: u64,
    /// Nanoseconds since something was heard; -1 for never.
    pub active: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<SourceError>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<Transform>,
}

impl SourceInfo {
    fn of(feed: &Feed, now: Now) -> Self {
        let since =
            |heard: u64| i64::try_from(now.mono_ns.saturating_sub(heard)).unwrap_or(i64::MAX);
        Self {
            name: feed.source.name.clone(),
            external: feed.source.external.clone(),
            lag: feed.lag,
            seq: if feed.mirror { 0 } else { feed.seq },
            active: feed.heard.map_or(-1, since),
            error: feed.error.clone(),
            filter_subject: feed.source.filter_subject.clone(),
            subject_transforms: feed.source.subject_transforms.clone(),
        }
    }
}

impl Stream {
    /// The origin of a mirror.
    pub(crate) fn mirror_info(&self, now: Now) -> Option<SourceInfo> {
        let feeds = self.sourcing.as_deref().map_or(&[][..], |sourcing| &sourcing.feeds);
        feeds.iter().find(|feed| feed.mirror).map(|feed| SourceInfo::of(feed, now))
    }

    /// The sources, in the order of the configuration.
    pub(crate) fn sources_info(&self, now: Now) -> Vec<SourceInfo> {
        let feeds = self.sourcing.as_deref().map_or(&[][..], |sourcing| &sourcing.feeds);
        feeds.iter().filter(|feed| !feed.mirror).map(|feed| SourceInfo::of(feed, now)).collect()
    }
}
