//! The world outside the service: a phone, a till, a back office, and a reader of packages.
//!
//! Nothing here uses the service's own types for what travels: expectations come from the
//! contract (`contract.md`) and from Apple's page (`apple-wallet.md`, "reference" below), so a
//! mistake in the service's code cannot hide in the tests.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the whole crate is tests: a broken expectation ends the story"
)]

pub mod answer;
pub mod back_office;
pub mod batches;
pub mod chance;
pub mod hostile;
pub mod iphone;
pub mod kept;
pub mod kills;
mod listing;
mod lock_screen;
pub mod meter;
pub mod package;
pub mod process;
pub mod receiver;
pub mod template_folder;
pub mod till;
pub mod web_service;
pub mod wiretap;
pub mod world;
