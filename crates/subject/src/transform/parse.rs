//! Destinations: from text to parts.
//!
//! nats-server looks at a destination twice, and the first finding wins: once for the shape of its
//! tokens, once for the meaning of their arguments. A token is cut at each `.`, also inside braces, so
//! that `{{split(1,.)}}` is two literal tokens.

use super::TransformError;
use super::function::Part;
use crate::grammar::is_valid_subscription;

/// The functions, in the order in which a token is searched for them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Function {
    Wildcard,
    Partition,
    SplitFromLeft,
    SplitFromRight,
    SliceFromLeft,
    SliceFromRight,
    Split,
    Left,
    Right,
    Random,
}

/// Names are written in camel case; only the first letter of each word may be of either case.
const FUNCTIONS: [(&[&str], Function); 10] = [
    (&["wildcard"], Function::Wildcard),
    (&["partition"], Function::Partition),
    (&["split", "from", "left"], Function::SplitFromLeft),
    (&["split", "from", "right"], Function::SplitFromRight),
    (&["slice", "from", "left"], Function::SliceFromLeft),
    (&["slice", "from", "right"], Function::SliceFromRight),
    (&["split"], Function::Split),
    (&["left"], Function::Left),
    (&["right"], Function::Right),
    (&["random"], Function::Random),
];

/// The blanks that a destination may hold inside braces only.
const BLANKS: [char; 5] = [' ', '\t', '\n', '\r', '\x0c'];

/// The parts of `dest`, one per token; none if it is empty.
pub(super) fn parts(source: &str, dest: &str) -> Result<Vec<Part>, TransformError> {
    if !dest.is_empty() {
        check_shape(dest)?;
    }
    if !is_valid_subscription(source.as_bytes()) {
        return Err(TransformError::InvalidSubject);
    }
    if dest.is_empty() {
        return Ok(Vec::new());
    }
    let open = |subject: &str| subject.split('.').next_back() == Some(">");
    if open(source) != open(dest) || dest.split('.').any(|token| token == "*") {
        return Err(TransformError::InvalidSubject);
    }
    let stars = source.split('.').filter(|token| *token == "*").count();
    let wild = stars > 0 || open(source);
    dest.split('.').map(|token| part(token, wild.then_some(stars))).collect()
}

/// The first look: no empty token, nothing behind a `>`, known functions, no blanks elsewhere.
fn check_shape(dest: &str) -> Result<(), TransformError> {
    let mut closed = false;
    for token in dest.split('.') {
        if closed || token.is_empty() {
            let token = Some(token).filter(|token| !token.is_empty()).map(str::to_owned);
            return Err(TransformError::InvalidTransform { token });
        }
        if is_braced(token) {
            if find_function(token).is_none() {
                return Err(TransformError::UnknownFunction { token: token.to_owned() });
            }
        } else if token.contains(BLANKS) {
            return Err(TransformError::InvalidTransform { token: None });
        }
        closed = token == ">";
    }
    Ok(())
}

/// The second look: what a token asks for. `stars` is how many `*` the source has, if it has a
/// wildcard at all.
fn part(token: &str, stars: Option<usize>) -> Result<Part, TransformError> {
    if token == ">" {
        return Ok(Part::Rest);
    }
    if let Some(index) = token.strip_prefix('$').and_then(|digits| digits.parse::<i64>().ok()) {
        return check_index(token, index, stars).map(Part::Token);
    }
    let found = if is_braced(token) { find_function(token) } else { None };
    let Some((function, arguments)) = found else {
        return Ok(Part::Literal(token.as_bytes().into()));
    };
    let bad = || TransformError::InvalidArgument { token: token.to_owned() };
    let few = || TransformError::NotEnoughArguments { token: token.to_owned() };
    let many = || TransformError::TooManyArguments { token: token.to_owned() };
    let arguments = split_arguments(arguments);
    let number = |text: &str| text.trim_matches(' ').parse::<i64>().map_err(|_| bad());
    // A modulus is cut to 32 bits only after it was found to be no larger than that.
    let modulus = |text: &str| match number(text)? {
        value if value <= i64::from(i32::MAX) => Ok(value),
        _ => Err(bad()),
    };
    match function {
        Function::Wildcard => match arguments[..] {
            [""] => Err(few()),
            [index] => check_index(token, number(index)?, stars).map(Part::Token),
            _ => Err(many()),
        },
        Function::Partition => {
            let buckets = modulus(arguments[0])? as u32;
            let chosen = arguments[1..].iter().map(|text| number(text));
            let chosen = chosen.collect::<Result<Vec<i64>, _>>()?;
            match stars {
                // Without wildcards there is nothing to choose from, and the hash is that of nothing.
                None => Ok(Part::PartitionOf { buckets, tokens: [].into() }),
                Some(_) if chosen.is_empty() => Ok(Part::Partition { buckets }),
                Some(_) => {
                    let chosen = chosen.into_iter().map(|index| check_index(token, index, stars));
                    let tokens = chosen.collect::<Result<Vec<usize>, _>>()?.into();
                    Ok(Part::PartitionOf { buckets, tokens })
                }
            }
        }
        Function::Random => match arguments[..] {
            [bound] => Ok(Part::Random { bound: modulus(bound)?.max(0) as u32 }),
            _ => Err(few()),
        },
        Function::Split => match arguments[..] {
            [index, delimiter] => {
                let index = number(index)?;
                if delimiter.contains(' ') {
                    return Err(bad());
                }
                let star = check_index(token, index, stars)?;
                Ok(Part::Split { star, delimiter: delimiter.as_bytes().into() })
            }
            [] | [_] => Err(few()),
            _ => Err(many()),
        },
        Function::SplitFromLeft
        | Function::SplitFromRight
        | Function::SliceFromLeft
        | Function::SliceFromRight
        | Function::Left
        | Function::Right => {
            let [index, size] = arguments[..] else {
                return Err(if arguments.len() < 2 { few() } else { many() });
            };
            let index = number(index)?;
            let size = i32::try_from(number(size)?).map_err(|_| bad())?;
            let star = check_index(token, index, stars)?;
            // Not positive means to leave the token as it is.
            let size = usize::try_from(size).unwrap_or(0);
            Ok(match function {
                Function::SplitFromLeft => Part::SplitFromLeft { star, size },
                Function::SplitFromRight => Part::SplitFromRight { star, size },
                Function::SliceFromLeft => Part::SliceFromLeft { star, size },
                Function::SliceFromRight => Part::SliceFromRight { star, size },
                Function::Left => Part::Left { star, size },
                _ => Part::Right { star, size },
            })
        }
    }
}

/// Which `*` an index means, counted from 1. Zero and less stand for the subject's first token,
/// whatever the source has there.
fn check_index(token: &str, index: i64, stars: Option<usize>) -> Result<usize, TransformError> {
    let Some(stars) = stars else {
        return Err(TransformError::IndexOutOfRange { token: token.to_owned(), index: None });
    };
    match usize::try_from(index.max(0)) {
        Ok(star) if star <= stars => Ok(star),
        _ => {
            let token = token.to_owned();
            Err(TransformError::IndexOutOfRange { token, index: Some(index) })
        }
    }
}

fn is_braced(token: &str) -> bool {
    token.len() > 4 && token.starts_with("{{") && token.ends_with("}}")
}

/// Finds a function call anywhere in the token, and the text between its parentheses: as far as the
/// last `)` before `}}`.
fn find_function(token: &str) -> Option<(Function, &str)> {
    FUNCTIONS.iter().find_map(|(words, function)| {
        let starts = token.match_indices("{{").map(|(at, _)| &token[at + 2..]);
        // A brace may be the second of one pair and the first of the next: `{{{wildcard(1)}}`.
        let starts = starts.flat_map(|rest| [Some(rest), rest.strip_prefix('{')]).flatten();
        starts.filter_map(|rest| arguments(rest, words)).next().map(|found| (*function, found))
    })
}

/// What stands between the parentheses if `rest` is a call of the function with this name.
fn arguments<'t>(rest: &'t str, words: &[&str]) -> Option<&'t str> {
    let mut rest = rest.trim_start_matches(BLANKS);
    for word in words {
        let head = rest.get(..word.len())?;
        if !head.starts_with(|c: char| c.is_ascii_alphabetic())
            || !head[..1].eq_ignore_ascii_case(&word[..1])
            || head[1..] != word[1..]
        {
            return None;
        }
        rest = &rest[word.len()..];
    }
    let inner = rest.trim_start_matches(BLANKS).strip_prefix('(')?;
    let closing = inner.rmatch_indices(')').map(|(at, _)| at);
    let mut closing =
        closing.filter(|at| inner[at + 1..].trim_start_matches(BLANKS).starts_with("}}"));
    Some(&inner[..closing.next()?])
}

/// Arguments are separated by a comma and any blanks behind it; there is always at least one.
fn split_arguments(text: &str) -> Vec<&str> {
    let mut arguments = text.split(',');
    let first = arguments.next().unwrap_or_default();
    std::iter::once(first).chain(arguments.map(|text| text.trim_start_matches(BLANKS))).collect()
}
