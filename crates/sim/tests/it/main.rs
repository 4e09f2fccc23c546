//! The log against a plain model, on good and bad disks.
#![allow(clippy::print_stderr, reason = "a failing run says its seed")]

mod catalog;
mod damage;
mod file;
mod journal;
mod memory;
mod mirror;
mod refused;
mod together;
mod workload;
mod world;

/// The seeds of a test: `count` of them, as many times more as `NATTERJACK_SIM` says, or the one
/// that `NATTERJACK_SEED` names.
fn seeds(start: u64, count: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse().ok());
    match number("NATTERJACK_SEED") {
        Some(seed) => seed..seed + 1,
        None => start..start + count * number("NATTERJACK_SIM").unwrap_or(1),
    }
}

/// Runs the test body for each seed and names the seed that fails.
fn each(seeds: std::ops::Range<u64>, body: impl Fn(u64)) {
    for seed in seeds {
        let run = std::panic::AssertUnwindSafe(|| body(seed));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
