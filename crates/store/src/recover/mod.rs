//! Opening a log that may exist.
//!
//! 1. The segment files are listed and their headers read; files that compaction replaced go.
//! 2. The last whole checkpoint is looked for: each is the first record of its segment.
//! 3. Segments before it are scanned for messages; those the checkpoint calls dead do not live.
//! 4. The checkpoint is taken over, and everything behind it is replayed in order.
//!
//! A record whose checksum does not fit is fenced: scanning goes on at the next whole one, and
//! the sequences that are missing there are reported. What is damaged at the end of the last
//! segment is a torn tail: copied aside and cut off.

mod damage;
mod replay;
mod report;

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;

pub use damage::Damage;
use damage::Damages;
use replay::{Replayer, Torn as TornErasure};
pub use report::{RecoverError, Recovery, Replay, ReplayedMessage, Torn};

use crate::disk::{Disk, DiskError, DiskErrorKind};
use crate::file::{
    COPIED, FileLog, FileOptions, Found, HEADER_LEN, Header, Recovered, Segment, parse_name,
};
use crate::index::Index;
use crate::op::{Checkpoint, Op};
use crate::record::{self, HEAD, Seal, kind};
use crate::{Limits, Log};

/// A segment file with its content.
struct File {
    name: String,
    header: Option<Header>,
    id: u64,
    len: u64,
}

impl Log {
    /// Opens the log in `options.dir`, or begins a new one there with `first_seq` and `limits` if
    /// there is none. Reads all segments; `replay` is told what they hold.
    ///
    /// The limits of an existing log are those it had; the caller compares and sets.
    ///
    /// # Errors
    /// [`RecoverError::Newer`] if a newer program wrote a segment; nothing is changed then.
    /// [`RecoverError::Disk`] if the disk fails; opening again is safe.
    pub fn recover(
        disk: &dyn Disk,
        first_seq: u64,
        limits: Limits,
        options: FileOptions,
        replay: &mut dyn Replay,
    ) -> Result<(Log, Recovery), RecoverError> {
        let names = match disk.list(&options.dir) {
            Err(error) if error.kind == DiskErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let mut opener =
            Opener { disk, options: &options, report: Recovery::default(), leftovers: Vec::new() };
        let (files, next_segment) = opener.find(names)?;
        if files.is_empty() {
            let mut log = Log::file(first_seq, limits, options.clone());
            if let Some(file) = log.file_mut() {
                file.begin_at_segment(next_segment);
            }
            return Ok((log, opener.report));
        }
        let mut index = Index::new(1, limits, false);
        let found = opener.load(files, next_segment, first_seq, &mut index, replay)?;
        let report = opener.report;
        Ok((Log::from_parts(index, FileLog::recovered(options, found)), report))
    }
}

struct Opener<'a> {
    disk: &'a dyn Disk,
    options: &'a FileOptions,
    report: Recovery,
    /// Files with what was put aside, now or earlier.
    leftovers: Vec<Arc<str>>,
}

impl Opener<'_> {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.options.dir)
    }

    /// The segment files in order, without those that were replaced, and the next free id.
    fn find(&mut self, names: Vec<String>) -> Result<(Vec<File>, u64), RecoverError> {
        let mut files = Vec::new();
        let mut next = 1;
        for name in names {
            if name == "compact.tmp" || name == "probe" {
                self.disk.remove(&self.path(&name))?;
            }
            let path = self.path(&name);
            if name.ends_with(".torn") || name.ends_with(".bad") {
                self.leftovers.push(path.into());
                continue;
            }
            let Some((id, _)) = parse_name(&name) else { continue };
            let len = self.disk.len(&path)?;
            let header = match Header::find(&self.disk.read_at(&path, 0, HEADER_LEN as usize)?) {
                Found::Newer(version) => return Err(RecoverError::Newer { path, version }),
                Found::Header(header) if header.id == id => Some(header),
                _ => None,
            };
            next = next.max(id + 1).max(header.map_or(0, |header| header.covers + 1));
            files.push(File { name, header, id, len });
        }
        let generation = |file: &File| file.header.map_or(0, |header| header.generation);
        files.sort_by_key(|file| (file.id, generation(file)));
        // A file that compaction wrote is whole once it has its name.
        let covers: Vec<(u64, u64, u32)> = files
            .iter()
            .filter_map(|file| file.header)
            .filter(|header| header.generation > 0)
            .map(|header| (header.id, header.covers, header.generation))
            .collect();
        let mut kept = Vec::new();
        for file in files {
            let replaced = |&(id, upto, newer): &(u64, u64, u32)| match file.id {
                same if same == id => generation(&file) < newer,
                other => (id..=upto).contains(&other),
            };
            if covers.iter().any(replaced) {
                self.disk.remove(&self.path(&file.name))?;
            } else {
                kept.push(file);
            }
        }
        Ok((kept, next))
    }

    fn set_aside(&mut self, name: &str) -> Result<(), DiskError> {
        let aside = format!("{name}.bad");
        self.disk.rename(&self.path(name), &self.path(&aside))?;
        self.disk.sync_dir(&self.options.dir)?;
        let path = self.path(&aside);
        self.leftovers.push(path.as_str().into());
        self.report.set_aside.push(path);
        Ok(())
    }

    /// Drops files that never became durable, as a later header says, and sets those aside that
    /// hold nothing. Tells for each of the others the position from which on its records do not
    /// count.
    fn sift(&mut self, files: Vec<File>, salt: u64) -> Result<Vec<(File, u64)>, RecoverError> {
        let mut kept = Vec::new();
        let mut cut = u64::MAX;
        for file in files.into_iter().rev() {
            let path = self.path(&file.name);
            let Some(header) = file.header else {
                let data = self.disk.read_at(&path, 0, file.len as usize)?;
                let seal = Seal { salt, segment: file.id };
                if seal.resync(0, &data, 0).is_some() {
                    kept.push((file, cut));
                } else {
                    self.set_aside(&file.name)?;
                }
                continue;
            };
            if header.generation == 0 && header.base >= cut {
                self.disk.remove(&path)?;
                continue;
            }
            kept.push((file, cut));
            cut = cut.min(header.prev_end);
        }
        kept.reverse();
        Ok(kept)
    }

    fn load(
        &mut self,
        files: Vec<File>,
        next_segment: u64,
        first_seq: u64,
        index: &mut Index,
        replay: &mut dyn Replay,
    ) -> Result<Recovered, RecoverError> {
        let salt = files.iter().find_map(|file| file.header).map(|header| header.salt);
        let salt = salt.unwrap_or(self.options.salt);
        let files = self.sift(files, salt)?;
        if files.is_empty() {
            index.skip(first_seq.max(1) - 1, None);
        }
        let (start, checkpoint) = self.last_checkpoint(&files, salt)?;
        let count = files.len();
        let mut segments: VecDeque<Segment> = VecDeque::new();
        let mut damages = Damages::default();
        let mut replayer = Replayer::new(index, replay, checkpoint.as_deref());
        let mut closed = false;
        let mut erasures = None;
        for (at, (file, cut)) in files.iter().enumerate() {
            let cut = *cut;
            let path = self.path(&file.name);
            let data = self.disk.read_at(&path, 0, file.len as usize)?;
            self.report.bytes += data.len() as u64;
            let end = segments.back().map_or(0, |last| last.base + u64::from(last.len));
            let header = file.header.unwrap_or_else(|| guess_header(file, salt, end));
            if at == start {
                // What was before the checkpoint was durable before it.
                damages.durable = damages.durable.max(header.base);
                replayer.begin(&mut damages);
            } else if at > start {
                damages.expect(header.prev_end, end, segments.back(), replayer.last_seq());
            }
            let void = header.generation == 0 && cut < header.base + data.len() as u64;
            let data = if void {
                // For good: the segment that says so may go before this one.
                let len = cut.saturating_sub(header.base);
                self.disk.truncate(&path, len)?;
                self.disk.sync(&path)?;
                data.slice(..len as usize)
            } else {
                data
            };
            let seal = Seal { salt, segment: file.id };
            let begin = if file.header.is_some() { HEADER_LEN as usize } else { 0 };
            let mut scan = Scan { data: &data, seal, header: &header, path: &path, erasures: &[] };
            if at >= start && scan.has_hole(begin) {
                // Rare, so what overwriting may have torn is looked up only now.
                if erasures.is_none() {
                    erasures = Some(self.erasures(&files[start..], salt)?);
                }
                scan.erasures = erasures.as_deref().unwrap_or_default();
            }
            let mut len = data.len().max(HEADER_LEN as usize);
            if let Some(tail) = scan.run(&mut replayer, &mut damages, begin, at + 1 == count) {
                self.cut(&path, &data, tail)?;
                len = tail;
            }
            closed = void || header.generation > 0 || file.header.is_none();
            segments.push_back(Segment {
                id: header.id,
                generation: header.generation,
                covers: header.covers,
                path: path.into(),
                base: header.base,
                len: len as u32,
                frozen: false,
            });
        }
        let torn = damages.settle(&mut replayer, &mut self.report);
        let notes = replayer.notes;
        let erase = replayer.finish();
        self.pad(salt, &torn)?;
        self.sync_newest(&segments)?;
        self.report.segments = segments.len();
        let last_seq = index.state.last_seq;
        let leftovers = std::mem::take(&mut self.leftovers);
        Ok(Recovered { salt, segments, next_segment, last_seq, closed, erase, notes, leftovers })
    }

    /// The removals of messages that were or are to be overwritten.
    fn erasures(&self, files: &[(File, u64)], salt: u64) -> Result<Vec<TornErasure>, DiskError> {
        let mut found = Vec::new();
        for (file, _) in files {
            let data = self.disk.read_at(&self.path(&file.name), 0, file.len as usize)?;
            let seal = Seal { salt, segment: file.id };
            let mut at = 0;
            while let Some(next) = seal.resync(0, &data, at) {
                let len = seal.check(next as u32, &data[next..]).unwrap_or(1);
                found.extend(TornErasure::parse(&data[next..next + len]));
                at = next + len;
            }
        }
        found.sort_by_key(|gone: &TornErasure| (gone.segment, gone.offset));
        Ok(found)
    }

    /// What was read may be in the system's cache only: it must not be shown before it is safe.
    fn sync_newest(&self, segments: &VecDeque<Segment>) -> Result<(), DiskError> {
        for segment in segments.iter().rev().take(8) {
            self.disk.sync(&segment.path)?;
        }
        self.disk.sync_dir(&self.options.dir)
    }

    /// The place of the last segment that begins with a whole checkpoint, and its record's body.
    fn last_checkpoint(
        &self,
        files: &[(File, u64)],
        salt: u64,
    ) -> Result<(usize, Option<Bytes>), RecoverError> {
        for (at, (file, _)) in files.iter().enumerate().rev() {
            if file.header.is_some_and(|header| header.generation > 0) {
                continue;
            }
            let (path, seal) = (self.path(&file.name), Seal { salt, segment: file.id });
            let head = self.disk.read_at(&path, u64::from(HEADER_LEN), HEAD)?;
            let len = seal.frame(HEADER_LEN, &head).unwrap_or(HEAD);
            if head.get(2) == Some(&kind::MESSAGE) {
                continue;
            }
            let record = self.disk.read_at(&path, u64::from(HEADER_LEN), len)?;
            if seal.check(HEADER_LEN, &record).is_some() {
                if record[2] == kind::CHECKPOINT {
                    return Ok((at, Some(record.slice(HEAD..))));
                }
                continue;
            }
            if let Some(copy) = self.checkpoint_copy(&path, seal)? {
                return Ok((at, Some(copy)));
            }
        }
        Ok((0, None))
    }

    /// The body of the second copy of a checkpoint, if the record at the segment's start is
    /// damaged.
    fn checkpoint_copy(&self, path: &str, seal: Seal) -> Result<Option<Bytes>, RecoverError> {
        let data = self.disk.read_at(path, u64::from(HEADER_LEN), 2 * COPIED as usize)?;
        let copy = seal.resync(HEADER_LEN, &data, 1).and_then(|at| {
            let len = seal.check(HEADER_LEN + at as u32, &data[at..])?;
            (data[at + 2] == kind::CHECKPOINT).then(|| data.slice(at + HEAD..at + len))
        });
        Ok(copy)
    }

    /// Puts a record that means nothing over what a crash tore, so that it is not taken for
    /// damage of something durable the next time.
    fn pad(&mut self, salt: u64, torn: &[(u64, usize)]) -> Result<(), DiskError> {
        for &(segment, at) in torn {
            let damage = self.report.damage[at].clone();
            let (Ok(offset), len) = (u32::try_from(damage.offset), damage.len as usize) else {
                continue;
            };
            if len < HEAD || offset < HEADER_LEN {
                continue;
            }
            let bytes = self.disk.read_at(&damage.path, damage.offset, len)?;
            self.copy_aside(&damage.path, damage.offset, &bytes)?;
            let mut pad = BytesMut::with_capacity(len);
            record::put_pad(&mut pad, len);
            Seal { salt, segment }.seal(offset, &mut pad);
            self.disk.write_at(&damage.path, damage.offset, &pad)?;
            self.disk.sync(&damage.path)?;
        }
        Ok(())
    }

    /// Cuts a torn tail off, keeping its bytes unless they are all 0.
    fn cut(&mut self, path: &str, data: &Bytes, at: usize) -> Result<(), DiskError> {
        let tail = data.get(at..).unwrap_or_default();
        let copy = self.copy_aside(path, at as u64, tail)?;
        self.disk.truncate(path, at as u64)?;
        self.disk.sync(path)?;
        let (path, offset, len) = (path.to_owned(), at as u64, tail.len() as u64);
        self.report.torn = Some(Torn { path, offset, len, copy });
        Ok(())
    }

    /// Copies bytes that are about to go, unless they are all 0; tells where to.
    fn copy_aside(
        &mut self,
        path: &str,
        at: u64,
        bytes: &[u8],
    ) -> Result<Option<String>, DiskError> {
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let name = format!("{path}.{at:x}.torn");
        self.disk.truncate(&name, 0)?;
        self.disk.write_at(&name, 0, bytes)?;
        self.disk.sync(&name)?;
        self.leftovers.push(name.as_str().into());
        Ok(Some(name))
    }
}

/// What a segment's header must have said, as far as that matters.
fn guess_header(file: &File, salt: u64, end: u64) -> Header {
    Header {
        stream: 0,
        salt,
        id: file.id,
        base: end,
        prev_end: end,
        covers: file.id,
        generation: parse_name(&file.name).map_or(0, |(_, generation)| generation),
        file_len: 0,
    }
}

/// A walk over the records of one segment.
struct Scan<'a> {
    data: &'a Bytes,
    seal: Seal,
    header: &'a Header,
    path: &'a str,
    erasures: &'a [TornErasure],
}

impl Scan<'_> {
    /// Whether there is a region without records before other records.
    fn has_hole(&self, begin: usize) -> bool {
        let mut at = begin;
        while at < self.data.len() {
            match self.seal.check(at as u32, &self.data[at..]) {
                Some(len) => at += len,
                None => return true,
            }
        }
        false
    }

    /// Hands whole records to `replayer` and regions between them to `damages`. Tells where a
    /// torn tail begins, if this is the last segment.
    fn run(
        &self,
        replayer: &mut Replayer<'_>,
        damages: &mut Damages,
        begin: usize,
        last: bool,
    ) -> Option<usize> {
        replayer.open(self.header.id);
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
                replayer.torn(bad);
                return Some(at);
            }
            damages.found(self.header, self.path, offset, bad, replayer.last_seq());
            let inside = offset..offset + bad.len() as u32;
            let torn = |gone: &&TornErasure| {
                gone.segment == self.header.id
                    && inside.contains(&gone.offset)
                    && gone.offset + gone.len <= inside.end
            };
            let mut from = offset;
            for gone in self.erasures.iter().filter(torn) {
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
            at += bad.len();
        }
        if self.header.file_len > self.data.len() as u64 {
            let offset = self.data.len() as u32;
            damages.found(self.header, self.path, offset, &[], replayer.last_seq());
        }
        None
    }
}

/// The checkpoint in the body of its record.
fn parse_checkpoint(body: &[u8]) -> Option<Checkpoint<'_>> {
    match Op::parse(kind::CHECKPOINT, 0, body)? {
        Op::Checkpoint(state) => Some(state),
        _ => None,
    }
}
