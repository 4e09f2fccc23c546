//! Starting from what stands beside the segments.
//!
//! A checkpoint's table counts what lived at the checkpoint and names the sidecars that are true
//! then: all that is dead in them is dead at the checkpoint, which says what died since they were
//! made. A segment whose sidecar is missing, damaged or another one is scanned; its messages find
//! their subjects in the table. If in the end the counts disagree, all is scanned.

use super::replay::{Replayer, dead_at};
use super::{File, Opener, parse_checkpoint};
use bytes::Bytes;

use crate::disk::DiskErrorKind;
use crate::file::sidecar::{self, Basis, Loaded, Owner};
use crate::file::table::{self, Named, Table};
use crate::file::{HEADER_LEN, parse_name};
use crate::record::{HEAD, Seal, kind};
use crate::recover::RecoverError;

/// Where the replay starts.
pub(super) struct Start {
    /// The place of the checkpoint's segment.
    pub(super) at: usize,
    /// Its record's body.
    pub(super) checkpoint: Option<Bytes>,
    pub(super) table: Option<Table>,
    /// Bytes of the table's file.
    pub(super) table_len: u64,
}

impl Start {
    /// The segments whose sidecars the table names.
    pub(super) fn named(&self) -> Vec<u64> {
        self.table.iter().flat_map(|table| &table.named).map(|named| named.0).collect()
    }
}

impl Opener<'_> {
    /// The newest checkpoint from which the log can be replayed and that has its table. It need
    /// not be the newest of all while everything since is still there.
    pub(super) fn best_table(
        &mut self,
        files: &[(File, u64)],
        salt: u64,
        newest: &(usize, Option<Bytes>),
    ) -> Result<Option<Start>, RecoverError> {
        if newest.1.is_none() {
            return Ok(None);
        }
        let whole = |two: &[(File, u64)]| {
            let ((before, cut), (after, _)) = (&two[0], &two[1]);
            matches!((before.header, after.header), (Some(before_header), Some(header))
                if header.generation == 0
                    && before_header.generation == 0
                    && before_header.base.checked_add(before.len) == Some(header.base)
                    && header.prev_end == header.base
                    && *cut >= header.base)
        };
        let mut ids = self.tables.clone();
        ids.sort_unstable_by(|one, two| two.cmp(one));
        for id in ids {
            let place = files.iter().position(|(file, _)| file.id == id);
            let Some(at) = place.filter(|&at| at <= newest.0) else { continue };
            let (file, _) = &files[at];
            let fresh = file.header.is_some_and(|header| header.generation == 0);
            if !fresh || !files[at..=newest.0].windows(2).all(whole) {
                continue;
            }
            let checkpoint = match at == newest.0 {
                true => newest.1.clone(),
                false => self.checkpoint(file, salt)?,
            };
            let last_seq = |body: &Bytes| parse_checkpoint(body).map(|state| state.last_seq);
            let Some((body, last_seq)) =
                checkpoint.and_then(|body| last_seq(&body).map(|last_seq| (body, last_seq)))
            else {
                continue;
            };
            let path = self.path(&table::name(id));
            let data = self.disk.read_at(&path, 0, self.disk.len(&path)? as usize)?;
            let basis = Basis { segment: id, crc: crc32c::crc32c(&body) };
            if !table::is_whole(&data) {
                self.report.derived.push(path);
                continue;
            }
            let fitting = table::decode(&data, salt, last_seq);
            let fitting = fitting.filter(|table| table.checkpoint == basis);
            if let Some(table) = fitting {
                let (checkpoint, table_len) = (Some(body), data.len() as u64);
                return Ok(Some(Start { at, checkpoint, table: Some(table), table_len }));
            }
        }
        Ok(None)
    }

    /// The body of the checkpoint at the start of a segment, if it is whole.
    fn checkpoint(&self, file: &File, salt: u64) -> Result<Option<Bytes>, RecoverError> {
        let (path, seal) = (self.path(&file.name), Seal { salt, segment: file.id });
        let head = self.disk.read_at(&path, u64::from(HEADER_LEN), HEAD)?;
        let Some(len) = seal.frame(HEADER_LEN, &head).filter(|_| head[2] == kind::CHECKPOINT)
        else {
            return Ok(None);
        };
        let record = self.disk.read_at(&path, u64::from(HEADER_LEN), len)?;
        Ok(seal.check(HEADER_LEN, &record).map(|len| record.slice(HEAD..len)))
    }

    /// The sidecar of a segment, if there is one that the table believes.
    pub(super) fn sidecar(
        &mut self,
        file: &File,
        salt: u64,
        named: &[Named],
        basis: Option<Basis>,
        replayer: &Replayer<'_>,
    ) -> Result<Option<Loaded>, RecoverError> {
        let (Some((segment, generation)), Ok(len)) =
            (parse_name(&file.name), u32::try_from(file.len))
        else {
            return Ok(None);
        };
        if file.header.is_none() || !self.sidecars.contains(&(segment, generation)) {
            return Ok(None);
        }
        let path = self.path(&sidecar::name(segment, generation));
        let read = self.disk.len(&path).and_then(|len| self.disk.read_at(&path, 0, len as usize));
        let data = match read {
            Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if !sidecar::is_whole(&data) {
            self.report.derived.push(path);
            return Ok(None);
        }
        let owner = Owner { salt, segment, generation, len };
        let believed = |loaded: &Loaded| {
            let place = named.binary_search_by_key(&segment, |named| named.0);
            place.is_ok_and(|at| (named[at].1, named[at].2) == (generation, loaded.crc))
                || (loaded.basis.is_some() && loaded.basis == basis)
        };
        let loaded = sidecar::decode(&data, &owner, replayer.ids()).filter(believed);
        Ok(loaded.filter(|loaded| replayer.may_take_over(&loaded.chunk)))
    }
}

impl Replayer<'_> {
    /// One above the highest subject's id.
    fn ids(&self) -> usize {
        self.index.subjects.ids()
    }

    /// Whether the sequences of a chunk come after all before and not after the checkpoint.
    fn may_take_over(&self, chunk: &crate::chunk::Chunk) -> bool {
        let last = self.checkpoint.as_ref().map_or(0, |state| state.last_seq);
        chunk.len() == 0 || (chunk.seq(0) > self.seen && chunk.last() <= last)
    }

    /// Takes the index of a segment before the checkpoint.
    pub(super) fn take_over(
        &mut self,
        damages: &mut super::Damages,
        mut chunk: crate::chunk::Chunk,
    ) {
        if chunk.len() > 0 {
            let (first, last) = (chunk.seq(0), chunk.last());
            damages.behind(first);
            self.seen = last;
            let dead = self.checkpoint.as_ref().map_or(&[][..], |state| &state.dead);
            let from = dead_at(dead, first);
            let until = |range: &&crate::SeqRange| range.first <= last;
            for range in dead[from..].iter().take_while(until) {
                chunk.kill_range(range.first.max(first), range.last.min(last));
            }
        }
        self.index.chunks.push_back(chunk);
    }

    /// Whether messages that lived at the checkpoint are missing, by its table.
    pub(super) fn has_too_few(&self) -> bool {
        let live: u64 = self.index.chunks.iter().map(|chunk| u64::from(chunk.live())).sum();
        let counted = self.counted.as_ref().map_or(0, |counted| counted.messages);
        !self.strange && live < counted
    }

    /// Whether what lives before the checkpoint is what its table counts.
    pub(super) fn is_whole(&self) -> bool {
        let Some(counted) = &self.counted else { return true };
        let chunks = &self.index.chunks;
        let live: u64 = chunks.iter().map(|chunk| u64::from(chunk.live())).sum();
        let bytes: u64 = chunks.iter().map(|chunk| self.index.accounted_in(chunk)).sum();
        let first = if live > 0 { self.index.next_live(0) } else { Some(counted.first_seq) };
        let messages = chunks
            .iter()
            .flat_map(|chunk| chunk.iter_live(0).map(|at| (chunk.subject(at), chunk.seq(at))));
        !self.strange
            && live == counted.messages
            && first == Some(counted.first_seq)
            && bytes == counted.bytes
            && self.index.subjects.are_those_of(messages)
    }
}
