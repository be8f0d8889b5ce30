//! The simulation: the real doors and workers under a seeded schedule of everything that can go wrong, and what must hold
//! all the same. `docs/simulation.md` tells how to run and to read it.
//!
//! - `SEEDS=0..2000 cargo test -p passloop-tests --test simulation -- --nocapture` plays these;
//! - `SEEDS=17 …` replays one, with `TRACE=1` from its beginning.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a simulation that cannot go on ends the run"
)]

mod apns;
mod bucket;
mod dice;
mod dynamodb;
mod forgetting;
mod invariants;
mod invocation;
mod ledger;
mod listener;
mod logs;
mod neighbour;
mod phone;
mod queues;
mod scenario;
mod seeds;
mod shop;
mod truth;
mod wallet;
mod weather;
mod wire;
mod world;

/// The seeds of every test run. What a seed once found is kept as a mutation: a number means another run as soon as anything
/// else is drawn from the dice.
const ALWAYS: std::ops::Range<u64> = 0..80;

#[test]
fn every_seed_holds() {
    let seeds = seeds::named().unwrap_or_else(|| ALWAYS.collect());
    let failing = seeds::play_all(&seeds);
    assert!(failing.is_empty(), "seeds that broke an invariant: {failing:?}");
}

#[test]
fn a_seed_plays_the_same_again() {
    let (one, other) = (seeds::play(7).trace, seeds::play(7).trace);
    let differs = one.iter().zip(&other).position(|(one, other)| one != other);
    if let Some(place) = differs {
        panic!("the runs differ from line {place} on:\n{}\n{}", one[place], other[place]);
    }
    assert_eq!(one.len(), other.len());
}
