//! One identity's line to APNs: at most one connection that takes new pushes, opened by whoever needs it first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use super::connection::Connection;
use super::outcome::ConnectionTrouble;

/// Holds the connection in use. A retired one lives on until the pushes under way on it are answered.
///
/// ```text
///            connection(): open          retire(), or found closed
///   none ──────────────────────▶ open ─────────────────────────────▶ none
///    ▲                             │
///    └── the attempt failed; all who waited for it share the failure
/// ```
pub(super) struct Line {
    slots: Semaphore,
    /// Attempts to connect that have ended. Read before waiting for `state`, it tells whether one ended meanwhile.
    attempts: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Connection>>,
    /// Why the last attempt failed; none after a successful one.
    failure: Option<ConnectionTrouble>,
}

impl Line {
    pub(super) fn new(slots: usize) -> Self {
        Self { slots: Semaphore::new(slots), attempts: AtomicU64::new(0), state: Mutex::default() }
    }

    /// Waits until one more push may go out, for as long as the permit is held. Every holder is bounded by the time
    /// limits of connecting and of a request, so the wait is too. `None` only if the semaphore were closed, which it
    /// never is; the push then goes out unlimited.
    pub(super) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        self.slots.acquire().await.ok()
    }

    /// The open connection, or a new one. While one caller connects the others wait for the result, success or failure:
    /// a thousand first pushes make one handshake, and an unreachable APNs fails them all after one time limit.
    pub(super) async fn connection<Open>(&self, open: Open) -> Result<Arc<Connection>, ConnectionTrouble>
    where
        Open: AsyncFnOnce() -> Result<Connection, ConnectionTrouble>,
    {
        let seen = self.attempts.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        if let Some(connection) = state.current.as_ref().filter(|connection| connection.takes_pushes()) {
            return Ok(Arc::clone(connection));
        }
        if self.attempts.load(Ordering::Acquire) != seen
            && let Some(trouble) = &state.failure
        {
            return Err(trouble.clone());
        }
        state.current = None;
        let opened = open().await.map(Arc::new);
        self.attempts.fetch_add(1, Ordering::Release);
        match &opened {
            Ok(connection) => {
                state.current = Some(Arc::clone(connection));
                state.failure = None;
            }
            Err(trouble) => state.failure = Some(trouble.clone()),
        }
        opened
    }

    /// No new pushes on this connection. Does nothing if another has already taken its place.
    pub(super) async fn retire(&self, connection: &Arc<Connection>) {
        let mut state = self.state.lock().await;
        state.current.take_if(|current| Arc::ptr_eq(current, connection));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn all_who_wait_for_an_attempt_share_its_failure() {
        let line = Line::new(1);
        let attempts = AtomicUsize::new(0);
        let open = async || {
            attempts.fetch_add(1, Ordering::Relaxed);
            // Long enough for the others to come and wait.
            tokio::task::yield_now().await;
            Err(ConnectionTrouble::ConnectTimeout)
        };
        let results = join_all((0..100).map(|_| line.connection(open))).await;
        assert!(results.iter().all(Result::is_err));
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
        // A failure is not remembered: who comes later tries again.
        assert!(line.connection(open).await.is_err());
        assert_eq!(attempts.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_attempt_given_up_does_not_block_the_line() {
        let line = Line::new(1);
        let given_up = async {
            tokio::select! {
                biased;
                _ = line.connection(async || std::future::pending().await) => unreachable!("pending"),
                () = tokio::task::yield_now() => {}
            }
        };
        given_up.await;
        let trouble = ConnectionTrouble::Connect("second attempt".to_owned());
        let expected = trouble.clone();
        assert_eq!(line.connection(async || Err(trouble)).await.err(), Some(expected));
    }

    #[tokio::test]
    async fn a_slot_is_free_again_when_its_push_is_done() {
        let line = Line::new(1);
        let first = line.slot().await;
        let mut second = std::pin::pin!(line.slot());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert!(futures_util::poll!(&mut second).is_ready());
    }
}
