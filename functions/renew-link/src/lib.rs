//! `POST /merchant/v1/passes/{passTypeIdentifier}/{serialNumber}/link`: a fresh link; the one before is dead from now on.

use domain::{Link, LinkTerms};
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    idempotency::{self, Need, Recorded},
    input,
    keys::Role,
    links,
    merchant::{self, PassView},
    random,
    store::{ATTEMPTS, COUNTED_DEVICES, Change, Counts, Event, EventKind, Written},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "renew-link",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

fn read(request: &Request) -> Result<LinkTerms, Failure> {
    let mut fields = input::fields(request)?;
    let terms = links::terms(&mut fields);
    fields.done(Some(terms))
}

/// The pass with its new link. The pass itself stays the version it is, and copies that are installed go on.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let identity = merchant::pass_identity(&request)?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    let terms = idempotency::valid(app, once.as_ref(), read(&request), now).await?;
    for _ in 0..ATTEMPTS {
        if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
            return Ok(answer);
        }
        let problems = links::problems_of_terms(&terms, now);
        if !problems.is_empty() {
            return Err(Failure::Invalid(problems));
        }
        let (stored, campaign) = merchant::pass(app, &merchant, &identity).await?;
        let devices = app.store.count_registrations(&identity, COUNTED_DEVICES).await?;
        let pass = stored.pass.with_link(Some(Link { id: random::link()?, terms: terms.clone() }));
        let view = PassView::new(app, &pass, &campaign.campaign, Counts { devices, downloads: 0 }, now)?;
        let recorded = once.as_ref().map(|once| once.recording(StatusCode::CREATED, &view, now)).transpose()?;
        let recorded = recorded.map(Recorded::telling_of_holder);
        let event = Some(Event::new(EventKind::LinkRenewed, now, pass.version));
        let change = Change { event, recorded: recorded.as_ref(), ..Change::default() };
        match app.store.change(&stored, &pass, change).await? {
            Written::Done => return Ok(answer::json(StatusCode::CREATED, &view)),
            Written::Changed | Written::AnsweredBefore => {}
        }
    }
    Err(Failure::Busy)
}
