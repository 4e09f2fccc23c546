//! Watching objects.

use std::collections::VecDeque;
use std::time::Duration;

use super::info::ObjectInfo;
use super::store::{Objects, read};
use crate::error::{Error, Timeout};
use crate::event::Event;
use crate::kv::{Item, Ordered, WatchFrom};

/// What a watch of objects tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectEvent {
    /// An object, or a link, was put.
    Put(ObjectInfo),
    /// An object was deleted.
    Deleted(ObjectInfo),
    /// All that was there when the watch began has been told. Comes once, also if that was nothing.
    Ready,
    /// The watch was interrupted and goes on; this many changes were made meanwhile and follow.
    Resumed {
        /// Their number.
        missed: u64,
    },
}

/// Changes of objects as they come. It goes on over restarts of the server, and ends only with the
/// connection.
///
/// Dropping it removes its consumer from the server.
pub struct ObjectWatch {
    objects: Objects,
    changes: Ordered,
    items: VecDeque<Item>,
}

impl std::fmt::Debug for ObjectWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectWatch")
            .field("bucket", &self.objects.bucket())
            .finish_non_exhaustive()
    }
}

pub(super) async fn start(objects: &Objects, from: WatchFrom) -> Result<ObjectWatch, Error> {
    let mut changes = Ordered::new(
        objects.js.clone(),
        objects.stream.clone(),
        ("bucket", objects.bucket.clone()),
        vec![format!("$O.{}.M.>", objects.bucket)],
        false,
        from,
    );
    let items = changes.start().await?.into();
    Ok(ObjectWatch { objects: objects.clone(), changes, items })
}

/// The next event, within `limit`.
pub(super) async fn within(
    limit: Duration,
    what: &'static str,
    watch: &mut ObjectWatch,
) -> Result<Option<ObjectEvent>, Error> {
    let next = tokio::time::timeout(limit, watch.next()).await;
    next.map_err(|_| Timeout { what: what.into(), after: limit }.into())
}

impl ObjectWatch {
    /// The next event; `None` when the connection is over.
    pub async fn next(&mut self) -> Option<ObjectEvent> {
        loop {
            while let Some(item) = self.items.pop_front() {
                match item {
                    Item::Ready => return Some(ObjectEvent::Ready),
                    Item::Resumed(missed) => return Some(ObjectEvent::Resumed { missed }),
                    Item::Message(message, meta) => {
                        self.objects.js.link().meters.watch_lag(meta.pending);
                        let time = jiff::Timestamp::try_from(meta.timestamp).unwrap_or_default();
                        match read(&message.payload, time.to_string(), &message.subject) {
                            Ok(info) if info.deleted => return Some(ObjectEvent::Deleted(info)),
                            Ok(info) => return Some(ObjectEvent::Put(info)),
                            // Somebody else wrote into the bucket's stream.
                            Err(error) => {
                                self.objects.js.link().emit(Event::Background { error });
                            }
                        }
                    }
                }
            }
            self.items.extend(self.changes.next().await?);
        }
    }
}
