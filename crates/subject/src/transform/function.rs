//! The parts of a destination, and what they make of a subject.

use super::Transform;
use crate::grammar::SEPARATOR;

/// One token of a destination. A `star` counts the `*` of the source from 1; 0 is the subject's first
/// token.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Literal(Box<[u8]>),
    /// All that the source's `>` stands for.
    Rest,
    Token(usize),
    /// Of the whole subject.
    Partition {
        buckets: u32,
    },
    /// Of chosen tokens.
    PartitionOf {
        buckets: u32,
        tokens: Box<[usize]>,
    },
    Random {
        bound: u32,
    },
    Split {
        star: usize,
        delimiter: Box<[u8]>,
    },
    // A size of 0 leaves the token as it is, and so does one that the token does not exceed.
    SplitFromLeft {
        star: usize,
        size: usize,
    },
    SplitFromRight {
        star: usize,
        size: usize,
    },
    SliceFromLeft {
        star: usize,
        size: usize,
    },
    SliceFromRight {
        star: usize,
        size: usize,
    },
    Left {
        star: usize,
        size: usize,
    },
    Right {
        star: usize,
        size: usize,
    },
}

/// The subject that a part is computed for.
pub(super) struct Input<'a> {
    pub(super) subject: &'a [u8],
    pub(super) tokens: &'a [&'a [u8]],
    pub(super) transform: &'a Transform,
    pub(super) rand: u64,
}

impl<'a> Input<'a> {
    fn star(&self, star: usize) -> &'a [u8] {
        let at = star.checked_sub(1).and_then(|at| self.transform.stars.get(at));
        self.tokens.get(at.copied().unwrap_or(0)).copied().unwrap_or_default()
    }

    /// A number below `bound`, or 0; each call draws afresh.
    fn draw(&mut self, bound: u32) -> u64 {
        self.rand = self.rand.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.rand ^ (self.rand >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        ((mixed >> 32) * u64::from(bound)) >> 32
    }
}

impl Part {
    /// Appends what this part makes of the subject.
    pub(super) fn write(&self, input: &mut Input<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Literal(token) => out.extend_from_slice(token),
            Self::Rest => {
                let rest = input.tokens.get(input.transform.rest..).unwrap_or_default();
                join(rest.iter().copied(), out);
            }
            Self::Token(star) => out.extend_from_slice(input.star(*star)),
            Self::Partition { buckets } => number(modulo(fnv1a([input.subject]), *buckets), out),
            Self::PartitionOf { buckets, tokens } => {
                let hash = fnv1a(tokens.iter().map(|star| input.star(*star)));
                number(modulo(hash, *buckets), out);
            }
            Self::Random { bound } => number(input.draw(*bound), out),
            Self::Split { star, delimiter } => split(input.star(*star), delimiter, out),
            Self::SplitFromLeft { star, size } => {
                let token = input.star(*star);
                cut(token, cuts(token, *size), out);
            }
            Self::SplitFromRight { star, size } => {
                let token = input.star(*star);
                cut(token, cuts(token, *size).map(|size| token.len() - size), out);
            }
            Self::SliceFromLeft { star, size } => {
                let token = input.star(*star);
                join(token.chunks(cuts(token, *size).unwrap_or(token.len()).max(1)), out);
            }
            Self::SliceFromRight { star, size } => {
                let token = input.star(*star);
                let size = cuts(token, *size).unwrap_or(token.len()).max(1);
                let (first, rest) = token.split_at(token.len() % size);
                let first = Some(first).filter(|first| !first.is_empty());
                join(first.into_iter().chain(rest.chunks(size)), out);
            }
            Self::Left { star, size } => {
                let token = input.star(*star);
                out.extend_from_slice(&token[..cuts(token, *size).unwrap_or(token.len())]);
            }
            Self::Right { star, size } => {
                let token = input.star(*star);
                let len = cuts(token, *size).unwrap_or(token.len());
                out.extend_from_slice(&token[token.len() - len..]);
            }
        }
    }
}

/// The size, if it is one that leaves something on both sides.
fn cuts(token: &[u8], size: usize) -> Option<usize> {
    (0 < size && size < token.len()).then_some(size)
}

fn cut(token: &[u8], at: Option<usize>, out: &mut Vec<u8>) {
    match at {
        None => out.extend_from_slice(token),
        Some(at) => join([&token[..at], &token[at..]], out),
    }
}

fn join<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for (at, piece) in pieces.into_iter().enumerate() {
        if at > 0 {
            out.push(SEPARATOR);
        }
        out.extend_from_slice(piece);
    }
}

/// The pieces between delimiters. Empty pieces are dropped, except that a separator stands before
/// each non-empty piece but the first two: nats-server makes `.a` of `--a`, and so do we, because a
/// stream stores what comes out.
fn split(token: &[u8], delimiter: &[u8], out: &mut Vec<u8>) {
    let pieces = pieces(token, delimiter);
    let mut before: Option<(usize, &[u8])> = None;
    for (at, piece) in pieces.into_iter().enumerate() {
        if let Some((last, piece_before)) = before
            && !piece.is_empty()
            && !(last == 0 && piece_before.is_empty())
        {
            out.push(SEPARATOR);
        }
        out.extend_from_slice(piece);
        before = Some((at, piece));
    }
}

fn pieces<'t>(token: &'t [u8], delimiter: &[u8]) -> Vec<&'t [u8]> {
    if delimiter.is_empty() {
        return characters(token);
    }
    let mut pieces = Vec::new();
    let mut from = 0;
    for at in memchr::memmem::find_iter(token, delimiter) {
        pieces.push(&token[from..at]);
        from = at + delimiter.len();
    }
    pieces.push(&token[from..]);
    pieces
}

/// The characters of UTF-8 text, and the single bytes of anything else.
fn characters(token: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = token;
    while !rest.is_empty() {
        let valid = (1..=rest.len().min(4)).find(|len| std::str::from_utf8(&rest[..*len]).is_ok());
        let (first, tail) = rest.split_at(valid.unwrap_or(1));
        pieces.push(first);
        rest = tail;
    }
    pieces
}

fn modulo(hash: u32, buckets: u32) -> u64 {
    u64::from(hash.checked_rem(buckets).unwrap_or(0))
}

/// FNV-1a, 32 bits, over the pieces in a row.
fn fnv1a<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let bytes = pieces.into_iter().flatten();
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
}
