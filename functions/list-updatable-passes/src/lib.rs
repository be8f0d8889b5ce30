//! `GET /v1/devices/{deviceLibraryIdentifier}/registrations/{passTypeIdentifier}?passesUpdatedSince={tag}`: which of its
//! passes a device should fetch (Apple, "Get the List of Updatable Passes").

use futures_util::future::join_all;
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request, RequestExt};
use passkit::{
    identifiers::PassTypeIdentifier,
    update_tag::{Current, Listed, Listing, list},
    web_service::UpdatablePasses,
};
use platform::{
    App, Audience, CLOCKS_APART, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure},
    phone,
    store::{RegisteredPass, Told},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "list-updatable-passes",
    handler: Handler::Http(Audience::Phone, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Passes of one answer whose histories tell that a phone asked, side by side. A push is about one pass, or a few.
const TOLD: usize = 8;

/// 200 with serial numbers and the new tag, or 204. Never 401: a device with several passes has no one token, and its
/// identifier is the credential.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let nothing = || answer::empty(StatusCode::NO_CONTENT);
    let Ok(device) = phone::device(&request) else { return Ok(nothing()) };
    let pass_type: Result<PassTypeIdentifier, _> = path_parameter(&request, "passTypeIdentifier").parse();
    let Ok(pass_type) = pass_type else { return Ok(nothing()) };

    let passes = app.store.passes_on_device(&device, &pass_type).await?;
    let current: Vec<Current<'_>> = passes.iter().map(|registered| current(app, registered, now)).collect();
    let parameters = request.query_string_parameters();
    Ok(match list(parameters.first("passesUpdatedSince"), &current) {
        Listed::Nothing => nothing(),
        Listed::Passes { serial_numbers, last_updated } => {
            let listed = |pass: &&RegisteredPass| serial_numbers.contains(&&pass.pass.identity.serial_number);
            tell(app, passes.iter().filter(listed), now).await;
            answer::json(StatusCode::OK, &UpdatablePasses { serial_numbers, last_updated })
        }
    })
}

/// Tells the histories that a phone asked, of what no phone fetched yet. Without it the answer is as good.
async fn tell(app: &App, listed: impl Iterator<Item = &RegisteredPass>, now: Timestamp) {
    let waiting = listed.filter(|registered| !is_fetched(registered)).take(TOLD);
    let told = waiting.map(|RegisteredPass { pass, campaign }| {
        app.store.tell_once(pass, Told::Asked, pass.effective_version(campaign), now)
    });
    for fault in join_all(told).await.into_iter().filter_map(Result::err) {
        tracing::warn!(fault = fault.chain(), "a question is not in the history");
    }
}

fn is_fetched(RegisteredPass { pass, campaign }: &RegisteredPass) -> bool {
    pass.is_fetched(campaign)
}

/// A version that was listed long ago and that no phone has fetched is listed again.
fn current<'a>(app: &App, registered: &'a RegisteredPass, now: Timestamp) -> Current<'a> {
    let RegisteredPass { pass, campaign } = registered;
    let effective_version = pass.effective_version(campaign);
    let fetched = is_fetched(registered);
    let age = now.duration_since(pass.shown_since(campaign));
    // A reminder that was sent after so long by another clock must not find that it is too early.
    let waited = age.is_positive() && (age + CLOCKS_APART).unsigned_abs() >= app.config.relist_after;
    let listing = if !fetched && waited { Listing::Again } else { Listing::WhenChanged };
    Current { serial_number: &pass.identity.serial_number, effective_version, listing }
}
