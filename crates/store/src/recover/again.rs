//! Taking back what never became durable, for an owner who appends it again at its sequences (a mirror).
//!
//! What a crash leaves of a round may have holes, and later records of the round behind them. Elsewhere
//! those are kept, and the sequences in the holes stay used. Here the log ends where the first hole
//! begins, so that its owner goes on from there. A round of such a log lies in one segment, the last.

use super::scan::Tail;
use super::{File, Opener, RecoverError, Torn};
use crate::file::HEADER_LEN;
use crate::op::Op;
use crate::record::{HEAD, Seal, kind};

impl Opener<'_> {
    /// Cuts the log off at the first hole behind what is known to be durable.
    pub(super) fn end_at_hole(&mut self, files: &mut Vec<(File, u64)>) -> Result<(), RecoverError> {
        let salt = self.salt(files.iter().map(|file| &file.0))?;
        self.drop_beheaded(files, salt)?;
        let Some((file, _)) = files.last() else { return Ok(()) };
        let Some(header) = file.header.filter(|header| header.generation == 0) else {
            return Ok(());
        };
        let (path, seal) = (self.path(&file.name), Seal { salt, segment: file.id });
        let data = self.disk.read_at(&path, 0, file.len as usize)?;
        // All before this segment was durable when it was begun.
        let durable = last_durable(&data, seal).max(header.base) - header.base;
        let mut at = HEADER_LEN as usize;
        while at < data.len() {
            if let Some(len) = seal.check(at as u32, &data[at..]) {
                at += len;
            } else if (at as u64) < durable {
                // Damage, which is told as such.
                let Some(next) = seal.resync(0, &data, at + 1) else { return Ok(()) };
                at = next;
            } else {
                let len = self.cut(&path, &data, &Tail { at, upto: None }, seal)?;
                if let Some((file, _)) = files.last_mut() {
                    file.len = len as u64;
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Drops the last segment if its header is lost and nothing in it was ever durable.
    fn drop_beheaded(
        &mut self,
        files: &mut Vec<(File, u64)>,
        salt: u64,
    ) -> Result<(), RecoverError> {
        let Some((file, _)) = files.last().filter(|(file, _)| file.header.is_none()) else {
            return Ok(());
        };
        let end = match files.iter().rev().nth(1).map(|(before, _)| (before.header, before.len)) {
            Some((Some(header), len)) if header.generation == 0 => header.base + len,
            _ => 0,
        };
        let path = self.path(&file.name);
        let data = self.disk.read_at(&path, 0, file.len as usize)?;
        if last_durable(&data, Seal { salt, segment: file.id }) > end {
            return Ok(());
        }
        let copy = self.copy_aside(&path, 0, &data)?;
        self.disk.remove(&path)?;
        self.disk.sync_dir(&self.options.dir)?;
        self.report.torn = Some(Torn { path, offset: 0, len: data.len() as u64, copy });
        files.pop();
        Ok(())
    }
}

/// The highest position that a round's record in a segment calls durable.
fn last_durable(data: &[u8], seal: Seal) -> u64 {
    let (mut at, mut durable) = (HEADER_LEN as usize, 0);
    while at < data.len() {
        let Some(len) = seal.check(at as u32, &data[at..]) else {
            match seal.resync(0, data, at + 1) {
                Some(next) => at = next,
                None => break,
            }
            continue;
        };
        let record = &data[at..at + len];
        if record[2] == kind::ROUND
            && let Some(Op::Round { durable: known, .. }) =
                Op::parse(record[2], record[3], &record[HEAD..])
        {
            durable = durable.max(known);
        }
        at += len;
    }
    durable
}
