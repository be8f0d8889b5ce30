//! Batches of passes: ordered, cancelled now and then, and held against their answers.

use std::collections::BTreeSet;

use http::{HeaderMap, Method, Uri};
use jiff::Timestamp;
use passloop_tests::back_office::CAMPAIGN;
use serde_json::{Value, json};

use super::{FIRST_NUMBER, Shop};
use crate::bucket::Spoilt;
use crate::invariants::Invariant;
use crate::ledger::Ordered;
use crate::phone::request;

impl Shop {
    /// Many at once: rows, of which one may name a serial number that another pass has. Some are cancelled.
    pub(crate) async fn order_batch(&self) {
        let (world, number) = (&self.world, self.number());
        let dice = &world.dice;
        let mut rows: Vec<(String, String)> = (1..=*dice.pick(&[1, 2, 3, 12]))
            .map(|row| (format!("B{number}-{row}"), (*dice.pick(&["C1", "C2"])).to_owned()))
            .collect();
        let mut taken = BTreeSet::new();
        if dice.chance(0.3)
            && let Some(pass) = world.ledger().issued.first()
        {
            taken.insert(pass.serial.clone());
            rows.last_mut().expect("a row").0.clone_from(&pass.serial);
        }
        let line = |(serial, customer): &(String, String)| {
            let holder = json!({ "name": "Ada", "customer": customer, "number": FIRST_NUMBER });
            json!({ "serialNumber": serial, "holder": holder }).to_string() + "\n"
        };
        let lines: String = rows.iter().map(line).collect();
        let headers = [
            ("authorization", format!("Bearer {}", self.key)),
            ("idempotency-key", format!("batch-{number}")),
            ("content-type", "application/x-ndjson".to_owned()),
        ];
        let path = format!("/merchant/v1/passes/batch?campaignId={CAMPAIGN}");
        let mut order = request(Method::POST, &path, &headers, None);
        *order.body_mut() = lines.into();
        let Some(begun) = self.expect(order, &[202]).await else { return };
        let batch = begun["batchId"].as_str().unwrap_or_default().to_owned();
        world.note("office", || format!("orders a batch of {} rows: {batch}", rows.len()));
        let ordered = Ordered { batch: batch.clone(), rows, taken, cancelled: false, collected: false };
        world.ledger().batches.push(ordered);
        if dice.chance(0.2) {
            world.pause(0, 2_000).await;
            world
                .ledger()
                .batches
                .iter_mut()
                .filter(|known| known.batch == batch)
                .for_each(|known| known.cancelled = true);
            self.expect(self.request(Method::DELETE, &format!("/passes/batch/{batch}"), None, None), &[200]).await;
            world.note("office", || format!("cancels the batch {batch}"));
        }
        for _ in 0..20 {
            world.pause(2_000, 10_000).await;
            if self.collect(&batch).await {
                return;
            }
        }
    }

    /// Reads what came of a batch, if it is over, and whether the answers are those of its rows.
    pub(crate) async fn collect(&self, batch: &str) -> bool {
        let world = &self.world;
        let path = format!("/passes/batch/{batch}");
        let seen = self.expect(self.request(Method::GET, &path, None, None), &[200]).await.unwrap_or_default();
        let state = seen["state"].as_str().unwrap_or_default();
        if !["finished", "cancelled", "failed"].contains(&state) {
            return false;
        }
        let Some(ordered) = ({
            let mut ledger = world.ledger();
            let known = ledger.batches.iter_mut().find(|known| known.batch == batch && !known.collected);
            known.map(|known| {
                known.collected = true;
                known.clone()
            })
        }) else {
            return true;
        };
        let until: Option<Timestamp> = seen["resultsUntil"].as_str().and_then(|until| until.parse().ok());
        let answers = if until.is_some_and(|until| world.now() < until) {
            self.answers(batch).await
        } else {
            let read = seen["rowsRead"].as_u64().unwrap_or_default() as usize;
            self.passes_of(&ordered, read).await
        };
        world.note("office", || format!("collects the batch {batch}, {state}: {} answers", answers.len()));
        if let Some(problem) = self.judge_batch(&ordered, state, &seen, &answers).await {
            let seen = format!("{problem}: {seen}, answers {answers:?}, of {ordered:?}");
            world.breaks(Invariant::RowsAnsweredOnce, seen);
        }
        true
    }

    /// The answers to the rows of a batch.
    async fn answers(&self, batch: &str) -> Vec<Value> {
        let path = format!("/passes/batch/{batch}/results");
        let results = self.expect(self.request(Method::GET, &path, None, None), &[200]).await.unwrap_or_default();
        let mut answers: Vec<Value> = Vec::new();
        for chunk in results["results"].as_array().into_iter().flatten() {
            let url: Uri = chunk["url"].as_str().unwrap_or_default().parse().expect("a URL");
            let object = self.world.bucket.get(url.path(), &HeaderMap::new(), Spoilt::No);
            let lines = String::from_utf8_lossy(object.body()).into_owned();
            answers.extend(lines.lines().map(|line| serde_json::from_str(line).unwrap_or_default()));
        }
        answers
    }

    /// The same from the passes themselves, when the answers were kept long enough (seven days).
    async fn passes_of(&self, ordered: &Ordered, read: usize) -> Vec<Value> {
        let mut answers = Vec::new();
        for (place, (serial, _)) in ordered.rows.iter().take(read).enumerate() {
            let asked = self.ask(self.request(Method::GET, &Shop::path(serial), None, None)).await;
            let mut answer = match asked {
                Some((200, pass)) if !ordered.taken.contains(serial) => pass,
                _ => json!({ "errors": [] }),
            };
            answer["row"] = json!(place + 1);
            answers.push(answer);
        }
        answers
    }

    /// What is wrong with the answers to a batch, if anything is. The passes that were made are passes like any other.
    async fn judge_batch(
        &self,
        ordered: &Ordered,
        state: &str,
        seen: &Value,
        answers: &[Value],
    ) -> Option<&'static str> {
        let whole = answers.len() == ordered.rows.len();
        if state == "failed" || (state == "finished" && !whole) || (state == "cancelled" && !ordered.cancelled) {
            return Some("a batch ended otherwise than it was ordered");
        }
        let made = answers.iter().filter(|answer| answer["errors"].is_null()).count();
        if seen["rowsRead"] != answers.len() || seen["issued"] != made || seen["failed"] != answers.len() - made {
            return Some("the counts are not those of the answers");
        }
        for (place, answer) in answers.iter().enumerate() {
            let Some((serial, customer)) = ordered.rows.get(place).filter(|_| answer["row"] == place + 1) else {
                return Some("the answers are not those of the rows");
            };
            if answer["errors"].is_null() {
                let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
                if text("serialNumber") != *serial || ordered.taken.contains(serial) {
                    return Some("a row made another pass than it asked for");
                }
                self.is_issued(&text, customer.clone());
                continue;
            }
            if ordered.taken.contains(serial) {
                continue;
            }
            if !ordered.cancelled {
                return Some("a row was refused for no reason");
            }
            let asked = self.ask(self.request(Method::GET, &Shop::path(serial), None, None)).await;
            if asked.is_some_and(|(status, _)| status != 404) {
                return Some("a row that was refused made a pass");
            }
        }
        None
    }
}
