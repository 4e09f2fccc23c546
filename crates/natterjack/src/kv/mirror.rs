//! A map that is kept equal to a part of a bucket.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use super::entry::Entry;
use super::store::Kv;
use super::watch::WatchEvent;
use crate::error::KvError;

/// The keys of a bucket that match a filter, with their values, kept current in the background.
///
/// Reading it asks nobody. Values that do not decode are left out. Dropping it stops the watch behind
/// it.
pub struct LiveMap<T> {
    entries: Arc<RwLock<BTreeMap<String, Entry<T>>>>,
    /// The last revision that was taken over; `None` before the map is complete.
    revision: watch::Receiver<Option<u64>>,
    _stop: watch::Sender<()>,
}

impl<T> std::fmt::Debug for LiveMap<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveMap").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T: Clone + Send + Sync + 'static> Kv<T> {
    /// Keeps a map of the keys that match a filter (`>` for all).
    ///
    /// # Errors
    /// As for [`watch`](Self::watch).
    pub async fn mirror(&self, filter: &str) -> Result<LiveMap<T>, KvError> {
        let mut watch = self.watch(filter).start().await?;
        let entries = Arc::new(RwLock::new(BTreeMap::new()));
        let (tell, revision) = watch::channel(None);
        let (stop, mut stopped) = watch::channel(());
        let map = entries.clone();
        tokio::spawn(async move {
            let (mut ready, mut last) = (false, 0);
            loop {
                let event = tokio::select! {
                    event = watch.next() => event,
                    // The map is gone when its end of the channel is.
                    _ = stopped.changed() => return,
                };
                let Some(event) = event else { return };
                {
                    let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
                    match event {
                        WatchEvent::Put(entry) => {
                            last = entry.revision;
                            map.insert(entry.key.clone(), entry);
                        }
                        WatchEvent::Deleted(meta)
                        | WatchEvent::Purged(meta)
                        | WatchEvent::Expired(meta) => {
                            last = meta.revision;
                            map.remove(&meta.key);
                        }
                        WatchEvent::Undecodable { key, revision, .. } => {
                            last = revision;
                            map.remove(&key);
                        }
                        WatchEvent::Ready => ready = true,
                        WatchEvent::Touched(_) | WatchEvent::Resumed { .. } => {}
                    }
                }
                if ready {
                    tell.send_replace(Some(last));
                }
            }
        });
        Ok(LiveMap { entries, revision, _stop: stop })
    }
}

impl<T> LiveMap<T> {
    fn entries(&self) -> RwLockReadGuard<'_, BTreeMap<String, Entry<T>>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all that was in the bucket when the map was made is in it. False if the connection
    /// ended first.
    pub async fn ready(&self) -> bool {
        self.revision.clone().wait_for(Option::is_some).await.is_ok()
    }

    /// Waits until the change with this revision is in it: what one has written oneself, for example.
    /// False if the connection ended first. A revision outside the filter may never come.
    pub async fn reached(&self, revision: u64) -> bool {
        self.revision
            .clone()
            .wait_for(|last| last.is_some_and(|last| last >= revision))
            .await
            .is_ok()
    }

    /// How many keys it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }
}

impl<T: Clone> LiveMap<T> {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<T> {
        self.entries().get(key).map(|entry| entry.value.clone())
    }

    /// The entry of a key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<Entry<T>> {
        self.entries().get(key).cloned()
    }

    /// All entries as they are now, in order of their keys.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Entry<T>> {
        self.entries().values().cloned().collect()
    }
}
