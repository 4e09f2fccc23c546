//! Opening a log that may exist.
//!
//! 1. The segment files are listed and their headers read; files that compaction replaced go.
//! 2. The last whole checkpoint is looked for: each is the first record of its segment.
//! 3. Segments before it are scanned for messages; those the checkpoint calls dead do not live. If
//!    the checkpoint has its table, the sidecars that it names are read instead (`takeover`).
//! 4. The checkpoint is taken over, and everything behind it is replayed in order.
//!
//! A record whose checksum does not fit is fenced: scanning goes on at the next whole one, and
//! the sequences that are missing there are reported. What is damaged at the end of the last
//! segment is a torn tail: copied aside and cut off.

mod again;
mod damage;
mod replay;
mod report;
mod scan;
mod takeover;
mod tell;
mod together;

use bytes::{Bytes, BytesMut};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use damage::Damage;
use damage::Damages;
use replay::{Replayer, Torn as TornErasure};
pub use report::{RecoverError, Recovery, Replay, ReplayedMessage, Torn};
pub use together::Together;

use scan::{Scan, Tail};
use takeover::Start;

use crate::disk::{Disk, DiskError, DiskErrorKind};
use crate::file::sidecar::{self, Runs, Sidecar};
use crate::file::table;
use crate::file::{
    COPIED, FileLog, FileOptions, Found, HEADER_LEN, Header, Recovered, Segment, name, parse_name,
};
use crate::index::Index;
use crate::op::{Checkpoint, Op};
use crate::record::{self, HEAD, Seal, kind};
use crate::{Limits, Log};

/// A segment file.
struct File {
    name: String,
    header: Option<Header>,
    id: u64,
    len: u64,
}

impl Log {
    /// Opens the log in `options.dir`, or begins a new one there with `first_seq` and `limits` if
    /// there is none. Reads all segments, or what stands beside them for this purpose; `replay` is
    /// told what they hold as far as it wants to know.
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
        let mut opener = Opener {
            disk,
            options: &options,
            report: Recovery::default(),
            leftovers: Vec::new(),
            sidecars: BTreeSet::new(),
            tables: Vec::new(),
            too_few: false,
            missing: VecDeque::new(),
        };
        let (files, next_segment) = opener.find(names)?;
        if files.is_empty() {
            let mut log = Log::file(first_seq, limits, options.clone());
            if let Some(file) = log.file_mut() {
                file.begin_at_segment(next_segment);
            }
            return Ok((log, opener.report));
        }
        let mut index = Index::new(1, limits, false);
        let mut files = opener.sift(files)?;
        if opener.options.reuse {
            opener.end_at_hole(&mut files)?;
        }
        let found = opener.load(&files, next_segment, first_seq, &mut index, replay)?;
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
    /// Segments and generations that have a sidecar.
    sidecars: BTreeSet<(u64, u32)>,
    /// Segments whose checkpoint has a table.
    tables: Vec<u64>,
    /// There are fewer messages than the newest checkpoint's table counts.
    too_few: bool,
    /// Segments that had some of them and are not there, in order.
    missing: VecDeque<u64>,
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
            self.sidecars.extend(sidecar::parse_name(&name));
            self.tables.extend(table::parse_name(&name));
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
        let named: BTreeSet<_> = kept.iter().filter_map(|file| parse_name(&file.name)).collect();
        for &(id, generation) in self.sidecars.difference(&named) {
            self.disk.remove(&self.path(&sidecar::name(id, generation)))?;
        }
        self.sidecars.retain(|one| named.contains(one));
        if kept.is_empty() {
            self.remove_tables(None)?;
        }
        Ok((kept, next))
    }

    /// Removes all tables but one.
    fn remove_tables(&mut self, but: Option<u64>) -> Result<(), DiskError> {
        for id in std::mem::take(&mut self.tables) {
            if Some(id) != but {
                self.disk.remove(&self.path(&table::name(id)))?;
            }
        }
        Ok(())
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

    /// The salt that the headers tell. If all are damaged, what stands in its place counts where it
    /// makes sense of a record.
    fn salt<'f>(&self, files: impl Iterator<Item = &'f File> + Clone) -> Result<u64, DiskError> {
        if let Some(header) = files.clone().find_map(|file| file.header) {
            return Ok(header.salt);
        }
        for file in files {
            let data = self.disk.read_at(&self.path(&file.name), 0, file.len as usize)?;
            let fits =
                |salt: &u64| Seal { salt: *salt, segment: file.id }.resync(0, &data, 0).is_some();
            if let Some(salt) = Header::salts(&data).find(fits) {
                return Ok(salt);
            }
        }
        Ok(self.options.salt)
    }

    /// Drops files that never became durable, as a later header says, and sets those aside that
    /// hold nothing. Tells for each of the others the position from which on its records do not
    /// count.
    fn sift(&mut self, files: Vec<File>) -> Result<Vec<(File, u64)>, RecoverError> {
        let salt = self.salt(files.iter())?;
        let mut kept = Vec::new();
        let mut cut = u64::MAX;
        for file in files.into_iter().rev() {
            let path = self.path(&file.name);
            if file.len == 0 {
                // Made and not written: a crash came between. If it held something once, what is
                // missing shows in the segments behind it.
                self.disk.remove(&path)?;
                self.report.torn = Some(Torn { path, offset: 0, len: 0, copy: None });
                continue;
            }
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
        files: &[(File, u64)],
        next_segment: u64,
        first_seq: u64,
        index: &mut Index,
        replay: &mut dyn Replay,
    ) -> Result<Recovered, RecoverError> {
        let salt = self.salt(files.iter().map(|file| &file.0))?;
        let limits = index.limits;
        let newest = self.last_checkpoint(files, salt)?;
        let is_there = |id: u64| {
            let covers = |file: &File| file.header.map_or(file.id, |header| header.covers);
            files.iter().any(|(file, _)| (file.id..=covers(file)).contains(&id))
        };
        // Who wants to hear of every message has to read every message.
        if !replay.wants(i64::MAX, 0)
            && let Some(start) = self.best_table(files, salt, &newest)?
        {
            let (named, is_newest) = (start.named(), start.at == newest.0);
            if let Some(found) = self.attempt(files, salt, start, index, replay)? {
                return Ok(Recovered { next_segment, ..found });
            }
            // With an older table compaction may have removed what only later checkpoints call dead.
            self.missing = match std::mem::take(&mut self.too_few) && is_newest {
                true => named.into_iter().filter(|id| !is_there(*id)).collect(),
                false => VecDeque::new(),
            };
            *index = Index::new(1, limits, false);
            (self.report.bytes, self.report.taken_over) = (0, 0);
            self.report.damage.clear();
        }
        if files.is_empty() {
            index.skip(first_seq.max(1) - 1, None);
        }
        let start = Start { at: newest.0, checkpoint: newest.1, table: None, table_len: 0 };
        let found = self.attempt(files, salt, start, index, replay)?.unwrap_or_default();
        Ok(Recovered { salt, next_segment, ..found })
    }

    /// Reads the log from a checkpoint on; `None` if what its table says does not fit what is there,
    /// before the owner was told anything.
    fn attempt(
        &mut self,
        files: &[(File, u64)],
        salt: u64,
        mut start: Start,
        index: &mut Index,
        replay: &mut dyn Replay,
    ) -> Result<Option<Recovered>, RecoverError> {
        let mut segments: VecDeque<Segment> = VecDeque::new();
        let mut runs: BTreeMap<u64, Runs> = BTreeMap::new();
        let mut all_runs: Vec<Runs> = Vec::new();
        let mut taken_over = Vec::new();
        let mut damages = Damages::default();
        let named = start.table.as_mut().map(|table| std::mem::take(&mut table.named));
        let basis = start.table.as_ref().map(|table| table.checkpoint);
        let mut replayer =
            Replayer::new(index, replay, start.checkpoint.as_deref(), start.table.take());
        replayer.reuse = self.options.reuse;
        let (mut closed, mut scanned) = (false, 0);
        let erasures: OnceCell<Vec<TornErasure>> = OnceCell::new();
        for (at, (file, cut)) in files.iter().enumerate() {
            let cut = *cut;
            let path = self.path(&file.name);
            let end = segments.back().map_or(0, |last| last.base + u64::from(last.len));
            while at <= start.at
                && self.missing.front().is_some_and(|id| *id < file.id)
                && let Some(id) = self.missing.pop_front()
            {
                damages.missing(&self.path(&name(id, 0)), id, replayer.last_seq());
            }
            let header = file.header.unwrap_or_else(|| guess_header(file, salt, end));
            let void = header.generation == 0 && cut < header.base.saturating_add(file.len);
            closed = void || header.generation > 0 || file.header.is_none();
            let mut segment = Segment {
                id: header.id,
                generation: header.generation,
                covers: header.covers,
                path: path.as_str().into(),
                base: header.base,
                len: 0,
                frozen: false,
                sidecar: Sidecar::Missing,
            };
            if let Some(named) = named.as_ref().filter(|_| at < start.at && !void)
                && let Some(loaded) = self.sidecar(file, salt, named, basis, &replayer)?
            {
                segment.len = file.len as u32;
                segment.sidecar = Sidecar::Known(loaded.crc);
                taken_over.push((segment.id, segment.generation));
                segments.push_back(segment);
                all_runs.push(loaded.runs);
                replayer.take_over(&mut damages, loaded.chunk);
                continue;
            }
            if at == start.at {
                if !replayer.is_whole() {
                    self.too_few = replayer.has_too_few();
                    return Ok(None);
                }
                if named.is_some() {
                    let bad = self.tell(&mut replayer, &segments, &all_runs, salt)?;
                    for at in bad {
                        segments[at].sidecar = Sidecar::Never;
                    }
                }
                // What was before the checkpoint was durable before it.
                damages.durable = damages.durable.max(header.base);
                replayer.begin(&mut damages);
            } else if at > start.at {
                damages.expect(header.prev_end, end, segments.back(), replayer.last_seq());
            }
            let data = self.disk.read_at(&path, 0, file.len as usize)?;
            self.report.bytes += data.len() as u64;
            let data = if void {
                // For good: the segment that says so may go before this one.
                let len = cut.saturating_sub(header.base);
                self.disk.truncate(&path, len)?;
                self.disk.sync(&path)?;
                data.slice(..len as usize)
            } else {
                data
            };
            let found = damages.count();
            let begin = if file.header.is_some() { HEADER_LEN as usize } else { 0 };
            let scan = Scan {
                data: &data,
                seal: Seal { salt, segment: file.id },
                header: &header,
                path: &path,
            };
            let mut torn = || match erasures.get() {
                _ if at < start.at => Ok(&[][..]),
                Some(known) => Ok(known.as_slice()),
                None => {
                    let found = self.erasures(&files[start.at..], salt)?;
                    Ok(erasures.get_or_init(|| found).as_slice())
                }
            };
            let last = at + 1 == files.len();
            let tail = scan.run(&mut replayer, &mut damages, begin, last, &mut torn)?;
            segment.len = data.len().max(HEADER_LEN as usize) as u32;
            if let Some(tail) = tail {
                segment.len = self.cut(&path, &data, &tail, scan.seal)? as u32;
                if segment.len as usize > tail.at {
                    replayer.hole(tail.at as u32, segment.len - tail.at as u32);
                }
            }
            // Damage is to be found again: it may be a disk that goes bad.
            if damages.count() > found || file.header.is_none() {
                segment.sidecar = Sidecar::Never;
            }
            let found = replayer.take_runs();
            if at < start.at && named.is_some() {
                all_runs.push(found.clone());
            }
            if segment.sidecar == Sidecar::Missing {
                scanned += u64::from(segment.len);
                runs.insert(segment.id, found);
            }
            segments.push_back(segment);
        }
        let durable = damages.durable;
        let torn = damages.settle(&mut replayer, &mut self.report);
        let notes = replayer.notes;
        let (erase, taken_back) = replayer.finish(durable);
        self.report.taken_back = taken_back;
        self.pad(salt, &torn)?;
        self.sync_newest(&segments)?;
        self.report.segments = segments.len();
        self.report.taken_over = taken_over.len();
        let table = basis.map(|basis| basis.segment);
        self.remove_tables(table)?;
        Ok(Some(Recovered {
            salt,
            segments,
            next_segment: 0,
            last_seq: index.state.last_seq,
            closed,
            erase,
            notes,
            leftovers: std::mem::take(&mut self.leftovers),
            runs,
            taken_over,
            tables: table.iter().map(|&id| self.path(&table::name(id)).into()).collect(),
            scanned,
            cost: start.table_len + start.checkpoint.map_or(0, |body| 2 * body.len() as u64),
        }))
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

    /// Cuts a torn tail off, keeping its bytes unless they are all 0. A record in its place says
    /// which sequences are not to be handed out again. Tells where the file ends now.
    fn cut(
        &mut self,
        path: &str,
        data: &Bytes,
        tail: &Tail,
        seal: Seal,
    ) -> Result<usize, DiskError> {
        let bytes = data.get(tail.at..).unwrap_or_default();
        let offset = tail.at as u64;
        let copy = self.copy_aside(path, offset, bytes)?;
        self.disk.truncate(path, offset)?;
        let mut skip = BytesMut::new();
        if let (Some(upto), true) = (tail.upto, tail.at >= HEADER_LEN as usize) {
            let op = Op::Skip { upto, time: None };
            let (kind, flags) = op.kind();
            record::put_head(&mut skip, kind, flags);
            op.put(&mut skip);
            seal.seal(tail.at as u32, &mut skip);
            self.disk.write_at(path, offset, &skip)?;
        }
        self.disk.sync(path)?;
        let (path, len) = (path.to_owned(), bytes.len() as u64);
        self.report.torn = Some(Torn { path, offset, len, copy });
        Ok(tail.at + skip.len())
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

/// The checkpoint in the body of its record.
fn parse_checkpoint(body: &[u8]) -> Option<Checkpoint<'_>> {
    match Op::parse(kind::CHECKPOINT, 0, body)? {
        Op::Checkpoint(state) => Some(state),
        _ => None,
    }
}
