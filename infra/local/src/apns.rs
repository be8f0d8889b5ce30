//! A stand-in for APNs: HTTP/2 over TLS that demands the pass certificate, records pushes, and answers as it is told.
//!
//! It checks what Apple checks ("Sending notification requests to APNs", "Handling notification responses from APNs"):
//! the certificate's chain and that its `UID` is the topic, method, path, token, headers, payload. A well-formed push is
//! answered 200 unless [`StandIn::answer`] says otherwise for its token. It delivers nothing.

mod certificate;
mod journal;
mod request;
mod server;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use journal::{Answer, Journal};
use server::Order;

pub use journal::RecordedPush;

/// What a [`StandIn`] is started with.
pub struct StandInOptions {
    /// Where the server certificate, its key and its CA are kept; made there on the first start.
    pub certificates_dir: PathBuf,
    /// PEM of the root or roots to which client certificates must lead.
    pub client_roots_pem: Vec<u8>,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Tells when a push arrived. TLS always goes by the system's clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// A running stand-in. Dropped, it ends as by [`StandIn::kill`].
pub struct StandIn {
    address: SocketAddr,
    ca_path: PathBuf,
    journal: Arc<Journal>,
    orders: Arc<watch::Sender<Order>>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl StandIn {
    /// Makes or reads its certificate, and listens.
    ///
    /// # Errors
    /// The certificates cannot be read or written, the client roots are no certificates, the address is taken.
    pub async fn start(options: StandInOptions) -> anyhow::Result<Self> {
        let certificate = certificate::kept_in(&options.certificates_dir)?;
        let ca_path = certificate.ca_path.clone();
        let tls = server::tls(certificate, &options.client_roots_pem)?;
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("the APNs stand-in cannot listen on {}", options.listen))?;
        let address = listener.local_addr().context("the APNs stand-in's address")?;

        let journal = Arc::new(Journal::new(options.clock));
        let orders = Arc::new(watch::Sender::new(Order::Serve));
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server::run(listener, tls, Arc::clone(&journal), Arc::clone(&orders), stopped));
        Ok(Self { address, ca_path, journal, orders, stop: Some(stop), server })
    }

    /// `https://<address>:<port>`, for `APNS_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The CA of its certificate, PEM, for `APNS_CA_FILE`.
    #[must_use]
    pub fn ca_path(&self) -> &Path {
        &self.ca_path
    }

    /// How many connections completed their TLS handshake since the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.journal.connections()
    }

    /// How many pushes came since the start, refused ones and those no longer on record included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.journal.received()
    }

    /// Every push on record, oldest first, refused ones included. At most [`RecordedPush::KEPT`]; older ones are gone.
    #[must_use]
    pub fn pushes(&self) -> Vec<RecordedPush> {
        self.journal.pushes(|_| true)
    }

    /// Waits until `count` pushes for this token are on record, or `limit` is over, and returns those there are.
    pub async fn wait_for(&self, token: &str, count: usize, limit: Duration) -> Vec<RecordedPush> {
        self.journal.wait_for(token, count, limit).await
    }

    /// From now on this token is answered so, until [`StandIn::answer_normally`]. `timestamp_ms` is what a 410 carries:
    /// since when the token is dead.
    pub fn answer(&self, token: &str, status: u16, reason: &str, timestamp_ms: Option<i64>) {
        self.journal.answer(token, Answer::refusal(status, reason, timestamp_ms), None);
    }

    /// The next `count` pushes for this token are answered so; after them, as before.
    pub fn answer_next(&self, token: &str, count: usize, status: u16, reason: &str, timestamp_ms: Option<i64>) {
        self.journal.answer(token, Answer::refusal(status, reason, timestamp_ms), Some(count));
    }

    /// From now on pushes for this token are recorded and never answered, until [`StandIn::answer_normally`]. Those
    /// under way then stay without answer.
    pub fn keep_waiting(&self, token: &str) {
        self.journal.answer(token, Answer::Never, None);
    }

    /// Takes back what [`StandIn::answer`], [`StandIn::answer_next`] and [`StandIn::keep_waiting`] said about this token.
    pub fn answer_normally(&self, token: &str) {
        self.journal.answer_normally(token);
    }

    /// Closes every connection gracefully: GOAWAY, the streams under way are answered, then the end. New connections are
    /// accepted as before.
    pub fn go_away(&self) {
        self.orders.send_replace(Order::GoAway);
    }

    /// Closes every connection without a word, pushes under way included. New connections are accepted as before.
    pub fn break_off(&self) {
        self.orders.send_replace(Order::BreakOff);
    }

    /// Ends at once, as a killed server does: no GOAWAY, pushes under way get no answer. The address is free afterwards.
    pub async fn kill(mut self) {
        self.server.abort();
        // Ends with the error that says it was cancelled, which it was.
        let _ = (&mut self.server).await;
    }

    /// Stops listening, says GOAWAY, and waits shortly for the pushes under way.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // Fails only if the server has already ended, which is what is wanted.
            let _ = stop.send(());
        }
        if let Err(error) = (&mut self.server).await {
            tracing::warn!(error = %error, "the APNs stand-in did not stop in order");
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[cfg(test)]
mod tests;
