//! `proxies`: whose word about clients counts.

use super::Options;
use super::decode::Decoder;
use crate::language::{Entry, Kind, Map};

pub(super) fn proxies(d: &mut Decoder<'_>, entry: &Entry, o: &mut Options) {
    let Kind::Map(map) = &entry.value.kind else {
        let noun = entry.value.kind.noun();
        let text = format!("expected proxies to be a map/struct, got {noun}");
        d.error(&entry.value.position, text);
        return;
    };
    for item in Map::iter(map) {
        match item.key.to_ascii_lowercase().as_str() {
            "trusted" => o.trusted_proxies = trusted(d, item),
            _ => d.unknown(item),
        }
    }
}

fn trusted(d: &mut Decoder<'_>, entry: &Entry) -> Vec<String> {
    let Kind::Array(items) = &entry.value.kind else {
        let noun = entry.value.kind.noun();
        let text = format!("expected proxies' trusted field to be an array, got {noun}");
        d.error(&entry.value.position, text);
        return Vec::new();
    };
    let mut keys = Vec::new();
    for value in items.iter() {
        let Kind::Map(map) = &value.kind else {
            let noun = value.kind.noun();
            let text = format!("expected proxies' trusted entry to be a map/struct, got {noun}");
            d.error(&value.position, text);
            continue;
        };
        for item in Map::iter(map) {
            match item.key.to_ascii_lowercase().as_str() {
                "key" | "public_key" => {
                    let Some(key) = d.string(item) else { continue };
                    // Of any kind, as in nats-server; only signing keys can prove anything.
                    if nkeys::KeyPair::from_public_key(&key).is_ok() {
                        keys.push(key);
                    } else {
                        d.error(&item.value.position, format!("invalid proxy key {key:?}"));
                    }
                }
                _ => d.unknown(item),
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::NoSource;

    #[test]
    fn keys_are_checked() {
        let key = "UAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB63NN";
        let text = format!("proxies {{ trusted = [ {{ key: {key} }}, {{ public_key: {key} }} ] }}");
        let options = Options::parse(&text, "x", &NoSource).unwrap();
        assert_eq!(options.trusted_proxies, [key, key]);
        for (text, error) in [
            ("proxies: 1", "expected proxies to be a map/struct, got "),
            ("proxies { trusted: 1 }", "expected proxies' trusted field to be an array, got "),
            (
                "proxies { trusted: [1] }",
                "expected proxies' trusted entry to be a map/struct, got ",
            ),
            ("proxies { trusted: [{key: x}] }", "invalid proxy key \"x\""),
            ("proxies { other: 1 }", "unknown field \"other\""),
            ("proxies { trusted: [{other: x}] }", "unknown field \"other\""),
        ] {
            let found = Options::parse(text, "x", &NoSource).unwrap_err().to_string();
            assert!(found.contains(error), "{found}");
        }
    }
}
