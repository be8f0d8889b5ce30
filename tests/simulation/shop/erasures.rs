//! Passes that are erased, and what is tried with them.

use http::Method;
use jiff::SignedDuration;
use passloop_tests::back_office::{CAMPAIGN, PASS_TYPE};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{SOON, Shop};
use crate::forgetting::Known;
use crate::invariants::Invariant;
use crate::world::lock;

impl Shop {
    /// The customer is forgotten.
    pub(crate) async fn erase(&self, serial: &str) {
        let request = self.request(Method::DELETE, &Shop::path(serial), None, None);
        if self.expect(request, &[204]).await.is_some() {
            self.world.note("office", || format!("has erased {serial}"));
            self.world.ledger().erased.entry(serial.to_owned()).or_insert_with(Instant::now);
        }
    }

    /// Something is tried with a pass that is being erased. From when that was answered on, there is no such pass; and its
    /// serial number is never another's.
    pub(crate) async fn tries(&self, known: &Known) {
        let (serial, number) = (&known.serial, self.number());
        let (path, key) = (Shop::path(serial), format!("try-{number}"));
        let name = format!("Ada, forgotten {number}");
        let named = json!({ "passTypeIdentifier": PASS_TYPE, "serialNumber": serial });
        let mut update = json!({ "target": named, "overlay": { "fields": { "news": { "value": SOON } } } });
        update["at"] = json!((self.world.now() + SignedDuration::from_secs(90)).to_string());
        let order = json!({ "campaignId": CAMPAIGN, "serialNumber": serial, "holder": { "name": name } });
        let (method, path, body) = match self.world.dice.between(0, 9) {
            0 => (Method::GET, path, Value::Null),
            1 => (Method::GET, format!("{path}/history"), Value::Null),
            2..5 => (Method::PATCH, path, json!({ "holder": { "name": name } })),
            5 => (Method::POST, format!("{path}/void"), json!({ "reason": name })),
            6 => (Method::POST, "/redemptions".to_owned(), named),
            7 => (Method::POST, format!("{path}/link"), json!({})),
            8 => (Method::POST, "/updates".to_owned(), update),
            _ => (Method::POST, "/passes".to_owned(), order),
        };
        let (makes, updates) = (path == "/passes", path == "/updates");
        self.world.ledger().secret("holder", &name);
        lock(&known.names).push(name);
        let begun = Instant::now();
        let what = format!("{method} {path}");
        let body = (!body.is_null()).then(|| body.to_string());
        let Some((status, answer)) = self.ask(self.request(method, &path, Some(&key), body)).await else { return };
        self.world.note("office", || format!("tries {what}: {status} {}", answer["code"]));
        let is_erased = self.world.ledger().erased.get(serial).is_some_and(|erased| *erased < begun);
        let good = match (makes, is_erased) {
            (true, _) => status == 409,
            // The target of an update is named in the body.
            (false, true) => status == 404 || (status == 422 && updates),
            (false, false) => true,
        };
        if !good {
            let seen = format!("{what} of {serial}, erased: {is_erased}, was answered {status} {answer}");
            self.world.breaks(Invariant::Forgotten, seen);
        }
    }

    /// A new customer is to have this serial number, which was another's. What is answered, unless that is a refusal.
    pub(crate) async fn gives_again(&self, serial: &str) -> Option<String> {
        let order = json!({ "campaignId": CAMPAIGN, "serialNumber": serial, "holder": { "name": "Eve" } });
        let key = format!("again-{}", self.number());
        let answered = self.ask(self.request(Method::POST, "/passes", Some(&key), Some(order.to_string()))).await;
        answered.filter(|(status, _)| *status != 409).map(|(status, answer)| format!("{status} {answer}"))
    }
}
