//! What waits and what is short, over all streams of the server: bounds, and the advisories when they are
//! reached (jetstream.md 1.1 and 1.6, D-0016).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::Shared;
use crate::advisory::{self, Event};
use crate::host::Host;
use crate::time::Now;

const LIMIT_REACHED: &str = "$JS.EVENT.ADVISORY.API.LIMIT_REACHED";
const OUT_OF_STORAGE: &str = "$JS.EVENT.ADVISORY.SERVER.OUT_OF_STORAGE";
/// Bytes of all API requests that wait.
const REQUEST_BYTES_MAX: usize = 64 << 20;
/// Refused requests are announced together this often, nanoseconds.
const ANNOUNCE_EVERY: u64 = 1_000_000_000;

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Load {
    waiting: Arc<Waiting>,
    /// Requests refused since they were last announced.
    refused: AtomicU64,
    /// When they were, monotonic; 0 for never.
    announced: AtomicU64,
    /// Of memory and of files.
    rooms: [Room; 2],
    /// How many logs the disk has no room for.
    full: AtomicUsize,
}

/// API requests that wait for the disk.
#[derive(Debug, Default)]
struct Waiting {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// Counts a request for as long as it is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    of: Arc<Waiting>,
    bytes: usize,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.of.requests.fetch_sub(1, Ordering::Relaxed);
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A kind of storage.
#[derive(Debug, Default)]
struct Room {
    /// Bytes in use when a message was refused for want of more; 0 while there is room.
    short_at: AtomicU64,
    announced: AtomicBool,
}

impl Load {
    /// Counts a request of so many bytes until the guard goes.
    pub(crate) fn keep(&self, bytes: usize) -> Kept {
        self.waiting.requests.fetch_add(1, Ordering::Relaxed);
        self.waiting.bytes.fetch_add(bytes, Ordering::Relaxed);
        Kept { of: Arc::clone(&self.waiting), bytes }
    }

    /// True when no more requests may wait.
    pub(crate) fn is_full(&self, requests_max: usize) -> bool {
        self.waiting.requests.load(Ordering::Relaxed) >= requests_max
            || self.waiting.bytes.load(Ordering::Relaxed) >= REQUEST_BYTES_MAX
    }

    /// A message was refused because all that the server gives to this kind of storage is in use.
    pub(crate) fn short_of_room(&self, memory: bool, in_use: u64) {
        self.rooms[usize::from(memory)].short_at.store(in_use.max(1), Ordering::Relaxed);
    }

    /// Messages went.
    pub(crate) fn made_room(&self, memory: bool, in_use: u64) {
        let room = &self.rooms[usize::from(memory)];
        if room.short_at.load(Ordering::Relaxed) > in_use {
            room.short_at.store(0, Ordering::Relaxed);
            room.announced.store(false, Ordering::Relaxed);
        }
    }

    /// True once per shortage.
    fn take_shortage(&self, memory: bool) -> bool {
        let room = &self.rooms[usize::from(memory)];
        room.short_at.load(Ordering::Relaxed) != 0 && !room.announced.swap(true, Ordering::Relaxed)
    }

    /// The disk has no room for one log more, or for one less. True where it is the first.
    pub(crate) fn disk_full(&self, full: bool) -> bool {
        if full {
            self.full.fetch_add(1, Ordering::Relaxed) == 0
        } else {
            self.full.fetch_sub(1, Ordering::Relaxed);
            false
        }
    }
}

impl Shared {
    /// Counts a request that is refused because too many wait, and says so to the system account.
    pub(crate) fn refuse_request(&self, host: &mut dyn Host, now: Now) {
        let load = &self.load;
        load.refused.fetch_add(1, Ordering::Relaxed);
        let last = load.announced.load(Ordering::Relaxed);
        if last != 0 && now.mono_ns.saturating_sub(last) < ANNOUNCE_EVERY {
            return;
        }
        load.announced.store(now.mono_ns.max(1), Ordering::Relaxed);
        let dropped = load.refused.swap(0, Ordering::Relaxed);
        let Some(account) = host.system_account() else { return };
        if advisory::wanted(host, &account, LIMIT_REACHED) {
            Event::advisory(host, now, "api_limit_reached")
                .text("server", &self.options.server_name)
                .text_if("domain", self.options.domain.as_deref().unwrap_or_default())
                .number("dropped", dropped)
                .send(host, &account, None, LIMIT_REACHED);
        }
    }

    /// Says that there is no room for the messages of `stream`, once per shortage.
    pub(crate) fn announce_shortage(
        &self,
        host: &mut dyn Host,
        now: Now,
        memory: bool,
        stream: &str,
    ) {
        if self.load.take_shortage(memory) {
            self.announce_out_of_storage(host, now, stream);
        }
    }

    /// Says that there is no room for the records of `stream`; empty for the catalog's.
    pub(crate) fn announce_out_of_storage(&self, host: &mut dyn Host, now: Now, stream: &str) {
        let Some(account) = host.system_account() else { return };
        if advisory::wanted(host, &account, OUT_OF_STORAGE) {
            Event::advisory(host, now, "server_out_of_space")
                .text("server", &self.options.server_name)
                .text("server_id", &self.options.server_id)
                .text_if("stream", stream)
                .text("cluster", "")
                .send(host, &account, self.options.domain.as_deref(), OUT_OF_STORAGE);
        }
    }
}
