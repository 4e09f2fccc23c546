//! Subject transforms: account mappings, stream transforms, republish, filters with a destination.
//!
//! `parse` turns a destination into parts, one per token; `function` computes a part for a subject.
//! All behaviour here, error texts and order of checks included, is that of nats-server 2.15.1, as
//! measured through its configuration check and its mappings.

mod function;
mod parse;

use std::error::Error;
use std::fmt;

use function::Part;
use smallvec::SmallVec;

use crate::grammar::{SEPARATOR, has_empty_token, is_valid_literal, tokens};
use crate::pattern::is_subset;

/// A rule that renames the subjects which match a source pattern.
///
/// Tokens of the destination are literal, or one of these (`n` counts the `*` of the source from 1):
///
/// | Token | Becomes |
/// |---|---|
/// | `$n`, `{{wildcard(n)}}` | the token that the n-th `*` stands for |
/// | `{{partition(b)}}` | FNV-1a 32 of the whole subject, mod b |
/// | `{{partition(b,n1,n2,…)}}` | FNV-1a 32 of the chosen tokens joined without separator, mod b |
/// | `{{random(b)}}` | a random number below b |
/// | `{{left(n,len)}}`, `{{right(n,len)}}` | the first or last `len` bytes of the token |
/// | `{{splitFromLeft(n,pos)}}`, `{{splitFromRight(n,pos)}}` | the token cut in two |
/// | `{{sliceFromLeft(n,len)}}`, `{{sliceFromRight(n,len)}}` | the token cut into pieces of `len` |
/// | `{{split(n,delim)}}` | the token's parts between delimiters, empty ones dropped |
/// | `>` (last, as in the source) | all that the source's `>` stands for |
///
/// ```
/// use natterjack_subject::Transform;
///
/// let transform = Transform::new("orders.*.*", "{{wildcard(2)}}.{{partition(3,1)}}").unwrap();
/// assert_eq!(transform.apply(b"orders.a.new", 0).as_deref(), Some(&b"new.1"[..]));
/// assert_eq!(transform.apply(b"invoices.a.new", 0), None);
/// ```
#[derive(Clone, Debug)]
pub struct Transform {
    source: Box<str>,
    destination: Box<str>,
    /// Where the `*` of the source are, counted in tokens.
    stars: Box<[usize]>,
    /// Where the `>` of the source is.
    rest: usize,
    /// One per token of the destination; none if subjects stay as they are.
    parts: Box<[Part]>,
}

impl Transform {
    /// The rule that renames what matches `src` to `dest`. An empty `src` means `>`; with an empty
    /// `dest` subjects stay as they are, and the rule only selects.
    ///
    /// # Errors
    ///
    /// [`TransformError`] in the order in which nats-server finds them: tokens and function names of
    /// `dest`; then `src` and whether both have a `>`; then arguments, from left to right.
    ///
    /// ```
    /// use natterjack_subject::Transform;
    ///
    /// let error = Transform::new("l.*", "l.{{foo(1)}}").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "invalid mapping destination: unknown function in {{foo(1)}}"
    /// );
    /// ```
    pub fn new(src: &str, dest: &str) -> Result<Self, TransformError> {
        let source = if src.is_empty() { ">" } else { src };
        let parts = parse::parts(source, dest)?;
        let stars = tokens(source.as_bytes()).enumerate().filter(|(_, token)| *token == b"*");
        Ok(Self {
            source: source.into(),
            destination: dest.into(),
            stars: stars.map(|(at, _)| at).collect(),
            rest: tokens(source.as_bytes()).count() - 1,
            parts: parts.into(),
        })
    }

    /// The source pattern; `>` if none was given.
    ///
    /// ```
    /// # use natterjack_subject::Transform;
    /// assert_eq!(Transform::new("", "x.>").unwrap().source(), ">");
    /// ```
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The destination as it was given.
    ///
    /// ```
    /// # use natterjack_subject::Transform;
    /// assert_eq!(Transform::new("a.*", "b.$1").unwrap().destination(), "b.$1");
    /// ```
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// The new name of `subject`, or `None` if the source does not match it. `rand` is what
    /// `{{random(b)}}` draws from, all 64 bits of it.
    ///
    /// This is the rule of mappings: a wildcard token in `subject` is carried over as it is, and
    /// matches where the source has the same or a wider one. The result may be no valid subject
    /// (`{{split(1,-)}}` of `--a`); it then matches nobody.
    ///
    /// ```
    /// # use natterjack_subject::Transform;
    /// let transform = Transform::new("a.*", "b.$1").unwrap();
    /// assert_eq!(transform.apply(b"a.x", 0).as_deref(), Some(&b"b.x"[..]));
    /// assert_eq!(transform.apply(b"a.*", 0).as_deref(), Some(&b"b.*"[..]));
    /// assert_eq!(transform.apply(b"a.>", 0), None);
    /// ```
    pub fn apply(&self, subject: &[u8], rand: u64) -> Option<Vec<u8>> {
        if has_empty_token(subject) || !is_subset(subject, self.source.as_bytes()) {
            return None;
        }
        if self.parts.is_empty() {
            return Some(subject.to_vec());
        }
        let own: SmallVec<[&[u8]; 16]> = tokens(subject).collect();
        let mut input = function::Input { subject, tokens: &own, transform: self, rand };
        let mut out = Vec::with_capacity(subject.len() + self.destination.len());
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                out.push(SEPARATOR);
            }
            part.write(&mut input, &mut out);
        }
        Some(out)
    }

    /// Like [`Transform::apply`], and `None` for a subject with a wildcard token: the rule of streams,
    /// which leave such a subject as it is.
    ///
    /// ```
    /// # use natterjack_subject::Transform;
    /// let transform = Transform::new("a.*", "b.$1").unwrap();
    /// assert_eq!(transform.apply_literal(b"a.x", 0).as_deref(), Some(&b"b.x"[..]));
    /// assert_eq!(transform.apply_literal(b"a.*", 0), None);
    /// ```
    pub fn apply_literal(&self, subject: &[u8], rand: u64) -> Option<Vec<u8>> {
        if is_valid_literal(subject) { self.apply(subject, rand) } else { None }
    }
}

/// Why a source and a destination make no transform. The text is nats-server's.
///
/// ```
/// use natterjack_subject::{Transform, TransformError};
///
/// assert_eq!(Transform::new("a.>", "b").unwrap_err(), TransformError::InvalidSubject);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransformError {
    /// The source may not be subscribed to, only one side has a `>`, or the destination has a `*`.
    InvalidSubject,
    /// A token of the destination is empty, holds a blank outside a function, or follows a `>`.
    InvalidTransform {
        /// The token that follows a `>`.
        token: Option<String>,
    },
    /// A token in double braces names no function.
    UnknownFunction {
        /// The token.
        token: String,
    },
    /// Too few arguments, or too many to `random`.
    NotEnoughArguments {
        /// The token.
        token: String,
    },
    /// Too many arguments.
    TooManyArguments {
        /// The token.
        token: String,
    },
    /// An argument is no number, does not fit 32 bits, or is a delimiter with a space.
    InvalidArgument {
        /// The token.
        token: String,
    },
    /// The source has no such `*`.
    IndexOutOfRange {
        /// The token.
        token: String,
        /// What was asked for; not given if the source has no wildcards at all.
        index: Option<i64>,
    },
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, token) = match self {
            Self::InvalidSubject => return f.write_str("invalid subject"),
            Self::InvalidTransform { token } => ("invalid transform", token.as_ref()),
            Self::UnknownFunction { token } => ("unknown function", Some(token)),
            Self::NotEnoughArguments { token } => {
                ("not enough arguments passed to the function", Some(token))
            }
            Self::TooManyArguments { token } => {
                ("too many arguments passed to the function", Some(token))
            }
            Self::InvalidArgument { token } => {
                ("function argument is invalid or in the wrong format", Some(token))
            }
            Self::IndexOutOfRange { token, .. } => ("wildcard index out of range", Some(token)),
        };
        write!(f, "invalid mapping destination: {what}")?;
        if let Some(token) = token {
            write!(f, " in {token}")?;
        }
        if let Self::IndexOutOfRange { index: Some(index), .. } = self {
            write!(f, ": [{index}]")?;
        }
        Ok(())
    }
}

impl Error for TransformError {}

#[cfg(test)]
mod tests;
