//! `DELETE /merchant/v1/passes/{passTypeIdentifier}/{serialNumber}/link`: the link is dead from now on.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    keys::Role,
    merchant::{self, PassView},
    store::{ATTEMPTS, COUNTED_DEVICES, Change, Counts, Event, EventKind, Written},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "revoke-link",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// The pass without a link; again: as it is. Copies that are installed go on.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let identity = merchant::pass_identity(&request)?;
    for _ in 0..ATTEMPTS {
        let (stored, campaign) = merchant::pass(app, &merchant, &identity).await?;
        let devices = app.store.count_registrations(&identity, COUNTED_DEVICES).await?;
        let pass = stored.pass.with_link(None);
        let view = PassView::new(app, &pass, &campaign.campaign, Counts { devices, downloads: 0 }, now)?;
        if stored.pass.link.is_none() {
            return Ok(answer::json(StatusCode::OK, &view));
        }
        let event = Some(Event::new(EventKind::LinkRevoked, now, pass.version));
        match app.store.change(&stored, &pass, Change { event, ..Change::default() }).await? {
            Written::Done => return Ok(answer::json(StatusCode::OK, &view)),
            Written::Changed | Written::AnsweredBefore => {}
        }
    }
    Err(Failure::Busy)
}
