//! Mirrors and sources: a stream that takes the messages of others (jetstream.md 2.10, D-0022).
//!
//! A stream asks each origin for a consumer through the JetStream API, as nats-server does, so that an
//! origin may be a stream of this server, of another account, or behind a leafnode. What the consumer
//! delivers comes into the stream's queue ([`Arrivals`]) and is taken with its next settle. Nothing of
//! that is on the path of a message of a stream without mirrors.
//!
//! What is taken is in the log, and only the log says where to go on: a mirror behind its last
//! sequence, a source behind the last message that names it ([`Places`]).

mod arrivals;
mod ask;
mod feed;
mod header;
mod info;
mod places;
mod take;

use natterjack_store::SeqRange;

pub(crate) use arrivals::Arrivals;
use arrivals::{Arrival, Queue};
pub use feed::SourceError;
use feed::{Feed, Phase};
pub use info::SourceInfo;
pub(crate) use places::Places;

use super::Stream;
use super::config::Source;
use crate::ctx::NOTE_SOURCES;
use crate::host::{Host, Outgoing};
use crate::time::Now;

/// Bytes of a stream that may come before the answers of its origins: more than a window, with which
/// consumers begin. What comes beyond is asked for again.
const EARLY_MAX: usize = 8 << 20;

/// What a mirror or a sourcing stream keeps about its origins.
#[derive(Debug, Default)]
pub(crate) struct Sourcing {
    feeds: Vec<Feed>,
    places: Places,
    tokens: u64,
}

impl Sourcing {
    /// An even number that no attempt had before.
    fn next_token(&mut self) -> u64 {
        self.tokens += 2;
        self.tokens
    }

    /// Keeps what came before the answer to the attempt that it is for.
    fn keep_early(&mut self, arrival: Arrival) {
        let kept: usize = self.feeds.iter().map(|feed| feed.early.bytes()).sum();
        let feed = self.feeds.iter_mut().find(|feed| feed.token == arrival.token & !1);
        if let Some(feed) = feed.filter(|_| kept == 0 || kept + arrival.size() <= EARLY_MAX) {
            feed.early.push(arrival);
        }
    }

    /// What came before the answer with this token.
    fn early(&mut self, token: u64) -> Queue {
        let feed = self.feeds.iter_mut().find(|feed| feed.token == token);
        feed.map(|feed| std::mem::take(&mut feed.early)).unwrap_or_default()
    }
}

impl Stream {
    /// True when it takes the messages of others.
    pub(crate) fn is_sourcing(&self) -> bool {
        self.config.mirror.is_some() || !self.config.sources.is_empty()
    }

    /// True when the stream takes the messages of this one of its account.
    pub(crate) fn takes_from(&self, origin: &str) -> bool {
        let own = self.config.mirror.iter().chain(&self.config.sources);
        own.into_iter().any(|source| source.external.is_none() && source.name == origin)
    }

    /// True for a mirror that answers direct gets in place of this origin.
    pub(crate) fn answers_for(&self, origin: &str) -> bool {
        let feeds = self.sourcing.as_deref().map_or(&[][..], |sourcing| &sourcing.feeds);
        let caught_up = |feed: &Feed| feed.mirror && feed.caught_up && feed.source.name == origin;
        self.config.mirror_direct && feeds.iter().any(caught_up)
    }

    /// What recovery found out about sources.
    pub(crate) fn restore_places(&mut self, places: Places) {
        if self.is_sourcing() || places != Places::default() {
            self.sourcing.get_or_insert_default().places = places;
        }
    }

    /// A message was restored that says how far its source was taken.
    pub(super) fn remember_place(&mut self, seq: u64, headers: &[u8]) {
        self.sourcing.get_or_insert_default().places.message(seq, headers);
    }

    /// Knows what it will take, and takes nothing yet.
    pub(crate) fn know_feeds(&mut self, host: &mut dyn Host, now: Now) {
        if self.is_sourcing() && !self.closed {
            self.update_feeds(host, now);
        }
    }

    /// Begins to take messages, with the next tick, which may come at once.
    pub(crate) fn start_feeds(&mut self, host: &mut dyn Host, now: Now) {
        if self.is_sourcing() && !self.closed {
            self.update_feeds(host, now);
            self.settle(host, now);
        }
    }

    /// The configuration may name other origins than before.
    pub(crate) fn update_feeds(&mut self, host: &mut dyn Host, now: Now) {
        if !self.is_sourcing() && self.sourcing.is_none() {
            return;
        }
        let mut sourcing = self.sourcing.take().unwrap_or_default();
        let mut old = std::mem::take(&mut sourcing.feeds);
        let mirror = self.config.mirror.iter().map(|source| (source, true));
        let sources = self.config.sources.iter().map(|source| (source, false));
        for (source, mirror) in mirror.chain(sources) {
            let same = |feed: &Feed| is_same(feed, source, mirror);
            let feed = match old.iter().position(same) {
                Some(at) => old.swap_remove(at),
                None => {
                    let mut feed = Feed::new(source, mirror, now);
                    if let Some(place) = sourcing.places.get(&feed.index).filter(|_| !mirror) {
                        feed.resume(place.seq, &place.identity);
                    }
                    feed
                }
            };
            sourcing.feeds.push(feed);
        }
        for mut gone in old {
            gone.leave(host, &self.scope.account, self.scope.stream_id);
        }
        // With a second source from one stream the first one's consumer has another name.
        for at in 0..sourcing.feeds.len() {
            let name = self.consumer_name(&sourcing.feeds, at);
            let feed = &mut sourcing.feeds[at];
            let own = feed.source.consumer.is_none() && !feed.consumer.is_empty();
            if own && !feed.consumer.starts_with(&name) {
                feed.leave(host, &self.scope.account, self.scope.stream_id);
                feed.hurry(now);
            }
        }
        self.sourcing = Some(sourcing);
    }

    /// Takes no more messages: the stream is deleted.
    pub(super) fn stop_feeds(&mut self, host: &mut dyn Host) {
        let Some(mut sourcing) = self.sourcing.take() else { return };
        for feed in &mut sourcing.feeds {
            feed.leave(host, &self.scope.account, self.scope.stream_id);
        }
    }

    /// An origin in this account came or went: asks at once instead of when its turn is.
    pub(crate) fn hurry_feeds(&mut self, host: &mut dyn Host, now: Now, origin: &str) {
        let Some(mut sourcing) = self.sourcing.take() else { return };
        for feed in &mut sourcing.feeds {
            if feed.source.external.is_none() && feed.source.name == origin {
                feed.close(host, &self.scope.account, self.scope.stream_id);
                feed.hurry(now);
            }
        }
        self.sourcing = Some(sourcing);
        self.settle(host, now);
    }

    /// Asks where it is time to, and again where nothing was heard for long.
    pub(super) fn tick_feeds(&mut self, host: &mut dyn Host, now: Now) {
        let Some(mut sourcing) = self.sourcing.take() else { return };
        for at in 0..sourcing.feeds.len() {
            let feed = &mut sourcing.feeds[at];
            for (reply, headers) in std::mem::take(&mut feed.replies) {
                host.deliver(&Outgoing {
                    account: &self.scope.account,
                    route: &reply,
                    subject: &reply,
                    reply: None,
                    headers: &headers,
                    payload: &[],
                });
            }
            if feed.deadline() > now.mono_ns {
                continue;
            }
            match feed.phase {
                Phase::Waiting(_) | Phase::Following => self.ask(host, now, &mut sourcing, at),
                Phase::Asking(_) => {
                    let (account, id) = (self.scope.account.clone(), self.scope.stream_id);
                    feed.failed(host, &account, id, now, None);
                }
            }
        }
        self.sourcing = Some(sourcing);
    }

    /// When [`tick_feeds`](Self::tick_feeds) has something to do.
    pub(super) fn feeds_deadline(&self) -> Option<u64> {
        self.sourcing.as_ref()?.feeds.iter().map(Feed::deadline).min()
    }

    /// The disk did not take these messages: they are asked for again.
    pub(super) fn feeds_refused(&mut self, host: &mut dyn Host, now: Now, gone: SeqRange) {
        let Some(mut sourcing) = self.sourcing.take() else { return };
        let Sourcing { feeds, places, .. } = &mut *sourcing;
        for feed in feeds {
            feed.lost(gone.first);
            if !feed.mirror && places.get(&feed.index).is_some() {
                places.set(&feed.index, feed.seq, &feed.identity);
            }
            // An answer that is on its way is to a question that is not the right one any more.
            if !matches!(feed.phase, Phase::Waiting(_)) {
                feed.again(host, &self.scope.account, self.scope.stream_id, now);
            }
        }
        self.sourcing = Some(sourcing);
        self.note_places();
    }

    /// What a checkpoint tells of the sources.
    pub(super) fn places_note(&self) -> Option<(u8, Vec<u8>)> {
        let places = &self.sourcing.as_ref()?.places;
        Some((NOTE_SOURCES, places.note(self.log.state().last_seq)))
    }

    /// Writes the places down: what tells them is about to go.
    pub(super) fn note_places(&mut self) {
        if let Some((kind, note)) = self.places_note() {
            self.log.note(kind, &note);
        }
    }
}

/// Whether a feed goes on when the configuration says `source`.
fn is_same(feed: &Feed, source: &Source, mirror: bool) -> bool {
    // Where it starts matters once.
    let began =
        |source: &Source| Source { opt_start_seq: 0, opt_start_time: None, ..source.clone() };
    feed.mirror == mirror && began(&feed.source) == began(source)
}
