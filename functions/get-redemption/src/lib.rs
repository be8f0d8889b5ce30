//! `GET /merchant/v1/redemptions/{redemptionId}`: a redemption, whether it still counts, and when phones knew.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, CLOCKS_APART, Function, Handler,
    http::{self as answer, Failure},
    keys::Role,
    redemption_view::{self, RedemptionView},
    store::{StoredRedemption, history_from},
};
use serde::Serialize;

mod delivery;

use delivery::Delivery;

/// The door.
pub const FUNCTION: Function = Function {
    name: "get-redemption",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

#[derive(Serialize)]
struct View<'a> {
    #[serde(flatten)]
    redemption: RedemptionView<'a>,
    delivery: Option<Delivery>,
}

/// The proof of delivery is read from the pass's history: 500 events from the redemption on, and 500 from the next offer
/// on. What phones do follows within seconds, so later events tell nothing new. Of an erased pass nothing is told.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Redeem, now).await?;
    let (redemption, pass, campaign) = redemption_view::named(app, &merchant, &request).await?;
    let delivery = if pass.is_some() { Some(proof(app, &redemption, now).await?) } else { None };
    let redemption = RedemptionView::new(&redemption, &campaign.campaign);
    Ok(answer::json(StatusCode::OK, &View { redemption, delivery }))
}

async fn proof(app: &App, redemption: &StoredRedemption, now: Timestamp) -> Result<Delivery, Failure> {
    let identity = &redemption.identity;
    let counted = &redemption.counted;
    let from = |at: Timestamp| history_from(at - CLOCKS_APART);
    let (mut events, more) = app.store.history(identity, Some(&from(counted.redemption.redeemed_at))).await?;
    if let Some(due) = counted.next_offer_at.filter(|due| more.is_some() && *due <= now) {
        let (later, _) = app.store.history(identity, Some(&from(due))).await?;
        events.extend(later);
    }
    Ok(Delivery::of(redemption, &events))
}
