//! A webhook as its merchant sees it.

use domain::time;
use jiff::Timestamp;
use serde::Serialize;

use crate::store::{Delivery, StoredWebhook};

/// A webhook without its secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookView<'a> {
    webhook_id: &'a str,
    url: &'a str,
    /// Empty: of everything.
    events: &'a [String],
    #[serde(with = "time::text")]
    active_from: Timestamp,
    /// Until when an older secret signs too.
    #[serde(with = "time::optional_text")]
    older_secret_until: Option<Timestamp>,
    #[serde(with = "time::text")]
    created_at: Timestamp,
    #[serde(with = "time::text")]
    updated_at: Timestamp,
}

impl<'a> WebhookView<'a> {
    /// A webhook at `now`.
    pub fn new(webhook: &'a StoredWebhook, now: Timestamp) -> WebhookView<'a> {
        WebhookView {
            webhook_id: &webhook.webhook_id,
            url: &webhook.url,
            events: &webhook.events,
            active_from: webhook.active_from,
            older_secret_until: webhook
                .secrets
                .iter()
                .filter_map(|secret| secret.until)
                .filter(|until| now < *until)
                .max(),
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
        }
    }
}

/// A webhook with its secret, or with none where it was shown before.
#[derive(Debug, Serialize)]
pub struct MadeWebhook<'a> {
    #[serde(flatten)]
    webhook: WebhookView<'a>,
    secret: Option<&'a str>,
}

impl<'a> MadeWebhook<'a> {
    /// With the newest secret.
    pub fn showing(webhook: &'a StoredWebhook, now: Timestamp) -> MadeWebhook<'a> {
        let secret = webhook.secrets.first().map(|secret| secret.secret.expose());
        MadeWebhook { webhook: WebhookView::new(webhook, now), secret }
    }

    /// Without.
    pub fn hiding(webhook: &'a StoredWebhook, now: Timestamp) -> MadeWebhook<'a> {
        MadeWebhook { webhook: WebhookView::new(webhook, now), secret: None }
    }
}

/// An attempt to deliver.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView<'a> {
    #[serde(with = "time::text")]
    at: Timestamp,
    message_id: &'a str,
    #[serde(rename = "type")]
    event: &'a str,
    pass_type_identifier: &'a str,
    serial_number: &'a str,
    attempt: u32,
    status: Option<u16>,
    error: Option<&'a str>,
    outcome: &'a str,
}

impl<'a> From<&'a Delivery> for DeliveryView<'a> {
    fn from(delivery: &'a Delivery) -> DeliveryView<'a> {
        DeliveryView {
            at: delivery.at,
            message_id: &delivery.message_id,
            event: &delivery.event,
            pass_type_identifier: delivery.pass_type_identifier.as_str(),
            serial_number: delivery.serial_number.as_str(),
            attempt: delivery.attempt,
            status: delivery.status,
            error: delivery.error.as_deref(),
            outcome: &delivery.outcome,
        }
    }
}
