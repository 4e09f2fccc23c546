//! The algebra of patterns: which subjects a pattern stands for, and how two patterns relate.

use crate::grammar::{has_empty_token, is_wildcard_token, token_end};

/// Whether a message published on `subject` reaches a subscription to `pattern`.
///
/// The published subject is taken literally: a token that looks like a wildcard is a token like any
/// other, so `foo.*` reaches `foo.*` and `foo.>` and not `foo.bar` (nats-server 2.15). A subject with
/// an empty token matches nothing, not even `>`; nor does a pattern that may not be subscribed to.
///
/// ```
/// use natterjack_subject::matches;
///
/// assert!(matches(b"orders.*.new", b"orders.eu.new"));
/// assert!(matches(b"orders.>", b"orders.eu.new"));
/// assert!(!matches(b"orders.>", b"orders"));
/// assert!(!matches(b">", b"orders..new"));
/// ```
pub fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    !has_empty_token(subject) && consume(pattern, subject) == Some(subject.len())
}

/// Whether every subject that `sub` matches is matched by `of` as well.
///
/// Both are valid subscriptions; a literal counts as the pattern of one subject.
///
/// ```
/// use natterjack_subject::is_subset;
///
/// assert!(is_subset(b"a.*", b"a.>"));
/// assert!(is_subset(b"a.b", b"a.*"));
/// assert!(!is_subset(b"a.>", b"a.*"));
/// ```
pub fn is_subset(sub: &[u8], of: &[u8]) -> bool {
    let (mut s, mut o) = (0, 0);
    loop {
        let s_end = token_end(sub, s);
        let o_end = token_end(of, o);
        let (inner, outer) = (&sub[s..s_end], &of[o..o_end]);
        match outer {
            b">" => return o_end == of.len(),
            b"*" if inner != b">" => {}
            _ if inner == outer => {}
            _ => return false,
        }
        match (s_end == sub.len(), o_end == of.len()) {
            (true, true) => return true,
            (false, false) => (s, o) = (s_end + 1, o_end + 1),
            _ => return false,
        }
    }
}

/// Whether some subject is matched by both patterns.
///
/// Both are valid subscriptions; a literal counts as the pattern of one subject. This is the rule by
/// which streams collide and by which `STREAM.NAMES` finds the stream of a subject.
///
/// ```
/// use natterjack_subject::overlaps;
///
/// assert!(overlaps(b"*.a", b"s.>"));
/// assert!(overlaps(b"a.*", b"*.b"));
/// assert!(!overlaps(b"a.*", b"a.b.>"));
/// ```
pub fn overlaps(a: &[u8], b: &[u8]) -> bool {
    let (mut i, mut j) = (0, 0);
    loop {
        let i_end = token_end(a, i);
        let j_end = token_end(b, j);
        let (left, right) = (&a[i..i_end], &b[j..j_end]);
        if left == b">" || right == b">" {
            return true;
        }
        if left != right && !is_wildcard_token(left) && !is_wildcard_token(right) {
            return false;
        }
        match (i_end == a.len(), j_end == b.len()) {
            (true, true) => return true,
            (false, false) => (i, j) = (i_end + 1, j_end + 1),
            _ => return false,
        }
    }
}

/// Matches all tokens of `pattern` against the first tokens of `subject`, which has no empty token.
/// Yields how many bytes they cover, up to a separator or to the end.
pub(crate) fn consume(pattern: &[u8], subject: &[u8]) -> Option<usize> {
    consume_within(pattern, subject).0
}

/// As [`consume`], and tells up to where the text of `subject` decided: any other text after that, in as
/// many tokens, would have given the same.
pub(crate) fn consume_within(pattern: &[u8], subject: &[u8]) -> (Option<usize>, usize) {
    let (mut p, mut s, mut decided) = (0, 0, 0);
    loop {
        let p_end = token_end(pattern, p);
        let token = &pattern[p..p_end];
        if token == b">" {
            return ((p_end == pattern.len()).then_some(subject.len()), decided);
        }
        let s_end = token_end(subject, s);
        if token != b"*" {
            decided = s_end;
            if token != &subject[s..s_end] {
                return (None, decided);
            }
        }
        if p_end == pattern.len() {
            return (Some(s_end), decided);
        }
        if s_end == subject.len() {
            return (None, decided);
        }
        (p, s) = (p_end + 1, s_end + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn matches_token_by_token() {
        fn check(pattern: &[u8], subject: &[u8], expected: bool) {
            let row = format!("{:?} against {:?}", text(pattern), text(subject));
            assert_eq!(matches(pattern, subject), expected, "{row}");
        }
        check(b"a", b"a", true);
        check(b"a", b"A", false);
        check(b"a", b"a.b", false);
        check(b"a.b", b"a", false);
        check(b"*", b"a", true);
        check(b"*", b"a.b", false);
        check(b"*.*", b"a.b", true);
        check(b"a.*.c", b"a.b.c", true);
        check(b"a.*.c", b"a.b.d", false);
        check(b">", b"a", true);
        check(b">", b"a.b.c", true);
        check(b"a.>", b"a", false);
        check(b"a.>", b"a.b", true);
        check(b"a.>", b"a.b.c", true);
        check(b"a.>", b"ab.c", false);
        check(b"*.>", b"a", false);
        check(b"*.>", b"a.b", true);
        check(b"foo*.b>r", b"foo*.b>r", true);
        check(b"foo*.b>r", b"foox.bxr", false);
        // Wildcards in a published subject are literal tokens.
        check(b"foo.*", b"foo.*", true);
        check(b"foo.>", b"foo.*", true);
        check(b"foo.bar", b"foo.*", false);
        check(b"foo.*", b"foo.>", true);
        check(b"foo.>", b"foo.>", true);
        check(b"foo.bar", b"foo.>", false);
        check(b"a.*.c", b"a.>.c", true);
        // Empty tokens match nothing.
        check(b">", b"", false);
        check(b">", b"a..b", false);
        check(b">", b"a.", false);
        check(b">", b".a", false);
        check(b"a.*.b", b"a..b", false);
        check(b"a..b", b"a..b", false);
        // A pattern that may not be subscribed to matches nothing.
        check(b"a.>.b", b"a.>.b", false);
        check(b"a.>.b", b"a.x.b", false);
        check(b"", b"a", false);
    }

    #[test]
    fn compares_patterns() {
        /// `a` within `b`, `b` within `a`, and whether they share a subject.
        fn check(a: &[u8], b: &[u8], a_in_b: bool, b_in_a: bool, shared: bool) {
            let row = format!("{:?} and {:?}", text(a), text(b));
            assert_eq!(is_subset(a, b), a_in_b, "subset, {row}");
            assert_eq!(is_subset(b, a), b_in_a, "superset, {row}");
            assert_eq!(overlaps(a, b), shared, "overlap, {row}");
            assert_eq!(overlaps(b, a), shared, "overlap reversed, {row}");
        }
        check(b"a", b"a", true, true, true);
        check(b"a", b"b", false, false, false);
        check(b"a", b"a.b", false, false, false);
        check(b"a", b"*", true, false, true);
        check(b"a", b">", true, false, true);
        check(b"*", b">", true, false, true);
        check(b">", b">", true, true, true);
        check(b"*", b"*", true, true, true);
        check(b"a.*", b"a.>", true, false, true);
        check(b"a.b.c", b"a.>", true, false, true);
        check(b"a", b"a.>", false, false, false);
        check(b"a.>", b">", true, false, true);
        check(b"*.>", b">", true, false, true);
        check(b"a.*.>", b"a.>", true, false, true);
        check(b"a.*", b"a.*.>", false, false, false);
        check(b"a.*", b"*.b", false, false, true);
        check(b"a.*.c", b"a.b.*", false, false, true);
        check(b"a.*.c", b"a.b.d", false, false, false);
        check(b"*.a", b"s.>", false, false, true);
        check(b"a.>", b"*.b.>", false, false, true);
        check(b"a.>", b"b.>", false, false, false);
        check(b"a.b", b"*.*.*", false, false, false);
    }
}
