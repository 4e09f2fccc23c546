//! How the rounds of many logs become durable under one sync.
//!
//! Each log syncs its own segment, and syncs of different files do not share their cost: with a
//! hundred busy streams the disk does a hundred syncs where one would do. So rounds that are small
//! are written to their segments without a sync, and a copy of what they wrote is appended to the
//! *commit journal*, whose single sync makes all of them durable. The journal lies below the logs, at
//! the level of [`DiskRequest`]: a log neither knows nor cares how its round became durable, and its
//! recovery reads segments as ever.
//!
//! The journal's space is written once and used again and again, so that its sync has neither a
//! length nor a block map to write: it is cheaper than that of a file that grows, also for a single
//! stream. There are two files of it, used in turns. While one takes records, the segments that
//! the other one covers are synced; then that one is *retired*: it begins a new epoch, which voids
//! its records.
//!
//! After a crash [`Journal::open`] does again what the records of both files say, before anything else
//! is opened. What makes that safe:
//!
//! - Only writes into files that exist for good are journaled ([`JournalOptions::takes`]). Rounds that
//!   begin or remove a file, and large ones, which should not be written twice, are performed on
//!   their own with their own syncs. A file that is not there any more was removed since, and is
//!   passed over.
//! - Bytes are written again where they were written, in the same order, so doing it twice or to a file
//!   that already has them changes nothing. An append that was synced by itself meanwhile lies
//!   elsewhere. Bytes that are overwritten (secure removal) are overwritten through the journal, too,
//!   or a note in it says that what it holds of that file is obsolete.
//! - A round counts only when its record is durable. If the journal fails, the segments are synced
//!   instead before anybody is told.

mod file;
mod journal;
mod options;
mod record;
mod redo;
mod work;

use std::sync::{Mutex, MutexGuard};

use natterjack_subject::whole;

pub use journal::Journal;
pub use options::JournalOptions;
pub use redo::{JournalDamage, Redone};
pub use work::Work;

use crate::disk::{Disk, DiskOp, DiskRequest, DiskResult};

/// Performs requests that [`JournalOptions::takes`], and makes them durable together: under one sync
/// of the journal, or under their own if it cannot take them. They belong to different logs.
///
/// Nobody else may write to their files meanwhile. The results are in the order of `batch`.
pub fn commit(
    disk: &dyn Disk,
    journal: &Mutex<Journal>,
    batch: &[&DiskRequest],
) -> Vec<DiskResult> {
    let mut results: Vec<DiskResult> =
        batch.iter().map(|request| request.run_steps(disk, |op| !is_sync(op))).collect();
    let written = || batch.iter().zip(&results).filter(|(_, result)| **result == DiskResult::Done);
    let requests: Vec<&DiskRequest> = written().map(|(request, _)| *request).collect();
    if requests.is_empty() || lock(journal).append(disk, &requests) {
        return results;
    }
    for (request, result) in batch.iter().zip(&mut results) {
        if *result == DiskResult::Done {
            lock(journal).begin(request);
            *result = request.run_steps(disk, is_sync);
            // It says itself what stops it.
            let _ = lock(journal).end(request, result);
        }
    }
    results
}

fn lock(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    whole(journal.lock())
}

fn is_sync(op: &DiskOp) -> bool {
    matches!(op, DiskOp::Sync(_) | DiskOp::SyncDir(_))
}
