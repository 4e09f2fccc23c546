//! The structures against plain models: whatever they do to be small and fast, they must answer like
//! a linear scan over [`matches()`].

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use natterjack_subject::{
    MatchSet, SubjectMap, Sublist, Transform, is_subset, is_valid_literal, is_valid_subscription,
    matches, overlaps, tokens,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Few tokens, so that patterns share prefixes, meet wildcards and repeat; some long, so that labels
/// leave their node; some that contain wildcard characters or start alike.
const TOKENS: [&str; 8] =
    ["a", "b", "ab", "abc", "a*", "b>r", "token-of-some-length-1", "token-of-some-length-2"];

/// First tokens: so many that the children of the root go to a table and come back from it.
const FIRST: [&str; 16] =
    ["a", "a", "a", "b", "b", "ab", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

fn literal() -> impl Strategy<Value = String> {
    (select(&FIRST[..]), vec(select(&TOKENS[..]), 0..5))
        .prop_map(|(first, tokens)| [&[first], &tokens[..]].concat().join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    let first = prop_oneof![4 => select(&FIRST[..]), 1 => Just("*")];
    let token = prop_oneof![4 => select(&TOKENS[..]), 2 => Just("*")];
    (first, vec(token, 0..5), prop::bool::weighted(0.3)).prop_map(|(first, tokens, rest)| {
        let mut tokens = [&[first], &tokens[..]].concat();
        if rest {
            tokens.pop();
            tokens.push(">");
        }
        tokens.join(".")
    })
}

/// What a client may publish on: literals, wildcards taken literally, and empty tokens.
fn published() -> impl Strategy<Value = String> {
    prop_oneof![8 => literal(), 2 => pattern(), 1 => "[ab.*>]{0,6}"]
}

#[derive(Clone, Debug)]
enum Change {
    Insert { pattern: String, queue: Option<&'static str> },
    Remove { nth: prop::sample::Index },
    RemoveMissing { pattern: String, queue: Option<&'static str> },
}

fn queue() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![2 => Just(None), 1 => select(&["q", "r", "q..x"][..]).prop_map(Some)]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (pattern(), queue()).prop_map(|(pattern, queue)| Change::Insert { pattern, queue }),
        4 => any::<prop::sample::Index>().prop_map(|nth| Change::Remove { nth }),
        1 => (pattern(), queue())
            .prop_map(|(pattern, queue)| Change::RemoveMissing { pattern, queue }),
    ]
}

type Subscription = (String, Option<&'static str>, u32);

fn bytes(queue: Option<&'static str>) -> Option<&'static [u8]> {
    queue.map(str::as_bytes)
}

/// Plain subscriptions and queue members, sorted.
type Found = (Vec<u32>, BTreeMap<Vec<u8>, Vec<u32>>);

fn scan(model: &[Subscription], subject: &str) -> Found {
    let mut found = Found::default();
    for (pattern, queue, id) in model {
        if matches(pattern.as_bytes(), subject.as_bytes()) {
            match queue {
                None => found.0.push(*id),
                Some(name) => found.1.entry(name.as_bytes().to_vec()).or_default().push(*id),
            }
        }
    }
    found.0.sort_unstable();
    found.1.values_mut().for_each(|members| members.sort_unstable());
    found
}

fn look_up(sublist: &Sublist<u32>, subject: &str, out: &mut MatchSet<u32>) -> Found {
    sublist.matches(subject.as_bytes(), out);
    let mut found = Found::default();
    found.0.clone_from(&out.plain);
    found.0.sort_unstable();
    for (name, members) in &out.queues {
        let mut members = members.clone();
        members.sort_unstable();
        let twice = found.1.insert(name.to_vec(), members);
        assert!(twice.is_none(), "queue names are pooled");
    }
    found
}

/// The subscriptions of the model in a relation to a pattern, sorted.
fn related(model: &[Subscription], test: impl Fn(&[u8]) -> bool) -> Vec<Subscription> {
    let mut related: Vec<_> =
        model.iter().filter(|(pattern, ..)| test(pattern.as_bytes())).cloned().collect();
    related.sort();
    related
}

/// Collects a visit of the sublist in the model's terms, sorted.
fn visit(
    walk: impl FnOnce(&mut dyn FnMut(&[u8], Option<&[u8]>, &u32)),
    model: &[Subscription],
) -> Vec<Subscription> {
    let mut seen = Vec::new();
    walk(&mut |subject, queue, id| {
        let (_, known, _) = model.iter().find(|(_, _, have)| have == id).expect("it is known");
        assert_eq!(bytes(*known), queue);
        seen.push((String::from_utf8(subject.to_vec()).expect("text"), *known, *id));
    });
    seen.sort();
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Tokens after those that decided may be any, wildcards and ones that patterns name too.
    #[test]
    fn what_did_not_decide_may_be_other_text(
        patterns in vec(pattern(), 0..30),
        subjects in vec(published(), 1..20),
        others in vec(prop_oneof![select(&TOKENS[..]), Just("*"), Just(">"), Just("new")], 6),
        seed in any::<u64>(),
    ) {
        let mut sublist = Sublist::with_seed(seed);
        for (id, pattern) in (0..).zip(&patterns) {
            sublist.insert(pattern.as_bytes(), None, id);
        }
        let mut out = MatchSet::new();
        for subject in &subjects {
            let decided = sublist.matches_within(subject.as_bytes(), &mut out);
            let found = look_up(&sublist, subject, &mut out);
            if decided == subject.len() {
                continue;
            }
            let (prefix, rest) = subject.split_at(decided);
            prop_assert!(decided == 0 || rest.starts_with('.'), "{} of {}", decided, subject);
            let mut other = prefix.to_owned();
            let count = if decided == 0 { subject.split('.').count() } else { rest.matches('.').count() };
            for (token, nth) in others.iter().zip(0..count) {
                if decided > 0 || nth > 0 {
                    other.push('.');
                }
                other.push_str(token);
            }
            if count <= others.len() {
                prop_assert_eq!(
                    look_up(&sublist, &other, &mut out), found,
                    "{} for {} in {:?}", other, subject, patterns
                );
            }
        }
    }

    #[test]
    fn a_sublist_answers_like_a_linear_scan(
        changes in vec(change(), 1..60),
        subjects in vec(published(), 1..12),
        patterns in vec(pattern(), 1..6),
        seed in any::<u64>(),
    ) {
        let mut sublist = Sublist::with_seed(seed);
        let mut model: Vec<Subscription> = Vec::new();
        let mut out = MatchSet::new();
        let mut cache: BTreeMap<&str, (u64, Found)> = BTreeMap::new();
        for (id, change) in (0..).zip(changes) {
            match change {
                Change::Insert { pattern, queue } => {
                    sublist.insert(pattern.as_bytes(), bytes(queue), id);
                    model.push((pattern, queue, id));
                }
                Change::Remove { nth } if !model.is_empty() => {
                    let (pattern, queue, id) = model.swap_remove(nth.index(model.len()));
                    let gone = sublist.remove(pattern.as_bytes(), bytes(queue), |have| *have == id);
                    prop_assert_eq!(gone, Some(id));
                }
                Change::Remove { .. } => {}
                Change::RemoveMissing { pattern, queue } => {
                    let before = sublist.generation(pattern.as_bytes());
                    let gone = sublist.remove(pattern.as_bytes(), bytes(queue), |_| false);
                    prop_assert_eq!(gone, None);
                    prop_assert_eq!(sublist.generation(pattern.as_bytes()), before);
                }
            }
            prop_assert_eq!(sublist.len(), model.len());
            for subject in &subjects {
                let expected = scan(&model, subject);
                prop_assert_eq!(&look_up(&sublist, subject, &mut out), &expected);
                if sublist.matches_siblings(subject.as_bytes(), &mut MatchSet::new()) {
                    let last = subject.rfind('.').expect("it has siblings");
                    let ends = model.iter().flat_map(|(pattern, ..)| pattern.split('.'));
                    for end in ends.chain(["new", "*", ">"]) {
                        let sibling = format!("{}.{end}", &subject[..last]);
                        prop_assert_eq!(&scan(&model, &sibling), &expected, "{}", sibling);
                    }
                }

                let generation = sublist.generation(subject.as_bytes());
                if let Some((known, found)) = cache.get(subject.as_str())
                    && *known == generation
                {
                    prop_assert_eq!(found, &expected, "an old generation for {}", subject);
                }
                let any = !expected.0.is_empty() || !expected.1.is_empty();
                prop_assert_eq!(sublist.has_interest(subject.as_bytes()), any);
                cache.insert(subject, (generation, expected));
            }
        }
        prop_assert_eq!(visit(|f| sublist.for_each(f), &model), related(&model, |_| true));
        for given in &patterns {
            let given = given.as_bytes();
            prop_assert_eq!(
                visit(|f| sublist.overlapping(given, f), &model),
                related(&model, |stored| overlaps(stored, given))
            );
            prop_assert_eq!(
                visit(|f| sublist.reverse(given, f), &model),
                related(&model, |stored| is_subset(stored, given))
            );
        }
        for (pattern, queue, id) in model {
            let gone = sublist.remove(pattern.as_bytes(), bytes(queue), |have| *have == id);
            prop_assert_eq!(gone, Some(id));
        }
        prop_assert!(sublist.is_empty());
    }

    #[test]
    fn a_subject_map_answers_like_an_ordered_map(
        changes in vec((published(), prop::bool::weighted(0.6)), 1..80),
        filters in vec(pattern(), 1..8),
    ) {
        let mut map = SubjectMap::new();
        let mut model = BTreeMap::new();
        for (value, (subject, insert)) in changes.iter().enumerate() {
            let subject = subject.as_bytes();
            prop_assert_eq!(map.get(subject), model.get(subject));
            if *insert {
                let expected = *model.entry(subject.to_vec()).or_insert(value);
                prop_assert_eq!(*map.get_or_insert_with(subject, || value), expected);
            } else {
                prop_assert_eq!(map.remove(subject), model.remove(subject));
            }
            prop_assert_eq!(map.len(), model.len());
        }
        let all: Vec<_> = map.iter().map(|(subject, value)| (subject, *value)).collect();
        prop_assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
        for filter in filters.iter().map(String::as_bytes).chain(model.keys().map(|key| &key[..])) {
            let expected: Vec<_> = model
                .iter()
                .filter(|(subject, _)| matches(filter, subject))
                .map(|(subject, value)| (subject.clone(), *value))
                .collect();
            let mut seen = Vec::new();
            map.for_each_matching(filter, |subject, value| {
                seen.push((subject.to_vec(), *value));
                ControlFlow::Continue(())
            });
            prop_assert_eq!(&seen, &expected);
        }
        // A mutable walk changes what the filter matches, and nothing else.
        map.for_each_matching_mut(filters[0].as_bytes(), |_, value| {
            *value += 1_000;
            ControlFlow::Continue(())
        });
        for (subject, value) in &mut model {
            if matches(filters[0].as_bytes(), subject) {
                *value += 1_000;
            }
            prop_assert_eq!(map.get_mut(subject), Some(value));
        }
    }

    #[test]
    fn the_algebra_of_patterns_agrees_with_matching(
        a in pattern(),
        b in pattern(),
        subjects in vec(literal(), 1..20),
    ) {
        prop_assert!(is_valid_subscription(a.as_bytes()));
        let (a, b) = (a.as_bytes(), b.as_bytes());
        for subject in &subjects {
            prop_assert!(is_valid_literal(subject.as_bytes()));
            let subject = subject.as_bytes();
            let (in_a, in_b) = (matches(a, subject), matches(b, subject));
            prop_assert!(!(in_a && in_b) || overlaps(a, b));
            prop_assert!(!is_subset(a, b) || !in_a || in_b);
            // A literal is the pattern of one subject.
            prop_assert_eq!(is_subset(subject, a), in_a);
            prop_assert_eq!(overlaps(subject, a), in_a);
        }
        prop_assert!(is_subset(a, a));
        prop_assert!(!is_subset(a, b) || overlaps(a, b));
        let (left, right) = (split(a), split(b));
        // Subset: the wildcards of one replaced by tokens that the other can only meet by wildcards.
        let short = left.iter().map(|token| fill(token)).collect::<Vec<_>>().join(".");
        let long = if a.ends_with(b">") { short.clone() + ".x.x.x.x.x.x" } else { short.clone() };
        let covered = matches(b, short.as_bytes()) && matches(b, long.as_bytes());
        prop_assert_eq!(is_subset(a, b), covered);
        // Overlap: the one subject that can witness it, each token from whoever insists on one.
        let shared = (0..left.len().max(right.len()))
            .map(|at| {
                let mut asked = [left.get(at), right.get(at)].into_iter().flatten();
                asked.find(|token| fill(token) == token.as_str()).map_or("fresh", String::as_str)
            })
            .collect::<Vec<_>>()
            .join(".");
        let witnessed = matches(a, shared.as_bytes()) && matches(b, shared.as_bytes());
        prop_assert_eq!(overlaps(a, b), witnessed, "{}", shared);
    }
}

proptest! {
    /// Texts made of what the parser of destinations looks for.
    #[test]
    fn no_destination_breaks_a_transform(
        source in pattern(),
        pieces in vec(
            select(&[
                "{{", "}}", "{", "}", "(", ")", ",", ".", "$", "1", "2", "0", "-1", "99", "*", ">",
                " ", "\t", "é", "-", "x", "wildcard", "Partition", "split", "from", "Left", "right",
                "slice", "random", "{{wildcard(1)}}", "{{split(1,", "{{left(2,", "{{partition(3",
            ][..]),
            0..12,
        ),
        subject in published(),
        rand in any::<u64>(),
    ) {
        let dest = pieces.concat();
        match Transform::new(&source, &dest) {
            Ok(transform) => {
                let renamed = transform.apply(subject.as_bytes(), rand);
                let selected = matches(source.as_bytes(), subject.as_bytes());
                prop_assert!(selected || renamed.is_none());
                if is_valid_literal(subject.as_bytes()) {
                    prop_assert_eq!(selected, renamed.is_some());
                    prop_assert_eq!(transform.apply_literal(subject.as_bytes(), rand), renamed);
                }
            }
            Err(error) => prop_assert!(error.to_string().starts_with("invalid ")),
        }
    }
}

fn split(pattern: &[u8]) -> Vec<String> {
    tokens(pattern).map(|token| String::from_utf8_lossy(token).into_owned()).collect()
}

/// A token, or one that no pattern spells in place of a wildcard.
fn fill(token: &str) -> &str {
    if token == "*" || token == ">" { "fresh" } else { token }
}
