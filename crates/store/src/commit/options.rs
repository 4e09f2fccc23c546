//! Sizes of a journal, and what goes through it.

use super::record::entry_len;
use crate::disk::{DiskOp, DiskRequest};

/// Sizes of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalOptions {
    /// Bytes of each of the two files; 8 MiB by default. An existing file keeps its length.
    pub file_bytes: u64,
    /// Up to where a file grows when its space is used up faster than the other one's streams can
    /// be synced, as with hundreds of them; 64 MiB by default.
    pub file_bytes_max: u64,
    /// Rounds of more bytes than this are not written twice; 64 KiB by default.
    pub round_bytes: usize,
    /// Bytes that are committed at once; 1 MiB by default.
    pub batch_bytes: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            file_bytes: 8 << 20,
            file_bytes_max: 64 << 20,
            round_bytes: 64 << 10,
            batch_bytes: 1 << 20,
        }
    }
}

impl JournalOptions {
    /// Whether a request may be committed through the journal: it only writes into files and syncs
    /// them, and is small.
    pub fn takes(&self, request: &DiskRequest) -> bool {
        let mut bytes = 0;
        for (step, op) in request.ops.iter().enumerate() {
            match op {
                DiskOp::Write { path, data, .. } => {
                    bytes += entry_len(path, data.len());
                    let synced =
                        |later: &DiskOp| matches!(later, DiskOp::Sync(other) if other == path);
                    if path.len() > usize::from(u16::MAX) || !request.ops[step..].iter().any(synced)
                    {
                        return false;
                    }
                }
                DiskOp::Sync(_) => {}
                _ => return false,
            }
        }
        bytes > 0 && bytes <= self.round_bytes
    }
}
