//! The memory log does what the model does.

use crate::workload::{apply, choose, filters, limits};
use crate::{each, seeds};
use natterjack_sim::{Model, Rng};
use natterjack_store::{Limits, Log};

fn run(seed: u64, steps: usize, calm: bool) {
    let mut rng = Rng::new(seed);
    let first = rng.below(5);
    let limits = if calm { Limits::default() } else { limits(&mut rng) };
    let (mut log, mut model) = (Log::memory(first, limits), Model::new(first, limits, true));
    let subjects = *rng.pick(&[1, 3, 40, 500]);
    let every = 1 + steps / 20;
    for step in 0..steps {
        let op = choose(&mut rng, &model, subjects, calm);
        let pos = apply(&op, &mut log, &mut model, false);
        assert!(pos.is_none_or(|pos| log.durable() >= pos));
        if step % every == 0 {
            let mut from = || rng.below(model.last_seq + 3);
            let froms = [0, from(), from(), from()];
            model.check_index(&mut log, &filters(), &froms);
            for seq in [froms, [from(), from(), from(), model.last_seq]].concat() {
                model.check_get(seq, &log.get(seq));
            }
        }
    }
}

#[test]
fn random_operations() {
    each(seeds(0, 100), |seed| run(seed, 400, false));
}

#[test]
fn long_streams_of_many_chunks() {
    each(seeds(0, 1), |seed| run(seed, 40_000, true));
}
