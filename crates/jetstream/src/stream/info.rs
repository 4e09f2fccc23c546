//! What `STREAM.INFO` shows (jetstream.md 2.1).

use std::collections::BTreeMap;

use natterjack_store::SeqRange;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use super::config::Config;
use super::sourcing::SourceInfo;
use super::{Stream, StreamCell, meta};
use crate::json::with::stamp;
use crate::time::Now;

/// Subjects on one page of `subjects_filter`.
pub(crate) const SUBJECTS_PAGE: usize = 100_000;

/// Sequences that `deleted_details` lists at most.
const DELETED_MAX: usize = 1 << 20;

/// A stream as create, update, info and list answers show it.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the fields are the API's")]
pub struct StreamInfo {
    pub config: Config,
    #[serde(with = "stamp")]
    pub created: i64,
    pub state: StreamState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Leader>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<SourceInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceInfo>,
    #[serde(with = "stamp")]
    pub ts: i64,
}

/// The `cluster` of a single node.
#[derive(Debug, Clone, Serialize)]
pub struct Leader {
    /// The server's name.
    pub leader: String,
}

/// The counters of a stream.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs, reason = "the fields are the API's")]
pub struct StreamState {
    pub messages: u64,
    pub bytes: u64,
    pub first_seq: u64,
    #[serde(with = "stamp")]
    pub first_ts: i64,
    pub last_seq: u64,
    #[serde(with = "stamp")]
    pub last_ts: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_subjects: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subjects: Option<ListState>,
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub num_deleted: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    pub consumer_count: usize,
}

/// Messages per subject, sorted by subject, one page.
#[derive(Debug, Clone, Default)]
pub struct ListState(pub Vec<(Vec<u8>, u64)>);

impl Serialize for ListState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (subject, count) in &self.0 {
            map.serialize_entry(&String::from_utf8_lossy(subject), count)?;
        }
        map.end()
    }
}

/// Sequences that damage took.
#[derive(Debug, Clone)]
pub struct Lost(Vec<SeqRange>);

/// At most this many lost sequences are listed.
const LOST_MAX: usize = 10_000;

impl Serialize for Lost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Seqs<'a>(&'a [SeqRange]);
        impl Serialize for Seqs<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut seq = serializer.serialize_seq(None)?;
                for lost in self.0.iter().flat_map(|run| run.first..=run.last).take(LOST_MAX) {
                    seq.serialize_element(&lost)?;
                }
                seq.end()
            }
        }
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("msgs", &Seqs(&self.0))?;
        map.serialize_entry("bytes", &0)?;
        map.end()
    }
}

/// What an info request asks for beyond the counters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Details<'a> {
    pub(crate) deleted: bool,
    pub(crate) subjects: Option<&'a [u8]>,
    pub(crate) offset: usize,
    /// With `cluster` and the server's metadata, as INFO shows.
    pub(crate) leader: bool,
    /// Without the server's metadata, as LIST shows.
    pub(crate) list: bool,
}

/// A page of subjects beside the info.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SubjectsPage {
    pub(crate) total: usize,
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

impl StreamCell {
    /// The stream as answers show it.
    pub(crate) fn info(&self, now: Now, details: &Details<'_>) -> (StreamInfo, SubjectsPage) {
        let mut stream = self.lock();
        stream.release_settled();
        let (state, page) = stream.state(details);
        let options = &stream.shared.options;
        let config = if details.list {
            stream.config.clone()
        } else {
            meta::shown(&stream.config, &options.server_version)
        };
        let leader = Leader { leader: options.server_name.to_string() };
        let info = StreamInfo {
            config,
            created: self.created,
            state,
            domain: stream.scope.domain.as_deref().map(str::to_owned),
            cluster: details.leader.then_some(leader),
            mirror: stream.mirror_info(now),
            sources: stream.sources_info(now),
            ts: now.unix_ns,
        };
        (info, page)
    }
}

impl Stream {
    pub(super) fn state(&mut self, details: &Details<'_>) -> (StreamState, SubjectsPage) {
        let state = self.log.state();
        // A stream that never stored anything shows zeros, unless somebody said where it starts or emptied
        // it (nats-server 2.15.1).
        let said = self.config.first_seq > 0 || self.emptied;
        let untouched = state.last_seq == 0 && state.first_seq <= 1 && !said;
        let mut shown = StreamState {
            messages: state.messages,
            bytes: state.bytes,
            first_seq: if untouched { 0 } else { state.first_seq },
            first_ts: state.first_time,
            last_seq: state.last_seq,
            last_ts: state.last_time,
            num_subjects: self.log.num_subjects(),
            num_deleted: state.num_deleted(),
            consumer_count: self.consumers.counted(),
            lost: (!state.lost.is_empty()).then(|| Lost(state.lost.clone())),
            ..StreamState::default()
        };
        if details.deleted {
            let gaps = self.log.deleted().flat_map(|run| run.first..=run.last);
            shown.deleted = gaps.take(DELETED_MAX).collect();
        }
        let mut page = SubjectsPage::default();
        if let Some(filter) = details.subjects {
            let mut counts: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
            self.log.subjects_matching(filter, |subject, on| {
                counts.insert(subject.to_vec(), on.count);
            });
            if !counts.is_empty() {
                let (total, offset) = (counts.len(), details.offset);
                page = SubjectsPage { total, offset, limit: SUBJECTS_PAGE };
                let rows = counts.into_iter().skip(offset).take(SUBJECTS_PAGE);
                shown.subjects = Some(ListState(rows.collect())).filter(|rows| !rows.0.is_empty());
            }
        }
        (shown, page)
    }
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

fn is_zero_u64(value: &u64) -> bool {
    *value == 0
}
