//! Templates in subjects, bodies and header values: `{{Count}}`, `{{.Count}}`, `{{Random 10 100}}`.
//!
//! The words are those of the `nats` tool; dotted and bare spellings mean the same. A text that holds
//! anything else between double braces is no template and is sent as it is.

use jiff::Zoned;
use rand::RngExt as _;

/// What the words stand for in one message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts<'a> {
    /// The number of the message, from 1.
    pub(crate) count: u64,
    /// The request that is answered; only for `reply`.
    pub(crate) request: Option<&'a str>,
    /// Tokens of the request's subject, for `{{0}}`, `{{1}}`; only for `reply --command`.
    pub(crate) tokens: &'a [&'a str],
}

/// A text, taken apart once and filled in for each message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Count,
    Time,
    TimeStamp,
    Unix,
    UnixNano,
    Id,
    Random(usize, usize),
    Request,
    Token(usize),
}

/// A text looks like a template and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotATemplate {
    /// What stands between the braces.
    pub(crate) what: String,
}

/// The longest text that `Random` makes, in bytes.
const RANDOM_MAX: usize = 64 << 20;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Template {
    /// A text that is sent as it is.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(text.into())] }
    }

    /// Takes a text apart.
    ///
    /// # Errors
    /// It is no template: braces without end, an unknown word, or wrong arguments.
    pub(crate) fn parse(text: &str) -> Result<Self, NotATemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let shown = || NotATemplate { what: after.chars().take(20).collect() };
            let (inner, tail) = after.split_once("}}").ok_or_else(shown)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(word(inner).ok_or_else(|| NotATemplate { what: inner.trim().to_owned() })?);
            rest = tail;
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// As [`parse`](Self::parse), but a text that is no template stands for itself; `warn` is told.
    pub(crate) fn lenient(text: &str, warn: impl FnOnce(&NotATemplate)) -> Self {
        Self::parse(text).unwrap_or_else(|error| {
            warn(&error);
            Self::plain(text)
        })
    }

    /// The text for one message.
    pub(crate) fn fill(&self, facts: &Facts<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Count => out.push_str(&facts.count.to_string()),
                Part::Time => out.push_str(&Zoned::now().strftime("%-I:%M%p").to_string()),
                Part::TimeStamp => {
                    out.push_str(&Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string());
                }
                Part::Unix => out.push_str(&Zoned::now().timestamp().as_second().to_string()),
                Part::UnixNano => {
                    out.push_str(&Zoned::now().timestamp().as_nanosecond().to_string());
                }
                Part::Id => random(&mut out, 22),
                Part::Random(min, max) => random(&mut out, rand::rng().random_range(*min..=*max)),
                Part::Request => out.push_str(facts.request.unwrap_or_default()),
                Part::Token(at) => out.push_str(facts.tokens.get(*at).copied().unwrap_or_default()),
            }
        }
        out
    }
}

fn word(inner: &str) -> Option<Part> {
    let mut words = inner.split_whitespace();
    let name = words.next()?;
    let arguments: Vec<&str> = words.collect();
    let part = match name.strip_prefix('.').unwrap_or(name) {
        "Count" | "Cnt" => Part::Count,
        "Time" => Part::Time,
        "TimeStamp" => Part::TimeStamp,
        "Unix" => Part::Unix,
        "UnixNano" => Part::UnixNano,
        "ID" => Part::Id,
        "Request" => Part::Request,
        "Random" => {
            let [min, max] = arguments.as_slice() else { return None };
            let (min, max) = (min.parse().ok()?, max.parse().ok()?);
            return (min <= max && max <= RANDOM_MAX).then_some(Part::Random(min, max));
        }
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Part::Token(digits.parse().ok()?)
        }
        _ => return None,
    };
    arguments.is_empty().then_some(part)
}

fn random(out: &mut String, length: usize) {
    let mut rng = rand::rng();
    out.extend((0..length).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, count: u64) -> String {
        Template::parse(text).unwrap().fill(&Facts { count, ..Facts::default() })
    }

    // Shows U-078.
    #[test]
    fn both_spellings_mean_the_same() {
        for text in ["n={{Count}}!", "n={{.Count}}!", "n={{ Cnt }}!", "n={{ .Cnt }}!"] {
            assert_eq!(fill(text, 7), "n=7!", "{text}");
        }
        let now = Zoned::now().timestamp().as_second();
        for text in ["{{Unix}}", "{{.Unix}}"] {
            let unix: i64 = fill(text, 1).parse().unwrap();
            assert!((unix - now).abs() < 10);
        }
        for text in ["{{UnixNano}}", "{{.UnixNano}}"] {
            let nanos: i128 = fill(text, 1).parse().unwrap();
            assert_eq!(nanos / 10_000_000_000_000, i128::from(now) / 10_000);
        }
        for text in ["{{TimeStamp}}", "{{.TimeStamp}}"] {
            let stamp: jiff::Timestamp = fill(text, 1).parse().unwrap();
            assert!((stamp.as_second() - now).abs() < 10);
        }
        for text in ["{{Time}}", "{{.Time}}"] {
            let time = fill(text, 1);
            assert!(time.ends_with("AM") || time.ends_with("PM"), "{time}");
        }
        for text in ["{{ID}}", "{{.ID}}"] {
            let (one, two) = (fill(text, 1), fill(text, 1));
            assert!(one.len() == 22 && one != two);
        }
        for text in ["{{Random 3 5}}", "{{ .Random 3 5 }}"] {
            let random = fill(text, 1);
            assert!((3..=5).contains(&random.len()), "{random}");
            assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn requests_and_tokens_are_filled_in() {
        let template = Template::parse("{{1}}/{{0}}/{{9}} {{.Request}}").unwrap();
        let facts = Facts { count: 1, request: Some("hi {{Count}}"), tokens: &["weather", "bonn"] };
        assert_eq!(template.fill(&facts), "bonn/weather/ hi {{Count}}");
    }

    #[test]
    fn what_is_no_template_stays_as_it_is() {
        for text in [r#"{"a":{"b":{}}}"#, "", "plain", "}} {"] {
            assert_eq!(fill(text, 1), text);
        }
        for text in [
            "{{",
            "{{}}",
            r#"{{"a":1}}"#,
            "{{Foo}}",
            "{{Count 1}}",
            "{{Random 5 3}}",
            "{{Random 1}}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
            let mut warned = 0;
            let template = Template::lenient(text, |_| warned += 1);
            assert_eq!((template.fill(&Facts::default()).as_str(), warned), (text, 1));
        }
    }
}
