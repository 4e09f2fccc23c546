//! The tests that the crate async-nats ships, on nats-server and then on ours.
//!
//! Whatever passes on nats-server must pass on ours. What does not, for want of something that our
//! server has not, is listed with its reason in `interop/async-nats/without.tsv`; a listed test that
//! passes after all is a fault too, so the list stays as short as it can be.

mod list;
mod runner;
mod source;

use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::servers::Make;

use list::Without;
use runner::{Runner, Verdict};
use source::Build;

/// `cargo xtask interop --async-nats --prepare`: unpacks the crate and fetches what its tests need.
pub(super) fn prepare(lock: bool) -> Result<()> {
    let build = Build::unpack(lock)?;
    build.fetch(lock)?;
    println!("{}", build.directory().display());
    Ok(())
}

/// Runs the suite on each of these makes, in their order.
pub(super) fn run(makes: &[Make], only: &[String], workers: usize) -> Result<()> {
    let without = Without::load()?;
    let build = Build::unpack(false)?;
    let mut tests = build.tests()?;
    without.known_to(&tests)?;
    tests.retain(|test| only.is_empty() || only.iter().any(|part| test.name.contains(part)));
    ensure!(!tests.is_empty(), "no test of async-nats is called so");

    let mut outcomes = Vec::new();
    for make in makes {
        let begin = Instant::now();
        let verdicts = Runner { make, directory: build.directory(), workers }.run(&tests)?;
        let count =
            |wanted: fn(&Verdict) -> bool| verdicts.iter().filter(|one| wanted(one)).count();
        println!(
            "{:<12} {} of async-nats's {} tests pass, {} fail, {} are switched off by the crate; {:.0} s",
            make.name(),
            count(|verdict| *verdict == Verdict::Passed),
            tests.len(),
            count(|verdict| matches!(verdict, Verdict::Failed(_))),
            count(|verdict| *verdict == Verdict::Ignored),
            begin.elapsed().as_secs_f64()
        );
        outcomes.push((make, verdicts));
    }

    let reference = outcomes.iter().find(|(make, _)| matches!(make, Make::Reference(_)));
    let ours = outcomes.iter().find(|(make, _)| matches!(make, Make::Ours(_)));
    let Some((_, ours)) = ours else { return Ok(()) };
    let mut faults = Vec::new();
    for (place, (test, verdict)) in tests.iter().zip(ours).enumerate() {
        // Without the other witness every test should pass.
        let theirs = reference.map_or(&Verdict::Passed, |(_, verdicts)| &verdicts[place]);
        match (verdict, theirs, without.reason(&test.name)) {
            (Verdict::Passed, _, None) | (Verdict::Ignored, ..) => {}
            (Verdict::Passed, _, Some(_)) => {
                faults.push(format!("{} passes: take it off {}", test.name, list::PATH));
            }
            (_, Verdict::Failed(_), _) => println!("on neither:  {}", test.name),
            (_, _, Some(reason)) => println!("left out:    {}: {reason}", test.name),
            (Verdict::Failed(output), _, None) => {
                faults.push(format!("{} passes on nats-server only:\n{output}", test.name));
            }
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("async-nats sees a difference:\n  {}", faults.join("\n  "))
}
