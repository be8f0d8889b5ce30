//! `POST /v1/passes/{passTypeIdentifier}/{serialNumber}/personalize`: a customer enrols (Apple, "Return a Personalized
//! Pass"). The answer is the phone's token, signed; the pass the phone fetches next has no enrolment sheet any more.

use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::{identifiers::PassIdentity, personalization::PersonalizationRequest, secrets::AuthenticationToken};
use platform::{
    App, Audience, Fault, Function, Handler,
    http::{self as answer, Failure, PHONE_LIMIT},
    phone,
    store::{ATTEMPTS, Change, Event, EventKind, Intent, Step, StoredCampaign, StoredPass, Written},
    webhooks,
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "personalize-pass",
    handler: Handler::Http(Audience::Phone, |app, request, now| Box::pin(handle(app, request, now))),
};

/// 200 with the signed token, whatever the pass looks like by now: a phone may show the sheet of an earlier version, and
/// it asks only once (reference 1.3, P). What the customer typed is kept then, too. The same call again signs again and
/// changes nothing.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let identity = phone::pass_identity(&request)?;
    let (_, token) = phone::authorization(&request)?;
    let mut found = authorised(app, &identity, &token).await?;
    let body = answer::body(&request, PHONE_LIMIT)?;
    let asked = PersonalizationRequest::parse(body).map_err(|error| Failure::Malformed(error.to_string()))?;
    // First: when we cannot sign, nothing is to be written.
    let signature = sign(app, &identity, &asked.token, now).await?;
    let signed = || answer::bytes(StatusCode::OK, "application/octet-stream", signature.clone());

    for _ in 0..ATTEMPTS {
        let (stored, campaign) = (&found.0, &found.1.campaign);
        let Some(pass) = stored.pass.personalize(asked.facts.clone(), campaign, now) else { return Ok(signed()) };
        // Without a sheet before, and with no field that shows the new facts, no phone can tell.
        let (pass, mut then) = if app.packages.look_alike(app, &stored.pass, &pass, campaign, now).await? {
            (pass.unseen(&stored.pass), Vec::new())
        } else {
            // To every device: the call does not say which one it comes from.
            let step = Step::push(&pass);
            (pass, vec![Intent::new(now, step, now)?])
        };
        then.extend(webhooks::news(app, &pass, now).await?);
        let event = Some(Event::new(EventKind::Personalized, now, pass.version));
        match app.store.change(stored, &pass, Change { event, then: &then, ..Change::default() }).await? {
            Written::Done => {
                app.queues.send_after_commit(&then, now).await;
                return Ok(signed());
            }
            Written::Changed | Written::AnsweredBefore => {}
        }
        found = authorised(app, &identity, &token).await?;
    }
    Err(Failure::Busy)
}

/// The pass with its campaign, for who has its secret.
async fn authorised(
    app: &App,
    identity: &PassIdentity,
    token: &AuthenticationToken,
) -> Result<(StoredPass, StoredCampaign), Failure> {
    let found = app.store.pass_for_phone(identity, token).await?;
    // Nothing is kept any more about the holder of a pass that is being erased.
    found.filter(|(stored, _)| stored.pass.erasing_since.is_none()).ok_or(Failure::Unauthorised)
}

/// A detached signature over the token's bytes, made as that of a manifest.
async fn sign(app: &App, identity: &PassIdentity, token: &str, now: Timestamp) -> Result<Vec<u8>, Fault> {
    let pass_type = &identity.pass_type_identifier;
    let signer = app.identities.of(pass_type, now).await?;
    let signer = signer.ok_or_else(|| Fault::contradiction(format!("no signing identity for {pass_type}")))?;
    signer.sign(token.as_bytes(), now).map_err(|error| Fault::new("signing a personalization token", error))
}
