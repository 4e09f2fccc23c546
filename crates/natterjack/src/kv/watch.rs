//! Watching keys.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt, stream};

use super::entry::{Change, Entry, Found, KeyMeta, Stored, change};
use super::ordered::{Item, Ordered};
use super::store::Kv;
use crate::error::{Decode, KvError};

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WatchFrom {
    /// With the last change of each key, then all that follows.
    #[default]
    Latest,
    /// With all changes that the bucket has, then all that follows.
    History,
    /// With what follows.
    New,
    /// With the change that has this revision, or the next one there is.
    Revision(u64),
}

/// What a watch tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum WatchEvent<T> {
    /// A value was put.
    Put(Entry<T>),
    /// A value was put; its body was not asked for (`meta_only`).
    Touched(KeyMeta),
    /// A key was deleted.
    Deleted(KeyMeta),
    /// A key was purged with its history.
    Purged(KeyMeta),
    /// A value's time to live was over.
    Expired(KeyMeta),
    /// All that was there when the watch began has been told. Comes once, also if that was nothing.
    Ready,
    /// The watch was interrupted and goes on; this many changes were made meanwhile and follow.
    Resumed {
        /// Their number.
        missed: u64,
    },
    /// A value does not decode.
    Undecodable {
        /// The key.
        key: String,
        /// The revision.
        revision: u64,
        /// Why, with the raw body.
        error: Decode,
    },
}

/// Options of a watch, made by [`Kv::watch`].
#[must_use = "nothing is watched before `start`"]
pub struct WatchBuilder<T> {
    kv: Kv<T>,
    filters: Vec<String>,
    from: WatchFrom,
    ignore_deletes: bool,
    meta_only: bool,
}

impl<T> WatchBuilder<T> {
    pub(crate) fn new(kv: Kv<T>, filter: String) -> Self {
        Self {
            kv,
            filters: vec![filter],
            from: WatchFrom::default(),
            ignore_deletes: false,
            meta_only: false,
        }
    }

    /// Another filter. Filters must not cover the same keys.
    pub fn and(mut self, filter: impl Into<String>) -> Self {
        self.filters.push(filter.into());
        self
    }

    /// Where to begin; default [`WatchFrom::Latest`].
    pub fn from(mut self, from: WatchFrom) -> Self {
        self.from = from;
        self
    }

    /// Leaves out deletions, purges and expiries.
    pub fn ignore_deletes(mut self) -> Self {
        self.ignore_deletes = true;
        self
    }

    /// Leaves out bodies: values come as [`WatchEvent::Touched`].
    pub fn meta_only(mut self) -> Self {
        self.meta_only = true;
        self
    }

    /// Begins to watch.
    ///
    /// # Errors
    /// `NotFound` if the bucket does not exist; `BadName`, `PermissionDenied`, `Timeout`, ..
    pub async fn start(self) -> Result<Watch<T>, KvError> {
        let shared = self.kv.shared.clone();
        let mut filters = Vec::new();
        for filter in &self.filters {
            filters.push(shared.filter_subject(filter)?);
        }
        let mut ordered = Ordered::new(
            shared.js.clone(),
            shared.stream.clone(),
            ("bucket", shared.bucket.clone()),
            filters,
            self.meta_only,
            self.from,
        );
        let first = ordered.start().await?;
        let items = stream::unfold(
            (ordered, VecDeque::from(first)),
            |(mut ordered, mut items)| async move {
                while items.is_empty() {
                    items.extend(ordered.next().await?);
                }
                let item = items.pop_front()?;
                Some((item, (ordered, items)))
            },
        );
        Ok(Watch {
            items: Box::pin(items),
            kv: self.kv,
            ignore_deletes: self.ignore_deletes,
            meta_only: self.meta_only,
        })
    }
}

/// Changes of keys as they come. It goes on over restarts of the server, without loss and without
/// telling anything twice, and ends only with the connection.
///
/// Dropping it removes its consumer from the server.
pub struct Watch<T> {
    items: Pin<Box<dyn Stream<Item = Item> + Send>>,
    kv: Kv<T>,
    ignore_deletes: bool,
    meta_only: bool,
}

impl<T> Watch<T> {
    /// The next event; `None` when the connection is over. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<WatchEvent<T>> {
        loop {
            let item = self.items.next().await?;
            if let Some(event) = self.event(item) {
                return Some(event);
            }
        }
    }

    fn event(&self, item: Item) -> Option<WatchEvent<T>> {
        let (message, meta) = match item {
            Item::Ready => return Some(WatchEvent::Ready),
            Item::Resumed(missed) => return Some(WatchEvent::Resumed { missed }),
            Item::Message(message, meta) => (message, meta),
        };
        self.kv.shared.js.link().meters.watch_lag(meta.pending);
        let key = self.kv.shared.key_of(&message.subject)?.to_owned();
        let change = change(&message.headers.unwrap_or_default());
        if self.ignore_deletes && change != Change::Put {
            return None;
        }
        let meta = KeyMeta { key, revision: meta.stream_seq, created: meta.timestamp };
        if self.meta_only && change == Change::Put {
            return Some(WatchEvent::Touched(meta));
        }
        let (key, revision) = (meta.key.clone(), meta.revision);
        let stored = Stored { meta, change, body: message.payload };
        Some(match stored.found(self.kv.coder.decoder) {
            Ok(Found::Put(entry)) => WatchEvent::Put(entry),
            Ok(Found::Deleted(meta)) => WatchEvent::Deleted(meta),
            Ok(Found::Purged(meta)) => WatchEvent::Purged(meta),
            Ok(Found::Expired(meta)) => WatchEvent::Expired(meta),
            Err(error) => WatchEvent::Undecodable { key, revision, error },
        })
    }
}

impl<T> Stream for Watch<T> {
    type Item = WatchEvent<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WatchEvent<T>>> {
        loop {
            let Some(item) = std::task::ready!(self.items.as_mut().poll_next(cx)) else {
                return Poll::Ready(None);
            };
            if let Some(event) = self.event(item) {
                return Poll::Ready(Some(event));
            }
        }
    }
}

impl<T> std::fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("bucket", &self.kv.bucket()).finish_non_exhaustive()
    }
}
