//! The whole cloud in one process: every function of `functions/`, called by an API Gateway, SQS event sources and
//! schedules that are read from `template.yaml`, over an embedded DynamoDB, S3, SQS and APNs.
//!
//! The same service runs `cargo run`, the demo and the tests: [`Local::start`].

pub mod apns;
mod aws;
pub mod certificates;
mod certificates_command;
pub mod cli;
mod clock;
mod data_dir;
mod demo;
mod description;
mod doors;
mod event_sources;
mod functions;
mod gateway;
mod identities;
mod keys_command;
mod outcome;
mod sample;
mod server;
mod start;
pub mod template;
#[cfg(test)]
mod test_app;

pub use clock::Clock;
pub use description::{ApnsDescription, AwsEndpoints, LocalJson};
pub use doors::Doors;
pub use functions::function;
pub use sample::SamplePass;
pub use start::{Local, Options, Persistence, Sample, Schedule, StartError};
