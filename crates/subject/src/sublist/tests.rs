use super::*;

/// The plain subscriptions and the pooled groups that `subject` reaches, sorted.
fn found(sublist: &Sublist<u32>, subject: &str) -> (Vec<u32>, Vec<(String, Vec<u32>)>) {
    let mut out = MatchSet::new();
    sublist.matches(subject.as_bytes(), &mut out);
    let mut groups: Vec<_> = out
        .queues
        .iter()
        .map(|(name, members)| {
            let mut members = members.clone();
            members.sort_unstable();
            (String::from_utf8_lossy(name).into_owned(), members)
        })
        .collect();
    groups.sort();
    out.plain.sort_unstable();
    (out.plain, groups)
}

/// Numbers the patterns from 0 and checks which of them each subject reaches.
fn check(patterns: &[&str], rows: &[(&str, &[u32])]) {
    let mut sublist = Sublist::new();
    for (id, pattern) in (0..).zip(patterns) {
        sublist.insert(pattern.as_bytes(), None, id);
    }
    for (subject, expected) in rows {
        assert_eq!(found(&sublist, subject).0, *expected, "{subject} in {patterns:?}");
    }
    // Taking out any one leaves the others found, whatever its removal joins together.
    for (gone, pattern) in (0..).zip(patterns) {
        assert_eq!(sublist.remove(pattern.as_bytes(), None, |id| *id == gone), Some(gone));
        for (subject, expected) in rows {
            let expected: Vec<u32> = expected.iter().copied().filter(|id| *id != gone).collect();
            assert_eq!(found(&sublist, subject).0, expected, "{subject} without {pattern}");
        }
        sublist.insert(pattern.as_bytes(), None, gone);
    }
}

#[test]
fn finds_literals_and_wildcards() {
    check(
        &["a.b.c", "a.b", "a", "a.*", "a.>", "*", ">", "*.b.*", "a.*.c", "*.*.>"],
        &[
            ("a", &[2, 5, 6]),
            ("b", &[5, 6]),
            ("a.b", &[1, 3, 4, 6]),
            ("a.x", &[3, 4, 6]),
            ("a.b.c", &[0, 4, 6, 7, 8, 9]),
            ("a.x.c", &[4, 6, 8, 9]),
            ("b.b.b", &[6, 7, 9]),
            ("b.c.d.e", &[6, 9]),
        ],
    );
}

#[test]
fn takes_wildcards_in_a_published_subject_literally() {
    check(
        &["foo.*", "foo.>", "foo.bar", "foo*.b>r"],
        &[
            ("foo.*", &[0, 1]),
            ("foo.>", &[0, 1]),
            ("foo.bar", &[0, 1, 2]),
            ("foo*.b>r", &[3]),
            ("foox.bxr", &[]),
        ],
    );
}

#[test]
fn reaches_nobody_on_subjects_with_empty_tokens() {
    check(&[">", "*.>", "*.*.*", "a.>"], &[("", &[]), ("a..b", &[]), (".a", &[]), ("a.", &[])]);
}

#[test]
fn patterns_that_share_some_tokens_part_at_token_ends() {
    check(
        &["ab.cd.ef", "ab.cd.eg", "ab.c", "abc.d", "ab.cd", "ab.*.ef", "ab.*.ef.g"],
        &[
            ("ab.cd.ef", &[0, 5]),
            ("ab.cd.eg", &[1]),
            ("ab.c", &[2]),
            ("abc.d", &[3]),
            ("ab.cd", &[4]),
            ("ab", &[]),
            ("ab.x.ef.g", &[6]),
        ],
    );
}

#[test]
fn stores_what_may_not_be_subscribed_to_without_matching_it() {
    let invalid = ["", ".", "a.", ".a", "a..b", "a.>.b", ">.a", "a.b.", "a.b..", "a..c"];
    let mut sublist = Sublist::new();
    for (id, pattern) in (0..).zip(invalid) {
        sublist.insert(pattern.as_bytes(), None, id);
    }
    for subject in ["a", "a.b", "a.x.b", "a.>.b", ">.a", "a..b", ""] {
        assert_eq!(found(&sublist, subject).0, [0; 0], "{subject}");
    }
    for (id, pattern) in (0..).zip(invalid) {
        assert_eq!(sublist.remove(pattern.as_bytes(), None, |have| *have == id), Some(id));
    }
    assert!(sublist.is_empty());
}

#[test]
fn pools_queue_members_by_name() {
    let mut sublist = Sublist::new();
    sublist.insert(b"q.*", Some(b"g"), 1);
    sublist.insert(b"q.a", Some(b"g"), 2);
    sublist.insert(b"q.a", Some(b"h"), 3);
    sublist.insert(b"q.>", Some(b"q..x"), 4);
    sublist.insert(b"q.a", None, 5);
    let group = |name: &str, members: &[u32]| (name.to_owned(), members.to_vec());
    let expected = vec![group("g", &[1, 2]), group("h", &[3]), group("q..x", &[4])];
    assert_eq!(found(&sublist, "q.a"), (vec![5], expected));
    assert_eq!(found(&sublist, "q.b"), (vec![], vec![group("g", &[1]), group("q..x", &[4])]));
}

#[test]
fn pools_many_queue_names() {
    let mut sublist = Sublist::new();
    for id in 0..100_u32 {
        let name = format!("g{}", id % 50);
        let pattern = if id < 50 { "s.a" } else { "s.*" };
        sublist.insert(pattern.as_bytes(), Some(name.as_bytes()), id);
    }
    let mut out = MatchSet::new();
    // Twice: the second run reuses what the first one left.
    for _ in 0..2 {
        sublist.matches(b"s.a", &mut out);
        assert_eq!(out.queues.len(), 50);
        for (name, members) in &out.queues {
            let first: u32 = std::str::from_utf8(&name[1..]).unwrap().parse().unwrap();
            let mut members = members.clone();
            members.sort_unstable();
            assert_eq!(members, [first, first + 50]);
        }
    }
}

#[test]
fn removes_only_what_is_asked_for() {
    let mut sublist = Sublist::new();
    sublist.insert(b"a.b", None, 1);
    sublist.insert(b"a.b", None, 2);
    sublist.insert(b"a.b", Some(b"q"), 3);
    assert_eq!(sublist.remove(b"a.b", None, |_| false), None);
    assert_eq!(sublist.remove(b"a", None, |_| true), None);
    assert_eq!(sublist.remove(b"a.b.c", None, |_| true), None);
    assert_eq!(sublist.remove(b"a.*", None, |_| true), None);
    assert_eq!(sublist.remove(b"a.b", Some(b"r"), |_| true), None);
    assert_eq!(sublist.len(), 3);
    assert_eq!(sublist.remove(b"a.b", None, |id| *id == 1), Some(1));
    assert_eq!(sublist.remove(b"a.b", None, |id| *id == 1), None);
    assert_eq!(sublist.remove(b"a.b", Some(b"q"), |id| *id == 3), Some(3));
    assert_eq!(sublist.remove(b"a.b", None, |id| *id == 2), Some(2));
    assert!(sublist.is_empty());
    assert!(sublist.root.more.is_none(), "an empty sublist holds no nodes");
}

#[test]
fn a_generation_moves_with_its_first_token_and_with_wildcards() {
    let mut sublist = Sublist::new();
    let before = (sublist.generation(b"a.b"), sublist.generation(b"z.b"));
    sublist.insert(b"a.x", None, 1);
    assert_ne!(sublist.generation(b"a.b"), before.0);
    assert_eq!(sublist.generation(b"z.b"), before.1, "another first token, another bucket");
    let before = (sublist.generation(b"a.b"), sublist.generation(b"z.b"));
    sublist.insert(b"*.x", None, 2);
    assert_ne!(sublist.generation(b"a.b"), before.0);
    assert_ne!(sublist.generation(b"z.b"), before.1);
    let before = sublist.generation(b"z.b");
    assert_eq!(sublist.remove(b"*.y", None, |_| true), None);
    assert_eq!(sublist.generation(b"z.b"), before, "nothing was removed");
    sublist.remove(b"*.x", None, |_| true);
    assert_ne!(sublist.generation(b"z.b"), before);
}

#[test]
fn literal_nodes_stay_small() {
    assert!(size_of::<Node<u64>>() <= 56, "{}", size_of::<Node<u64>>());
    assert!(size_of::<Node<u32>>() <= 56, "{}", size_of::<Node<u32>>());
}

#[test]
fn deep_patterns_need_no_deep_stack() {
    let mut sublist = Sublist::new();
    let mut pattern = String::from("a");
    for id in 0..2_000 {
        sublist.insert(pattern.as_bytes(), None, id);
        pattern.push_str(if id % 2 == 0 { ".a" } else { ".*" });
    }
    let deepest = pattern.replace('*', "b");
    assert!(!sublist.has_interest(deepest.as_bytes()));
    assert!(sublist.has_interest(&deepest.as_bytes()[..deepest.len() - 2]));
    let mut seen = 0;
    sublist.for_each(|_, _, _| seen += 1);
    assert_eq!(seen, 2_000);
    // Dropped here, node below node.
}

#[test]
fn large_branches_shrink_again() {
    let mut sublist = Sublist::new();
    let subject = |id: u32| format!("bench.sub.{id}.x").into_bytes();
    for id in 0..10_000 {
        sublist.insert(&subject(id), None, id);
    }
    for id in 0..10_000 {
        assert_eq!(found(&sublist, std::str::from_utf8(&subject(id)).unwrap()).0, [id]);
    }
    for id in 0..9_990 {
        assert_eq!(sublist.remove(&subject(id), None, |have| *have == id), Some(id));
    }
    let root = sublist.root.next().unwrap();
    let branch = root.child(0, b"bench").unwrap().next().unwrap();
    let node::Literals::Many(table) = &branch.literals else { panic!("a table") };
    assert!(table.capacity() < 200, "{}", table.capacity());
    assert!(sublist.has_interest(b"bench.sub.9999.x"));
}

/// Each node below `node` has a subscription or joins several, and no more memory than it needs.
fn check_compressed(node: &Node<u32>) {
    let mut open: Vec<_> = node.next().into_iter().flat_map(Branch::children).collect();
    while let Some(node) = open.pop() {
        let children = node.next().map_or(0, Branch::len);
        assert!(node.has_subs() || children > 1, "{:?}", String::from_utf8_lossy(&node.label));
        assert_eq!(node.more.is_some(), children > 0 || !node.groups().is_empty());
        open.extend(node.next().into_iter().flat_map(Branch::children));
    }
}

#[test]
fn a_removal_joins_what_no_longer_parts() {
    let patterns = ["a.b.c", "a.b.d", "a.b", "a.*.c", "a.*.d", "a.>", "b.c.d.e", "b.c", "b.c.*.*"];
    // Take them out in every rotation of the order in which they came.
    for first in 0..patterns.len() {
        let mut sublist = Sublist::new();
        for (id, pattern) in (0..).zip(patterns) {
            sublist.insert(pattern.as_bytes(), (id % 2 == 0).then_some(&b"q"[..]), id);
            check_compressed(&sublist.root);
        }
        for (id, pattern) in (0..).zip(patterns).cycle().skip(first).take(patterns.len()) {
            let queue = (id % 2 == 0).then_some(&b"q"[..]);
            assert_eq!(sublist.remove(pattern.as_bytes(), queue, |_| true), Some(id));
            check_compressed(&sublist.root);
        }
        assert!(sublist.root.more.is_none());
    }
}
