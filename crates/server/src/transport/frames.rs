//! Frames that the server sends (RFC 6455).

use natterjack_proto::error::ClosedReason;
use soketto::base::{Codec, Header, OpCode};

/// Browsers get frames of this many bytes at most (nats-server 2.15.1).
pub(super) const BROWSER_FRAME: usize = 4096;
/// Up to this many bytes compression is not worth it (nats-server 2.15.1).
const COMPRESSED_FROM: usize = 65;
/// A close frame holds this much text beside its status.
const CLOSE_TEXT: usize = 123;

fn frame(out: &mut Vec<u8>, opcode: OpCode, fin: bool, compressed: bool, payload: &[u8]) {
    let mut header = Header::new(opcode);
    header.set_fin(fin).set_rsv1(compressed).set_payload_len(payload.len());
    out.extend_from_slice(Codec::new().encode_header(&header));
    out.extend_from_slice(payload);
}

/// Adds `bytes` as binary messages.
pub(super) fn data(out: &mut Vec<u8>, bytes: &[u8], compress: bool, for_browser: bool) {
    let deflated = match compress && bytes.len() >= COMPRESSED_FROM {
        true => super::deflate::deflate(bytes),
        false => None,
    };
    let limit = if for_browser { BROWSER_FRAME } else { usize::MAX };
    match deflated {
        None => {
            for piece in bytes.chunks(limit) {
                frame(out, OpCode::Binary, true, false, piece);
            }
        }
        Some(deflated) => {
            // One message in several frames: the first says that it is compressed.
            let pieces = deflated.chunks(limit).count();
            for (index, piece) in deflated.chunks(limit).enumerate() {
                let opcode = if index == 0 { OpCode::Binary } else { OpCode::Continue };
                frame(out, opcode, index + 1 == pieces, index == 0, piece);
            }
        }
    }
}

/// Adds a pong with the payload of the ping.
pub(super) fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, OpCode::Pong, true, false, payload);
}

/// Adds a close frame; without a status it is empty.
pub(super) fn close(out: &mut Vec<u8>, status: Option<u16>, text: &[u8]) {
    let mut payload = Vec::new();
    if let Some(status) = status {
        payload.extend_from_slice(&status.to_be_bytes());
        payload.extend_from_slice(&text[..text.len().min(CLOSE_TEXT)]);
    }
    frame(out, OpCode::Close, true, false, &payload);
}

/// The status of the close frame when the server ends a connection (nats-server 2.15.1).
pub(super) fn status(reason: ClosedReason) -> u16 {
    match reason {
        ClosedReason::ClientClosed => 1000,
        ClosedReason::AuthenticationTimeout
        | ClosedReason::AuthenticationFailure
        | ClosedReason::SlowConsumerPendingBytes
        | ClosedReason::SlowConsumerWriteDeadline
        | ClosedReason::MaximumAccountConnectionsExceeded
        | ClosedReason::MaximumConnectionsExceeded
        | ClosedReason::MaximumControlLineExceeded
        | ClosedReason::MaximumSubscriptionsExceeded
        | ClosedReason::MissingAccount
        | ClosedReason::AuthenticationExpired
        | ClosedReason::CredentialsRevoked => 1008,
        ClosedReason::TlsHandshakeFailure => 1015,
        ClosedReason::ParseError
        | ClosedReason::ProtocolViolation
        | ClosedReason::BadClientProtocolVersion => 1002,
        ClosedReason::MaximumMessagePayloadExceeded => 1009,
        ClosedReason::WriteError
        | ClosedReason::ReadError
        | ClosedReason::StaleConnection
        | ClosedReason::ServerShutdown => 1001,
        _ => 1011,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_for_browsers() {
        let mut out = Vec::new();
        data(&mut out, &[1; 5000], false, true);
        assert_eq!(out[..4], [0x82, 126, 0x10, 0]);
        assert_eq!(out[4100..4104], [0x82, 126, 0x03, 0x88], "a message of its own");
        assert_eq!(out.len(), 4 + 4096 + 4 + 904);
        let mut state = 88_172_645_463_325_252_u64;
        let noise: Vec<u8> = (0..9000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        out.clear();
        data(&mut out, &noise, true, true);
        assert_eq!(out[0], 0x42, "binary, compressed, more to come");
        assert_eq!(out[4100], 0x00, "continued");
    }

    #[test]
    fn little_is_not_compressed() {
        let mut out = Vec::new();
        data(&mut out, &[1; 64], true, false);
        assert_eq!(out[..2], [0x82, 64]);
        out.clear();
        data(&mut out, &[1; 65], true, false);
        assert!(out[0] == 0xc2 && out.len() < 20);
    }

    #[test]
    fn control_frames() {
        let mut out = Vec::new();
        pong(&mut out, b"p");
        close(&mut out, Some(1000), b"bye");
        close(&mut out, None, b"");
        assert_eq!(out, b"\x8a\x01p\x88\x05\x03\xe8bye\x88\x00");
    }
}
