//! How an import names what is exported: one subject here for each one there, and back.

use natterjack_subject::{Transform, TransformError, has_wildcard, matches};
use smallvec::SmallVec;

/// Subjects of two patterns that belong to each other one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rename {
    /// The pattern in the exporting account.
    exported: Box<[u8]>,
    /// The pattern in the importing account.
    local: Box<[u8]>,
    to_local: Box<[Piece]>,
    to_exported: Box<[Piece]>,
}

/// A part of a subject that is made of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// The token at this position, from 0.
    Token(usize),
    /// All tokens from this position on.
    Rest(usize),
}

/// Why a subject cannot be renamed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenameError {
    /// As for mappings.
    #[error(transparent)]
    Transform(#[from] TransformErrorText),
    /// Two subjects would get one name.
    #[error("invalid mapping destination: not using all of the token wildcard(s) in {0}")]
    UnusedWildcards(String),
    /// A function that cannot be undone.
    #[error(
        "invalid mapping destination: the only mapping function allowed for import transforms is \
         {{{{Wildcard()}}}} in {0}"
    )]
    Function(String),
}

/// The text of a [`TransformError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransformErrorText(TransformError);

/// Which wildcard a token of a destination stands for, from 1.
fn wildcard_number(token: &str) -> Option<usize> {
    if let Some(digits) = token.strip_prefix('$') {
        return digits.parse().ok();
    }
    let inner = token.strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let name = inner.get(..8).filter(|name| name.eq_ignore_ascii_case("wildcard"))?;
    let arguments = inner[name.len()..].trim().strip_prefix('(')?.strip_suffix(')')?;
    arguments.trim().parse().ok()
}

/// Gives plain wildcards their numbers: `a.*.*` becomes `a.$1.$2`.
pub(super) fn number_wildcards(pattern: &str) -> String {
    let mut count = 0;
    let tokens = pattern.split('.').map(|token| match token {
        "*" => {
            count += 1;
            format!("${count}")
        }
        _ => token.to_owned(),
    });
    tokens.collect::<Vec<_>>().join(".")
}

/// The pattern that a destination with `$n` covers: each becomes `*`.
fn pattern_of(destination: &str) -> String {
    let tokens = destination
        .split('.')
        .map(|token| if wildcard_number(token).is_some() { "*" } else { token });
    tokens.collect::<Vec<_>>().join(".")
}

impl Rename {
    /// The same names on both sides.
    pub(super) fn same(subject: &str) -> Self {
        let subject: Box<[u8]> = subject.as_bytes().into();
        Rename {
            exported: subject.clone(),
            local: subject,
            to_local: [].into(),
            to_exported: [].into(),
        }
    }

    /// Subjects of `exported` are called `local` here.
    ///
    /// # Errors
    /// There is no way back from one to the other.
    pub(super) fn new(exported: &str, local: &str) -> Result<Self, RenameError> {
        if exported == local {
            return Ok(Self::same(exported));
        }
        if !has_wildcard(exported.as_bytes()) {
            // One subject with another name, whatever its tokens look like.
            let text = |subject: &str| Box::from([Piece::Text(subject.into())]);
            return Ok(Rename {
                exported: exported.as_bytes().into(),
                local: local.as_bytes().into(),
                to_local: text(local),
                to_exported: text(exported),
            });
        }
        let destination = number_wildcards(local);
        if destination == number_wildcards(exported) {
            return Ok(Self::same(exported));
        }
        Transform::new(exported, &destination).map_err(TransformErrorText)?;
        let stars: Vec<usize> = positions(exported, "*");
        let mut origin = vec![None; stars.len()];
        let mut to_local = Vec::new();
        let tail = exported.split('.').count() - 1;
        for (at, token) in destination.split('.').enumerate() {
            to_local.push(match (wildcard_number(token), token) {
                (Some(number), _) => {
                    let Some(star) = number.checked_sub(1).filter(|star| *star < stars.len())
                    else {
                        return Err(RenameError::UnusedWildcards(destination));
                    };
                    origin[star] = Some(at);
                    Piece::Token(stars[star])
                }
                (None, ">") => Piece::Rest(tail),
                (None, token) if token.starts_with("{{") && token.ends_with("}}") => {
                    return Err(RenameError::Function(token.to_owned()));
                }
                (None, token) => Piece::Text(token.into()),
            });
        }
        let mut origin = origin.into_iter();
        let mut to_exported = Vec::new();
        for token in exported.split('.') {
            to_exported.push(match token {
                "*" => match origin.next().flatten() {
                    Some(at) => Piece::Token(at),
                    None => return Err(RenameError::UnusedWildcards(destination)),
                },
                ">" => Piece::Rest(to_local.len() - 1),
                _ => Piece::Text(token.into()),
            });
        }
        Ok(Rename {
            exported: exported.as_bytes().into(),
            local: pattern_of(&destination).into_bytes().into(),
            to_local: to_local.into(),
            to_exported: to_exported.into(),
        })
    }

    /// The pattern in the importing account.
    pub(super) fn local(&self) -> &[u8] {
        &self.local
    }

    /// What a subject of the exporter is called here; `None` if it is not imported.
    pub(super) fn to_local(&self, subject: &[u8]) -> Option<Vec<u8>> {
        matches(&self.exported, subject).then(|| rewrite(&self.to_local, subject))
    }

    /// What a subject here is called by the exporter; `None` if it is not imported.
    pub(super) fn to_exported(&self, subject: &[u8]) -> Option<Vec<u8>> {
        matches(&self.local, subject).then(|| rewrite(&self.to_exported, subject))
    }

    /// What the part of `pattern` that is imported is called by the exporter: it covers all subjects
    /// there whose names here match. `None` if there are none.
    pub(super) fn pattern_to_exported(&self, pattern: &[u8]) -> Option<Vec<u8>> {
        intersection(pattern, &self.local).map(|both| rewrite(&self.to_exported, &both))
    }
}

fn positions(pattern: &str, wanted: &str) -> Vec<usize> {
    let tokens = pattern.split('.').enumerate();
    tokens.filter(|(_, token)| *token == wanted).map(|(at, _)| at).collect()
}

fn rewrite(pieces: &[Piece], subject: &[u8]) -> Vec<u8> {
    if pieces.is_empty() {
        return subject.to_vec();
    }
    let tokens: SmallVec<[&[u8]; 16]> = subject.split(|byte| *byte == b'.').collect();
    let mut out = Vec::with_capacity(subject.len() + 32);
    for (at, piece) in pieces.iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Token(at) => out.extend_from_slice(tokens.get(*at).unwrap_or(&&b"*"[..])),
            Piece::Rest(from) => {
                out.extend_from_slice(&tokens.get(*from..).unwrap_or(&[&b">"[..]]).join(&b'.'));
            }
        }
    }
    out
}

/// The subjects that match both patterns, as a pattern.
fn intersection(a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    let (mut a, mut b) = (a.split(|byte| *byte == b'.'), b.split(|byte| *byte == b'.'));
    let mut out: Vec<&[u8]> = Vec::new();
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Some(out.join(&b'.')),
            (Some(b">"), Some(token)) => {
                out.push(token);
                out.extend(b);
                return Some(out.join(&b'.'));
            }
            (Some(token), Some(b">")) => {
                out.push(token);
                out.extend(a);
                return Some(out.join(&b'.'));
            }
            (Some(b"*"), Some(token)) | (Some(token), Some(b"*")) => out.push(token),
            (Some(one), Some(other)) if one == other => out.push(one),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(exported: &str, local: &str, rows: &[(&str, &str)]) {
        let rename = Rename::new(exported, local).unwrap();
        for (there, here) in rows {
            let renamed =
                rename.to_local(there.as_bytes()).map(|it| String::from_utf8(it).unwrap());
            assert_eq!(renamed.as_deref(), Some(*here));
            let back = rename.to_exported(here.as_bytes()).map(|it| String::from_utf8(it).unwrap());
            assert_eq!(back.as_deref(), Some(*there));
        }
        assert_eq!(rename.to_local(b"elsewhere.a.b.c.d.e"), None);
    }

    #[test]
    fn a_name_leads_there_and_back() {
        check("ev.>", "imp.ev.>", &[("ev.x.y", "imp.ev.x.y"), ("ev.x", "imp.ev.x")]);
        check("ev.*", "mine.*", &[("ev.x", "mine.x")]);
        check("sw.*.*", "ws.$2.x.$1", &[("sw.a.b", "ws.b.x.a")]);
        check("sw.*.*", "ws.{{ wildcard( 2 ) }}.$1", &[("sw.a.b", "ws.b.a")]);
        check("sw.*.>", "ws.$1.>", &[("sw.a.b.c", "ws.a.b.c")]);
        check("a", "b.c", &[("a", "b.c")]);
        check("a.*", "a.*", &[("a.b", "a.b")]);
    }

    #[test]
    fn a_pattern_is_taken_to_the_exporter_as_far_as_it_is_imported() {
        let rename = Rename::new("sw.*.>", "ws.x.$1.>").unwrap();
        for (here, there) in [
            (">", Some("sw.*.>")),
            ("ws.*.a.>", Some("sw.a.>")),
            ("*.x.a.b", Some("sw.a.b")),
            ("ws.x.*.b.*", Some("sw.*.b.*")),
            ("ws.x.a", None),
            ("ws.y.>", None),
        ] {
            let found = rename.pattern_to_exported(here.as_bytes());
            assert_eq!(found.as_deref(), there.map(str::as_bytes), "{here}");
        }
    }

    #[test]
    fn what_cannot_be_undone_is_refused_in_the_words_of_the_reference() {
        for (exported, local, text) in [
            (
                "x.*.*",
                "y.$1",
                "invalid mapping destination: not using all of the token wildcard(s) in y.$1",
            ),
            (
                "x.*",
                "y",
                "invalid mapping destination: not using all of the token wildcard(s) in y",
            ),
            (
                "x.*",
                "y.{{left(1,2)}}",
                "invalid mapping destination: the only mapping function allowed for import \
                 transforms is {{Wildcard()}} in {{left(1,2)}}",
            ),
            ("x.*", "y.*.*", "invalid mapping destination: wildcard index out of range in $2: [2]"),
            ("x.>", "y.*", "invalid subject"),
        ] {
            let error = Rename::new(exported, local).unwrap_err();
            assert_eq!(error.to_string(), text, "{exported} as {local}");
        }
    }
}
