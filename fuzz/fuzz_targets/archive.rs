//! An archive of a stream: never a panic, the entries that a simple model finds, the same however it is
//! cut, and what is read can be written and read again.
//!
//! The first byte of the input chooses what follows: the stream of frames; or the entries, put into
//! frames here, because a checksum would keep most changes from them; or blocks of entries.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use natterjack_jetstream::archive::{ArchiveError, ArchiveReader, ArchiveWriter, Entry};

/// An entry that outlives its reader.
type Seen = (Vec<u8>, i64, u64, Vec<u8>, Vec<u8>);

/// The entries, and the error they end with or what is missing.
type Run = (Vec<Seen>, Result<ArchiveError, ArchiveError>);

/// What all blocks may hold: some that repeat themselves would make the rest a test of patience.
const LOOK: usize = 32 << 10;

const IDENTIFIER: &[u8] = b"\xff\x06\x00\x00S2sTwO";
const MAGIC: &[u8] = b"NATSARC1";

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((choice, input)) = data.split_first() else { return Corpus::Reject };
    let piece = usize::from(choice >> 2) + 1;
    let archive = match choice & 3 {
        0 => input.to_vec(),
        1 => input
            .chunks(piece * 8)
            .fold(IDENTIFIER.to_vec(), |frames, piece| frame(frames, 1, piece, piece)),
        _ => {
            let begun = frame(IDENTIFIER.to_vec(), 1, MAGIC, MAGIC);
            // One block, or two.
            let (one, two) = match choice & 3 {
                2 => (input, &[][..]),
                _ => input.split_at(piece.min(input.len())),
            };
            let blocks = [one, two].into_iter().filter(|block| !block.is_empty());
            blocks.fold(begun, |frames, block| {
                let mut content = Vec::new();
                let _ = model_block(block, &mut content);
                frame(frames, 0, block, &content)
            })
        }
    };
    let Some(expected) = model(&archive) else { return Corpus::Reject };
    read(&mut std::iter::once(&archive[..]), &expected, "all at once");
    read(&mut archive.chunks(piece), &expected, "in pieces");
    let (entries, _) = expected;
    let mut writer = ArchiveWriter::default();
    for (name, time, seq, headers, payload) in &entries {
        writer.add(&Entry { name, time: *time, seq: *seq, headers, payload });
    }
    writer.pack();
    let again = (entries, Ok(ArchiveError::Short));
    read(&mut std::iter::once(&**writer.packed()), &again, "written again");
    Corpus::Keep
});

/// Appends a frame with the checksum of its content.
fn frame(mut frames: Vec<u8>, kind: u8, body: &[u8], content: &[u8]) -> Vec<u8> {
    frames.push(kind);
    frames.extend_from_slice(&(body.len() as u32 + 4).to_le_bytes()[..3]);
    frames.extend_from_slice(&checksum(content));
    frames.extend_from_slice(body);
    frames
}

fn checksum(content: &[u8]) -> [u8; 4] {
    crc32c::crc32c(content).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Reads pieces, whose entries and end are expected.
fn read(pieces: &mut dyn Iterator<Item = &[u8]>, expected: &Run, how: &str) {
    let mut reader = ArchiveReader::default();
    let mut seen = 0;
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_entry() {
                Ok(Some(Entry { name, time, seq, headers, payload })) => {
                    let (a, b, c, d, e) = expected.0.get(seen).expect("one entry too many");
                    assert_eq!(
                        (name, time, seq, headers, payload),
                        (&a[..], *b, *c, &d[..], &e[..])
                    );
                    seen += 1;
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!((seen, Err(error)), (expected.0.len(), expected.1), "{how}");
                    return;
                }
            }
        }
    }
    assert_eq!((seen, Ok(reader.missing())), (expected.0.len(), expected.1), "{how}");
}

/// The format in the simplest way; `None` if it holds too much.
fn model(archive: &[u8]) -> Option<Run> {
    let mut seen = Vec::new();
    let (mut plain, mut used) = (Vec::new(), 0);
    let mut rest = archive;
    let (mut identified, mut ended) = (false, None);
    while ended.is_none() {
        match model_frame(&mut rest, &mut identified, &mut plain) {
            Ok(true) if plain.len() > LOOK => return None,
            Ok(true) => {}
            Ok(false) => ended = Some(Ok(())),
            Err(error) => ended = Some(Err(error)),
        }
        // What was before a bad frame counts.
        if ended != Some(Ok(()))
            && let Err(error) = model_entries(&plain, &mut used, &mut seen)
        {
            return Some((seen, Err(error)));
        }
    }
    let end = match ended {
        Some(Err(error)) => Err(error),
        _ if !rest.is_empty() => Ok(ArchiveError::Corrupt),
        _ if used == plain.len() => Ok(ArchiveError::Short),
        _ => Ok(ArchiveError::Invalid),
    };
    Some((seen, end))
}

/// Takes one frame; false if there is none that is whole.
fn model_frame(
    rest: &mut &[u8],
    identified: &mut bool,
    plain: &mut Vec<u8>,
) -> Result<bool, ArchiveError> {
    let [kind, a, b, c, body @ ..] = *rest else { return Ok(false) };
    let length = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
    if *kind != 0xff && !*identified {
        return Err(ArchiveError::Corrupt);
    }
    let most = 4 + (4 << 20) + (4 << 20) / 6 + 32;
    match kind {
        0xff if length != 6 => return Err(ArchiveError::Corrupt),
        0 | 1 if !(4..=most).contains(&length) => return Err(ArchiveError::Corrupt),
        2..0x80 => return Err(ArchiveError::Unsupported),
        _ => {}
    }
    let Some((body, after)) = body.split_at_checked(length) else { return Ok(false) };
    match kind {
        0xff if !matches!(body, b"S2sTwO" | b"sNaPpY") => return Err(ArchiveError::Corrupt),
        0xff => *identified = true,
        0 | 1 => {
            let (sum, body) = body.split_at(4);
            let mut content = Vec::new();
            if *kind == 1 {
                content.extend_from_slice(body);
            } else {
                model_block(body, &mut content)?;
            }
            if content.len() <= LOOK && checksum(&content) != sum {
                return Err(ArchiveError::Checksum);
            }
            plain.extend(content);
        }
        _ => {}
    }
    *rest = after;
    Ok(true)
}

/// One byte after the other.
fn model_block(block: &[u8], out: &mut Vec<u8>) -> Result<(), ArchiveError> {
    let mut at = 0;
    let mut byte = || {
        at += 1;
        block.get(at - 1).copied().ok_or(ArchiveError::Corrupt)
    };
    let mut length = 0;
    for place in 0.. {
        let part = byte()?;
        length += u64::from(part & 0x7f) << (7 * place);
        if part < 0x80 {
            break;
        }
        if place == 3 {
            return Err(ArchiveError::Corrupt);
        }
    }
    if length > 4 << 20 {
        return Err(ArchiveError::Corrupt);
    }
    let mut number = |bytes: u32| -> Result<u64, ArchiveError> {
        let mut number = 0;
        for place in 0..bytes {
            number += u64::from(byte()?) << (8 * place);
        }
        Ok(number)
    };
    let mut last = 0;
    loop {
        // The end is where a tag would be.
        let Ok(tag) = number(1) else { break };
        let high = tag >> 2;
        let (offset, count) = match (tag & 3, high) {
            (0, 0..60) => (None, 1 + high),
            (0, _) => (None, 1 + number(high as u32 - 59)?),
            (1, _) => {
                let (offset, code) = (tag >> 5 << 8 | number(1)?, high & 7);
                match (offset, code) {
                    (0, 0..5) => (Some(last), 4 + code),
                    (0, 5) => (Some(last), 8 + number(1)?),
                    (0, 6) => (Some(last), 260 + number(2)?),
                    (0, _) => (Some(last), 65_540 + number(3)?),
                    _ => (Some(offset), 4 + code),
                }
            }
            (2, _) => (Some(number(2)?), 1 + high),
            _ => (Some(number(4)?), 1 + high),
        };
        if out.len() as u64 + count > length {
            return Err(ArchiveError::Corrupt);
        }
        last = offset.unwrap_or(last);
        if offset.is_some_and(|offset| offset == 0 || offset > out.len() as u64) {
            return Err(ArchiveError::Corrupt);
        }
        for _ in 0..count {
            let next = match offset {
                None => number(1)? as u8,
                Some(offset) => out[out.len() - offset as usize],
            };
            out.push(next);
            // Too much to look at; whoever asked sees that, and what follows does not matter.
            if out.len() > LOOK {
                return Ok(());
            }
        }
    }
    if out.len() as u64 == length { Ok(()) } else { Err(ArchiveError::Corrupt) }
}

/// Takes the entries that are whole.
fn model_entries(plain: &[u8], used: &mut usize, seen: &mut Vec<Seen>) -> Result<(), ArchiveError> {
    if *used == 0 {
        let begin = &plain[..plain.len().min(MAGIC.len())];
        if !MAGIC.starts_with(begin) {
            return Err(ArchiveError::Foreign);
        }
        if begin.len() < MAGIC.len() {
            return Ok(());
        }
        *used = MAGIC.len();
    }
    while let Some((entry, len)) = model_entry(&plain[*used..])? {
        seen.push(entry);
        *used += len;
    }
    Ok(())
}

fn model_entry(bytes: &[u8]) -> Result<Option<(Seen, usize)>, ArchiveError> {
    let mut at = 0;
    let mut numbers = [0_u64; 5];
    for number in &mut numbers {
        let mut value = 0_u128;
        for place in 0.. {
            // Ten bytes of seven bits hold 64 bits, and no more may be in them.
            let Some(byte) = bytes.get(at) else { return Ok(None) };
            at += 1;
            value += u128::from(byte & 0x7f) << (7 * place);
            if place == 9 && *byte > 1 {
                return Err(ArchiveError::Invalid);
            }
            if *byte < 0x80 {
                break;
            }
        }
        *number = value as u64;
    }
    let [name, time, seq, headers, payload] = numbers;
    let most: u128 = if seq == 0 { 16 << 20 } else { 32 << 20 };
    if name > 64 << 10 || u128::from(headers) + u128::from(payload) > most {
        return Err(ArchiveError::Invalid);
    }
    let mut part = |len: u64| {
        let part = bytes.get(at..at + len as usize).map(<[u8]>::to_vec);
        at += len as usize;
        part
    };
    let (Some(name), Some(headers), Some(payload)) = (part(name), part(headers), part(payload))
    else {
        return Ok(None);
    };
    let time = match time % 2 {
        0 => (time / 2) as i64,
        _ => -((time / 2) as i64) - 1,
    };
    Ok(Some(((name, time, seq, headers, payload), at)))
}
