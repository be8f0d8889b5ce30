//! `GET` and `HEAD /v1/passes/{passTypeIdentifier}/{serialNumber}`: the pass as it is now (Apple, "Send an Updated Pass").

use domain::{Campaign, Pass};
use http::{HeaderValue, Method, Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use lambda_http::{Body, Request};
use passkit::web_service::LastModified;
use platform::{
    App, Audience, Fault, Function, Handler,
    http::{self as answer, Failure, header_text},
    phone,
    store::{ATTEMPTS, Intent, Step, StoredPass, Written},
    telemetry::{self, Unit},
    webhooks,
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "send-updated-pass",
    handler: Handler::Http(Audience::Phone, |app, request, now| Box::pin(handle(app, request, now))),
};

/// 304 exactly when the phone holds this very version, else the package. Who asks is checked before what they hold.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let identity = phone::pass_identity(&request)?;
    let (_, token) = phone::authorization(&request)?;
    let (stored, campaign) = app.store.pass_for_phone(&identity, &token).await?.ok_or(Failure::Unauthorised)?;
    let (pass, campaign) = (&stored.pass, &campaign.campaign);

    let last_modified = pass.last_modified(campaign);
    let held = header_text(&request, header::IF_MODIFIED_SINCE).and_then(LastModified::parse);
    let mut waited = None;
    let mut response = if held == Some(last_modified) {
        answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        let package = app.packages.package(app, pass, campaign, now).await?;
        // The first phone to fetch what changed. The pass as it was issued is no update: nobody waited for it.
        let fetched = pass.effective_version(campaign);
        let first = pass.fetched.map_or(fetched.version > 1, |earlier| earlier < fetched);
        if first && *request.method() == Method::GET {
            let since = now.duration_since(pass.shown_since(campaign));
            telemetry::metric("TimeToWallet", Unit::Seconds, since.as_secs_f64(), &[], now);
            waited = Some(since);
        }
        answer::bytes(StatusCode::OK, "application/vnd.apple.pkpass", package)
    };
    // A phone that asks by HEAD does not have the package yet.
    if *request.method() == Method::GET
        && let Err(fault) = note(app, &stored, campaign, waited, now).await
    {
        // The pass goes out all the same; without the note it may be listed once more.
        tracing::warn!(fault = fault.chain(), "a fetch was not noted");
    }
    let date =
        HeaderValue::from_str(&last_modified.to_header()).map_err(|error| Fault::new("writing a date", error))?;
    response.headers_mut().insert(header::LAST_MODIFIED, date);
    Ok(response)
}

/// Notes that a phone has this version, the first time one does.
async fn note(
    app: &App,
    sent: &StoredPass,
    campaign: &Campaign,
    waited: Option<SignedDuration>,
    now: Timestamp,
) -> Result<(), Fault> {
    if sent.pass.is_fetched(campaign) {
        return Ok(());
    }
    let fetched = sent.pass.effective_version(campaign);
    let then: Vec<_> = webhooks::news(app, &sent.pass, now).await?.into_iter().collect();
    let mut stored = sent.clone();
    for _ in 0..ATTEMPTS {
        match app.store.note_fetched(&stored, fetched, waited, &then, now).await? {
            Written::Done => {
                app.queues.send_after_commit(&then, now).await;
                return Ok(());
            }
            Written::Changed | Written::AnsweredBefore => {}
        }
        // Somebody changed the pass meanwhile. If it shows something newer, that waits to be fetched, and this note is
        // worth nothing. If it looks as before, it would be listed and pushed again to phones that have it.
        let Some(found) = app.store.pass_and_campaign(&sent.pass.identity).await? else { return Ok(()) };
        stored = found.0;
        if stored.pass.shown != fetched.version {
            return Ok(());
        }
        if found.1.campaign.revision(&stored.pass.look_key()) == fetched.revision
            && differs(app, &sent.pass, &stored.pass, campaign, now).await?
        {
            let pass = stored.pass.seen(&found.1.campaign, now);
            let then = [Intent::new(now, Step::push(&pass), now)?];
            if let Written::Done = app.store.show(&stored, &pass, &then).await? {
                app.queues.send_after_commit(&then, now).await;
                return Ok(());
            }
        } else if stored.pass.fetched.is_some_and(|earlier| earlier >= fetched) {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether a change that was to be seen by nobody is seen all the same. No field showed it by the campaign by which that was
/// decided; the campaign that was sent with the pass as it was before may be a later one (docs/decisions/0024).
async fn differs(app: &App, sent: &Pass, present: &Pass, campaign: &Campaign, now: Timestamp) -> Result<bool, Fault> {
    let (sent, present) = (
        app.packages.rendered(app, sent, campaign, now).await?,
        app.packages.rendered(app, present, campaign, now).await?,
    );
    Ok(sent.manifest() != present.manifest())
}
