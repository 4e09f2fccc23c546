//! `msg_trace` of an account: reports about messages that are traced from outside.

use super::MessageTrace;
use super::decode::Decoder;
use crate::language::{Entry, Kind, Map};
use crate::names;

/// Reads a subject, or a subject and a share.
pub(super) fn msg_trace(d: &mut Decoder<'_>, entry: &Entry) -> Option<MessageTrace> {
    let map = match &entry.value.kind {
        Kind::String(_) => {
            let destination = destination(d, entry)?;
            return Some(MessageTrace { destination, sampling: 100 });
        }
        Kind::Map(map) => map,
        kind => {
            let (key, noun) = (names::quote(&entry.key), kind.noun());
            let text = format!(
                "Expected account message trace {key} to be a string or a map/struct, got {noun}"
            );
            d.error(&entry.value.position, text);
            return None;
        }
    };
    let (mut to, mut share) = (None, None);
    for item in Map::iter(map) {
        match item.key.to_ascii_lowercase().as_str() {
            "dest" => to = destination(d, item),
            "sampling" => share = sampling(d, item),
            _ => d.unknown_with(item, |key| {
                let block = names::quote(&entry.key);
                format!("Unknown field {key} parsing account message trace map/struct {block}")
            }),
        }
    }
    if to.is_none() && share.is_some() {
        d.warn(
            &entry.value.position,
            "Trace destination sampling ignored since no destination was set",
        );
    }
    Some(MessageTrace { destination: to?, sampling: share.unwrap_or(100) })
}

fn destination(d: &mut Decoder<'_>, entry: &Entry) -> Option<String> {
    let Kind::String(text) = &entry.value.kind else {
        let (key, noun) = (names::quote(&entry.key), entry.value.kind.noun());
        d.error(&entry.value.position, format!("Field {key} should be a string, got {noun}"));
        return None;
    };
    if natterjack_subject::is_valid_literal(text.as_bytes()) {
        return Some(text.to_string());
    }
    let shown = names::quote(text);
    d.error(&entry.value.position, format!("Trace destination {shown} is not valid"));
    None
}

fn sampling(d: &mut Decoder<'_>, entry: &Entry) -> Option<u8> {
    let number = match &entry.value.kind {
        Kind::Integer(number) => Ok(*number),
        Kind::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or(text);
            digits.parse().map_err(|_| {
                format!("Invalid trace destination sampling value {}", names::quote(text))
            })
        }
        kind => Err(format!(
            "Trace destination sampling field {} should be an integer or a percentage, got {}",
            names::quote(&entry.key),
            kind.noun()
        )),
    };
    let share = number.and_then(|number| match u8::try_from(number) {
        Ok(share @ 1..=100) => Ok(share),
        // The word is nats-server 2.15.1's.
        _ => Err(format!(
            "Ttrace destination sampling value {number} is invalid, needs to be [1..100]"
        )),
    });
    share.map_err(|text| d.error(&entry.value.position, text)).ok()
}

#[cfg(test)]
mod tests {
    use crate::Options;
    use crate::language::NoSource;

    fn parse(value: &str) -> Result<Options, String> {
        let text = format!("accounts {{ A {{ msg_trace: {value} }} }}");
        Options::parse(&text, "C", &NoSource).map_err(|error| error.to_string())
    }

    #[test]
    fn a_destination_may_come_with_a_share() {
        for (value, expected) in [
            ("a.b", Some(("a.b", 100))),
            ("{dest: a}", Some(("a", 100))),
            ("{dest: a, sampling: 5}", Some(("a", 5))),
            ("{DEST: a, sampling: \"25%\"}", Some(("a", 25))),
            ("{dest: a, sampling: \"25\"}", Some(("a", 25))),
            ("{}", None),
        ] {
            let options = parse(value).unwrap();
            let found = options.accounts[0].trace.clone();
            let found = found.as_ref().map(|found| (found.destination.as_str(), found.sampling));
            assert_eq!(found, expected, "{value}");
            assert!(options.warnings.is_empty(), "{value}");
        }
        let options = parse("{sampling: 5}").unwrap();
        assert_eq!(options.accounts[0].trace, None);
        let warning = options.warnings[0].to_string();
        assert!(warning.ends_with("sampling ignored since no destination was set"), "{warning}");
    }

    #[test]
    fn what_is_none_is_refused() {
        for (value, error) in [
            ("\"a.*\"", "Trace destination \"a.*\" is not valid"),
            ("5", "Expected account message trace \"msg_trace\" to be a string or a map/struct"),
            ("{dest: 5}", "Field \"dest\" should be a string"),
            ("{dest: a, sampling: 0}", "sampling value 0 is invalid, needs to be [1..100]"),
            ("{dest: a, sampling: 101}", "sampling value 101 is invalid, needs to be [1..100]"),
            ("{dest: a, sampling: x}", "Invalid trace destination sampling value \"x\""),
            ("{dest: a, sampling: 1.5}", "\"sampling\" should be an integer or a percentage"),
            ("{other: a}", "Unknown field \"other\" parsing account message trace map/struct"),
        ] {
            let found = parse(value).unwrap_err();
            assert!(found.contains(error), "{value}: {found}");
        }
    }
}
