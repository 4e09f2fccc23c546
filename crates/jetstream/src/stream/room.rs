//! Whether there is room: in the queues of a stream, within the limits of server and account, on the disk.

use natterjack_store::Blocked;

use super::Stream;
use crate::error::ApiError;
use crate::host::Host;
use crate::time::Now;

impl Stream {
    /// True when too much waits for the disk to take `more` bytes (`max_buffered_msgs`,
    /// `max_buffered_size`).
    pub(super) fn is_overloaded(&self, more: usize) -> bool {
        let options = &self.shared.options;
        self.answers.len() >= options.buffered_msgs
            || self.log.backlog_bytes() + self.answers.bytes() + more > options.buffered_bytes
    }

    /// True while the notes of consumers wait outside the log: what waits for the disk in it is enough.
    pub(super) fn holds_notes(&self) -> bool {
        self.log.backlog_bytes() > self.shared.options.buffered_bytes
    }

    /// Whether another answer may wait.
    ///
    /// # Errors
    /// 10023 when too much waits.
    pub(crate) fn check_load(&self) -> Result<(), ApiError> {
        if self.is_overloaded(0) { Err(ApiError::InsufficientResources) } else { Ok(()) }
    }

    /// The disk's refusals.
    pub(super) fn check_blocked(&self) -> Result<(), ApiError> {
        match self.log.blocked() {
            None => Ok(()),
            Some(Blocked::NoRoom(_)) => Err(ApiError::InsufficientResources),
            Some(blocked) => {
                let err = blocked.error().to_string().into();
                Err(ApiError::StreamStoreFailed { err })
            }
        }
    }

    /// Server and account limits; what is used counts the bytes not reported yet, too.
    pub(super) fn check_room(&self, bytes: u64) -> Result<(), ApiError> {
        let memory = self.scope.memory;
        let unreported = self.log.state().bytes.saturating_sub(self.reported_bytes);
        let more = bytes + unreported;
        if self.shared.usage.get(memory) + more > self.shared.bytes_max(memory) {
            self.shared.load.short_of_room(memory, self.shared.usage.get(memory));
            return Err(ApiError::InsufficientResources);
        }
        if self.account.usage.get(memory).saturating_add(more) > self.account.bytes_max(memory) {
            self.account.check_tier()?;
            return Err(ApiError::AccountResourcesExceeded);
        }
        Ok(())
    }

    /// Announces that there is no room, once per shortage.
    pub(super) fn announce_room(&mut self, host: &mut dyn Host, now: Now) {
        let full = matches!(self.log.blocked(), Some(Blocked::NoRoom(_)));
        if self.set_disk_full(full) {
            self.shared.announce_out_of_storage(host, now, &self.scope.stream);
        }
        self.shared.announce_shortage(host, now, self.scope.memory, &self.scope.stream);
    }

    /// True where this is the first log that the disk has no room for.
    pub(super) fn set_disk_full(&mut self, full: bool) -> bool {
        full != std::mem::replace(&mut self.disk_full, full) && self.shared.load.disk_full(full)
    }
}
