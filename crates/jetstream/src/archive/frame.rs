//! The frames around blocks: an S2 stream, read piece by piece, and written.
//!
//! ```text
//! frame := kind (a byte), length (three bytes, little endian), body
//! 0xff        "S2sTwO" or "sNaPpY": the first frame, and may come again
//! 0x00, 0x01  checksum of the content, the content as a block or as it is
//! 0x80..0xfe  to be skipped
//! ```
//!
//! The checksum is CRC-32C, turned and moved as Snappy's framing format says.

use bytes::{BufMut as _, BytesMut};

use super::ArchiveError;
use super::block::{self, BLOCK_MAX};

const IDENTIFIER: u8 = 0xff;
const COMPRESSED: u8 = 0x00;
const PLAIN: u8 = 0x01;
const SKIPPED: std::ops::RangeInclusive<u8> = 0x80..=0xfe;

/// Bytes of content in one frame that is written.
const WRITTEN: usize = 128 << 10;
/// Bytes of the body of a frame that is read.
const BODY_MAX: usize = 4 + BLOCK_MAX + BLOCK_MAX / 6 + 32;
/// Bytes of the kind and the length.
const HEAD: usize = 4;
const CHECKSUM: usize = 4;

fn checksum(content: &[u8]) -> u32 {
    crc32c::crc32c(content).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Takes frames apart.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    input: Vec<u8>,
    /// Bytes at the front of `input` that are done with.
    used: usize,
    /// Bytes of a frame that are still to be skipped.
    skip: usize,
    identified: bool,
}

impl FrameReader {
    /// Adds bytes of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.used > 0 {
            self.input.drain(..self.used);
            self.used = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// True between two frames.
    pub(super) fn is_between(&self) -> bool {
        self.input.len() == self.used && self.skip == 0
    }

    /// True before the first byte.
    pub(super) fn is_untouched(&self) -> bool {
        !self.identified && self.is_between()
    }

    /// Appends the content of the next frame that has some to `out`; false when bytes are missing.
    ///
    /// # Errors
    /// When the stream is malformed.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, ArchiveError> {
        loop {
            let input = &self.input[self.used..];
            if self.skip > 0 {
                let skipped = self.skip.min(input.len());
                (self.skip, self.used) = (self.skip - skipped, self.used + skipped);
                if self.skip > 0 {
                    return Ok(false);
                }
                continue;
            }
            let Some((&[kind, a, b, c], rest)) = input.split_first_chunk::<HEAD>() else {
                return Ok(false);
            };
            let length = u32::from_le_bytes([a, b, c, 0]) as usize;
            if kind != IDENTIFIER && !self.identified {
                return Err(ArchiveError::Corrupt);
            }
            if SKIPPED.contains(&kind) {
                self.used += HEAD;
                self.skip = length;
                continue;
            }
            match kind {
                IDENTIFIER if length != 6 => return Err(ArchiveError::Corrupt),
                IDENTIFIER => {}
                COMPRESSED | PLAIN if !(CHECKSUM..=BODY_MAX).contains(&length) => {
                    return Err(ArchiveError::Corrupt);
                }
                COMPRESSED | PLAIN => {}
                _ => return Err(ArchiveError::Unsupported),
            }
            let Some(body) = rest.get(..length) else { return Ok(false) };
            self.used += HEAD + length;
            if kind == IDENTIFIER {
                if body != b"S2sTwO" && body != b"sNaPpY" {
                    return Err(ArchiveError::Corrupt);
                }
                self.identified = true;
                continue;
            }
            let (expected, body) = body.split_at(CHECKSUM);
            let start = out.len();
            if kind == PLAIN {
                if body.len() > BLOCK_MAX {
                    return Err(ArchiveError::Corrupt);
                }
                out.extend_from_slice(body);
            } else {
                block::decode(body, out)?;
            }
            if checksum(&out[start..]).to_le_bytes() != expected {
                return Err(ArchiveError::Checksum);
            }
            return Ok(true);
        }
    }
}

/// Puts content into frames.
#[derive(Debug)]
pub(super) struct FrameWriter {
    encoder: snap::raw::Encoder,
    packed: Vec<u8>,
    identified: bool,
}

impl FrameWriter {
    pub(super) fn new() -> Self {
        Self { encoder: snap::raw::Encoder::new(), packed: Vec::new(), identified: false }
    }

    /// Appends frames with `content` to `out`.
    pub(super) fn write(&mut self, content: &[u8], out: &mut BytesMut) {
        if !std::mem::replace(&mut self.identified, true) {
            out.extend_from_slice(b"\xff\x06\x00\x00S2sTwO");
        }
        for content in content.chunks(WRITTEN) {
            self.packed.resize(snap::raw::max_compress_len(content.len()), 0);
            // The room is what the encoder asks for; were it not, the content goes as it is.
            let packed = self.encoder.compress(content, &mut self.packed).unwrap_or(usize::MAX);
            let saves = packed < content.len() - content.len() / 8;
            let (kind, body) =
                if saves { (COMPRESSED, &self.packed[..packed]) } else { (PLAIN, content) };
            let length = ((CHECKSUM + body.len()) as u32).to_le_bytes();
            out.put_u8(kind);
            out.extend_from_slice(&length[..3]);
            out.extend_from_slice(&checksum(content).to_le_bytes());
            out.extend_from_slice(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &[u8], cut: usize) -> Result<Vec<u8>, ArchiveError> {
        let mut reader = FrameReader::default();
        let mut out = Vec::new();
        for piece in stream.chunks(cut) {
            reader.push(piece);
            while reader.next(&mut out)? {}
        }
        assert!(reader.is_between());
        Ok(out)
    }

    fn written(contents: &[&[u8]]) -> Vec<u8> {
        let mut writer = FrameWriter::new();
        let mut out = BytesMut::new();
        contents.iter().for_each(|content| writer.write(content, &mut out));
        out.to_vec()
    }

    #[test]
    fn what_is_written_is_read_however_it_is_cut() {
        let noise: Vec<u8> =
            (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let text = b"the same words again and again, ".repeat(10_000);
        let stream = written(&[b"first", &noise, &text]);
        assert!(stream.len() < noise.len() + text.len() / 4);
        let whole = [&b"first"[..], &noise, &text].concat();
        for cut in [1, 7, 4096, usize::MAX] {
            assert_eq!(read(&stream, cut).unwrap(), whole);
        }
    }

    #[test]
    fn frames_that_may_be_skipped_are() {
        let mut stream = written(&[b"a"]);
        stream.extend(b"\x80\x03\x00\x00abc\xfe\x00\x00\x00");
        // Streams that follow one another are one.
        stream.extend(written(&[b"b"]));
        for cut in [1, 100] {
            assert_eq!(read(&stream, cut).unwrap(), b"ab");
        }
    }

    #[test]
    fn damage_is_found() {
        let good = written(&[b"some content"]);
        assert_eq!(read(b"hello world, this is not", 100), Err(ArchiveError::Corrupt));
        assert_eq!(read(&good[10..], 100), Err(ArchiveError::Corrupt));
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(read(&flipped, 100), Err(ArchiveError::Checksum));
        let unknown = [&good[..], &[2, 0, 0, 0]].concat();
        assert_eq!(read(&unknown, 100), Err(ArchiveError::Unsupported));
        let long = [&good[..], &[PLAIN, 0xff, 0xff, 0xff]].concat();
        assert_eq!(read(&long, 100), Err(ArchiveError::Corrupt));
        let short = [&good[..], &[PLAIN, 3, 0, 0, 0, 0, 0]].concat();
        assert_eq!(read(&short, 100), Err(ArchiveError::Corrupt));
        let name = [&good[..], b"\xff\x06\x00\x00S2sTwo"].concat();
        assert_eq!(read(&name, 100), Err(ArchiveError::Corrupt));
    }
}
