//! A small reader of what the server writes, independent of the parser under test.

/// One message as a subscriber sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) subject: Vec<u8>,
    pub(crate) sid: Vec<u8>,
    pub(crate) reply: Option<Vec<u8>>,
    pub(crate) headers: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// Reads one MSG or HMSG off the front of `wire`.
pub(crate) fn read(wire: &mut &[u8]) -> Message {
    let end = wire.windows(2).position(|w| w == b"\r\n").unwrap();
    let (line, rest) = wire.split_at(end);
    let mut words = line.split(|b| *b == b' ').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let number = |word: Vec<u8>| String::from_utf8(word).unwrap().parse::<usize>().unwrap();
    let total = number(words.pop().unwrap());
    let headers = match &words[0][..] {
        b"MSG" => 0,
        b"HMSG" => number(words.pop().unwrap()),
        verb => panic!("{verb:?}"),
    };
    assert!((3..=4).contains(&words.len()), "{words:?}");
    let body = &rest[2..2 + total];
    assert_eq!(&rest[2 + total..4 + total], b"\r\n");
    *wire = &rest[4 + total..];
    Message {
        subject: words[1].clone(),
        sid: words[2].clone(),
        reply: words.get(3).cloned(),
        headers: body[..headers].to_vec(),
        payload: body[headers..].to_vec(),
    }
}
