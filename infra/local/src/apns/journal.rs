//! What the stand-in has seen, and how it has been told to answer.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use tokio::sync::watch;

/// One request for one device, as it came in.
#[derive(Clone)]
pub struct RecordedPush {
    /// When it arrived, by the stand-in's clock.
    pub at: Timestamp,
    /// Which connection it came on: 1 is the first since the start.
    pub connection: u64,
    /// The last part of the path.
    pub token: String,
    /// `apns-topic`, empty if there was none.
    pub topic: String,
    /// Every header.
    pub headers: HeaderMap,
    /// The body.
    pub payload: Bytes,
    /// How it was answered; none if it was left waiting.
    pub status: Option<u16>,
}

impl RecordedPush {
    /// Pushes on record. A story makes tens; at half a kilobyte each this is 10 MB.
    pub const KEPT: usize = 20_000;

    /// A header's value, if it is there and printable.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Without the token: `cargo run` serves real phones too, and tokens are secrets.
impl fmt::Debug for RecordedPush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedPush")
            .field("at", &self.at)
            .field("connection", &self.connection)
            .field("topic", &self.topic)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// How a push is answered.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Accept,
    Refuse(ErrorAnswer),
    Never,
}

/// An answer other than 200.
#[derive(Debug, Clone)]
pub(super) struct ErrorAnswer {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) timestamp_ms: Option<i64>,
}

impl Answer {
    pub(super) fn refusal(status: u16, reason: &str, timestamp_ms: Option<i64>) -> Self {
        Self::Refuse(ErrorAnswer { status, reason: reason.to_owned(), timestamp_ms })
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Accept => Some(200),
            Self::Refuse(error) => Some(error.status),
            Self::Never => None,
        }
    }
}

/// A push before it is answered.
pub(super) struct Arrival {
    pub(super) connection: u64,
    pub(super) token: String,
    pub(super) topic: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// Shared by all connections.
pub(super) struct Journal {
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    connections: AtomicU64,
    received: AtomicU64,
    state: Mutex<State>,
    /// Changes with every record.
    recorded: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    pushes: VecDeque<RecordedPush>,
    instructions: HashMap<String, Instructions>,
}

#[derive(Default)]
struct Instructions {
    next: VecDeque<(Answer, usize)>,
    then: Option<Answer>,
}

impl Journal {
    pub(super) fn new(clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self {
            clock,
            connections: AtomicU64::new(0),
            received: AtomicU64::new(0),
            state: Mutex::default(),
            recorded: watch::Sender::new(()),
        }
    }

    /// Counts a connection and gives it its number.
    pub(super) fn connected(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Records a push with the answer it gets: `refusal` if the request itself is wrong, otherwise what was instructed.
    pub(super) fn record(&self, arrival: Arrival, refusal: Option<ErrorAnswer>) -> Answer {
        let at = (self.clock)();
        let mut state = self.state();
        let answer = refusal.map_or_else(|| state.instructed(&arrival.token), Answer::Refuse);
        if state.pushes.len() == RecordedPush::KEPT {
            state.pushes.pop_front();
        }
        state.pushes.push_back(RecordedPush {
            at,
            connection: arrival.connection,
            token: arrival.token,
            topic: arrival.topic,
            headers: arrival.headers,
            payload: arrival.payload,
            status: answer.status(),
        });
        drop(state);
        self.received.fetch_add(1, Ordering::Relaxed);
        self.recorded.send_replace(());
        answer
    }

    pub(super) fn answer(&self, token: &str, answer: Answer, times: Option<usize>) {
        let mut state = self.state();
        let instructions = state.instructions.entry(token.to_owned()).or_default();
        match times {
            Some(times) => instructions.next.push_back((answer, times)),
            None => instructions.then = Some(answer),
        }
    }

    pub(super) fn answer_normally(&self, token: &str) {
        self.state().instructions.remove(token);
    }

    pub(super) fn pushes(&self, wanted: impl Fn(&RecordedPush) -> bool) -> Vec<RecordedPush> {
        self.state().pushes.iter().filter(|push| wanted(push)).cloned().collect()
    }

    pub(super) async fn wait_for(&self, token: &str, count: usize, limit: Duration) -> Vec<RecordedPush> {
        let mut recorded = self.recorded.subscribe();
        let there = || self.pushes(|push| push.token == token);
        let enough = async {
            loop {
                // Marks the present state as seen before looking, so that no record falls between.
                recorded.borrow_and_update();
                let pushes = there();
                // The channel's sender is ours: it does not close while we wait.
                if pushes.len() >= count || recorded.changed().await.is_err() {
                    return pushes;
                }
            }
        };
        tokio::time::timeout(limit, enough).await.unwrap_or_else(|_| there())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn instructed(&mut self, token: &str) -> Answer {
        let Some(instructions) = self.instructions.get_mut(token) else {
            return Answer::Accept;
        };
        while let Some((answer, left)) = instructions.next.front_mut() {
            if *left > 0 {
                *left -= 1;
                return answer.clone();
            }
            instructions.next.pop_front();
        }
        instructions.then.clone().unwrap_or(Answer::Accept)
    }
}
