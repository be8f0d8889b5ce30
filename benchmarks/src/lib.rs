//! What `docs/performance.md` is measured with: the fixture, the clock, and rounds that take turns.
//!
//! `benchmarks/run` prints the whole table; `cargo bench -p passloop-benchmarks` has the parts, for whoever changes one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that fails has no other answer"
)]

pub mod builder;
pub mod campaign;
pub mod canned;
pub mod chain;
pub mod doors;
pub mod fixture;
pub mod machine;
pub mod measure;
pub mod pushes;
pub mod redemption;
pub mod stand_in;
pub mod worker;
