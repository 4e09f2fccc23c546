//! The client's side of the wire: cuts what a server sends into operations.
//!
//! Knows as little as possible, so that a case sees the bytes as they are. The control line of a
//! message is brought to single blanks, because nats-server writes two before the size of messages
//! that it publishes itself.

/// Largest message the harness accepts, in bytes.
const PAYLOAD_MAX: usize = 64 << 20;

/// One operation from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The operation without its final CRLF: a control line, or `MSG …\r\n<headers and payload>`.
    pub bytes: Vec<u8>,
    /// Where headers and payload start in `bytes`, for MSG and HMSG.
    pub body: Option<usize>,
    /// The sid of MSG and HMSG.
    pub sid: Option<String>,
}

impl Frame {
    /// Headers and payload of a message; empty for other operations.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.body.map_or(&[], |at| &self.bytes[at..])
    }

    /// The subject of a message.
    #[must_use]
    pub fn subject(&self) -> Option<&[u8]> {
        self.body.and_then(|_| self.bytes.split(|&b| b == b' ').nth(1))
    }
}

/// Takes the first whole operation off `buffer`.
///
/// # Errors
/// A message whose sizes are not numbers or which does not end in CRLF.
pub fn take(buffer: &mut Vec<u8>) -> Result<Option<Frame>, String> {
    let Some(end) = buffer.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
    let line = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
    let words: Vec<&[u8]> =
        line.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty()).collect();
    let message = match words.first() {
        Some(verb) if *verb == b"MSG" => 4..=5,
        Some(verb) if *verb == b"HMSG" => 5..=6,
        _ => {
            let bytes = line.trim_ascii_end().to_vec();
            buffer.drain(..=end);
            return Ok(Some(Frame { bytes, body: None, sid: None }));
        }
    };
    let shown = || String::from_utf8_lossy(line).into_owned();
    if !message.contains(&words.len()) {
        return Err(format!("a message with {} arguments: {}", words.len() - 1, shown()));
    }
    let size = words.last().and_then(|w| std::str::from_utf8(w).ok()).and_then(|w| w.parse().ok());
    let size: usize = size
        .filter(|size| *size <= PAYLOAD_MAX)
        .ok_or_else(|| format!("a message without a size: {}", shown()))?;
    let start = end + 1;
    if buffer.len() < start + size + 2 {
        return Ok(None);
    }
    if &buffer[start + size..start + size + 2] != b"\r\n" {
        return Err(format!("no CRLF after the payload of: {}", shown()));
    }
    let sid = String::from_utf8_lossy(words[2]).into_owned();
    let mut bytes = words.join(&b' ');
    bytes.extend_from_slice(b"\r\n");
    let body = Some(bytes.len());
    bytes.extend_from_slice(&buffer[start..start + size]);
    buffer.drain(..start + size + 2);
    Ok(Some(Frame { bytes, body, sid: Some(sid) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_taken_one_by_one() {
        let mut buffer = b"PONG\r\nMSG foo 1  2\r\nhi\r\n-ERR 'x'\r\nMSG foo 1 2\r\nh".to_vec();
        let mut next = || take(&mut buffer).unwrap().map(|frame| frame.bytes);
        assert_eq!(next().unwrap(), b"PONG");
        assert_eq!(next().unwrap(), b"MSG foo 1 2\r\nhi");
        assert_eq!(next().unwrap(), b"-ERR 'x'");
        assert_eq!(next(), None);
    }

    #[test]
    fn a_message_knows_its_parts() {
        let mut buffer = b"HMSG a.b 7 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n".to_vec();
        let frame = take(&mut buffer).unwrap().unwrap();
        assert_eq!(frame.payload(), b"NATS/1.0\r\n\r\nhi");
        assert_eq!(frame.sid.as_deref(), Some("7"));
        assert_eq!(frame.subject(), Some(b"a.b".as_slice()));
    }

    #[test]
    fn a_wrong_size_is_an_error() {
        assert!(take(&mut b"MSG foo 1 1\r\nhi\r\n".to_vec()).is_err());
        assert!(take(&mut b"MSG foo 1 x\r\nhi\r\n".to_vec()).is_err());
        assert!(take(&mut b"MSG foo 1\r\n".to_vec()).is_err());
    }
}
