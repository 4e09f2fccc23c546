//! Match: who receives a message, asked of sublists of several sizes and shapes.

use std::hint::black_box;

use natterjack_subject::{MatchSet, Sublist};
use natterjack_workload::{Numbers, Round, Workload, divan};

/// Subjects asked for in each round.
const ASKED: usize = 1000;
/// As many subscriptions as the largest measured server has on one connection.
const MANY: usize = 500_000;

const WORKLOADS: &[Workload] = &[
    Workload::new("match/one-literal", || ask(&plain(1), 1)),
    Workload::new("match/1000-literals", || ask(&plain(1000), 1000)),
    Workload::new("match/1000-queue-groups", || {
        let mut sublist = Sublist::with_seed(1);
        for number in 0..4000 {
            sublist.insert(&subject(number / 4), Some(b"workers"), number);
        }
        ask_of(sublist, 1000)
    }),
    Workload::new("match/wildcards", || {
        // Each subject is reached by its own pattern and by three that all share.
        let mut patterns: Vec<Vec<u8>> =
            (0..1000).map(|number| format!("a{}.*.{number}", number % 10).into_bytes()).collect();
        patterns.extend([&b"*.k.>"[..], b">", b"*.*.*"].map(<[u8]>::to_vec));
        ask(&patterns, 1000)
    }),
    Workload::new("match/nobody", || {
        let mut sublist = Sublist::with_seed(1);
        sublist.insert(b"somebody.else", None, 0);
        ask_of(sublist, 1000)
    }),
    Workload::new("match/500k-subscriptions", || ask(&many(), MANY)),
    Workload::new("match/generation", || {
        let sublist = filled(&plain(1000));
        let subjects = subjects(1000);
        Round::new(ASKED, move || {
            for subject in &subjects {
                black_box(sublist.generation(black_box(subject)));
            }
        })
    }),
    Workload::new("change/1000-literals", || {
        // A subscription comes and goes beside a thousand that stay.
        let mut sublist = filled(&plain(1000));
        Round::new(2 * ASKED, move || {
            for number in 1000..1000 + ASKED {
                let subject = subject(number);
                sublist.insert(&subject, None, number);
                black_box(sublist.remove(&subject, None, |value| *value == number));
            }
        })
    }),
];

fn subject(number: usize) -> Vec<u8> {
    format!("a{}.k.{number}", number % 10).into_bytes()
}

/// Literal patterns.
fn plain(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(subject).collect()
}

/// Literals, and each tenth with a wildcard.
fn many() -> Vec<Vec<u8>> {
    let wild = |number: usize| format!("a{}.*.{number}", number % 10).into_bytes();
    (0..MANY).map(|number| if number % 10 == 3 { wild(number) } else { subject(number) }).collect()
}

/// Subjects among the first `below`, in no order.
fn subjects(below: usize) -> Vec<Vec<u8>> {
    let mut numbers = Numbers::new(5);
    (0..ASKED).map(|_| subject(numbers.below(below as u64) as usize)).collect()
}

fn filled(patterns: &[Vec<u8>]) -> Sublist<usize> {
    let mut sublist = Sublist::with_seed(1);
    for (number, pattern) in patterns.iter().enumerate() {
        sublist.insert(pattern, None, number);
    }
    sublist
}

fn ask(patterns: &[Vec<u8>], below: usize) -> Round {
    ask_of(filled(patterns), below)
}

fn ask_of(sublist: Sublist<usize>, below: usize) -> Round {
    let subjects = subjects(below);
    let mut found = MatchSet::new();
    Round::new(ASKED, move || {
        for subject in &subjects {
            sublist.matches(black_box(subject), &mut found);
            black_box(&found);
        }
    })
}

#[divan::bench(crate = divan, args = WORKLOADS)]
fn time(bencher: divan::Bencher<'_, '_>, workload: &Workload) {
    workload.time(bencher);
}

fn main() {
    natterjack_workload::main(WORKLOADS);
}
