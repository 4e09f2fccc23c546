//! Random text: no panic, no overflow of the stack, and what is accepted stays accepted.

use crate::world::World;
use natterjack_config::{Options, duration, flags, language};
use proptest::prelude::*;

/// Pieces of the language, so that random text gets past the first character.
fn fragments() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "port",
        "authorization",
        "users",
        "accounts",
        "jetstream",
        "mappings",
        "user",
        "include",
        "a.conf",
        "$x",
        "$E",
        "x",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "(\n",
        "\n)\n",
        "\"",
        "'",
        "\\",
        "\\x41",
        "#",
        "//",
        "/",
        "=",
        ":",
        ",",
        ";",
        " ",
        "\n",
        "\r\n",
        "\t",
        "1",
        "-",
        "1.5",
        "5s",
        "1kb",
        "\"2m\"",
        "true",
        "off",
        "2016-05-04T18:53:41Z",
        "\u{e9}",
        "\u{feff}",
        "\0",
        "a",
        "publish",
        "default_permissions",
        "limits",
        "tls",
        "exports",
        "stream",
        "resolver",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn load(text: &str) {
    let world = World::default().file("C", text).file("a.conf", text).variable("E", text);
    if let Ok(tree) = language::parse_file("C", &world) {
        assert_eq!(language::digest(&tree).len(), "sha256:".len() + 64);
    }
    if let Ok(options) = Options::load("C", &world) {
        // The outcome does not matter; that there is one does.
        let _ = options.validate();
        assert!(options.max_payload > 0 && options.max_control_line > 0);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        load(&text);
    }

    #[test]
    fn any_mix_of_pieces_is_read_or_refused(text in fragments()) {
        load(&text);
    }

    #[test]
    fn a_string_in_quotes_comes_back(text in any::<String>()) {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        let tree = language::parse(&format!("k: \"{escaped}\""), "C", &World::default()).unwrap();
        prop_assert_eq!(tree.get("k").unwrap().value.kind.as_str(), Some(text.as_str()));
    }

    #[test]
    fn an_integer_comes_back(number in any::<i64>()) {
        let text = format!("k: {number}\n");
        let parsed = language::parse(&text, "C", &World::default());
        // The digits without their sign must fit, as in the reference.
        let tree = parsed.unwrap();
        prop_assert_eq!(tree.get("k").unwrap().value.kind.as_integer(), Some(number));
    }

    #[test]
    fn order_and_layout_do_not_change_the_digest(
        entries in prop::collection::btree_map("[a-z]{1,8}", any::<i32>(), 1..10),
    ) {
        let forward: Vec<_> = entries.iter().map(|(k, v)| format!("_{k}={v}")).collect();
        let mut backward: Vec<_> = entries.iter().map(|(k, v)| format!("  '_{k}' : {v} # x")).collect();
        backward.reverse();
        let digest = |text: &str| {
            language::digest(&language::parse(text, "C", &World::default()).unwrap())
        };
        prop_assert_eq!(digest(&forward.join(";")), digest(&backward.join("\r\n")));
    }

    #[test]
    fn a_duration_comes_back(nanos in 0..=i64::MAX as u64) {
        let text = duration::format(std::time::Duration::from_nanos(nanos));
        prop_assert_eq!(duration::parse(&text), Ok(nanos as i64), "{}", text);
    }

    #[test]
    fn any_command_line_is_obeyed_or_refused(args in prop::collection::vec("-{0,3}[a-zA-Z=_0-9]{0,6}", 0..6)) {
        // The outcome does not matter; that there is one does.
        let _ = flags::parse(args);
    }
}
