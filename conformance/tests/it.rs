//! The committed cases and lists can be read; nothing here needs a server.

use std::path::Path;

use natterjack_conformance::{case, shown, table};

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_case_parses_and_covers_known_capabilities() {
    let cases = case::load(&home().join("cases")).unwrap();
    let lists = table::load(&home().join("capabilities")).unwrap();
    assert!(cases.len() >= 20);
    assert_eq!(table::unknown(&cases, &lists), std::collections::BTreeSet::new());
}

#[test]
fn cases_say_where_their_rule_stands() {
    let cases = case::load(&home().join("cases")).unwrap();
    let missing: Vec<&str> =
        cases.iter().filter(|c| c.spec.is_none()).map(|c| c.id.as_str()).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn tests_show_capabilities_of_the_list_for_users() {
    let tests = shown::load(&home().join("..")).unwrap();
    let lists = table::load(&home().join("capabilities")).unwrap();
    assert_eq!(shown::unknown(&tests, &lists), std::collections::BTreeSet::new());
}
