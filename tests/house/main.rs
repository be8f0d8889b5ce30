//! The house: what is said in several places is said the same in all of them.
//!
//! `template.yaml`, the crates below `functions/`, the README's tables, the OpenAPI document, the configuration and the
//! runbook are read as text and compared. Nothing is started.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken expectation ends the test")]

mod alarms;
mod checkout;
mod events;
mod functions;
mod mutations;
mod policies;
mod queues;
mod routes;
mod seams;
mod sources;
mod state;
mod supply;
mod template;
mod variables;
