//! Subject filters as streams and consumers use them.

/// A subject with or without wildcards that selects stored messages.
///
/// ```
/// use natterjack_store::Filter;
/// assert!(Filter::new(b"orders.*").matches(b"orders.eu"));
/// assert!(!Filter::new(b"orders.*").matches(b"orders"));
/// assert!(Filter::new(b">").matches(b"anything.at.all"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    subject: Box<[u8]>,
    literal: bool,
}

impl Filter {
    /// A filter for `subject`, which must be a valid subject.
    pub fn new(subject: &[u8]) -> Filter {
        Filter { subject: subject.into(), literal: is_literal(subject) }
    }

    /// The subject as given.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// Whether it has no wildcard, and so matches one subject only.
    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// Whether it is `>`.
    pub fn is_all(&self) -> bool {
        *self.subject == *b">"
    }

    /// Whether a literal `subject` is selected.
    pub fn matches(&self, subject: &[u8]) -> bool {
        if self.literal { *self.subject == *subject } else { matches(&self.subject, subject) }
    }
}

fn is_literal(subject: &[u8]) -> bool {
    !subject.split(|&b| b == b'.').any(|token| token == b"*" || token == b">")
}

fn matches(filter: &[u8], subject: &[u8]) -> bool {
    let mut tokens = subject.split(|&b| b == b'.');
    for want in filter.split(|&b| b == b'.') {
        match (want, tokens.next()) {
            (b">", Some(_)) => return true,
            (b"*", Some(_)) => {}
            (want, Some(token)) if want == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_tokens() {
        let yes = [("a.b", "a.b"), ("a.*", "a.b"), ("a.>", "a.b.c"), ("*.b", "a.b"), (">", "a")];
        let no = [("a.b", "a.bc"), ("a.*", "a"), ("a.>", "a"), ("a.*", "a.b.c"), ("a.b*", "a.bc")];
        for (filter, subject) in yes {
            assert!(Filter::new(filter.as_bytes()).matches(subject.as_bytes()), "{filter}");
        }
        for (filter, subject) in no {
            assert!(!Filter::new(filter.as_bytes()).matches(subject.as_bytes()), "{filter}");
        }
    }
}
