//! `DELETE /merchant/v1/passes/{passTypeIdentifier}/{serialNumber}`: the pass is forgotten.

use domain::Refusal;
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler, erasing,
    http::{self as answer, Failure},
    keys::Role,
    merchant,
    store::{ATTEMPTS, Written},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "erase-pass",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// 204, and from now on the pass is unknown to its merchant; again: 204. Its phones have some time to learn that it is
/// void, then nothing is left of it.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let identity = merchant::pass_identity(&request)?;
    for _ in 0..ATTEMPTS {
        let found = app.store.pass_and_campaign(&identity).await?;
        let Some((stored, campaign)) = found else {
            let erased = app.store.erased(&identity).await?;
            let ours = erased.is_some_and(|whose| whose == merchant.merchant_id);
            return if ours { Ok(answer::empty(StatusCode::NO_CONTENT)) } else { Err(Refusal::UnknownPass.into()) };
        };
        if stored.pass.merchant_id != merchant.merchant_id {
            return Err(Refusal::UnknownPass.into());
        }
        match erasing::begin(app, &stored, &campaign.campaign, None, now).await? {
            Written::Done => {
                // The step that follows does it too; until then a repeated request would bring the holder back.
                if let Err(fault) = erasing::forget_answers(app, &stored.pass).await {
                    tracing::warn!(fault = fault.chain(), "what was answered is forgotten later");
                }
                return Ok(answer::empty(StatusCode::NO_CONTENT));
            }
            Written::Changed | Written::AnsweredBefore => {}
        }
    }
    Err(Failure::Busy)
}
