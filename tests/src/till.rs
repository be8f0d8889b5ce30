//! A till: redeems what it scans, with one Idempotency-Key per sale.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Client;
use serde_json::{Value, json};

use crate::answer::Answer;

/// Keys are unique over every till of the process, as a till's random ones would be.
static SALES: AtomicU64 = AtomicU64::new(1);

/// One till at one counter.
#[derive(Debug, Clone)]
pub struct Till {
    http: Client,
    base: String,
    merchant_key: String,
    name: String,
}

impl Till {
    /// `name` goes into `till`; the location is always "Rue Cler".
    pub fn new(http: &Client, base: &str, merchant_key: &str, name: &str) -> Till {
        Till { http: http.clone(), base: base.to_owned(), merchant_key: merchant_key.to_owned(), name: name.to_owned() }
    }

    /// A key no sale has used yet.
    pub fn new_sale() -> String {
        format!("sale-{}", SALES.fetch_add(1, Ordering::Relaxed))
    }

    /// Scans a barcode: a new sale.
    pub async fn redeem(&self, barcode: &str) -> Answer {
        self.redeem_as(&Till::new_sale(), barcode).await
    }

    /// Scans a barcode under a given Idempotency-Key.
    pub async fn redeem_as(&self, sale: &str, barcode: &str) -> Answer {
        let body = json!({ "barcode": barcode, "location": "Rue Cler", "till": self.name });
        self.send(Some(sale), &body).await
    }

    /// Redeems by the pass's identity, as a till that reads the serial number does.
    pub async fn redeem_pass(&self, pass_type: &str, serial: &str) -> Answer {
        let body = json!({ "passTypeIdentifier": pass_type, "serialNumber": serial });
        self.send(Some(&Till::new_sale()), &body).await
    }

    /// Any body, with or without a key.
    pub async fn send(&self, sale: Option<&str>, body: &Value) -> Answer {
        let mut request =
            self.http.post(format!("{}/merchant/v1/redemptions", self.base)).bearer_auth(&self.merchant_key).json(body);
        if let Some(sale) = sale {
            request = request.header("Idempotency-Key", sale);
        }
        Answer::to(request).await
    }
}
