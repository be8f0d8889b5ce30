//! `POST /merchant/v1/campaigns/{campaignId}/preview`: what a change of state makes of a pass, and what the lock screen
//! says to it, before any customer sees it. Nothing is issued or changed.

use domain::{
    Campaign, Link, LinkTerms, LookState, Offer, Pass, PassState,
    pass::{Greeting, NewPass},
};
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::{
    identifiers::{CampaignId, OfferId, PassIdentity},
    lock_screen::LockScreen,
    problem::{Problem, Problems, add_new},
    secrets::{AuthenticationToken, Barcode, LinkId},
};
use platform::{
    App, Audience, Fault, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure},
    idempotency::{self, Need},
    input::{self, Fields},
    keys::Role,
    merchant::{self, HOLDER_LIMIT},
    store::{ATTEMPTS, Recording},
};
use serde::Serialize;
use serde_json::{Map, Value};

/// The door.
pub const FUNCTION: Function = Function {
    name: "preview-campaign",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Characters of a language's name; the longest that RFC 5646 (section 4.4.1) makes room for.
const LANGUAGE_LIMIT: usize = 35;
/// The phone's language when none is named.
const LANGUAGE: &str = "en";
/// Stand where a pass has its own, so that nobody takes the preview for a pass.
const SERIAL_NUMBER: &str = "EXAMPLE-SERIAL-NUMBER";
const AUTHENTICATION_TOKEN: &str = "EXAMPLE-AUTHENTICATION-TOKEN";
const LINK: &str = "EXAMPLE-LINK";

/// One side of the change.
struct Side {
    state: LookState,
    offer_id: Option<OfferId>,
}

struct Wish {
    from: Side,
    to: Side,
    holder: Value,
    language: String,
}

fn read(request: &Request) -> Result<Wish, Failure> {
    let mut fields = input::fields(request)?;
    let from = fields.required_object("from", side);
    let to = fields.required_object("to", side);
    let holder = fields.raw("holder").filter(|holder| !holder.is_null()).unwrap_or_else(|| Value::Object(Map::new()));
    if !holder.is_object() {
        fields.wrong("holder", "must be an object");
    }
    if holder.to_string().len() > HOLDER_LIMIT {
        fields.wrong("holder", format!("must be at most {HOLDER_LIMIT} bytes of JSON"));
    }
    let language = fields.text("language", LANGUAGE_LIMIT).unwrap_or_else(|| LANGUAGE.to_owned());
    fields.done(from.zip(to).map(|(from, to)| Wish { from, to, holder, language }))
}

fn side(fields: &mut Fields) -> Option<Side> {
    let state = fields.required("state");
    let offer_id = fields.optional("offerId");
    state.map(|state| Side { state, offer_id })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    pass_json: Value,
    lock_screen: LockScreenView,
}

#[derive(Serialize)]
struct LockScreenView {
    kind: &'static str,
    text: Option<String>,
    why: String,
}

impl From<LockScreen> for LockScreenView {
    fn from(said: LockScreen) -> Self {
        let kind = match said {
            LockScreen::Text { .. } => "text",
            LockScreen::Generic { .. } => "generic",
            LockScreen::None(_) => "none",
        };
        Self { kind, text: said.text().map(str::to_owned), why: said.to_string() }
    }
}

async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Optional)?;
    let wish = idempotency::valid(app, once.as_ref(), read(&request), now).await?;
    // What is no identifier names no campaign.
    let unknown = || Failure::NotFound("campaign");
    let campaign_id: CampaignId = path_parameter(&request, "campaignId").parse().map_err(|_| unknown())?;
    for _ in 0..ATTEMPTS {
        if let Some(answer) = idempotency::earlier_answer(app, once.as_ref(), now).await? {
            return Ok(answer);
        }
        let stored = app.store.campaign(&merchant.merchant_id, &campaign_id).await?;
        let view = preview(app, &stored.ok_or_else(unknown)?.campaign, &wish, now).await?;
        let Some(once) = &once else { return Ok(answer::json(StatusCode::OK, &view)) };
        match app.store.record(&once.recording(StatusCode::OK, &view, now)?).await? {
            Recording::Recorded => return Ok(answer::json(StatusCode::OK, &view)),
            Recording::AnsweredBefore => {}
        }
    }
    Err(Failure::Busy)
}

async fn preview(app: &App, campaign: &Campaign, wish: &Wish, now: Timestamp) -> Result<View, Failure> {
    let (from, to) = match (offer(campaign, &wish.from, "/from"), offer(campaign, &wish.to, "/to")) {
        (Ok(from), Ok(to)) => (from, to),
        (from, to) => return Err(Failure::Invalid([from.err(), to.err()].into_iter().flatten().collect())),
    };
    let old = example(campaign, from, wish.from.state, &wish.holder, now)?;
    let new = example(campaign, to, wish.to.state, &wish.holder, now)?;
    let mut problems = Problems::new();
    for pass in [&old, &new] {
        add_new(&mut problems, merchant::of_holder(app.packages.check(app, pass, campaign, now).await?));
    }
    if !problems.is_empty() {
        return Err(Failure::Invalid(problems));
    }
    let old = app.packages.pass_json(app, &old, campaign, now).await?;
    let rendered = app.packages.rendered(app, &new, campaign, now).await?;
    let new = app.packages.pass_json(app, &new, campaign, now).await?;
    let said = LockScreen::of_update(&old, &new, &rendered.translations(&wish.language), now);
    Ok(View { pass_json: new, lock_screen: said.into() })
}

/// The offer that a side names, or the first.
fn offer<'a>(campaign: &'a Campaign, side: &Side, path: &str) -> Result<&'a Offer, Problem> {
    let found = match &side.offer_id {
        Some(offer_id) => campaign.offer(offer_id),
        None => campaign.first_offer().map(|(_, offer)| offer),
    };
    found.ok_or_else(|| Problem::new(format!("{path}/offerId"), "the campaign has no such offer"))
}

/// A pass of the campaign in this state, with obvious examples in place of what is secret or random.
fn example(
    campaign: &Campaign,
    offer: &Offer,
    state: LookState,
    holder: &Value,
    now: Timestamp,
) -> Result<Pass, Failure> {
    let serial_number = SERIAL_NUMBER.parse().map_err(|error| Fault::new("naming the example", error))?;
    let new = NewPass {
        identity: PassIdentity { pass_type_identifier: campaign.draft.pass_type_identifier.clone(), serial_number },
        authentication_token: AuthenticationToken::new(AUTHENTICATION_TOKEN),
        link: Link { id: LinkId::new(LINK), terms: LinkTerms::default() },
        // Each offer has a barcode of its own.
        barcode: Barcode::new(format!("EXAMPLE-BARCODE-{}", offer.offer_id)),
        holder: holder.clone(),
    };
    let mut pass = Pass::issue(new, campaign, now)?;
    pass.offer_id = offer.offer_id.clone();
    match state {
        LookState::Redeemable => {}
        LookState::Welcome => pass.greeting = Greeting::Shown,
        LookState::Redeemed => {
            pass.state = PassState::Finished;
            pass.redemptions = offer.limit();
        }
        LookState::Voided => pass.state = PassState::Voided { voided_at: now, reason: None },
    }
    Ok(pass)
}
