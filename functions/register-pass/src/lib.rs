//! `POST /v1/devices/{deviceLibraryIdentifier}/registrations/{passTypeIdentifier}/{serialNumber}`: a device asks to be
//! told when this pass changes (Apple, "Register a Pass for Update Notifications").

use domain::{Campaign, Pass, pass::Admission};
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::web_service::parse_registration;
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure, PHONE_LIMIT},
    phone,
    store::{ATTEMPTS, Intent, OnDevice, Registration, Step, StoredPass, Written},
    webhooks,
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "register-pass",
    handler: Handler::Http(Audience::Phone, |app, request, now| Box::pin(handle(app, request, now))),
};

/// 201 for a new registration, 200 for a known one; the push token is replaced either way, since devices announce a new
/// one by registering again.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let identity = phone::pass_identity(&request)?;
    let (scheme, token) = phone::authorization(&request)?;
    let device = phone::device(&request)?;
    for attempt in 0..ATTEMPTS {
        let found = app.store.pass_on_device(&identity, &token, &device).await?;
        let OnDevice { stored, campaign, registration: known } = found.ok_or(Failure::Unauthorised)?;

        let body = answer::body(&request, PHONE_LIMIT)?;
        let push_token = parse_registration(body).map_err(|error| Failure::Malformed(error.to_string()))?;
        let client = phone::kind(&request, scheme);
        let registration = Registration { device: device.clone(), push_token, client, registered_at: now };
        let (written, status) = if let Some(known) = &known {
            // Two at once, of which the other was later: its token is the one that counts.
            if attempt > 0 && known.registered_at > now {
                return Ok(answer::empty(StatusCode::OK));
            }
            (app.store.register_again(&stored.pass, known, &registration).await?, StatusCode::OK)
        } else {
            let written = register(app, &stored, &campaign.campaign, &registration, now).await?;
            (written, StatusCode::CREATED)
        };
        match written {
            Written::Done => return Ok(answer::empty(status)),
            // The same device registered meanwhile, or left, or the pass changed: look again.
            Written::Changed | Written::AnsweredBefore => {}
        }
    }
    Err(Failure::Busy)
}

/// Whether some device has the pass. Whoever registers fetches what greets it by itself; devices from before the campaign
/// greeted have to be told, also of what was not pushed to them yet: the version after it takes its place.
async fn is_carried(app: &App, pass: &Pass) -> Result<bool, Failure> {
    let (some, _) = app.store.registrations(&pass.identity, None, 1).await?;
    Ok(!some.is_empty())
}

/// Lets a new device in, if its campaign does. The pass changes with it where a limit counts, where it greets, and where
/// one device too many voids it; then everybody else is told.
async fn register(
    app: &App,
    stored: &StoredPass,
    campaign: &Campaign,
    registration: &Registration,
    now: Timestamp,
) -> Result<Written, Failure> {
    let pass = &stored.pass;
    let counted = match (pass.devices, campaign.draft.maximum_devices) {
        // Nobody is turned away by a number alone: while the counting began, a device may have left uncounted.
        (Some(devices), Some(limit)) if devices < limit => devices,
        (_, Some(limit)) => {
            u32::try_from(app.store.count_registrations(&pass.identity, limit.into()).await?).unwrap_or(u32::MAX)
        }
        (Some(devices), None) => devices,
        (None, None) => 0,
    };
    let after = match pass.admit(campaign, counted, now) {
        // Unless the one too many is this one itself, by a call of it that was written meanwhile.
        Admission::Refused => {
            let device = std::slice::from_ref(&registration.device);
            let itself = app.store.registrations_of(&pass.identity, device).await?;
            return if itself.is_empty() { Err(Failure::Unauthorised) } else { Ok(Written::Changed) };
        }
        Admission::Admitted => None,
        Admission::AdmittedWith(after) => Some(after),
    };
    let mut then = Vec::new();
    if let Some(after) = &after
        && after.shown != pass.shown
        && (after.state != pass.state || is_carried(app, pass).await?)
    {
        let step = Step::push(after);
        then.push(Intent::new(now, step, now)?);
    }
    then.extend(webhooks::news(app, pass, now).await?);
    let written = app.store.register(stored, after.as_deref(), registration, &then).await?;
    if matches!(written, Written::Done) {
        app.queues.send_after_commit(&then, now).await;
    }
    Ok(written)
}
