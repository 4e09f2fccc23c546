use std::ops::ControlFlow;

use super::*;

fn map(subjects: &[&str]) -> SubjectMap<usize> {
    let mut map = SubjectMap::new();
    for (value, subject) in subjects.iter().enumerate() {
        assert_eq!(map.insert(subject.as_bytes(), value), None);
    }
    map
}

/// The subjects that `filter` visits, by both walks.
fn matching(map: &mut SubjectMap<usize>, filter: &str) -> Vec<String> {
    let mut seen = Vec::new();
    map.for_each_matching(filter.as_bytes(), |subject, value| {
        seen.push((String::from_utf8(subject.to_vec()).unwrap(), *value));
        ControlFlow::Continue(())
    });
    let mut again = Vec::new();
    map.for_each_matching_mut(filter.as_bytes(), |subject, value| {
        again.push((String::from_utf8(subject.to_vec()).unwrap(), *value));
        ControlFlow::Continue(())
    });
    assert_eq!(seen, again);
    seen.into_iter().map(|(subject, _)| subject).collect()
}

#[test]
fn keeps_subjects_that_share_their_start() {
    let subjects = ["abc", "ab", "abd", "a", "b", "abcdefghijklmnopqrstuvwxyz.0123456789", "ab.c"];
    let mut map = map(&subjects);
    assert_eq!(map.len(), subjects.len());
    for (value, subject) in subjects.iter().enumerate() {
        assert_eq!(map.get(subject.as_bytes()), Some(&value), "{subject}");
        assert_eq!(map.get_mut(subject.as_bytes()).copied(), Some(value), "{subject}");
    }
    for missing in ["", "abcd", "ab.", "ab.cd", "c", "abcdefghijklmnopqrstuvwxyz.012345678"] {
        assert_eq!(map.get(missing.as_bytes()), None, "{missing}");
        assert_eq!(map.get_mut(missing.as_bytes()), None, "{missing}");
        assert_eq!(map.remove(missing.as_bytes()), None, "{missing}");
    }
    for (value, subject) in subjects.iter().enumerate() {
        assert_eq!(map.remove(subject.as_bytes()), Some(value), "{subject}");
        assert_eq!(map.get(subject.as_bytes()), None, "{subject}");
        assert_eq!(map.len(), subjects.len() - value - 1);
    }
    assert!(map.root.kids.is_none(), "an empty map holds no nodes");
}

#[test]
fn iterates_in_byte_order() {
    let map = map(&["a.b", "a-b", "a", "ab", "a.", "b", "a.b.c", "\u{ff}", "A"]);
    let seen: Vec<_> = map.iter().map(|(subject, _)| String::from_utf8(subject).unwrap()).collect();
    assert_eq!(seen, ["A", "a", "a-b", "a.", "a.b", "a.b.c", "ab", "b", "\u{ff}"]);
}

#[test]
fn visits_what_a_filter_matches() {
    let mut map = map(&["a", "a.b", "a.b.c", "a.bx.c", "a.x.c", "ab.b", "x.b.c", "x.*", "x.y"]);
    let mut check = |filter: &str, expected: &[&str]| {
        assert_eq!(matching(&mut map, filter), expected, "{filter}");
    };
    check(">", &["a", "a.b", "a.b.c", "a.bx.c", "a.x.c", "ab.b", "x.*", "x.b.c", "x.y"]);
    check("*", &["a"]);
    check("a", &["a"]);
    check("a.*", &["a.b"]);
    check("a.>", &["a.b", "a.b.c", "a.bx.c", "a.x.c"]);
    check("*.b", &["a.b", "ab.b"]);
    check("a.*.c", &["a.b.c", "a.bx.c", "a.x.c"]);
    check("*.b.*", &["a.b.c", "x.b.c"]);
    check("*.*.>", &["a.b.c", "a.bx.c", "a.x.c", "x.b.c"]);
    check("x.*", &["x.*", "x.y"]);
    check("a.b.c.d", &[]);
    check("a.b.c.>", &[]);
    check("a.", &[]);
    check("", &[]);
    check("a.>.c", &[]);
}

#[test]
fn empty_tokens_match_no_filter() {
    let mut map = map(&["", ".", "a.", "a..b", ".a"]);
    for filter in [">", "*", "*.*", "a.>", "*.*.*", "", ".", "a.", "a..b", "*.>"] {
        assert_eq!(matching(&mut map, filter), [""; 0], "{filter}");
    }
    assert_eq!(map.iter().count(), 5);
    assert_eq!(map.remove(b""), Some(0));
    assert_eq!(map.len(), 4);
}

#[test]
fn a_walk_stops_where_it_is_told_to() {
    let mut map = map(&["a", "b", "c"]);
    let mut seen = Vec::new();
    map.for_each_matching(b">", |_, value| {
        seen.push(*value);
        if *value == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(seen, [0, 1]);
    map.for_each_matching_mut(b">", |_, value| {
        *value += 10;
        ControlFlow::Break(())
    });
    assert_eq!(map.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [10, 1, 2]);
}

#[test]
fn deep_trees_need_no_deep_stack() {
    let mut map = SubjectMap::new();
    let subject = vec![b'a'; 8_000];
    for len in 1..=subject.len() / 4 {
        map.insert(&subject[..len * 4], len);
    }
    assert_eq!(map.iter().count(), 2_000);
    assert_eq!(map.get(&subject), Some(&2_000));
}

#[test]
fn a_removal_joins_what_no_longer_parts() {
    let subjects = ["a.1", "a.12", "a.13", "a.2", "a.123.x", "a.123.y", "b", "ab", "a"];
    for first in 0..subjects.len() {
        let mut map = map(&subjects);
        for subject in subjects.iter().cycle().skip(first).take(subjects.len()) {
            assert!(map.remove(subject.as_bytes()).is_some());
            let mut open: Vec<_> = map.root.kids.iter().collect();
            while let Some(kids) = open.pop() {
                for node in &kids.nodes {
                    let count = node.kids.as_ref().map(|kids| kids.nodes.len());
                    let useful = node.value.is_some() || count > Some(1);
                    assert!(useful && count != Some(0), "{:?}", &*node.label);
                    open.extend(&node.kids);
                }
            }
        }
        assert!(map.root.kids.is_none());
    }
}

#[test]
fn setting_a_value_again_counts_once() {
    let mut map = map(&["a"]);
    assert_eq!(map.insert(b"a", 7), Some(0));
    assert_eq!(map.len(), 1);
    assert_eq!(*map.get_or_insert_with(b"a", || 8), 7);
    assert_eq!(map.len(), 1);
    map.clear();
    assert!(map.is_empty() && map.get(b"a").is_none());
}
