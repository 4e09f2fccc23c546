//! The archive of a stream, as snapshots send it and restores take it (ADR "Stream Backup and Restore
//! V2", nats-server 2.15.1): an S2 stream of entries, written and read in one pass.
//!
//! ```text
//! archive := "NATSARC1", entries
//! entry   := uvarint length of the name, varint time, uvarint sequence, uvarint length of the
//!            headers, uvarint length of the payload, name, headers, payload
//! ```
//!
//! First `state.json`, then `consumers/<name>` for each consumer, then the messages by sequence, each
//! with its subject for a name, and an entry of zeros at the end.
//!
//! What is read may come from anybody. A reader keeps one entry and one block at most, allocates for
//! what has come and not for what a length announces, and no name in an archive ever names a file.

mod block;
mod frame;

use bytes::BytesMut;

use frame::{FrameReader, FrameWriter};

/// What every archive begins with, once its frames are taken off.
const MAGIC: &[u8] = b"NATSARC1";

/// The name of the first entry.
pub(crate) const STATE: &[u8] = b"state.json";

/// What the names of consumers follow.
pub(crate) const CONSUMERS: &[u8] = b"consumers/";

/// Bytes of a name: more than any subject has.
const NAME_MAX: u64 = 64 << 10;

/// Bytes of an entry that is no message. A consumer with more in flight is saved without it.
pub(crate) const META_MAX: usize = 16 << 20;

/// Bytes of headers and payload of a message.
const MESSAGE_MAX: u64 = 32 << 20;

/// A buffer that has grown beyond this is not kept.
const KEPT: usize = 8 << 20;

/// Why an archive cannot be read, in the words of nats-server where it has some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// A frame or a block is malformed, or cut off.
    #[error("s2: corrupt input")]
    Corrupt,
    /// The checksum of a frame does not fit.
    #[error("s2: corrupt input, crc mismatch")]
    Checksum,
    /// A frame of an unknown kind that may not be skipped.
    #[error("s2: unsupported input")]
    Unsupported,
    /// An entry is malformed, cut off, or too large.
    #[error("archive: invalid archive stream")]
    Invalid,
    /// It is no archive of this format.
    #[error("not an archive of messages; backups of servers before 2.15 are not read")]
    Foreign,
    /// It ends between two entries, and before its end.
    #[error("EOF")]
    Short,
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry<'a> {
    /// The name; of a message its subject.
    pub name: &'a [u8],
    /// Nanoseconds since 1970.
    pub time: i64,
    /// The sequence of a message, else 0.
    pub seq: u64,
    /// The header block, or empty.
    pub headers: &'a [u8],
    /// The payload of a message, else JSON.
    pub payload: &'a [u8],
}

impl Entry<'_> {
    /// True for the one at the end.
    pub fn is_end(&self) -> bool {
        *self == Entry::default()
    }
}

/// An entry whose content may not be there yet.
#[derive(Debug, Clone, Copy)]
struct Head {
    name: usize,
    time: i64,
    seq: u64,
    headers: usize,
    payload: usize,
    /// Bytes of these numbers.
    len: usize,
}

/// Reads an archive that comes in pieces.
#[derive(Debug, Default)]
pub struct ArchiveReader {
    frames: FrameReader,
    plain: Vec<u8>,
    /// Bytes at the front of `plain` that are done with.
    used: usize,
    begun: bool,
}

impl ArchiveReader {
    /// Adds bytes. Those before should have been [read](Self::next_entry): they are kept until then.
    pub fn push(&mut self, bytes: &[u8]) {
        self.frames.push(bytes);
    }

    /// The next entry; `None` when bytes are missing.
    ///
    /// # Errors
    /// When the archive is malformed: no entry follows.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ArchiveError> {
        let head = loop {
            if let Some(head) = self.head()? {
                break head;
            }
            self.plain.drain(..self.used);
            self.used = 0;
            if self.plain.is_empty() && self.plain.capacity() > KEPT {
                self.plain = Vec::new();
            }
            if !self.frames.next(&mut self.plain)? {
                return Ok(None);
            }
        };
        let start = self.used + head.len;
        let headers = start + head.name;
        let payload = headers + head.headers;
        let end = payload + head.payload;
        self.used = end;
        Ok(Some(Entry {
            name: &self.plain[start..headers],
            time: head.time,
            seq: head.seq,
            headers: &self.plain[headers..payload],
            payload: &self.plain[payload..end],
        }))
    }

    /// Why an archive that ends here is not complete.
    pub fn missing(&self) -> ArchiveError {
        if self.frames.is_untouched() || (self.frames.is_between() && self.used == self.plain.len())
        {
            ArchiveError::Short
        } else if self.frames.is_between() {
            ArchiveError::Invalid
        } else {
            ArchiveError::Corrupt
        }
    }

    /// The numbers of the next entry, if all of it is there.
    fn head(&mut self) -> Result<Option<Head>, ArchiveError> {
        if !self.begun {
            let magic = &self.plain[..self.plain.len().min(MAGIC.len())];
            if !MAGIC.starts_with(magic) {
                return Err(ArchiveError::Foreign);
            }
            if magic.len() < MAGIC.len() {
                return Ok(None);
            }
            (self.begun, self.used) = (true, MAGIC.len());
        }
        let rest = &self.plain[self.used..];
        let Some(head) = Head::read(rest)? else { return Ok(None) };
        let whole = rest.len() - head.len >= head.name + head.headers + head.payload;
        Ok(whole.then_some(head))
    }
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Option<Self>, ArchiveError> {
        let mut rest = bytes;
        let mut numbers = [0; 5];
        for number in &mut numbers {
            match take_number(&mut rest)? {
                Some(value) => *number = value,
                None => return Ok(None),
            }
        }
        let [name, time, seq, headers, payload] = numbers;
        let max = if seq == 0 { META_MAX as u64 } else { MESSAGE_MAX };
        let content = headers.checked_add(payload).filter(|content| *content <= max);
        if name > NAME_MAX || content.is_none() {
            return Err(ArchiveError::Invalid);
        }
        Ok(Some(Self {
            name: name as usize,
            // Zigzag: the sign is the lowest bit.
            time: (time >> 1) as i64 ^ -((time & 1) as i64),
            seq,
            headers: headers as usize,
            payload: payload as usize,
            len: bytes.len() - rest.len(),
        }))
    }
}

/// A number of seven bits a byte, the low ones first; `None` when it is cut off.
fn take_number(from: &mut &[u8]) -> Result<Option<u64>, ArchiveError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let Some((&byte, rest)) = from.split_first() else { return Ok(None) };
        *from = rest;
        if shift == 63 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some(value));
        }
    }
    Err(ArchiveError::Invalid)
}

/// Writes an archive.
#[derive(Debug)]
pub struct ArchiveWriter {
    plain: Vec<u8>,
    frames: FrameWriter,
    packed: BytesMut,
}

impl Default for ArchiveWriter {
    fn default() -> Self {
        Self { plain: MAGIC.to_vec(), frames: FrameWriter::new(), packed: BytesMut::new() }
    }
}

impl ArchiveWriter {
    /// Adds an entry.
    pub fn add(&mut self, entry: &Entry<'_>) {
        let time = (entry.time << 1) ^ (entry.time >> 63);
        let lengths = [entry.headers.len(), entry.payload.len()].map(|len| len as u64);
        let numbers = [entry.name.len() as u64, time as u64, entry.seq, lengths[0], lengths[1]];
        numbers.into_iter().for_each(|number| put_number(&mut self.plain, number));
        for part in [entry.name, entry.headers, entry.payload] {
            self.plain.extend_from_slice(part);
        }
    }

    /// Adds the end.
    pub fn end(&mut self) {
        self.add(&Entry::default());
    }

    /// Bytes of entries that are not packed yet.
    pub fn waiting(&self) -> usize {
        self.plain.len()
    }

    /// Packs what was added.
    pub fn pack(&mut self) {
        self.frames.write(&self.plain, &mut self.packed);
        self.plain.clear();
        self.plain.shrink_to(KEPT);
    }

    /// What is packed and not taken yet.
    pub fn packed(&mut self) -> &mut BytesMut {
        &mut self.packed
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Owned = (Vec<u8>, i64, u64, Vec<u8>, Vec<u8>);

    fn owned(entry: &Entry<'_>) -> Owned {
        let Entry { name, time, seq, headers, payload } = *entry;
        (name.to_vec(), time, seq, headers.to_vec(), payload.to_vec())
    }

    fn read(archive: &[u8], cut: usize) -> Result<(Vec<Owned>, ArchiveError), ArchiveError> {
        let mut reader = ArchiveReader::default();
        let mut entries = Vec::new();
        for piece in archive.chunks(cut) {
            reader.push(piece);
            while let Some(entry) = reader.next_entry()? {
                entries.push(owned(&entry));
            }
        }
        Ok((entries, reader.missing()))
    }

    /// An archive whose content is written by hand.
    fn framed(content: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        FrameWriter::new().write(content, &mut out);
        out.to_vec()
    }

    fn with_magic(content: &[u8]) -> Vec<u8> {
        framed(&[MAGIC, content].concat())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            entries in vec(
                (vec(any::<u8>(), 0..40), any::<i64>(), any::<u64>(), vec(any::<u8>(), 0..90),
                 vec(any::<u8>(), 0..3000)),
                0..20,
            ),
            cut in 1..5000_usize,
        ) {
            let mut writer = ArchiveWriter::default();
            for (name, time, seq, headers, payload) in &entries {
                writer.add(&Entry { name, time: *time, seq: *seq, headers, payload });
                if seq % 3 == 0 {
                    writer.pack();
                }
            }
            writer.end();
            writer.pack();
            let (mut found, missing) = read(writer.packed(), cut).unwrap();
            prop_assert_eq!(missing, ArchiveError::Short);
            prop_assert_eq!(found.pop(), Some(owned(&Entry::default())));
            prop_assert_eq!(found, entries);
        }

        #[test]
        fn any_bytes_are_an_archive_or_an_error(bytes in vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes, 64);
            let _ = read(&with_magic(&bytes), 64);
        }
    }

    #[test]
    fn what_ends_too_early_says_where() {
        let missing = |archive: &[u8]| read(archive, 10).unwrap().1;
        assert_eq!(missing(b""), ArchiveError::Short);
        assert_eq!(missing(&with_magic(b"")), ArchiveError::Short);
        assert_eq!(missing(&framed(b"NATS")), ArchiveError::Invalid);
        assert_eq!(missing(&with_magic(b"\x01\x00\x01\x00\x05ahel")), ArchiveError::Invalid);
        assert_eq!(missing(&with_magic(b"\x01\x00")), ArchiveError::Invalid);
        let whole = with_magic(b"\x01\x00\x01\x00\x05ahello");
        assert_eq!(read(&whole, 9).unwrap().0.len(), 1);
        assert_eq!(missing(&whole[..whole.len() - 1]), ArchiveError::Corrupt);
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_anything_comes() {
        let refused = |head: &[u8]| read(&with_magic(head), 1000).unwrap_err();
        // A name, a message, a document: each larger than any.
        assert_eq!(refused(b"\x81\x80\x04\x00\x01\x00\x00"), ArchiveError::Invalid);
        assert_eq!(refused(b"\x00\x00\x01\x00\x81\x80\x80\x10"), ArchiveError::Invalid);
        assert_eq!(refused(b"\x00\x00\x00\x00\x81\x80\x80\x08"), ArchiveError::Invalid);
        // Two that overflow together, and one of more than 64 bits.
        let most = b"\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01";
        assert_eq!(refused(most), ArchiveError::Invalid);
        let more = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
        assert_eq!(refused(more), ArchiveError::Invalid);
        assert_eq!(read(&framed(b"NATSARC2"), 100).unwrap_err(), ArchiveError::Foreign);
    }
}
