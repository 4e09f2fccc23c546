//! Which verb a line starts with, found out byte by byte.

/// The verbs a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Connect,
    Ping,
    Pong,
    Pub,
    Hpub,
    Sub,
    Unsub,
    Info,
    Ok,
    Err,
}

pub(super) enum Found {
    Verb(Verb),
    /// All bytes so far are the start of a verb.
    Partial,
    /// The byte at `at` starts or continues no verb.
    Wrong {
        state: u8,
        at: usize,
    },
}

/// The numbers that nats-server's log lines give the states of its parser: operators search for them.
/// Each verb counts up from its base by one per byte; the verbs that start with `P` share its first state.
pub(super) const STATE_PAYLOAD_CR: u8 = 41;
pub(super) const STATE_PAYLOAD_LF: u8 = 42;
const STATE_P: u8 = 29;

impl Verb {
    /// Lower case, as compared.
    const fn text(self) -> &'static [u8] {
        match self {
            Verb::Connect => b"connect",
            Verb::Ping => b"ping",
            Verb::Pong => b"pong",
            Verb::Pub => b"pub",
            Verb::Hpub => b"hpub",
            Verb::Sub => b"sub",
            Verb::Unsub => b"unsub",
            Verb::Info => b"info",
            Verb::Ok => b"+ok",
            Verb::Err => b"-err",
        }
    }

    /// State of the reference parser after `n >= 1` bytes of this verb.
    fn state(self, n: usize) -> u8 {
        let base = match self {
            Verb::Ok => 0,
            Verb::Err => 3,
            Verb::Connect => 9,
            Verb::Hpub => 17,
            Verb::Pub => 28,
            Verb::Sub => 42,
            Verb::Unsub => 58,
            Verb::Info => 70,
            Verb::Ping | Verb::Pong if n == 1 => STATE_P - 1,
            Verb::Ping => 32,
            Verb::Pong => 35,
        };
        // A verb has at most seven bytes.
        base + n as u8
    }

    /// State after the whole verb, where a blank must follow.
    pub(super) fn end_state(self) -> u8 {
        self.state(self.len())
    }

    /// Length in bytes.
    pub(super) const fn len(self) -> usize {
        self.text().len()
    }

    /// Whether at least one blank must stand between verb and argument.
    pub(super) const fn needs_blank(self) -> bool {
        !matches!(self, Verb::Connect | Verb::Info)
    }
}

/// Recognizes the verb at the start of `buf`, whatever the case of its letters.
#[inline]
pub(super) fn recognize(buf: &[u8]) -> Found {
    // The hot verb first. For letters, setting bit 5 is exactly lower case: no other byte gives one.
    if let [p, u, b, _, ..] = *buf
        && (p | 0x20, u | 0x20, b | 0x20) == (b'p', b'u', b'b')
    {
        return Found::Verb(Verb::Pub);
    }
    recognize_any(buf)
}

fn recognize_any(buf: &[u8]) -> Found {
    let Some(first) = buf.first() else { return Found::Partial };
    let verb = match first.to_ascii_lowercase() {
        b'p' => match buf.get(1).map(u8::to_ascii_lowercase) {
            None => return Found::Partial,
            Some(b'i') => Verb::Ping,
            Some(b'o') => Verb::Pong,
            Some(b'u') => Verb::Pub,
            Some(_) => return Found::Wrong { state: STATE_P, at: 1 },
        },
        b's' => Verb::Sub,
        b'h' => Verb::Hpub,
        b'u' => Verb::Unsub,
        b'c' => Verb::Connect,
        b'i' => Verb::Info,
        b'+' => Verb::Ok,
        b'-' => Verb::Err,
        _ => return Found::Wrong { state: 0, at: 0 },
    };
    let text = verb.text();
    for (at, expected) in text.iter().enumerate().skip(1) {
        match buf.get(at) {
            None => return Found::Partial,
            Some(byte) if byte.to_ascii_lowercase() != *expected => {
                return Found::Wrong { state: verb.state(at), at };
            }
            Some(_) => {}
        }
    }
    Found::Verb(verb)
}
