//! The embedded DynamoDB: dynoxide over a SQLite file, or in memory.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::FREE_PORT;
use crate::server::listen;
use crate::start::{Persistence, Schedule};

/// How often expired items are deleted. Real DynamoDB promises "within a few days"; the service never relies on it.
const TTL_SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How long requests in progress may take to finish after a stop was asked for.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A running embedded DynamoDB.
pub(crate) struct DynamoDb {
    endpoint: String,
    stop: watch::Sender<()>,
    /// One task each, in sets because those end with their owner.
    server: JoinSet<Result<(), String>>,
    sweeper: JoinSet<()>,
}

impl DynamoDb {
    /// Opens `<directory>/dynamodb.sqlite`, or a database in memory, and serves it.
    ///
    /// # Errors
    /// When the file or the port cannot be used.
    pub(crate) fn start(directory: &Path, persistence: Persistence, schedule: Schedule) -> anyhow::Result<Self> {
        let file = directory.join("dynamodb.sqlite");
        let database = match persistence {
            Persistence::OnDisk => dynoxide::Database::new(&file.to_string_lossy()),
            Persistence::Ephemeral => dynoxide::Database::memory(),
        };
        let database = database.with_context(|| format!("cannot open the embedded DynamoDB in {}", file.display()))?;
        let listener = listen(FREE_PORT).context("cannot open a port for the embedded DynamoDB")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = watch::channel(());
        // Its expiry runs on the machine's clock: with time moved by hand it would delete what tests still need.
        let mut sweeper = JoinSet::new();
        match schedule {
            Schedule::ByClock => drop(sweeper.spawn(sweep_ttl(database.clone(), stopped.clone()))),
            Schedule::ByHand => {}
        }
        let mut server = JoinSet::new();
        server.spawn(dynoxide::server::serve_with_shutdown(listener, database, closed(stopped)));
        Ok(Self { endpoint, stop, server, sweeper })
    }

    /// Its URL.
    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// Lets requests in progress finish, then closes the database.
    pub(crate) async fn stop(mut self) {
        drop(self.stop);
        self.sweeper.shutdown().await;
        match tokio::time::timeout(STOP_LIMIT, self.server.join_next()).await {
            Ok(None | Some(Ok(Ok(())))) => {}
            Ok(Some(Ok(Err(error)))) => tracing::error!(error, "the embedded DynamoDB ended badly"),
            Ok(Some(Err(error))) => tracing::error!(%error, "the embedded DynamoDB ended badly"),
            // SQLite's write-ahead log keeps what was answered, closed or not.
            Err(_) => tracing::warn!("the embedded DynamoDB still had requests when it was stopped"),
        }
    }
}

/// Resolves when the sender is gone.
async fn closed(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

async fn sweep_ttl(database: dynoxide::Database, stopped: watch::Receiver<()>) {
    let mut ticks = tokio::time::interval(TTL_SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first tick is immediate; at start there is better to do.
    ticks.tick().await;
    loop {
        tokio::select! {
            () = closed(stopped.clone()) => return,
            _ = ticks.tick() => {}
        }
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(deleted)) => tracing::debug!(deleted, "expired items"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot delete expired items"),
            Err(error) => tracing::warn!(%error, "cannot delete expired items"),
        }
    }
}
