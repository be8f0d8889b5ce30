//! `POST /merchant/v1/redemptions`: the call a till makes.

use std::sync::Arc;

use domain::{
    Campaign, NewRedemption, Pass, Redemption, RedemptionRequest, Refusal,
    limit::{Claim, Spent},
    pass::MissingOffer,
    time,
};
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::{
    identifiers::{CampaignId, PassIdentity, PassTypeIdentifier, SerialNumber},
    secrets::Barcode,
};
use platform::{
    App, Audience, Fault, Function, Handler,
    http::{self as answer, Failure},
    idempotency::{self, Need, Once, Recorded},
    input,
    keys::{Merchant, Role},
    merchant::OfferView,
    random,
    store::{ATTEMPTS, Change, Event, EventKind, Intent, Step, StoredPass, Written},
    webhooks,
};
use serde::Serialize;
use serde_json::Value;

/// The door.
pub const FUNCTION: Function = Function {
    name: "redeem-pass",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Characters of a location's or a till's name.
const NAME_LIMIT: usize = 200;
/// Characters of a scanned barcode.
const BARCODE_LIMIT: usize = 512;

/// How the till names the pass.
enum Named {
    Barcode(Barcode),
    Identity(PassIdentity),
}

fn read(request: &Request) -> Result<(Named, RedemptionRequest), Failure> {
    let mut fields = input::fields(request)?;
    let barcode = fields.text("barcode", BARCODE_LIMIT);
    // As for imports: it is part of a key of the table.
    if barcode.as_ref().is_some_and(|barcode| barcode.len() > 3 * BARCODE_LIMIT) {
        fields.wrong("barcode", format!("must have at most {} bytes of UTF-8", 3 * BARCODE_LIMIT));
    }
    let pass_type: Option<PassTypeIdentifier> = fields.optional("passTypeIdentifier");
    let serial: Option<SerialNumber> = fields.optional("serialNumber");
    let told =
        RedemptionRequest { location: fields.text("location", NAME_LIMIT), till: fields.text("till", NAME_LIMIT) };
    let lacking = match (&pass_type, &serial) {
        (Some(_), None) => "serialNumber",
        (None, Some(_)) => "passTypeIdentifier",
        (Some(_), Some(_)) | (None, None) => "barcode",
    };
    let named = match (barcode, pass_type, serial) {
        // Scanners that play a keyboard end with Return.
        (Some(barcode), None, None) => Some(Named::Barcode(Barcode::new(barcode.trim_end_matches(['\r', '\n', '\t'])))),
        (None, Some(pass_type_identifier), Some(serial_number)) => {
            Some(Named::Identity(PassIdentity { pass_type_identifier, serial_number }))
        }
        _ => {
            // What is there but wrong was named already.
            if fields.is_good() {
                fields.wrong(lacking, "send either barcode, or passTypeIdentifier and serialNumber");
            }
            None
        }
    };
    fields.done(named.map(|named| (named, told)))
}

/// What the till is told (contract, section 4, Redemptions).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    redemption_id: &'a str,
    pass_type_identifier: &'a PassTypeIdentifier,
    serial_number: &'a SerialNumber,
    campaign_id: &'a CampaignId,
    offer: OfferView<'a>,
    #[serde(with = "time::text")]
    redeemed_at: Timestamp,
    location: Option<&'a str>,
    till: Option<&'a str>,
    #[serde(with = "time::optional_text")]
    next_offer_at: Option<Timestamp>,
    redemptions_left: u32,
    pass_version: u64,
    benefit: Option<&'a Value>,
}

async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Redeem, now).await?;
    let once = idempotency::once(&request, &merchant, Need::Required)?;
    let once = once.ok_or(Failure::IdempotencyKey("this call needs an Idempotency-Key header"))?;
    let (named, told) = idempotency::valid(app, Some(&once), read(&request), now).await?;
    let now = time::to_milliseconds(now);
    for _ in 0..ATTEMPTS {
        let (stored, campaign) = match find(app, &merchant, &once, &named, now).await? {
            Found::AnsweredBefore(recorded) => return idempotency::answer_again(&once, recorded),
            Found::Pass(found) => *found,
            Found::Refused(refusal) => {
                idempotency::refuse(app, Some(&once), refusal, now).await?;
                continue;
            }
        };
        let new = NewRedemption { redemption_id: random::id()?, barcode: random::barcode()? };
        // Not before what it redeems came: that may have been while this request waited for its turn.
        let now = now.max(stored.pass.updated_at);
        let decided = match stored.pass.redeem(&campaign, new, told.clone(), now)? {
            Ok(pass) => claim(app, &stored.pass, &campaign).await?.map(|claim| (pass, claim)),
            Err(refusal) => Err(refusal),
        };
        match decided {
            Ok((pass, claim)) => {
                if let Some(answer) = redeem(app, &once, &stored, (&pass, &claim), &campaign, now).await? {
                    return Ok(answer);
                }
            }
            Err(refusal) => idempotency::refuse(app, Some(&once), refusal, now).await?,
        }
    }
    Err(Failure::Busy)
}

/// What a redemption begins with.
enum Found {
    /// The same request was answered.
    AnsweredBefore(Recorded),
    Pass(Box<(StoredPass, Arc<Campaign>)>),
    Refused(Refusal),
}

/// The answer given under the key, else the pass that is named; the barcode of an earlier offer of it redeems nothing.
/// A pass named by its identity is read together with the answer, in one round trip, a barcode in one more: whose it is
/// stands in an item of its own.
async fn find(app: &App, merchant: &Merchant, once: &Once, named: &Named, now: Timestamp) -> Result<Found, Failure> {
    let (recorded, found, barcode, used) = match named {
        Named::Identity(identity) => {
            let (recorded, found) = app.store.recorded_and_pass(once, identity, now).await?;
            (recorded, found, None, None)
        }
        Named::Barcode(barcode) => match app.store.recorded_and_barcode(once, barcode, now).await? {
            (Some(recorded), _) => return Ok(Found::AnsweredBefore(recorded)),
            (None, None) => return Ok(Found::Refused(Refusal::UnknownPass)),
            (None, Some(of)) => (None, app.store.pass_and_campaign(&of.identity).await?, Some(barcode), of.used),
        },
    };
    if let Some(recorded) = recorded {
        return Ok(Found::AnsweredBefore(recorded));
    }
    let Some((stored, campaign)) = found.filter(|(stored, _)| stored.pass.is_known_to(&merchant.merchant_id)) else {
        return Ok(Found::Refused(Refusal::UnknownPass));
    };
    if let Some(barcode) = barcode.filter(|barcode| **barcode != stored.pass.barcode) {
        let used = match used {
            Some(used) => Some(used),
            // Used up between the two readings, perhaps: whatever replaced it wrote that down with it.
            None => app.store.recorded_and_barcode(once, barcode, now).await?.1.and_then(|of| of.used),
        };
        return Ok(Found::Refused(used.map_or(Refusal::UnknownPass, |used| Refusal::AlreadyRedeemed(Box::new(used)))));
    }
    Ok(Found::Pass(Box::new((stored, campaign.campaign))))
}

/// Where the redemption is counted, or which limit is reached. Only a campaign that has limits is asked what it counted.
async fn claim(app: &App, pass: &Pass, campaign: &Campaign) -> Result<Result<Claim, Refusal>, Failure> {
    let offer = pass.offer(campaign)?;
    let spent = if campaign.limits(offer) {
        let holder = campaign.holder(pass);
        app.store.spent(&pass.merchant_id, &pass.campaign_id, &offer.offer_id, holder.as_ref()).await?
    } else {
        Spent::default()
    };
    Ok(campaign.claim(offer, pass, &spent, random::below(u32::MAX)? as usize))
}

/// Commits the redemption with its answer and the steps that follow, then sends the messages for those. `None` when
/// somebody else changed the pass, or took the last place, meanwhile.
async fn redeem(
    app: &App,
    once: &Once,
    stored: &StoredPass,
    (pass, claim): (&Pass, &Claim),
    campaign: &Campaign,
    now: Timestamp,
) -> Result<Option<Response<Body>>, Failure> {
    let counted = pass.last_redemption.as_ref().ok_or_else(|| Fault::contradiction("a redemption without a trace"))?;
    let body = view(pass, counted, campaign)?;
    let recorded = once.recording(StatusCode::CREATED, &body, now)?;
    let identity = pass.identity.clone();
    let mut then = Vec::new();
    // A phone told to fetch what looks as before would find it unchanged.
    if pass.shown != stored.pass.shown {
        then.push(Intent::new(now, Step::push(pass), now)?);
    }
    if let Some(due) = pass.next_offer_at() {
        then.push(Intent::new(due, Step::NextOffer { identity, due }, now)?);
    }
    then.extend(webhooks::news(app, pass, now).await?);
    let event = Event::new(EventKind::Redeemed, now, pass.version)
        .with("redemptionId", counted.redemption_id.as_str())
        .with("offerId", counted.offer_id.as_str())
        .with("location", counted.location.clone())
        .with("till", counted.till.clone());
    let barcode_used = (pass.shown_barcode() != Some(&stored.pass.barcode)).then_some(counted);
    let change = Change { event: Some(event), barcode_used, done: None, then: &then, recorded: Some(&recorded) };
    match app.store.redeem(stored, pass, claim, change).await? {
        Written::Done => {
            app.queues.send_after_commit(&then, now).await;
            Ok(Some(answer::json_text(StatusCode::CREATED, recorded.body)))
        }
        Written::Changed | Written::AnsweredBefore => Ok(None),
    }
}

fn view<'a>(pass: &'a Pass, counted: &'a Redemption, campaign: &'a Campaign) -> Result<View<'a>, MissingOffer> {
    Ok(View {
        redemption_id: &counted.redemption_id,
        pass_type_identifier: &pass.identity.pass_type_identifier,
        serial_number: &pass.identity.serial_number,
        campaign_id: &pass.campaign_id,
        offer: OfferView { offer_id: &counted.offer_id, title: &counted.offer_title },
        redeemed_at: counted.redeemed_at,
        location: counted.location.as_deref(),
        till: counted.till.as_deref(),
        next_offer_at: pass.next_offer_at(),
        redemptions_left: pass.remaining(campaign)?,
        pass_version: pass.version,
        benefit: campaign.benefit(pass.offer(campaign)?, counted.location.as_deref()),
    })
}
