//! Whether the peer is still there: a PING while pushes are under way and nothing is heard.

use std::future::pending;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::Instant;

/// With pushes under way and nothing heard for this long, a PING asks whether the peer is still there. Idle connections
/// are left alone (Apple asks for no PING within the hour), so a socket that died while a function was frozen is found
/// by the first push after it: then the PING is already due, and the push moves to a new connection after
/// [`PING_TIMEOUT`].
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Many round trips. Too short costs a handshake and a second copy of a push, too long keeps a pass from changing.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// What is known of a connection's life.
#[derive(Debug)]
pub(super) struct Pulse {
    opened: Instant,
    /// Milliseconds after `opened` at which something was heard last.
    heard: AtomicU64,
    under_way: AtomicUsize,
    begun: Notify,
}

/// A push that waits for its answer. Dropped when it is there, or given up.
pub(super) struct UnderWay<'a>(&'a Pulse);

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// In order, or broken.
    #[error(transparent)]
    Connection(#[from] h2::Error),
    /// Nothing was heard, and no answer to a PING.
    #[error("the peer is silent")]
    Silent,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let opened = Instant::now();
        Self { opened, heard: AtomicU64::new(0), under_way: AtomicUsize::new(0), begun: Notify::new() }
    }

    /// Something came from the peer.
    pub(super) fn hear(&self) {
        let after = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(after, Ordering::Relaxed);
    }

    /// A push goes out.
    pub(super) fn begin(&self) -> UnderWay<'_> {
        if self.under_way.fetch_add(1, Ordering::Relaxed) == 0 {
            self.begun.notify_one();
        }
        UnderWay(self)
    }

    fn silent_at(&self) -> Instant {
        self.opened + Duration::from_millis(self.heard.load(Ordering::Relaxed)) + PING_INTERVAL
    }

    fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    /// Ends when the peer owes an answer to a PING.
    async fn until_silent(&self, mut pings: PingPong) {
        loop {
            if self.is_idle() {
                self.begun.notified().await;
                continue;
            }
            let silent_at = self.silent_at();
            tokio::time::sleep_until(silent_at).await;
            // Something may have been heard meanwhile, or everything answered.
            if self.is_idle() || self.silent_at() > silent_at {
                continue;
            }
            match tokio::time::timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await {
                Ok(Ok(_pong)) => {}
                // The connection itself says how it ended.
                Ok(Err(_)) => pending().await,
                Err(_elapsed) => return,
            }
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Drives a connection until it ends or falls silent.
pub(super) async fn drive<T>(mut connection: Connection<T, Bytes>, pulse: &Pulse) -> Result<(), Ended>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let pings = connection.ping_pong();
    let silent = async {
        match pings {
            Some(pings) => pulse.until_silent(pings).await,
            // Taken once, here.
            None => pending().await,
        }
    };
    tokio::select! {
        ended = connection => Ok(ended?),
        () = silent => Err(Ended::Silent),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use tokio::io::duplex;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Pushing {
        One,
        Nothing,
    }

    /// A connection to a peer that takes everything and says nothing.
    async fn to_nobody(pulse: &Pulse, push: Pushing) -> Duration {
        let (ours, _theirs) = duplex(1 << 16);
        let (sender, connection) = h2::client::handshake(ours).await.unwrap();
        let begun = Instant::now();
        let exchange = async {
            if push == Pushing::Nothing {
                return pending().await;
            }
            let _under_way = pulse.begin();
            let request = Request::post("https://a/3/device/00").body(()).unwrap();
            let (answer, _) = sender.ready().await.unwrap().send_request(request, true).unwrap();
            answer.await
        };
        tokio::select! {
            ended = drive(connection, pulse) => assert!(matches!(ended, Err(Ended::Silent)), "{ended:?}"),
            answer = exchange => panic!("{answer:?}"),
            () = tokio::time::sleep(Duration::from_secs(3600)) => {}
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up_after_a_ping_without_answer() {
        let pulse = Pulse::new();
        pulse.hear();
        let waited = to_nobody(&pulse, Pushing::One).await;
        assert!(waited >= PING_INTERVAL + PING_TIMEOUT && waited < Duration::from_secs(8), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_freeze_the_ping_is_due_at_once() {
        let pulse = Pulse::new();
        tokio::time::advance(Duration::from_secs(900)).await;
        let waited = to_nobody(&pulse, Pushing::One).await;
        assert!(waited >= PING_TIMEOUT && waited < PING_INTERVAL, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_left_alone() {
        assert!(to_nobody(&Pulse::new(), Pushing::Nothing).await >= Duration::from_secs(3600));
    }
}
