//! What came back over HTTP, with the sentences a story asks of it.

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Between two calls of somebody who insists.
const PAUSE: Duration = Duration::from_millis(50);

tokio::task_local! {
    static INSISTENCE: Duration;
}

/// Within `story`, a call that gets no answer, or 503, is made again, as phones and tills do when the network or the service
/// is away; after `limit` without one the story ends.
pub async fn insisting<F: Future>(limit: Duration, story: F) -> F::Output {
    INSISTENCE.scope(limit, story).await
}

/// A whole answer: status, headers and body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Method and URL, to name the call in a failure.
    pub asked: String,
    /// HTTP status.
    pub status: u16,
    /// Every header as it came.
    pub headers: HeaderMap,
    /// The body, complete.
    pub body: Bytes,
}

impl Answer {
    /// Sends the request and reads the whole answer.
    pub async fn to(request: reqwest::RequestBuilder) -> Answer {
        let limit = INSISTENCE.try_with(|limit| *limit).unwrap_or_default();
        let begun = Instant::now();
        let mut request = request;
        loop {
            let again = request.try_clone().filter(|_| begun.elapsed() < limit);
            match (Answer::once(request).await, again) {
                (Ok(Answer { status: 503, .. }) | Err(_), Some(again)) => request = again,
                (Ok(answer), _) => return answer,
                (Err(failed), None) => panic!("{failed}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn once(request: reqwest::RequestBuilder) -> Result<Answer, String> {
        let (client, request) = request.build_split();
        let request = request.expect("a request that can be built");
        let asked = format!("{} {}", request.method(), request.url());
        let response = client.execute(request).await.map_err(|error| format!("{asked}: no answer: {error:?}"))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.bytes().await;
        let body = body.map_err(|error| format!("{asked}: {status}, but the body broke off: {error:?}"))?;
        Ok(Answer { asked, status, headers, body })
    }

    /// Goes on only when the status is the expected one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}: expected {status}, got {} with {}", self.asked, self.status, self.text());
        self
    }

    /// A header's text, when it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text, for messages and pages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{}: not JSON ({error}): {}", self.asked, self.text()),
        }
    }

    /// An error as contract section 4 promises it: `application/problem+json` with every member.
    ///
    /// Gives the body. `code` is the error's code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.any_problem(&[status]);
        assert_eq!(body["code"], code, "{}: {body}", self.asked);
        body
    }

    /// An error of one of these statuses, when the contract leaves the exact one (or its code) open.
    #[track_caller]
    pub fn any_problem(&self, statuses: &[u16]) -> Value {
        assert!(
            statuses.contains(&self.status),
            "{}: expected one of {statuses:?}, got {} with {}",
            self.asked,
            self.status,
            self.text()
        );
        let kind = self.header("content-type").unwrap_or_default();
        assert_eq!(
            kind.split(';').next().unwrap_or_default().trim(),
            "application/problem+json",
            "{}: {}",
            self.asked,
            self.text()
        );
        let body = self.json();
        assert_eq!(body["status"], self.status, "{}: {body}", self.asked);
        for member in ["title", "code", "detail", "requestId"] {
            let text = body[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{}: no {member} in {body}", self.asked);
        }
        body
    }

    /// The paths named in `errors` of a problem, in the order of the answer.
    #[track_caller]
    pub fn problem_paths(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array();
        let errors = errors.unwrap_or_else(|| panic!("{}: no errors in {body}", self.asked));
        errors
            .iter()
            .map(|error| {
                let message = error["message"].as_str().unwrap_or_default();
                assert!(!message.is_empty(), "{}: no message in {error}", self.asked);
                let path = error["path"].as_str();
                path.unwrap_or_else(|| panic!("{}: no path in {error}", self.asked)).to_owned()
            })
            .collect()
    }
}
