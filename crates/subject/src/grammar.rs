//! The grammar of subjects (ADR-6; nats-server 2.15 where only behaviour defines it).
//!
//! Nothing here knows a length limit: the control line and `max_sub_tokens` are the session's.

/// The byte between two tokens.
pub(crate) const SEPARATOR: u8 = b'.';

/// Whether `subject` may be subscribed to: no empty token, no blank byte, `>` only as the last token.
///
/// Blank bytes are space, tab, CR, LF and FF. All other bytes are legal, NUL and invalid UTF-8 too.
///
/// ```
/// use natterjack_subject::is_valid_subscription;
///
/// assert!(is_valid_subscription(b"orders.*.>"));
/// assert!(is_valid_subscription(b"foo*.b>r"));
/// assert!(!is_valid_subscription(b"orders.>.new"));
/// assert!(!is_valid_subscription(b"orders..new"));
/// assert!(!is_valid_subscription(b""));
/// ```
pub fn is_valid_subscription(subject: &[u8]) -> bool {
    if has_empty_token(subject) || subject.iter().any(|byte| is_blank(*byte)) {
        return false;
    }
    let mut closed = false;
    for token in tokens(subject) {
        if closed {
            return false;
        }
        closed = token == b">";
    }
    true
}

/// Whether `subject` names exactly one subject: valid, and no token is `*` or `>`.
///
/// ```
/// use natterjack_subject::is_valid_literal;
///
/// assert!(is_valid_literal(b"orders.new"));
/// assert!(is_valid_literal(b"foo*.b>r"));
/// assert!(!is_valid_literal(b"orders.*"));
/// assert!(!is_valid_literal(b"orders."));
/// ```
pub fn is_valid_literal(subject: &[u8]) -> bool {
    !has_empty_token(subject)
        && !subject.iter().any(|byte| is_blank(*byte))
        && !tokens(subject).any(is_wildcard_token)
}

/// Whether a message can come on `subject`: no empty token, and no byte that ends an argument of PUB. A
/// publisher that is not `pedantic` may use tokens `*` and `>` and other control characters, and a stream
/// stores the message (nats-server 2.15.1).
///
/// ```
/// use natterjack_subject::is_publishable;
///
/// assert!(is_publishable(b"orders.*"));
/// assert!(is_publishable(b"orders.\x0c\r"));
/// assert!(!is_publishable(b"orders. new"));
/// assert!(!is_publishable(b"orders..new"));
/// ```
pub fn is_publishable(subject: &[u8]) -> bool {
    !has_empty_token(subject) && !subject.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\n'))
}

/// Whether `subject` is a pattern: some whole token is `*`, or the last token is `>`.
///
/// ```
/// use natterjack_subject::has_wildcard;
///
/// assert!(has_wildcard(b"a.*.c"));
/// assert!(has_wildcard(b"a.>"));
/// assert!(!has_wildcard(b"a.b*.c"));
/// ```
pub fn has_wildcard(subject: &[u8]) -> bool {
    if memchr::memchr2(b'*', b'>', subject).is_none() {
        return false;
    }
    let mut last_is_rest = false;
    for token in tokens(subject) {
        if token == b"*" {
            return true;
        }
        last_is_rest = token == b">";
    }
    last_is_rest
}

/// The tokens of `subject`, from left to right. An empty subject has one empty token.
///
/// ```
/// use natterjack_subject::tokens;
///
/// let parts: Vec<&[u8]> = tokens(b"a.b.c").collect();
/// assert_eq!(parts, [b"a", b"b", b"c"]);
/// ```
pub fn tokens(subject: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
    subject.split(is_separator as fn(&u8) -> bool)
}

/// How many tokens `subject` has, which is one more than it has dots.
///
/// ```
/// assert_eq!(natterjack_subject::token_count(b"a.b.>"), 3);
/// ```
pub fn token_count(subject: &[u8]) -> usize {
    memchr::memchr_iter(SEPARATOR, subject).count() + 1
}

/// Whether some token is empty, as in ``, `a..b`, `.a` and `a.`.
pub(crate) fn has_empty_token(subject: &[u8]) -> bool {
    let (Some(first), Some(last)) = (subject.first(), subject.last()) else { return true };
    // Without an early exit, so that the compiler compares many bytes at once.
    let double = subject
        .iter()
        .zip(&subject[1..])
        .fold(false, |found, (a, b)| found | ((*a == SEPARATOR) & (*b == SEPARATOR)));
    double | (*first == SEPARATOR) | (*last == SEPARATOR)
}

/// Whether the whole token is a wildcard.
pub(crate) fn is_wildcard_token(token: &[u8]) -> bool {
    matches!(token, b"*" | b">")
}

/// Where the token that starts at `from` ends: at its separator or at the end of `subject`.
pub(crate) fn token_end(subject: &[u8], from: usize) -> usize {
    // Tokens are short: a plain loop beats the set-up of a vectorised search.
    let mut at = from;
    while at < subject.len() && subject[at] != SEPARATOR {
        at += 1;
    }
    at
}

fn is_separator(byte: &u8) -> bool {
    *byte == SEPARATOR
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row: the text, whether it may be subscribed to, is a literal, holds a wildcard.
    fn check(subject: &[u8], subscription: bool, literal: bool, wildcard: bool) {
        let text = String::from_utf8_lossy(subject);
        assert_eq!(is_valid_subscription(subject), subscription, "subscription {text:?}");
        assert_eq!(is_valid_literal(subject), literal, "literal {text:?}");
        assert_eq!(has_wildcard(subject), wildcard, "wildcard {text:?}");
    }

    #[test]
    fn tells_subscriptions_literals_and_wildcards_apart() {
        check(b"a", true, true, false);
        check(b"a.b.c", true, true, false);
        check(b"*", true, false, true);
        check(b">", true, false, true);
        check(b"a.*", true, false, true);
        check(b"*.a.*", true, false, true);
        check(b"a.>", true, false, true);
        check(b"*.>", true, false, true);
        check(b"foo*.b>r", true, true, false);
        check(b"**", true, true, false);
        check(b"a.>>", true, true, false);
        check(b">.a", false, false, false);
        check(b"a.>.*", false, false, true);
        check(b"", false, false, false);
        check(b".", false, false, false);
        check(b"a.", false, false, false);
        check(b".a", false, false, false);
        check(b"a..b", false, false, false);
        check(b"a b", false, false, false);
        check(b"a\tb", false, false, false);
        check(b"a\rb", false, false, false);
        check(b"a\nb", false, false, false);
        check(b"a\x0cb", false, false, false);
        check(b"a\0b.\x01\x0b\x7f", true, true, false);
        check("жаба.⚡".as_bytes(), true, true, false);
        check(b"\xff\xfe.\xc0", true, true, false);
    }

    #[test]
    fn splits_and_counts_tokens() {
        let check = |subject: &[u8], expected: &[&[u8]]| {
            assert_eq!(tokens(subject).collect::<Vec<_>>(), expected);
            assert_eq!(token_count(subject), expected.len());
        };
        check(b"", &[b""]);
        check(b"a", &[b"a"]);
        check(b"a.bc.d", &[b"a", b"bc", b"d"]);
        check(b".a.", &[b"", b"a", b""]);
    }
}
