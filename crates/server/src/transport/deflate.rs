//! permessage-deflate without context takeover (RFC 7692): every message stands alone.
//!
//! So the compressor, which is large, can be shared by all connections of a thread. What inflates lives
//! as long as a message; it takes bytes as they come and gives out as many as fit, whatever the ratio.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What ends every message before it is cut off.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

thread_local! {
    static COMPRESSOR: RefCell<Compress> =
        RefCell::new(Compress::new(Compression::fast(), false));
}

/// The payload of a compressed message with these bytes.
pub(super) fn deflate(bytes: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
        let mut at = 0;
        loop {
            let before = compressor.total_in();
            let room = out.capacity() - out.len();
            compressor.compress_vec(&bytes[at..], &mut out, FlushCompress::Sync).ok()?;
            at += usize::try_from(compressor.total_in() - before).ok()?;
            // With room left nothing is held back.
            if at == bytes.len() && out.len() < out.capacity() {
                break;
            }
            out.reserve(room.max(4096));
        }
        out.truncate(out.strip_suffix(&TAIL)?.len());
        Some(out)
    })
}

/// One message that is being inflated.
pub(super) struct Inflate {
    state: Decompress,
    /// How much of the tail was fed, once the message's own bytes are.
    tail: usize,
    /// The last call filled its output: more may be waiting without further input.
    has_more: bool,
}

impl Inflate {
    pub(super) fn new() -> Self {
        Inflate { state: Decompress::new(false), tail: 0, has_more: false }
    }

    /// Inflates `input` into `output`; how many bytes were taken and given. `None` for what is not
    /// deflated.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Option<(usize, usize)> {
        let (taken, given) = (self.state.total_in(), self.state.total_out());
        let status = self.state.decompress(input, output, FlushDecompress::Sync).ok()?;
        let taken = usize::try_from(self.state.total_in() - taken).ok()?;
        let given = usize::try_from(self.state.total_out() - given).ok()?;
        self.has_more = given == output.len();
        if status == Status::StreamEnd {
            // A final block: the next bytes begin another stream.
            self.state.reset(false);
            self.has_more = false;
        }
        Some((taken, given))
    }

    /// Whether a call without input may still give bytes.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// After the last byte of the message: gives what is left; `true` once that is all.
    pub(super) fn finish(&mut self, output: &mut [u8]) -> Option<(usize, bool)> {
        let (taken, given) = self.step(&TAIL[self.tail..], output)?;
        self.tail = (self.tail + taken).min(TAIL.len());
        Some((given, !self.has_more && (self.tail == TAIL.len() || taken == 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(bytes: &[u8], room: usize) -> Vec<u8> {
        let mut inflate = Inflate::new();
        let mut buffer = vec![0; room];
        let (mut at, mut out) = (0, Vec::new());
        while at < bytes.len() || inflate.has_more() {
            let (taken, given) = inflate.step(&bytes[at..], &mut buffer).unwrap();
            at += taken;
            out.extend_from_slice(&buffer[..given]);
        }
        loop {
            let (given, is_all) = inflate.finish(&mut buffer).unwrap();
            out.extend_from_slice(&buffer[..given]);
            if is_all {
                return out;
            }
        }
    }

    #[test]
    fn what_is_deflated_comes_back() {
        let noise: Vec<u8> =
            (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for message in [&b"hello hello hello"[..], &[0; 500_000], &noise, b"x"] {
            let deflated = deflate(message).unwrap();
            for room in [1, 7, 4096, 1 << 20] {
                if room > 7 || message.len() < 1000 {
                    assert_eq!(inflate(&deflated, room), message, "{} in {room}", message.len());
                }
            }
        }
        // Any length of what is left when the output is full.
        for len in 65..1500 {
            let deflated = deflate(&noise[..len]).unwrap();
            assert_eq!(inflate(&deflated, 4096), noise[..len], "{len}");
        }
        // "Hello" of RFC 7692, 7.2.3.1.
        assert_eq!(inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 64), b"Hello");
        assert!(Inflate::new().step(&[0xff; 32], &mut [0; 64]).is_none());
    }
}
