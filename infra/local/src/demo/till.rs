//! One till: the call it makes for what it scans (contract, section 4, Redemptions).

use anyhow::Context as _;
use jiff::Timestamp;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// A till with its key.
pub(super) struct Till {
    pub(super) http: Client,
    /// Where the service answers.
    pub(super) base_url: String,
    pub(super) merchant_key: String,
}

/// 201.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Redemption {
    pub(super) redemption_id: String,
    pub(super) offer: Offer,
    pub(super) redeemed_at: Timestamp,
    /// None after the last offer.
    pub(super) next_offer_at: Option<Timestamp>,
}

/// What was redeemed.
#[derive(Debug, Deserialize)]
pub(super) struct Offer {
    pub(super) title: String,
}

/// 409, with the redemption that counted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) redemption_id: Option<String>,
}

impl Till {
    /// Redeems what was scanned. `sale` is the till's own number for it: the idempotency key.
    ///
    /// # Errors
    /// When it is not redeemed.
    pub(super) async fn redeem(&self, sale: &str, barcode: &str) -> anyhow::Result<Redemption> {
        self.scan(sale, barcode, StatusCode::CREATED).await
    }

    /// Tries to redeem what must be refused.
    ///
    /// # Errors
    /// When it is not answered 409.
    pub(super) async fn is_refused(&self, sale: &str, barcode: &str) -> anyhow::Result<Refusal> {
        self.scan(sale, barcode, StatusCode::CONFLICT).await
    }

    async fn scan<T: DeserializeOwned>(&self, sale: &str, barcode: &str, expected: StatusCode) -> anyhow::Result<T> {
        let request = self
            .http
            .post(format!("{}/merchant/v1/redemptions", self.base_url))
            .bearer_auth(&self.merchant_key)
            .header("Idempotency-Key", sale)
            .json(&json!({ "barcode": barcode, "location": "Rue Cler", "till": "1" }));
        let answer = request.send().await.context("the service does not answer the till")?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status == expected, "the till expected {expected}, the service answered {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("the till cannot read the answer: {text}"))
    }
}
