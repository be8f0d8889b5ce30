//! `GET /merchant/v1/passes`: the passes of a campaign, page by page.

use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::identifiers::CampaignId;
use platform::{
    App, Audience, Fault, Function, Handler,
    http::{self as answer, Failure},
    input,
    keys::{Merchant, Role},
    merchant::{PassView, PresentState},
    store::{MembersLimit, StoredCampaign, StoredPass, place_among_members},
};
use serde_json::json;

mod cursor;

/// The door.
pub const FUNCTION: Function = Function {
    name: "list-passes",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Passes on one page at most. Each is a kilobyte or so, five with the longest holder data; an answer may have 6 MB.
const PAGE_LIMIT: usize = 100;
/// The same where nothing is said.
const PAGE_USUALLY: usize = 50;
/// Passes that one call reads at most, whatever it finds among them: ten batch reads, and some eight for a campaign's
/// shards, in a second or less.
const EXAMINED_LIMIT: usize = 1000;
/// Passes whose devices and downloads are counted at the same moment.
const COUNTED_AT_ONCE: usize = 16;

struct Wanted {
    campaign_id: CampaignId,
    state: Option<PresentState>,
    place: Option<String>,
    limit: usize,
}

fn read(request: &Request) -> Result<Wanted, Failure> {
    let mut query = input::query(request);
    let campaign_id: Option<CampaignId> = query.required("campaignId");
    let state = query.optional("state");
    let limit = query.optional("limit").unwrap_or(PAGE_USUALLY);
    if !(1..=PAGE_LIMIT).contains(&limit) {
        query.wrong("limit", format!("must be 1 to {PAGE_LIMIT}"));
    }
    let cursor: Option<String> = query.optional("cursor");
    let place = cursor.zip(campaign_id.as_ref()).map(|(cursor, campaign_id)| cursor::read(&cursor, campaign_id));
    if place == Some(None) {
        query.wrong("cursor", "is no cursor of this list");
    }
    query.done(campaign_id.map(|campaign_id| Wanted { campaign_id, state, place: place.flatten(), limit }))
}

/// Up to `limit` passes, and where to go on. A page may hold fewer, even none, and not be the last: with `state` each
/// pass is looked at as it is now, and after so many looks the call ends.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let wanted = read(&request)?;
    let Found { passes, campaign, next } = find(app, &merchant, &wanted, now).await?;
    let counts: Vec<_> = passes.iter().map(|stored| app.store.counts(&stored.pass)).collect();
    let counts: Vec<_> = stream::iter(counts).buffered(COUNTED_AT_ONCE).try_collect().await?;
    let views = passes.iter().zip(counts);
    let views = views.map(|(stored, counts)| PassView::new(app, &stored.pass, &campaign.campaign, counts, now));
    let views: Vec<PassView<'_>> = views.collect::<Result<_, Fault>>()?;
    let next = next.map(|place| cursor::write(&wanted.campaign_id, &place));
    Ok(answer::json(StatusCode::OK, &json!({ "passes": views, "nextCursor": next })))
}

/// A page.
struct Found {
    passes: Vec<StoredPass>,
    campaign: StoredCampaign,
    /// The place after the last pass looked at.
    next: Option<String>,
}

async fn find(app: &App, merchant: &Merchant, wanted: &Wanted, now: Timestamp) -> Result<Found, Failure> {
    let (mut found, mut examined, mut place) = (Vec::new(), 0, wanted.place.clone());
    loop {
        let limit = match wanted.state {
            None => MembersLimit::at_most(wanted.limit - found.len()),
            Some(_) => MembersLimit::WHOLE,
        };
        let (passes, next) =
            app.store.members(&merchant.merchant_id, &wanted.campaign_id, place.as_deref(), limit).await?;
        // After the passes, since it knows every offer that passes had before it was read.
        let campaign = app.store.campaign(&merchant.merchant_id, &wanted.campaign_id).await?;
        let campaign = campaign.ok_or_else(|| Failure::invalid("/campaignId", "there is no such campaign"))?;
        for stored in passes {
            examined += 1;
            let state = PresentState::of(&stored.pass, &campaign.campaign, now)?;
            if wanted.state.is_some_and(|wanted| wanted != state) {
                continue;
            }
            let after = place_among_members(&stored.pass.identity);
            found.push(stored);
            if found.len() == wanted.limit {
                return Ok(Found { passes: found, campaign, next: Some(after) });
            }
        }
        place = next;
        if place.is_none() || examined >= EXAMINED_LIMIT {
            return Ok(Found { passes: found, campaign, next: place });
        }
    }
}
