//! The store's own directory, `DIR/natterjack/`.
//!
//! ```text
//! LOCK      held by the server that uses the directory (its file lock, not its being there)
//! FORMAT    "natterjack store 1\n"
//! RESERVE   room that is given up when the disk is full
//! catalog/  which streams and consumers there are
//! streams/  one directory per stream, named by its id, made with its first record
//! ```
//!
//! Each segment has a format version of its own; this one is of the layout.

use bytes::Bytes;

use crate::disk::{Disk, DiskError, DiskErrorKind};

/// The version of the layout that this code makes, and the highest that it opens.
pub const FORMAT: u32 = 1;
/// The name of the file whose lock a server holds.
pub const LOCK: &str = "LOCK";
/// The file to name in [`FileOptions::reserve`](crate::FileOptions::reserve).
pub const RESERVE: &str = "RESERVE";

const FORMAT_FILE: &str = "FORMAT";
const WORDS: &str = "natterjack store ";
const RESERVE_BYTES: usize = 1 << 20;
/// What is written of it at once: the zeros are in memory meanwhile.
const RESERVE_STEP: usize = 64 << 10;

/// Why a directory cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A newer program made it.
    #[error("the store has format {found}; this program knows {FORMAT}")]
    Newer {
        /// Its format.
        found: u32,
    },
}

/// Makes the directory ready for use: checks its format, or makes it. `disk` is rooted in
/// `DIR/natterjack`, whose lock the caller holds. [`settle`] follows when there is time. False if the
/// format was damaged, or torn when it was made, and is written anew: segments know their own version.
///
/// # Errors
/// [`DirectoryError::Newer`] if a newer program made it; nothing is changed then.
pub fn open(disk: &dyn Disk) -> Result<bool, DirectoryError> {
    let mut is_whole = true;
    match disk.read_at(FORMAT_FILE, 0, 100) {
        Ok(content) => {
            if let Some(found) = parse(&content).filter(|&found| found > FORMAT) {
                return Err(DirectoryError::Newer { found });
            }
            if parse(&content).is_none() {
                write_format(disk)?;
                is_whole = false;
            }
        }
        Err(error) if error.kind == DiskErrorKind::NotFound => write_format(disk)?,
        Err(error) => return Err(error.into()),
    }
    disk.create_dir("streams")?;
    disk.sync_dir("")?;
    Ok(is_whole)
}

fn parse(content: &Bytes) -> Option<u32> {
    let line = std::str::from_utf8(content).ok()?.strip_suffix('\n')?;
    line.strip_prefix(WORDS)?.parse().ok()
}

fn write_format(disk: &dyn Disk) -> Result<(), DiskError> {
    disk.truncate(FORMAT_FILE, 0)?;
    disk.write_at(FORMAT_FILE, 0, format!("{WORDS}{FORMAT}\n").as_bytes())
}

/// Does what nothing waits for, so that a server may take clients first: syncs the format, which would
/// be written again if it were lost, and makes the reserve if it is not there or was given up.
///
/// # Errors
/// The disk failed.
pub fn settle(disk: &dyn Disk) -> Result<(), DiskError> {
    disk.sync(FORMAT_FILE)?;
    make_reserve(disk)
}

/// A disk that has no room for the reserve may still be read.
fn make_reserve(disk: &dyn Disk) -> Result<(), DiskError> {
    let len = match disk.len(RESERVE) {
        Err(error) if error.kind == DiskErrorKind::NotFound => 0,
        other => other?,
    };
    if len >= RESERVE_BYTES as u64 {
        return Ok(());
    }
    let zeros = vec![0; RESERVE_STEP];
    let written = (0..RESERVE_BYTES)
        .step_by(RESERVE_STEP)
        .try_for_each(|at| disk.write_at(RESERVE, at as u64, &zeros))
        .and_then(|()| disk.sync(RESERVE));
    match written {
        Err(error) if error.kind == DiskErrorKind::NoRoom => disk.truncate(RESERVE, 0),
        other => other,
    }
}

/// Whether `disk`, rooted in the directory that the user named, holds a store of nats-server. It
/// is reported and never touched.
pub fn has_nats_server_store(disk: &dyn Disk) -> bool {
    disk.list("jetstream").is_ok_and(|accounts| !accounts.is_empty())
}

/// The directory of a stream, for [`FileOptions::new`](crate::FileOptions::new).
pub fn stream_dir(id: u64) -> String {
    format!("streams/{id}")
}
