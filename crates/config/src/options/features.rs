//! `feature_flags`: what a server can do before it does so by default.

use super::Options;
use super::decode::Decoder;
use crate::language::{Entry, Kind, Map};
use std::collections::BTreeMap;

/// The features that nats-server 2.15.1 knows, with what they are by default.
const KNOWN: [(&str, bool); 4] = [
    ("js_ack_fc_v2", false),
    ("js_api_reply_v2", false),
    ("js_raft_delete_range", true),
    ("js_snapshot_sources", false),
];

/// Those that would change what clients see, and are not built.
const NOT_BUILT: [&str; 2] = ["js_ack_fc_v2", "js_api_reply_v2"];

pub(super) fn features(d: &mut Decoder<'_>, entry: &Entry, o: &mut Options) {
    let Kind::Map(map) = &entry.value.kind else {
        let text =
            format!("error parsing feature flags: unsupported type {}", entry.value.kind.noun());
        d.error(&entry.value.position, text);
        return;
    };
    for item in Map::iter(map) {
        let Kind::Bool(on) = item.value.kind else {
            let (key, noun) = (&item.key, item.value.kind.noun());
            let text = format!("error parsing feature flag {key:?}: expected bool, got {noun}");
            d.error(&item.value.position, text);
            continue;
        };
        if on && NOT_BUILT.contains(&item.key.as_str()) {
            d.ignore(item);
        }
        o.feature_flags.insert(item.key.clone(), on);
    }
}

impl Options {
    /// All features with their states, as monitoring shows them. One that is not built is off.
    pub fn features(&self) -> BTreeMap<&'static str, bool> {
        let state = |name: &str, default: bool| {
            !NOT_BUILT.contains(&name) && self.feature_flags.get(name).copied().unwrap_or(default)
        };
        KNOWN.into_iter().map(|(name, default)| (name, state(name, default))).collect()
    }

    /// What a server logs of its `feature_flags` at start; nothing without any.
    pub fn feature_notices(&self) -> Vec<String> {
        if self.feature_flags.is_empty() {
            return Vec::new();
        }
        let default_of =
            |name: &str| KNOWN.iter().find(|(known, _)| *known == name).map(|(_, on)| *on);
        let (mut configured, mut unsupported) = (Vec::new(), Vec::new());
        for (name, on) in &self.feature_flags {
            match default_of(name) {
                Some(_) if *on && NOT_BUILT.contains(&name.as_str()) => {
                    unsupported.push(name.clone());
                }
                Some(default) => {
                    let state = match (default, on) {
                        (true, true) => "enabled",
                        (true, false) => "opt-out",
                        (false, true) => "opt-in",
                        (false, false) => "disabled",
                    };
                    configured.push(format!("{name} ({state})"));
                }
                None => unsupported.push(name.clone()),
            }
        }
        let configured =
            if configured.is_empty() { "none".to_owned() } else { configured.join(", ") };
        let mut lines =
            vec!["  Feature flags:".to_owned(), format!("    Configured:    {configured}")];
        if !unsupported.is_empty() {
            lines.push(format!("    Unsupported:   {}", unsupported.join(", ")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::NoSource;

    fn options(text: &str) -> Options {
        Options::parse(text, "x", &NoSource).unwrap()
    }

    #[test]
    fn what_is_switched_is_shown_and_what_is_not_built_stays_off() {
        let set = options(
            "feature_flags { js_raft_delete_range: false, js_snapshot_sources: true, js_ack_fc_v2: true, \
             other: true }",
        );
        let on: Vec<_> = set.features().into_iter().filter(|(_, on)| *on).collect();
        assert_eq!(on, [("js_snapshot_sources", true)]);
        assert_eq!(set.features().len(), 4);
        assert_eq!(set.warnings.len(), 1);
        assert_eq!(
            set.feature_notices(),
            [
                "  Feature flags:",
                "    Configured:    js_raft_delete_range (opt-out), js_snapshot_sources (opt-in)",
                "    Unsupported:   js_ack_fc_v2, other"
            ]
        );
        assert_eq!(options("port: 4222").feature_notices(), [""; 0]);
    }

    #[test]
    fn what_is_no_switch_is_refused() {
        for (text, error) in [
            ("feature_flags: on", "x:1:16: error parsing feature flags: unsupported type"),
            (
                "feature_flags { a: 1 }",
                "x:1:19: error parsing feature flag \"a\": expected bool, got",
            ),
        ] {
            let found = Options::parse(text, "x", &NoSource).unwrap_err().to_string();
            assert!(found.contains(error.split_once(": ").unwrap().1), "{found}");
        }
    }
}
