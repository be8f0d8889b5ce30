//! How it runs: the store, packages, queues, push, configuration and HTTP. The only crate that knows AWS, Lambda, the
//! environment and the network.

pub mod apns;
pub mod app;
pub mod batch_files;
pub mod batch_rows;
pub mod batch_view;
pub mod batch_work;
pub mod campaign_view;
pub mod config;
pub mod erasing;
pub mod function;
pub mod http;
pub mod idempotency;
pub mod identities;
pub mod input;
pub mod issuing;
pub mod keys;
pub mod language;
pub mod links;
pub mod merchant;
pub mod outbound;
pub mod packages;
pub mod phone;
pub mod pushing;
pub mod queues;
pub mod random;
pub mod redemption_view;
pub mod scheduled;
pub mod store;
pub mod telemetry;
pub mod update_view;
pub mod walletpasses;
pub mod webhooks;

pub use app::App;
pub use config::{Config, ConfigErrors};
pub use function::{Audience, Function, Handler, serve};

use std::error::Error;

/// Every binary's allocator: what it saves stands in `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How far the clocks of two machines, ours or another's, are taken to be apart.
pub const CLOCKS_APART: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

/// We failed: something that should work did not. Logged once with its chain of causes, never shown to a caller.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct Fault {
    context: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// What we were doing, and why it failed.
    pub fn new(context: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Fault {
        Fault { context: context.into(), source: Some(source.into()) }
    }

    /// Something that cannot be, was.
    pub fn contradiction(context: impl Into<String>) -> Fault {
        Fault { context: context.into(), source: None }
    }

    /// The whole chain of causes on one line.
    pub fn chain(&self) -> String {
        let mut text = self.context.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl From<domain::pass::MissingOffer> for Fault {
    fn from(missing: domain::pass::MissingOffer) -> Fault {
        Fault::new("reading a pass with its campaign", missing)
    }
}
