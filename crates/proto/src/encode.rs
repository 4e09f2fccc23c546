//! Operations to bytes: each function appends one whole operation to the caller's buffer.
//!
//! The buffer grows by exactly what the `*_len` functions say, once. Subjects, sids and headers are
//! written as they are; the caller guarantees that they hold no blanks and no line ends.

use crate::error::ServerError;
use crate::info::Info;

/// Appends `MSG subject sid [reply] size` and the payload.
pub fn msg(out: &mut Vec<u8>, subject: &[u8], sid: &[u8], reply: Option<&[u8]>, payload: &[u8]) {
    let mut size = itoa::Buffer::new();
    let size = size.format(payload.len()).as_bytes();
    out.reserve(line_len(4, subject, sid, reply) + size.len() + 4 + payload.len());
    line(out, b"MSG ", subject, sid, reply);
    out.extend_from_slice(size);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Appends `HMSG subject sid [reply] hdr_size total_size`, the header block and the payload.
///
/// An empty header block yields a plain `MSG`, as a publish with `hdr_size` 0 is delivered.
pub fn hmsg(
    out: &mut Vec<u8>,
    subject: &[u8],
    sid: &[u8],
    reply: Option<&[u8]>,
    headers: &[u8],
    payload: &[u8],
) {
    if headers.is_empty() {
        return msg(out, subject, sid, reply, payload);
    }
    let (mut header_size, mut total_size) = (itoa::Buffer::new(), itoa::Buffer::new());
    let header_size = header_size.format(headers.len()).as_bytes();
    let total_size = total_size.format(headers.len() + payload.len()).as_bytes();
    let sizes = header_size.len() + 1 + total_size.len();
    out.reserve(line_len(5, subject, sid, reply) + sizes + 4 + headers.len() + payload.len());
    line(out, b"HMSG ", subject, sid, reply);
    out.extend_from_slice(header_size);
    out.push(b' ');
    out.extend_from_slice(total_size);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Number of bytes that [`msg`] appends for a payload of `payload_len` bytes.
#[must_use]
pub fn msg_len(subject: &[u8], sid: &[u8], reply: Option<&[u8]>, payload_len: usize) -> usize {
    line_len(4, subject, sid, reply) + digits(payload_len) + 4 + payload_len
}

/// Number of bytes that [`hmsg`] appends for headers and a payload of the given lengths.
#[must_use]
pub fn hmsg_len(
    subject: &[u8],
    sid: &[u8],
    reply: Option<&[u8]>,
    headers_len: usize,
    payload_len: usize,
) -> usize {
    if headers_len == 0 {
        return msg_len(subject, sid, reply, payload_len);
    }
    let total = headers_len + payload_len;
    line_len(5, subject, sid, reply) + digits(headers_len) + 1 + digits(total) + 4 + total
}

/// Appends `PING`.
pub fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PING\r\n");
}

/// Appends `PONG`.
pub fn pong(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PONG\r\n");
}

/// Appends `+OK`.
pub fn ok(out: &mut Vec<u8>) {
    out.extend_from_slice(b"+OK\r\n");
}

/// Appends `-ERR '…'`.
pub fn err(out: &mut Vec<u8>, error: &ServerError) {
    out.extend_from_slice(b"-ERR '");
    error.write_text(out);
    out.extend_from_slice(b"'\r\n");
}

/// Appends `INFO {…}`. The reference server puts a blank between the JSON and the line end.
pub fn info(out: &mut Vec<u8>, info: &Info) {
    out.extend_from_slice(b"INFO ");
    serde_json::to_writer(&mut *out, info)
        .expect("string keys and plain values serialize, and a Vec takes every write");
    out.extend_from_slice(b" \r\n");
}

/// Appends the 503 status for a request to `subject` that nobody serves, addressed to `reply`.
///
/// `sid` is the publisher's own plain subscription that matches `reply`. The `Nats-Subject` header
/// names the subject after mapping (nats-server 2.12 and later).
pub fn no_responders(out: &mut Vec<u8>, reply: &[u8], sid: &[u8], subject: &[u8]) {
    const BEFORE: &[u8] = b"NATS/1.0 503\r\nNats-Subject: ";
    const AFTER: &[u8] = b"\r\n\r\n";
    let block = BEFORE.len() + subject.len() + AFTER.len();
    let mut size = itoa::Buffer::new();
    let size = size.format(block).as_bytes();
    out.reserve(line_len(5, reply, sid, None) + 2 * size.len() + 5 + block);
    line(out, b"HMSG ", reply, sid, None);
    out.extend_from_slice(size);
    out.push(b' ');
    out.extend_from_slice(size);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(BEFORE);
    out.extend_from_slice(subject);
    out.extend_from_slice(AFTER);
    out.extend_from_slice(b"\r\n");
}

/// Writes the part of a MSG or HMSG line that stands before the sizes, with the blank after it.
fn line(out: &mut Vec<u8>, verb: &[u8], subject: &[u8], sid: &[u8], reply: Option<&[u8]>) {
    out.extend_from_slice(verb);
    out.extend_from_slice(subject);
    out.push(b' ');
    out.extend_from_slice(sid);
    out.push(b' ');
    if let Some(reply) = reply {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
}

/// Number of bytes that [`line`] writes.
fn line_len(verb: usize, subject: &[u8], sid: &[u8], reply: Option<&[u8]>) -> usize {
    verb + subject.len() + 1 + sid.len() + 1 + reply.map_or(0, |reply| reply.len() + 1)
}

/// Number of decimal digits of `n`.
fn digits(n: usize) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}
