//! Push to WalletPasses on Android: one POST for many devices, "ask for what changed" (walletpasses.io/developer).
//!
//! Off unless `WALLETPASSES_ENDPOINT` is set: push tokens are told to whoever runs that endpoint. Their server is not
//! Apple's: when it does not answer, it is left alone for a while, so that iPhones never wait for it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use passkit::{identifiers::PassTypeIdentifier, secrets::PushToken};
use serde_json::json;

use crate::{
    App, Fault,
    outbound::{Call, Reach, Trouble},
};

/// Tokens of one call. Their page names no limit; Pass2U's, a like service, is 1,000.
pub const TOKENS: usize = 500;
/// For one call. Far above what it takes, far below what a worker has.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For so long nobody is called after a call that got no answer.
const QUIET: SignedDuration = SignedDuration::from_secs(30);

/// What became of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// They took it.
    Accepted,
    /// They are busy, or do not answer: once more, later.
    Again(String),
    /// They refuse it: our key, or what we sent.
    Refused(StatusCode),
}

/// What is remembered of their server.
#[derive(Default)]
pub struct WalletPasses {
    quiet_until: Mutex<Option<Timestamp>>,
}

impl WalletPasses {
    fn is_quiet(&self, now: Timestamp) -> bool {
        let until = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| now < until)
    }

    fn be_quiet(&self, now: Timestamp) {
        *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + QUIET);
    }

    /// Tells these devices, at most [`TOKENS`], to ask for passes of this type.
    pub async fn push(
        &self,
        app: &App,
        topic: &PassTypeIdentifier,
        tokens: &[&PushToken],
        now: Timestamp,
    ) -> Result<Outcome, Fault> {
        let Some(endpoint) = &app.config.walletpasses_endpoint else {
            return Err(Fault::contradiction("a push to WalletPasses without WALLETPASSES_ENDPOINT"));
        };
        if self.is_quiet(now) {
            return Ok(Outcome::Again("their server did not answer lately".to_owned()));
        }
        let tokens: Vec<&str> = tokens.iter().map(|token| token.expose()).collect();
        let body = json!({ "passTypeIdentifier": topic, "pushTokens": tokens }).to_string().into();
        let mut headers = HeaderMap::new();
        if let Some(key) = &app.config.walletpasses_api_key {
            let mut key = HeaderValue::from_str(key.expose())
                .map_err(|_| Fault::contradiction("WALLETPASSES_API_KEY cannot stand in a header"))?;
            key.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, key);
        }
        // Whoever runs the service named the address.
        let call = Call { url: endpoint, headers, body, timeout: TIMEOUT, reach: Reach::PublicAndThisMachine };
        Ok(match app.call(call).await? {
            Ok(answered) => outcome(answered.status),
            Err(trouble) => {
                if trouble == Trouble::Timeout {
                    self.be_quiet(now);
                }
                Outcome::Again(trouble.to_string())
            }
        })
    }
}

fn outcome(status: StatusCode) -> Outcome {
    if status.is_success() {
        Outcome::Accepted
    } else if status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
    {
        Outcome::Again(status.to_string())
    } else {
        Outcome::Refused(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_busy_is_asked_again_and_what_is_refused_is_not() {
        assert_eq!(outcome(StatusCode::OK), Outcome::Accepted);
        assert_eq!(outcome(StatusCode::ACCEPTED), Outcome::Accepted);
        assert!(matches!(outcome(StatusCode::TOO_MANY_REQUESTS), Outcome::Again(_)));
        assert!(matches!(outcome(StatusCode::BAD_GATEWAY), Outcome::Again(_)));
        for status in [StatusCode::FORBIDDEN, StatusCode::BAD_REQUEST, StatusCode::FOUND] {
            assert_eq!(outcome(status), Outcome::Refused(status));
        }
    }
}
