//! Writes that are durable when they return.
//!
//! The journal is written so, in whole blocks, into space that has been written before. On Linux such
//! a write goes past the page cache and takes one call instead of two: nothing is copied, and a
//! device with forced unit access needs no flush of its whole cache.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use super::real::write_all_at;

/// What direct writes must be aligned to: the largest sector that disks have.
const BLOCK: usize = 4096;
/// A buffer larger than this is not kept.
const KEPT: usize = 256 << 10;

/// Files that are written so, of which there are few.
#[derive(Default)]
pub(super) struct Durables {
    files: Vec<(Box<str>, Opened)>,
    buffer: Vec<u8>,
}

struct Opened {
    file: File,
    /// Writes to it are direct and durable by themselves.
    direct: bool,
}

impl Opened {
    fn new(path: &Path) -> io::Result<Self> {
        match direct(path) {
            Ok(file) => Ok(Opened { file, direct: true }),
            // A file system that has no such thing.
            Err(_) => {
                Ok(Opened { file: OpenOptions::new().write(true).open(path)?, direct: false })
            }
        }
    }
}

#[cfg(all(target_os = "linux", not(natterjack_portable)))]
fn direct(path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    let flags = (OFlags::DIRECT | OFlags::DSYNC).bits();
    let flags = i32::try_from(flags).map_err(io::Error::other)?;
    OpenOptions::new().write(true).custom_flags(flags).open(path)
}

#[cfg(not(all(target_os = "linux", not(natterjack_portable))))]
fn direct(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Durables {
    pub(super) fn forget(&mut self, name: &str) {
        self.files.retain(|(known, _)| **known != *name);
    }

    pub(super) fn write(
        &mut self,
        name: &str,
        path: &Path,
        offset: u64,
        data: &[u8],
    ) -> io::Result<()> {
        let at = match self.files.iter().position(|(known, _)| **known == *name) {
            Some(at) => at,
            None => {
                self.files.push((name.into(), Opened::new(path)?));
                self.files.len() - 1
            }
        };
        let whole = data.len().is_multiple_of(BLOCK) && offset.is_multiple_of(BLOCK as u64);
        let opened = &mut self.files[at].1;
        if opened.direct && whole {
            let start = aligned(&mut self.buffer, data.len());
            let block = &mut self.buffer[start..start + data.len()];
            block.copy_from_slice(data);
            let written = write_all_at(&opened.file, block, offset);
            if self.buffer.len() > KEPT + BLOCK {
                self.buffer = Vec::new();
            }
            match written {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    // It takes no direct writes, or not of these blocks.
                    let file = OpenOptions::new().write(true).open(path)?;
                    *opened = Opened { file, direct: false };
                }
                other => return other,
            }
        }
        if opened.direct {
            // Not through the file for direct writes.
            let file = OpenOptions::new().write(true).open(path)?;
            write_all_at(&file, data, offset)?;
            return file.sync_data();
        }
        write_all_at(&opened.file, data, offset)?;
        opened.file.sync_data()
    }
}

/// Where `len` bytes of the buffer begin that are aligned; it is made larger if need be.
fn aligned(buffer: &mut Vec<u8>, len: usize) -> usize {
    if buffer.len() < len + BLOCK {
        buffer.resize(len + BLOCK, 0);
    }
    buffer.as_ptr().align_offset(BLOCK).min(BLOCK)
}
