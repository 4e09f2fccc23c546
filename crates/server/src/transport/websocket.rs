//! Frames that a client sends: from bytes of the transport to bytes of the NATS protocol.

use soketto::Parsing;
use soketto::base::{Codec, Error, Header, OpCode};

use super::deflate::Inflate;
use super::frames;

/// A header is no longer than this, a control frame's payload neither.
const CONTROL: usize = 125;
/// Compressed messages are no larger than this, nor than eight times `max_payload` (nats-server 2.15.1).
const COMPRESSED_MAX: u64 = 64 << 20;

/// How a connection was agreed upon in its handshake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// Messages may be compressed.
    pub(crate) compression: bool,
    /// The client need not mask its frames.
    pub(crate) no_masking: bool,
    /// Frames are cut for a browser.
    pub(crate) browser: bool,
    /// What cookies supply to CONNECT.
    pub(crate) cookies: Cookies,
}

/// Values of the configured cookies.
#[derive(Clone, Default)]
pub(crate) struct Cookies {
    /// The user JWT.
    pub(crate) jwt: Option<String>,
    /// The user's name.
    pub(crate) user: Option<String>,
    /// The password.
    pub(crate) pass: Option<String>,
    /// The token.
    pub(crate) token: Option<String>,
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cookies")
    }
}

/// One WebSocket.
pub(super) struct Websocket {
    pub(super) terms: Terms,
    /// Largest message after inflation, in bytes.
    max_payload: u64,
    /// The frame that is being received, and how much of its payload was taken.
    frame: Option<(Header, usize)>,
    /// The payload of a control frame so far.
    control: Vec<u8>,
    /// A message has begun and its last frame has not.
    in_message: bool,
    /// The message is compressed.
    inflate: Option<Box<Inflate>>,
    /// Bytes of the compressed message: received, and inflated.
    sizes: (u64, u64),
    /// All frames of the compressed message were taken; the rest of it is to be given out.
    finishing: bool,
    pub(super) close_sent: bool,
    pub(super) ended: bool,
}

/// What a step did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Bytes of input that are done with.
    pub(super) taken: usize,
    /// Bytes of the NATS protocol.
    pub(super) given: usize,
}

impl Websocket {
    pub(super) fn new(terms: Terms, max_payload: u64) -> Self {
        Websocket {
            terms,
            max_payload,
            frame: None,
            control: Vec::new(),
            in_message: false,
            inflate: None,
            sizes: (0, 0),
            finishing: false,
            close_sent: false,
            ended: false,
        }
    }

    /// Replaces the largest message: it counts from the next bytes on.
    pub(super) fn set_max_payload(&mut self, max_payload: u64) {
        self.max_payload = max_payload;
    }

    /// Takes frames from `input` and gives payload to `output` until one of them is used up. What must be
    /// sent back is added to `replies`.
    ///
    /// # Errors
    /// What is wrong, for the log; `replies` ends with the close frame then, and the connection ends.
    pub(super) fn receive(
        &mut self,
        input: &mut [u8],
        output: &mut [u8],
        replies: &mut Vec<u8>,
    ) -> Result<Progress, String> {
        let outcome = self.try_receive(input, output, replies);
        if let Err(text) = &outcome
            && !self.close_sent
        {
            frames::close(replies, Some(1002), text.as_bytes());
            self.close_sent = true;
        }
        outcome
    }

    fn try_receive(
        &mut self,
        input: &mut [u8],
        output: &mut [u8],
        replies: &mut Vec<u8>,
    ) -> Result<Progress, String> {
        let mut done = Progress::default();
        while !self.ended && done.given < output.len() {
            if self.finishing {
                done.given += self.finish(&mut output[done.given..])?;
                continue;
            }
            let rest = &mut input[done.taken..];
            let Some((header, at)) = self.frame.take() else {
                match self.begin(rest)? {
                    0 => break,
                    taken => done.taken += taken,
                }
                continue;
            };
            let left = header.payload_len() - at;
            let take = left.min(rest.len());
            if header.opcode().is_control() {
                unmask(&header, at, &mut rest[..take]);
                self.control.extend_from_slice(&rest[..take]);
                done.taken += take;
                if take == left {
                    let payload = std::mem::take(&mut self.control);
                    self.control_frame(header.opcode(), &payload, replies)?;
                    continue;
                }
                self.frame = Some((header, at + take));
                break;
            }
            let room = output.len() - done.given;
            let (taken, given) = match &mut self.inflate {
                None => {
                    let take = take.min(room);
                    unmask(&header, at, &mut rest[..take]);
                    output[done.given..done.given + take].copy_from_slice(&rest[..take]);
                    (take, take)
                }
                Some(inflate) => {
                    if take == 0 && left > 0 && !inflate.has_more() {
                        self.frame = Some((header, at));
                        break;
                    }
                    // Unmasked in a copy: what is not taken now is unmasked again.
                    let mut piece = rest[..take.min(room.max(512))].to_vec();
                    unmask(&header, at, &mut piece);
                    inflate
                        .step(&piece, &mut output[done.given..])
                        .ok_or("invalid compressed message")?
                }
            };
            done.taken += taken;
            done.given += given;
            if self.inflate.is_some() {
                self.count(taken as u64, given as u64)?;
            }
            if at + taken < header.payload_len() {
                self.frame = Some((header, at + taken));
                if taken == 0 && given == 0 {
                    break;
                }
            } else {
                self.finishing = header.is_fin() && self.inflate.is_some();
            }
        }
        Ok(done)
    }

    /// Reads a frame's header; 0 if it is not complete.
    fn begin(&mut self, input: &[u8]) -> Result<usize, String> {
        let mut codec = Codec::new();
        // Payload is never kept, so a frame may have any length.
        codec.set_max_data_size(usize::MAX >> 1).add_reserved_bits((
            self.terms.compression,
            false,
            false,
        ));
        let (header, taken) = match codec.decode_header(input) {
            Ok(Parsing::Done { value, offset }) => (value, offset),
            Ok(Parsing::NeedMore(_)) => return Ok(0),
            Err(Error::ReservedOpCode | Error::UnknownOpCode) => {
                return Err(format!(
                    "unknown opcode {}",
                    input.first().map_or(0, |byte| byte & 0xf)
                ));
            }
            Err(Error::InvalidControlFrameLen) => {
                return Err(format!(
                    "control frame length bigger than maximum allowed of {CONTROL} bytes"
                ));
            }
            Err(Error::FragmentedControl) => {
                return Err("control frame does not have final bit set".into());
            }
            Err(error) => return Err(error.to_string()),
        };
        if !header.is_masked() && !self.terms.no_masking {
            return Err("mask bit missing".into());
        }
        match header.opcode() {
            OpCode::Text | OpCode::Binary => {
                if self.in_message {
                    return Err(
                        "new message started before final frame for previous message was received"
                            .into(),
                    );
                }
                self.inflate = header.is_rsv1().then(|| Box::new(Inflate::new()));
                self.sizes = (0, 0);
                self.in_message = !header.is_fin();
            }
            OpCode::Continue => {
                if !self.in_message {
                    return Err("invalid continuation frame".into());
                }
                if header.is_rsv1() {
                    return Err("continuation frame with compression bit".into());
                }
                self.in_message = !header.is_fin();
            }
            _ if header.is_rsv1() => return Err("control frame with compression bit".into()),
            _ => {}
        }
        self.frame = Some((header, 0));
        Ok(taken)
    }

    fn count(&mut self, taken: u64, given: u64) -> Result<(), String> {
        self.sizes.0 += taken;
        self.sizes.1 += given;
        let max_compressed = self.max_payload.saturating_mul(8).min(COMPRESSED_MAX);
        if self.sizes.0 > max_compressed || self.sizes.1 > self.max_payload {
            return Err("compressed message too large".into());
        }
        Ok(())
    }

    /// Gives out what is left of a compressed message.
    fn finish(&mut self, output: &mut [u8]) -> Result<usize, String> {
        let Some(inflate) = &mut self.inflate else {
            self.finishing = false;
            return Ok(0);
        };
        let (given, is_all) = inflate.finish(output).ok_or("invalid compressed message")?;
        self.count(0, given as u64)?;
        if is_all {
            self.inflate = None;
            self.finishing = false;
        }
        Ok(given)
    }

    fn control_frame(
        &mut self,
        opcode: OpCode,
        payload: &[u8],
        replies: &mut Vec<u8>,
    ) -> Result<(), String> {
        match opcode {
            OpCode::Ping => frames::pong(replies, payload),
            OpCode::Close => {
                // Echoed as it came.
                let (status, text) = match payload.split_at_checked(2) {
                    Some((status, text)) => {
                        (Some(u16::from_be_bytes([status[0], status[1]])), text)
                    }
                    None => (None, &[][..]),
                };
                if !self.close_sent {
                    match std::str::from_utf8(text) {
                        Ok(_) => frames::close(replies, status, text),
                        Err(_) => {
                            frames::close(replies, Some(1007), b"invalid utf8 body in close frame");
                        }
                    }
                    self.close_sent = true;
                }
                self.ended = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Takes the mask off bytes that begin at `at` in their frame.
fn unmask(header: &Header, at: usize, bytes: &mut [u8]) {
    if !header.is_masked() {
        return;
    }
    let mut turned = header.clone();
    turned.set_mask(header.mask().rotate_left(8 * (at % 4) as u32));
    Codec::apply_mask(&turned, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x11, 0x22, 0x33, 0x44];
        let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    /// Receives in pieces of `step` bytes with room for `room`.
    fn receive(ws: &mut Websocket, input: &[u8], step: usize, room: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut kept, mut out, mut replies) = (Vec::new(), Vec::new(), Vec::new());
        let mut buffer = vec![0; room];
        for piece in input.chunks(step) {
            kept.extend_from_slice(piece);
            loop {
                let done = ws.receive(&mut kept, &mut buffer, &mut replies).unwrap();
                kept.drain(..done.taken);
                out.extend_from_slice(&buffer[..done.given]);
                if done == Progress::default() {
                    break;
                }
            }
        }
        (out, replies)
    }

    fn websocket(compression: bool) -> Websocket {
        Websocket::new(Terms { compression, ..Terms::default() }, 1 << 20)
    }

    #[test]
    fn any_split_of_frames_gives_the_same() {
        let mut input = masked(0x82, b"PUB a 5\r\n");
        input.extend(masked(0x01, b"he"));
        input.extend(masked(0x89, b"ping"));
        input.extend(masked(0x80, b"llo\r\n"));
        input.extend(masked(0x88, b"\x03\xe8bye"));
        input.extend(masked(0x82, b"after the end"));
        for step in [1, 2, 3, 7, 1000] {
            for room in [1, 5, 1000] {
                let mut ws = websocket(false);
                let (out, replies) = receive(&mut ws, &input, step, room);
                assert_eq!(out, b"PUB a 5\r\nhello\r\n");
                assert_eq!(replies, b"\x8a\x04ping\x88\x05\x03\xe8bye");
                assert!(ws.ended && ws.close_sent);
            }
        }
    }

    #[test]
    fn compressed_messages_in_any_split() {
        let message = [b'a'; 3000];
        let deflated = super::super::deflate::deflate(&message).unwrap();
        let (one, two) = deflated.split_at(deflated.len() / 2);
        let mut input = masked(0x42, one);
        input.extend(masked(0x80, two));
        input.extend(masked(0x82, b"plain"));
        for step in [1, 3, 1000] {
            for room in [1, 100, 10_000] {
                let (out, _) = receive(&mut websocket(true), &input, step, room);
                assert_eq!(out.len(), 3005, "in steps of {step} into {room}");
                assert!(out.ends_with(b"aplain"));
            }
        }
    }

    #[test]
    fn wrong_frames_end_the_connection_with_a_reason() {
        for (frame, expected) in [
            (vec![0x82, 0x01, b'x'], "mask bit missing"),
            (masked(0x83, b"x"), "unknown opcode 3"),
            (masked(0x80, b"x"), "invalid continuation frame"),
            (masked(0x09, b"x"), "control frame does not have final bit set"),
            (
                vec![0x89, 0xfe, 0, 200],
                "control frame length bigger than maximum allowed of 125 bytes",
            ),
            (masked(0xc2, b"x"), "invalid reserved bit: 1"),
            (
                [masked(0x02, b"x"), masked(0x82, b"x")].concat(),
                "new message started before final frame for previous message was received",
            ),
        ] {
            let mut replies = Vec::new();
            let mut frame = frame;
            let error = websocket(false).receive(&mut frame, &mut [0; 64], &mut replies);
            assert_eq!(error.unwrap_err(), expected);
            assert_eq!(replies[..4], [0x88, 2 + expected.len() as u8, 0x03, 0xea]);
        }
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let deflated = super::super::deflate::deflate(&vec![0; 200_000]).unwrap();
        let mut ws = Websocket::new(Terms { compression: true, ..Terms::default() }, 1000);
        let mut input = vec![0xc2, 0xfe];
        input.extend_from_slice(&u16::try_from(deflated.len()).unwrap().to_be_bytes());
        input.extend_from_slice(&[0; 4]);
        input.extend_from_slice(&deflated);
        let (mut buffer, mut at) = ([0; 512], 0);
        let error = loop {
            match ws.receive(&mut input[at..], &mut buffer, &mut Vec::new()) {
                Ok(done) => at += done.taken,
                Err(error) => break error,
            }
        };
        assert_eq!(error, "compressed message too large");
    }
}
