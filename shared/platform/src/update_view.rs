//! A scheduled update as merchants see it.

use domain::{
    schedule::{Every, ScheduledUpdate, Target, UpdateState},
    time,
};
use jiff::Timestamp;
use lambda_http::Request;
use passkit::overlay::Overlay;
use serde::Serialize;

use crate::{
    App,
    function::path_parameter,
    http::Failure,
    keys::{Merchant, Role},
    store::StoredUpdate,
};

/// The update, and when it next comes or goes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateView<'a> {
    update_id: &'a str,
    target: &'a Target,
    #[serde(flatten)]
    state: &'a UpdateState,
    #[serde(with = "time::text")]
    at: Timestamp,
    #[serde(with = "time::optional_text")]
    until: Option<Timestamp>,
    every: Option<Every>,
    time_zone: &'a str,
    overlay: &'a Overlay,
    #[serde(with = "time::optional_text")]
    next_at: Option<Timestamp>,
    #[serde(with = "time::text")]
    created_at: Timestamp,
}

impl<'a> From<&'a ScheduledUpdate> for UpdateView<'a> {
    fn from(update: &'a ScheduledUpdate) -> Self {
        UpdateView {
            update_id: &update.update_id,
            target: &update.target,
            state: &update.state,
            at: update.at,
            until: update.until,
            every: update.every,
            time_zone: &update.time_zone,
            overlay: &update.overlay,
            next_at: update.next_at(),
            created_at: update.created_at,
        }
    }
}

/// The role that may schedule for a target: a campaign is its owner's, a pass any back office's.
pub fn role_for(target: &Target) -> Role {
    match target {
        Target::Campaign { .. } => Role::Admin,
        Target::Pass(_) => Role::Issue,
    }
}

/// The update that a path names, if it is the merchant's.
pub async fn named(app: &App, merchant: &Merchant, request: &Request) -> Result<StoredUpdate, Failure> {
    let update_id = path_parameter(request, "updateId");
    if !ScheduledUpdate::is_id(&update_id) {
        return Err(Failure::NotFound("scheduled update"));
    }
    let stored = app.store.update(&merchant.merchant_id, &update_id).await?;
    stored.ok_or(Failure::NotFound("scheduled update"))
}
