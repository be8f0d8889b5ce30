//! Another merchant of the same service, who tries a key of their own on passes, campaigns and sales of the shop's. Whatever
//! they send, there is no such thing; and it changes nothing, or the end would show it (contract 4: what is another
//! merchant's is unknown).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use passloop_tests::back_office::{CAMPAIGN, PASS_TYPE};
use serde_json::{Value, json};

use crate::invariants::Invariant;
use crate::ledger::IssuedPass;
use crate::phone::request;
use crate::world::World;

/// A merchant next door.
pub(crate) struct Neighbour {
    world: Arc<World>,
    key: String,
    tries: AtomicU64,
}

impl Neighbour {
    pub(crate) fn new(world: &Arc<World>, key: &str) -> Neighbour {
        world.ledger().secret("merchant key", key);
        Neighbour { world: Arc::clone(world), key: key.to_owned(), tries: AtomicU64::new(1) }
    }

    /// Tries something on a pass of the shop's.
    pub(crate) async fn meddles(&self, pass: &IssuedPass) {
        let path = format!("/passes/{PASS_TYPE}/{}", pass.serial);
        let redemption = self.world.ledger().redeemed.keys().next().cloned().unwrap_or_default();
        let named = json!({ "passTypeIdentifier": PASS_TYPE, "serialNumber": pass.serial });
        let order = json!({ "campaignId": CAMPAIGN, "serialNumber": "N1", "holder": { "name": "Eve" } });
        let (method, path, body) = match self.world.dice.between(0, 7) {
            0 => (Method::GET, path, Value::Null),
            1 => (Method::GET, format!("{path}/history"), Value::Null),
            2 => (Method::PATCH, path, json!({ "holder": { "name": "Eve" } })),
            3 => (Method::POST, format!("{path}/void"), json!({})),
            4 => (Method::POST, "/redemptions".to_owned(), json!({ "barcode": pass.barcode })),
            5 => (Method::POST, "/redemptions".to_owned(), named),
            6 if !redemption.is_empty() => (Method::POST, format!("/redemptions/{redemption}/reverse"), json!({})),
            _ => (Method::POST, "/passes".to_owned(), order),
        };
        // Now and then under a key that the shop has used: what was answered to one merchant is nothing to another.
        let number = self.tries.fetch_add(1, Ordering::Relaxed);
        let key = format!("{}-{number}", self.world.dice.pick(&["sale", "void", "reversal", "order", "theirs"]));
        let headers = [("authorization", format!("Bearer {}", self.key)), ("idempotency-key", key)];
        let body = (!body.is_null()).then(|| body.to_string());
        let asked_for_a_pass = path == "/passes";
        let what = format!("{method} {path}");
        let asked = request(method, &format!("/merchant/v1{path}"), &headers, body);
        let Some(answer) = self.world.call(asked).await else { return };
        self.world.note("neighbour", || format!("is answered {} to {what}", answer.status()));
        // An order names an unknown campaign, which is invalid (contract 4). A failure is judged where it happens.
        let is_order = asked_for_a_pass && answer.status() == 422;
        if !(answer.status() == 404 || is_order || answer.status().is_server_error()) {
            let seen = format!("{what} of another merchant's was answered {} {:?}", answer.status(), answer.body());
            self.world.breaks(Invariant::Tenancy, seen);
        }
    }
}
