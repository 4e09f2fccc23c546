//! Workloads of the hot paths: parse, match, encode, append, deliver.
//!
//! A benchmark of a crate is a table of [`Workload`]s. divan measures their time (`cargo bench -p
//! natterjack-proto`), which tells what a change is worth on this machine. For what a change costs on any
//! machine the same program runs one workload by itself:
//!
//! ```text
//! proto-1234567890abcdef --list
//! proto-1234567890abcdef --once parse/pub-16 20000
//! ```
//!
//! `cargo xtask bench --instructions` runs it twice under valgrind, with one and with two times as many
//! operations, and divides the difference, which leaves out the preparations.
//!
//! A workload therefore does the same work every time: no clock, no thread, no random number that is not
//! the same next time.

#![allow(clippy::print_stdout, reason = "what a benchmark finds goes to the terminal")]

use std::fmt;

pub use divan;
use divan::counter::ItemsCount;

/// Something to measure.
pub struct Workload {
    name: &'static str,
    prepare: fn() -> Round,
}

impl Workload {
    /// A workload by the path it stands for and its case, as in `parse/pub-16`.
    pub const fn new(name: &'static str, prepare: fn() -> Round) -> Self {
        Self { name, prepare }
    }

    /// Measures its time.
    pub fn time(&self, bencher: divan::Bencher<'_, '_>) {
        let Round { operations, run } = (self.prepare)();
        bencher.counter(ItemsCount::new(operations)).bench_local(run);
    }

    /// Performs at least this many operations, and returns how many.
    fn perform(&self, at_least: usize) -> usize {
        let Round { operations, mut run } = (self.prepare)();
        let rounds = at_least.div_ceil(operations.max(1));
        (0..rounds).for_each(|_| run());
        rounds * operations
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A prepared workload.
pub struct Round {
    operations: usize,
    run: Box<dyn FnMut()>,
}

impl Round {
    /// `run` performs `operations` operations each time it is called.
    pub fn new(operations: usize, run: impl FnMut() + 'static) -> Self {
        Self { operations, run: Box::new(run) }
    }
}

impl fmt::Debug for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Round").field("operations", &self.operations).finish_non_exhaustive()
    }
}

/// Numbers that look random and are the same in each run (xorshift64*).
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// Always the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }
}

/// The `main` of a benchmark: `--list` and `--once NAME OPERATIONS`, everything else is divan's.
pub fn main(workloads: &[Workload]) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--list"] => workloads.iter().for_each(|workload| println!("{workload:?}")),
        ["--once", name, operations] => {
            let workload = workloads.iter().find(|workload| workload.name == name);
            let workload = workload.unwrap_or_else(|| panic!("no workload {name}"));
            let operations = operations.parse().expect("a number of operations");
            println!("{}", workload.perform(operations));
        }
        _ => divan::main(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn rounds_are_whole() {
        let three = Workload::new("three", || Round::new(3, || ()));
        assert_eq!(three.perform(7), 9);
        assert_eq!(three.perform(0), 0);
        let calls = Rc::new(Cell::new(0));
        let counted = calls.clone();
        let Round { mut run, .. } = Round::new(1, move || counted.set(counted.get() + 1));
        run();
        run();
        assert_eq!(calls.get(), 2);
    }

    #[test]
    fn numbers_repeat_with_their_seed() {
        let take = |seed| {
            let mut numbers = Numbers::new(seed);
            (0..8).map(|_| numbers.below(100)).collect::<Vec<_>>()
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
    }
}
