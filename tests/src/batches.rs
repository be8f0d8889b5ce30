//! Batches as a back office makes them: orders, waits, collects.

use std::time::Instant;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::back_office::BackOffice;
use crate::world::PATIENCE;

/// What JSON Lines are sent as.
pub const JSON_LINES: &str = "application/x-ndjson";
/// What CSV is sent as.
pub const CSV: &str = "text/csv";

/// One JSON text for each row.
pub fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

impl BackOffice {
    /// Sends rows under an Idempotency-Key; `query` begins with `?` or is empty.
    pub async fn batch(&self, key: &str, query: &str, media_type: &str, rows: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, &format!("/passes/batch{query}")).header("Idempotency-Key", key);
        Answer::to(request.header("Content-Type", media_type).body(rows)).await
    }

    /// Asks where to upload so many bytes of rows.
    pub async fn announce_batch(&self, key: &str, query: &str, format: &str, bytes: usize) -> Answer {
        let request = self.request(Method::POST, &format!("/passes/batch{query}")).header("Idempotency-Key", key);
        Answer::to(request.json(&json!({ "format": format, "bytes": bytes }))).await
    }

    /// Says that the rows are uploaded.
    pub async fn start_batch(&self, batch_id: &str) -> Answer {
        Answer::to(self.request(Method::POST, &format!("/passes/batch/{batch_id}/start"))).await
    }

    /// How far a batch has come.
    pub async fn batch_now(&self, batch_id: &str) -> Answer {
        Answer::to(self.request(Method::GET, &format!("/passes/batch/{batch_id}"))).await
    }

    /// Where its answers are.
    pub async fn batch_results(&self, batch_id: &str) -> Answer {
        Answer::to(self.request(Method::GET, &format!("/passes/batch/{batch_id}/results"))).await
    }

    /// Ends it.
    pub async fn cancel_batch(&self, batch_id: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, &format!("/passes/batch/{batch_id}"))).await
    }

    /// Waits until the batch is over, and tells how it ended.
    pub async fn batch_over(&self, batch_id: &str) -> Value {
        let mut seen = (json!(null), Instant::now());
        loop {
            let batch = self.batch_now(batch_id).await.expect(200).json();
            if ["cancelled", "finished", "failed"].contains(&batch["state"].as_str().unwrap()) {
                return batch;
            }
            if batch != seen.0 {
                seen = (batch, Instant::now());
            }
            assert!(seen.1.elapsed() < 3 * PATIENCE, "stands still: {}", seen.0);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Every answer of a batch, in the order of the files, downloaded by their presigned URLs as anybody could.
    pub async fn batch_answers(&self, http: &Client, batch_id: &str) -> Vec<Value> {
        let told = self.batch_results(batch_id).await.expect(200).json();
        let mut answers = Vec::new();
        for file in told["results"].as_array().unwrap() {
            let first = answers.len() + 1;
            let lines = Answer::to(http.get(file["url"].as_str().unwrap())).await.expect(200).text();
            answers.extend(lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
            assert_eq!((&file["firstRow"], &file["rows"]), (&json!(first), &json!(answers.len() + 1 - first)));
            let failed = answers[first - 1..].iter().filter(|answer| answer.get("errors").is_some()).count();
            assert_eq!(file["failed"], failed);
        }
        for (place, answer) in answers.iter().enumerate() {
            assert_eq!(answer["row"], place + 1, "answers are in the order of rows");
        }
        answers
    }

    /// Makes a batch of rows, waits for its end and collects its answers.
    pub async fn whole_batch(&self, http: &Client, query: &str, media_type: &str, rows: String) -> (Value, Vec<Value>) {
        let made = self.batch(&crate::till::Till::new_sale(), query, media_type, rows).await.expect(202).json();
        let id = made["batchId"].as_str().unwrap();
        (self.batch_over(id).await, self.batch_answers(http, id).await)
    }
}

/// The paths of a row's errors, in their order; none of a row that made a pass.
pub fn error_paths(answer: &Value) -> Vec<&str> {
    let errors = answer["errors"].as_array().into_iter().flatten();
    errors.map(|error| error["path"].as_str().expect("a path")).collect()
}
