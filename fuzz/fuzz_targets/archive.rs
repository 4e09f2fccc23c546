//! An archive of a stream: never a panic, the same entries however it is cut, and never more in memory
//! than what came announces.
//!
//! The first byte of the input chooses whether what follows is the stream of frames or, put into frames
//! first, the entries: a checksum would keep most changes from the entries.

#![no_main]

use libfuzzer_sys::fuzz_target;
use natterjack_jetstream::archive::{ArchiveError, ArchiveReader, ArchiveWriter, Entry};

/// An entry that outlives its reader.
type Seen = (Vec<u8>, i64, u64, Vec<u8>, Vec<u8>);

/// What entries may hold in all: blocks that repeat themselves would make the rest a test of patience.
const LOOK: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((choice, input)) = data.split_first() else { return };
    if choice & 1 == 0 {
        return read_both(input, *choice);
    }
    let mut frames = b"\xff\x06\x00\x00S2sTwO".to_vec();
    for piece in input.chunks(usize::from(*choice) * 16) {
        frames.push(1);
        frames.extend_from_slice(&(piece.len() as u32 + 4).to_le_bytes()[..3]);
        let sum = crc32c::crc32c(piece).rotate_right(15).wrapping_add(0xa282_ead8);
        frames.extend_from_slice(&sum.to_le_bytes());
        frames.extend_from_slice(piece);
    }
    read_both(&frames, *choice);
});

fn read_both(archive: &[u8], choice: u8) {
    let whole = read(&mut std::iter::once(archive));
    let cut = read(&mut archive.chunks(usize::from(choice) + 1));
    assert_eq!(cut.0, whole.0, "in pieces");
    // Where a frame is damaged, what was before it may have come already.
    if let (Ok(cut), Ok(whole)) = (&cut.1, &whole.1) {
        assert_eq!(cut, whole);
    }
    // What is read can be written, and read again.
    let mut writer = ArchiveWriter::default();
    for (name, time, seq, headers, payload) in &whole.0 {
        writer.add(&Entry { name, time: *time, seq: *seq, headers, payload });
    }
    writer.pack();
    let again = read(&mut std::iter::once(&**writer.packed()));
    assert_eq!(again, (whole.0, Ok(ArchiveError::Short)));
}

/// The entries, and the error they end with or what is missing.
fn read(
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> (Vec<Seen>, Result<ArchiveError, ArchiveError>) {
    let mut reader = ArchiveReader::default();
    let (mut seen, mut size) = (Vec::new(), 0);
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_entry() {
                Ok(Some(Entry { name, time, seq, headers, payload })) => {
                    size += name.len() + headers.len() + payload.len() + 1;
                    if size > LOOK {
                        return (seen, Ok(ArchiveError::Short));
                    }
                    seen.push((name.to_vec(), time, seq, headers.to_vec(), payload.to_vec()));
                }
                Ok(None) => break,
                Err(error) => return (seen, Err(error)),
            }
        }
    }
    (seen, Ok(reader.missing()))
}
