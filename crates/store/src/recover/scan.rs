//! A walk over the records of one segment.

use bytes::Bytes;

use super::TornErasure;
use super::damage::Damages;
use super::replay::Replayer;
use crate::disk::DiskError;
use crate::file::Header;
use crate::record::Seal;

pub(super) struct Scan<'a> {
    pub(super) data: &'a Bytes,
    pub(super) seal: Seal,
    pub(super) header: &'a Header,
    pub(super) path: &'a str,
}

/// A torn tail: where it begins, and the last sequence that may have been in it.
pub(super) struct Tail {
    pub(super) at: usize,
    pub(super) upto: Option<u64>,
}

/// Tells what overwriting may have torn; asked only if something is torn, which is rare.
pub(super) type Erasures<'e, 'v> = dyn FnMut() -> Result<&'v [TornErasure], DiskError> + 'e;

impl Scan<'_> {
    /// Hands whole records to `replayer` and regions between them to `damages`. Tells where a
    /// torn tail begins, if this is the last segment.
    pub(super) fn run<'v>(
        &self,
        replayer: &mut Replayer<'_>,
        damages: &mut Damages,
        begin: usize,
        last: bool,
        erasures: &mut Erasures<'_, 'v>,
    ) -> Result<Option<Tail>, DiskError> {
        replayer.open(self.header.id, self.header.base);
        let mut at = begin;
        while at < self.data.len() {
            let offset = at as u32;
            if let Some(len) = self.seal.check(offset, &self.data[at..]) {
                replayer.record(damages, offset, &self.data[at..at + len]);
                at += len;
                continue;
            }
            let end = self.seal.resync(0, self.data, at + 1);
            let bad = &self.data[at..end.unwrap_or(self.data.len())];
            if end.is_none() && last {
                let upto = replayer.torn(bad);
                return Ok(Some(Tail { at, upto }));
            }
            damages.found(self.header, self.path, offset, bad, replayer.last_seq());
            self.hole(replayer, damages, offset, bad.len() as u32, erasures()?);
            at += bad.len();
        }
        if self.header.file_len > self.data.len() as u64 {
            let offset = self.data.len() as u32;
            damages.found(self.header, self.path, offset, &[], replayer.last_seq());
        }
        Ok(None)
    }

    /// Takes over a region without records, in which messages may lie that were being overwritten.
    fn hole(
        &self,
        replayer: &mut Replayer<'_>,
        damages: &mut Damages,
        offset: u32,
        len: u32,
        erasures: &[TornErasure],
    ) {
        let inside = offset..offset + len;
        let torn = |gone: &&TornErasure| {
            gone.segment == self.header.id
                && inside.contains(&gone.offset)
                && gone.offset + gone.len <= inside.end
        };
        let mut from = offset;
        for gone in erasures.iter().filter(torn) {
            if gone.offset > from {
                replayer.hole(from, gone.offset - from);
            }
            if gone.offset >= from && replayer.torn_erasure(damages, gone) {
                from = gone.offset + gone.len;
            }
        }
        if from < inside.end {
            replayer.hole(from, inside.end - from);
        }
    }
}
