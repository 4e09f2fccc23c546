//! What the encoder writes, byte for byte.

use natterjack_proto::encode;

fn wire(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"kept ".to_vec();
    write(&mut out);
    String::from_utf8(out).unwrap().strip_prefix("kept ").unwrap().to_owned()
}

#[test]
fn messages() {
    let rows = [
        (wire(|o| encode::msg(o, b"foo", b"1", None, b"hi")), "MSG foo 1 2\r\nhi\r\n"),
        (wire(|o| encode::msg(o, b"foo", b"1", None, b"")), "MSG foo 1 0\r\n\r\n"),
        (wire(|o| encode::msg(o, b"foo", b"ab", Some(b"r"), b"x")), "MSG foo ab r 1\r\nx\r\n"),
        (
            wire(|o| encode::hmsg(o, b"foo", b"1", None, b"NATS/1.0\r\n\r\n", b"hi")),
            "HMSG foo 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        ),
        (
            wire(|o| encode::hmsg(o, b"foo", b"1", Some(b"re"), b"hello", b"")),
            "HMSG foo 1 re 5 5\r\nhello\r\n",
        ),
        // Row 63: without header bytes it is a plain message.
        (wire(|o| encode::hmsg(o, b"foo", b"1", None, b"", b"hi")), "MSG foo 1 2\r\nhi\r\n"),
        // Row 64.
        (
            wire(|o| encode::no_responders(o, b"inbox", b"9", b"nobody")),
            "HMSG inbox 9 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n",
        ),
        (wire(encode::ping), "PING\r\n"),
        (wire(encode::pong), "PONG\r\n"),
        (wire(encode::ok), "+OK\r\n"),
    ];
    for (actual, expected) in rows {
        assert_eq!(actual, expected);
    }
}

#[test]
fn lengths_are_exact() {
    for payload in [0, 1, 9, 10, 99, 100, 12_345] {
        let body = vec![b'x'; payload];
        for reply in [None, Some(&b"reply"[..])] {
            let mut out = Vec::new();
            encode::msg(&mut out, b"a.b", b"17", reply, &body);
            assert_eq!(out.len(), encode::msg_len(b"a.b", b"17", reply, payload));
            for headers in [0, 12, 100] {
                let mut out = Vec::new();
                encode::hmsg(&mut out, b"a.b", b"17", reply, &vec![b'h'; headers], &body);
                assert_eq!(out.len(), encode::hmsg_len(b"a.b", b"17", reply, headers, payload));
            }
        }
    }
}

#[test]
fn no_responders_size_follows_the_subject() {
    for len in [1, 6, 68, 1000] {
        let subject = "s".repeat(len);
        let text = wire(|o| encode::no_responders(o, b"i", b"1", subject.as_bytes()));
        let size = 32 + len;
        assert!(text.starts_with(&format!("HMSG i 1 {size} {size}\r\nNATS/1.0 503\r\n")), "{text}");
        let mut rest = text.as_bytes();
        assert_eq!(crate::reader::read(&mut rest).headers.len(), size);
        assert!(rest.is_empty());
    }
}
