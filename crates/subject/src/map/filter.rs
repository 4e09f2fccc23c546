//! A subject pattern as a machine over bytes.
//!
//! A `*` ends at the next separator and a `>` never does, so what a pattern expects next depends only
//! on how far it has got: the machine is deterministic, and a walk needs no backtracking. The tree
//! cuts subjects at any byte, therefore the machine can stop and go on anywhere.

use crate::grammar::{SEPARATOR, has_wildcard};

/// Which subjects a walk visits.
#[derive(Clone, Copy)]
pub(super) enum Filter<'f> {
    /// All, those with empty tokens included.
    All,
    /// Those that match the pattern.
    Pattern(&'f [u8]),
}

/// How far a pattern has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The next byte of the pattern.
    at: usize,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// A token starts, in pattern and subject.
    Start,
    /// Within a token that both spell alike.
    Literal,
    /// Within the token that a `*` stands for; `at` is behind the `*`.
    Star,
    /// Within a token that a `>` stands for.
    Rest,
    /// At the start of a further token that a `>` stands for.
    RestStart,
}

impl Filter<'_> {
    pub(super) const START: State = State { at: 0, mode: Mode::Start };

    /// The pattern, if it names one subject only: a look-up does then.
    pub(super) fn literal(&self) -> Option<&[u8]> {
        match self {
            Self::Pattern(pattern) if !has_wildcard(pattern) => Some(pattern),
            _ => None,
        }
    }

    /// The state after `bytes`, or `None` if no subject that goes on like this matches.
    pub(super) fn run(&self, state: State, bytes: &[u8]) -> Option<State> {
        let Self::Pattern(pattern) = self else { return Some(state) };
        bytes.iter().try_fold(state, |state, byte| state.step(pattern, *byte))
    }

    /// Whether a subject that ends in `state` matches.
    pub(super) fn accepts(&self, state: State) -> bool {
        let Self::Pattern(pattern) = self else { return true };
        match state.mode {
            Mode::Start | Mode::RestStart => false,
            Mode::Literal | Mode::Star => state.at == pattern.len(),
            Mode::Rest => true,
        }
    }

    /// The only byte that can follow, where there is just one.
    pub(super) fn only_byte(&self, state: State) -> Option<u8> {
        let Self::Pattern(pattern) = self else { return None };
        let wild = match state.mode {
            Mode::Start => is_alone(pattern, state.at),
            Mode::Literal => false,
            Mode::Star | Mode::Rest | Mode::RestStart => true,
        };
        if wild { None } else { pattern.get(state.at).copied() }
    }
}

impl State {
    fn step(self, pattern: &[u8], byte: u8) -> Option<Self> {
        let Self { at, mode } = self;
        let next = pattern.get(at).copied();
        let separator = byte == SEPARATOR;
        match mode {
            // A subject with an empty token matches nothing.
            Mode::Start | Mode::RestStart if separator => None,
            Mode::Start if is_alone(pattern, at) => match next {
                Some(b'*') => Some(Self { at: at + 1, mode: Mode::Star }),
                // A `>` that is not the last token may not be subscribed to.
                _ => (at + 1 == pattern.len()).then_some(Self { at: at + 1, mode: Mode::Rest }),
            },
            Mode::Start | Mode::Literal => (next == Some(byte)).then_some(Self {
                at: at + 1,
                mode: if separator { Mode::Start } else { Mode::Literal },
            }),
            Mode::Star if !separator => Some(self),
            Mode::Star => {
                (next == Some(SEPARATOR)).then_some(Self { at: at + 1, mode: Mode::Start })
            }
            Mode::Rest | Mode::RestStart => {
                Some(Self { at, mode: if separator { Mode::RestStart } else { Mode::Rest } })
            }
        }
    }
}

/// Whether the token that starts at `at` is a wildcard.
fn is_alone(pattern: &[u8], at: usize) -> bool {
    matches!(pattern.get(at), Some(b'*' | b'>'))
        && matches!(pattern.get(at + 1), None | Some(&SEPARATOR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::matches;

    #[test]
    fn agrees_with_matching_token_by_token() {
        // All texts of up to four bytes over these, as patterns and as subjects.
        let alphabet = b"a.*>";
        let mut texts: Vec<Vec<u8>> = vec![vec![]];
        for len in 0..4 {
            for text in texts.clone().iter().filter(|text| text.len() == len) {
                texts.extend(alphabet.iter().map(|byte| [&text[..], &[*byte]].concat()));
            }
        }
        for pattern in &texts {
            for subject in &texts {
                let filter = Filter::Pattern(pattern);
                let end = filter.run(Filter::START, subject);
                let accepted = end.is_some_and(|state| filter.accepts(state));
                assert_eq!(
                    accepted,
                    matches(pattern, subject),
                    "{:?} against {:?}",
                    String::from_utf8_lossy(pattern),
                    String::from_utf8_lossy(subject)
                );
            }
        }
    }
}
