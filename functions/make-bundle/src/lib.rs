//! `POST /merchant/v1/bundles`: several passes as one `.pkpasses`, which Wallet adds together.

use futures_util::future::join_all;
use http::{HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::{
    bundle::{self, MAXIMUM_PASSES},
    identifiers::PassIdentity,
    problem::{Problem, Problems},
};
use platform::{
    App, Audience, Fault, Function, Handler,
    http::{self as answer, Failure},
    idempotency::{self, Asked, Need},
    input,
    keys::{Merchant, Role},
    merchant,
    store::{ATTEMPTS, Recording},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "make-bundle",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Bytes of a bundle. A function's answer may have 6 MB (6,291,456 bytes; AWS, "Lambda quotas") and carries bytes in
/// Base64, which makes 6,000,000 of these and leaves room for the headers.
const BUNDLE_LIMIT: usize = 4_500_000;

fn read(request: &Request) -> Result<Vec<PassIdentity>, Failure> {
    let mut fields = input::fields(request)?;
    let mut named = Vec::<PassIdentity>::new();
    fields.objects_within("passes", 1..=MAXIMUM_PASSES, |pass| {
        let pass_type_identifier = pass.required("passTypeIdentifier");
        let serial_number = pass.required("serialNumber");
        let identity = PassIdentity { pass_type_identifier: pass_type_identifier?, serial_number: serial_number? };
        if named.contains(&identity) {
            pass.wrong("serialNumber", "names a pass that is in this bundle already");
        }
        named.push(identity);
        Some(())
    });
    fields.done(Some(named))
}

/// The passes as they are now. A bundle changes nothing, so a repeated request needs no answer that was kept: under an
/// idempotency key only the request is recorded, and the bundle is made anew, of the present versions.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    let identities = idempotency::valid(app, once.as_ref(), read(&request), now).await?;
    for _ in 0..ATTEMPTS {
        let asked = idempotency::asked(app, once.as_ref(), now).await?;
        let answer = bundle(app, &merchant, &identities, now).await?;
        match (asked, &once) {
            (Asked::Again, _) => return Ok(idempotency::replayed(answer)),
            (Asked::First, None) => return Ok(answer),
            (Asked::First, Some(once)) => match app.store.record(&once.recording(StatusCode::OK, &(), now)?).await? {
                Recording::Recorded => return Ok(answer),
                // Another request took the key meanwhile: perhaps this one, perhaps not.
                Recording::AnsweredBefore => {}
            },
        }
    }
    Err(Failure::Busy)
}

async fn bundle(
    app: &App,
    merchant: &Merchant,
    identities: &[PassIdentity],
    now: Timestamp,
) -> Result<Response<Body>, Failure> {
    let each = identities.iter().map(|identity| async {
        let (stored, campaign) = merchant::pass(app, merchant, identity).await?;
        let package = app.packages.package(app, &stored.pass, &campaign.campaign, now).await?;
        Ok((identity.serial_number.clone(), package))
    });
    let mut packages = Vec::with_capacity(identities.len());
    let mut unknown = Problems::new();
    for (place, package) in join_all(each).await.into_iter().enumerate() {
        match package {
            Ok(package) => packages.push(package),
            Err(Failure::Refused(refusal)) => {
                unknown.push(Problem { path: format!("/passes/{place}"), message: refusal.to_string() });
            }
            Err(failure) => return Err(failure),
        }
    }
    if !unknown.is_empty() {
        return Err(Failure::UnknownPasses(unknown));
    }
    let bytes = bundle::bundle(&packages).map_err(|error| Fault::new("writing a bundle", error))?;
    if bytes.len() > BUNDLE_LIMIT {
        return Err(Failure::BundleTooLarge { bytes: bytes.len(), limit: BUNDLE_LIMIT });
    }
    let mut response = answer::bytes(StatusCode::OK, bundle::MEDIA_TYPE, bytes);
    let disposition = HeaderValue::from_static("attachment; filename=\"passes.pkpasses\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}
