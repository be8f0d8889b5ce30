//! Campaigns: the offers a pass goes through, and what it looks like on the way.

use std::{collections::BTreeMap, fmt};

use jiff::{SignedDuration, Timestamp};
use passkit::{
    expiration::Expiration,
    identifiers::{CampaignId, OfferId, PassTypeIdentifier, TemplateId},
    look::{Look, LookPlan, Redeemability},
    overlay::Overlay,
    problem::{Problem, Problems, add_new, note},
    template::Template,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    limit,
    location::{self, Location},
    retention::MAXIMUM_RETENTION_DAYS,
};

/// Offers in one campaign. Each has four looks to prepare and a few kilobytes in the campaign's record (400 KB).
pub const MAXIMUM_OFFERS: usize = 24;
/// Offers that left a campaign and that passes may still have. Each is prepared with every change, as those of the draft.
pub const MAXIMUM_RETIRED_OFFERS: usize = 100;
/// Bytes of a campaign's record as JSON. An item of the table has 400 KB, names included.
pub const RECORD_BYTES: usize = 360 * 1024;
/// The longest `nextOfferAfterSeconds`: a year.
pub const MAXIMUM_NEXT_OFFER_AFTER_SECONDS: u32 = 31_536_000;
/// The longest `pushOverSeconds`: a day.
pub const MAXIMUM_PUSH_OVER_SECONDS: u32 = 86_400;
/// The largest `redemptionLimit`.
pub const MAXIMUM_REDEMPTIONS: u32 = 1_000_000;
/// The largest `maximumDevices`.
pub const MAXIMUM_DEVICES: u32 = 1_000_000;
/// The largest `totalRedemptionLimit`: what is counted stays far within 32 bits.
pub const MAXIMUM_TOTAL_REDEMPTIONS: u32 = 1_000_000_000;
/// The longest `reversibleForSeconds`: a year.
pub const MAXIMUM_REVERSIBLE_FOR_SECONDS: u32 = 31_536_000;
/// Characters of an offer's title.
pub const TITLE_CHARACTERS: usize = 200;

/// A campaign as a merchant writes it (contract, section 4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CampaignDraft {
    /// The pass type of every pass of this campaign.
    pub pass_type_identifier: PassTypeIdentifier,
    /// The template its passes are made from; a new version of the template takes effect at once.
    pub template_id: TemplateId,
    /// What a pass becomes, in this order.
    pub offers: Vec<Offer>,
    /// What changes in the pass once its offer is used.
    #[serde(default)]
    pub redeemed_overlay: Overlay,
    /// What changes in the pass once it is voided.
    #[serde(default)]
    pub voided_overlay: Overlay,
    /// What the first fetch after a registration shows; none: nothing special.
    #[serde(default)]
    pub welcome_overlay: Option<Overlay>,
    /// Seconds from a redemption to the next offer.
    #[serde(default = "default_next_offer_after_seconds")]
    pub next_offer_after_seconds: u32,
    /// How many redemptions of all passes and offers together count; none: any number.
    #[serde(default)]
    pub total_redemption_limit: Option<u32>,
    /// What in the holder's data says who the holder is: a JSON pointer (RFC 6901), such as `/email`.
    #[serde(default)]
    pub holder_key: Option<String>,
    /// How many redemptions of all passes of one holder together count; none: any number. Needs `holder_key`.
    #[serde(default)]
    pub redemptions_per_holder: Option<u32>,
    /// For how many seconds a redemption can be reversed.
    #[serde(default = "default_reversible_for_seconds")]
    pub reversible_for_seconds: u32,
    /// What follows the last offer.
    #[serde(default)]
    pub after_last_offer: AfterLastOffer,
    /// Seconds over which the pushes of a campaign-wide change are spread.
    #[serde(default)]
    pub push_over_seconds: u32,
    /// How many devices may register one pass; none: any number.
    #[serde(default)]
    pub maximum_devices: Option<u32>,
    /// What happens when there are more.
    #[serde(default)]
    pub on_too_many_devices: OnTooManyDevices,
    /// The shops: where passes come up on the lock screen, and what a redemption is worth there.
    #[serde(default)]
    pub locations: Vec<Location>,
    /// What a redemption is worth, for the till, where neither shop nor offer say otherwise. Any JSON.
    #[serde(default)]
    pub benefit: Option<Value>,
    /// Days after its end at which a pass is erased; none: it is kept (`retention.rs`).
    #[serde(default)]
    pub retention_days: Option<u32>,
}

fn default_next_offer_after_seconds() -> u32 {
    15
}

/// `reversibleForSeconds` where nothing is said: a day.
pub const DEFAULT_REVERSIBLE_FOR_SECONDS: u32 = 86_400;

fn default_reversible_for_seconds() -> u32 {
    DEFAULT_REVERSIBLE_FOR_SECONDS
}

/// One offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offer {
    /// Its name, unique in the campaign.
    pub offer_id: OfferId,
    /// What people read.
    pub title: String,
    /// How often a pass may be redeemed before the offer is used; absent or null: once.
    #[serde(default)]
    pub redemption_limit: Option<u32>,
    /// How many redemptions of this offer by all passes together count; none: any number.
    #[serde(default)]
    pub total_redemption_limit: Option<u32>,
    /// When the pass gets another barcode.
    #[serde(default)]
    pub new_barcode: NewBarcode,
    /// Not redeemable before.
    #[serde(default, with = "crate::time::optional_text")]
    pub redeemable_from: Option<Timestamp>,
    /// Not redeemable from then on.
    #[serde(default, with = "crate::time::optional_text")]
    pub redeemable_until: Option<Timestamp>,
    /// What changes in the template's pass while this offer is on.
    #[serde(default)]
    pub overlay: Overlay,
    /// What its redemption is worth, for the till, where the shop says nothing else. Any JSON.
    #[serde(default)]
    pub benefit: Option<Value>,
}

impl Offer {
    /// How often a pass may be redeemed before this offer is used.
    pub fn limit(&self) -> u32 {
        self.redemption_limit.unwrap_or(1)
    }

    /// What placeholders of `{{ offer.… }}` read.
    pub(crate) fn placeholders(&self) -> Value {
        json!({
            "offerId": self.offer_id,
            "title": self.title,
            "redemptionLimit": self.limit(),
            "redeemableFrom": self.redeemable_from.map(crate::time::to_text),
            "redeemableUntil": self.redeemable_until.map(crate::time::to_text),
        })
    }
}

/// When a pass gets another barcode, besides with each offer: of interest where an offer can be redeemed more than once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NewBarcode {
    /// With each redemption: a screenshot, or the second scan of one visit, redeems nothing.
    #[default]
    EachRedemption,
    /// With each offer only: a family goes in one after the other with one ten-visit card, off line too.
    EachOffer,
}

/// What follows the last offer of a campaign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AfterLastOffer {
    /// Nothing: the pass stays used.
    #[default]
    Stop,
    /// The first offer again.
    Repeat,
}

/// What happens to a pass registered by more devices than its campaign allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnTooManyDevices {
    /// It is only counted.
    #[default]
    Allow,
    /// The registration is answered 401: that copy gets no updates.
    Refuse,
    /// The pass is voided.
    Void,
}

/// The states a pass can be seen in, as far as its look goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LookState {
    /// With its barcode.
    Redeemable,
    /// The same, greeting whoever added the pass.
    Welcome,
    /// Used: without.
    Redeemed,
    /// Void: without, and `voided: true`.
    Voided,
}

/// Which look: a state, and the offer it is about. A campaign keeps a revision for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LookKey {
    /// The state.
    pub state: LookState,
    /// The offer the pass has, or had last.
    pub offer_id: OfferId,
}

impl fmt::Display for LookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            LookState::Redeemable => "redeemable",
            LookState::Welcome => "welcome",
            LookState::Redeemed => "redeemed",
            LookState::Voided => "voided",
        };
        write!(f, "{state}:{}", self.offer_id)
    }
}

impl From<LookKey> for String {
    fn from(key: LookKey) -> String {
        key.to_string()
    }
}

/// A stored look key that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a look key")]
pub struct InvalidLookKey(String);

impl TryFrom<String> for LookKey {
    type Error = InvalidLookKey;
    fn try_from(text: String) -> Result<Self, InvalidLookKey> {
        let parsed = text.split_once(':').and_then(|(state, offer)| {
            let state = match state {
                "redeemable" => LookState::Redeemable,
                "welcome" => LookState::Welcome,
                "redeemed" => LookState::Redeemed,
                "voided" => LookState::Voided,
                _ => return None,
            };
            Some(LookKey { state, offer_id: offer.parse().ok()? })
        });
        parsed.ok_or(InvalidLookKey(text))
    }
}

/// How often a look was altered by a campaign-wide change, and what it is made of now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LookRevision {
    /// Raised when the look's digest changes; the first is 0.
    pub revision: u64,
    /// Hexadecimal SHA-256 of everything but the per-pass data.
    pub digest: String,
    /// Whether a pass of this look shows how often it was, or can be, redeemed.
    pub shows_remaining: bool,
    /// Whether it shows its barcode; of a look stored before this was noted, it does.
    #[serde(default = "shown_unless_noted")]
    pub shows_barcode: bool,
    /// When passes of this look end, by what template or overlays say.
    #[serde(default)]
    pub expiration: Option<Expiration>,
    /// When the present revision was made.
    #[serde(with = "crate::time::text")]
    pub since: Timestamp,
}

fn shown_unless_noted() -> bool {
    true
}

/// A campaign in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Campaign {
    /// Its name.
    pub campaign_id: CampaignId,
    /// Whose it is.
    pub merchant_id: String,
    /// What the merchant wrote.
    pub draft: CampaignDraft,
    /// Offers of earlier drafts that passes may still have. They are shown, never given anew.
    pub retired_offers: Vec<Offer>,
    /// The template version in effect.
    pub template: TemplateVersion,
    /// Scheduled updates that are on.
    #[serde(default)]
    pub active: Vec<ActiveUpdate>,
    /// Since when it keeps passes for `retentionDays`; none while it keeps them for ever.
    #[serde(default, with = "crate::time::optional_text", skip_serializing_if = "Option::is_none")]
    pub retention_since: Option<Timestamp>,
    /// One for each look a pass of this campaign can have.
    pub looks: BTreeMap<LookKey, LookRevision>,
    /// When it was first put.
    #[serde(with = "crate::time::text")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(with = "crate::time::text")]
    pub updated_at: Timestamp,
}

/// A scheduled update that is on: over the offer's overlay, under the state's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveUpdate {
    /// Which.
    pub update_id: String,
    /// What it changes.
    pub overlay: Overlay,
}

/// Scheduled updates that can be on at once for one target: each is an overlay in its record.
pub const MAXIMUM_ACTIVE_UPDATES: usize = 20;

/// Which version of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateVersion {
    /// Counts from 1.
    pub version: u64,
    /// Hexadecimal SHA-256 of its files' names and bytes: names the stored archive.
    pub digest: String,
}

/// A campaign composed from a draft, and which looks differ from before.
#[derive(Debug)]
pub struct Composed {
    /// The campaign to store.
    pub campaign: Campaign,
    /// Passes that show one of these changed; passes that do not, did not.
    pub altered: Vec<LookKey>,
}

/// The parts of a campaign that do not come from its draft.
#[derive(Debug)]
pub struct Composition<'a> {
    /// Its name.
    pub campaign_id: &'a CampaignId,
    /// Whose it is.
    pub merchant_id: &'a str,
    /// The template, opened.
    pub template: &'a Template,
    /// Its version.
    pub template_version: TemplateVersion,
    /// The campaign as it was, if it was.
    pub previous: Option<&'a Campaign>,
    /// The scheduled updates that are on from now.
    pub active: Vec<ActiveUpdate>,
    /// Now.
    pub now: Timestamp,
}

impl CampaignDraft {
    /// What is wrong with the draft by itself, each by path.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        let mut wrong = |path: String, message: String| problems.push(Problem::new(path, message));
        if self.offers.is_empty() {
            wrong("/offers".into(), "at least one offer is needed".into());
        }
        if self.offers.len() > MAXIMUM_OFFERS {
            wrong("/offers".into(), format!("at most {MAXIMUM_OFFERS} offers"));
        }
        for (index, offer) in self.offers.iter().enumerate() {
            if self.offers[..index].iter().any(|earlier| earlier.offer_id == offer.offer_id) {
                wrong(format!("/offers/{index}/offerId"), format!("another offer is called {:?}", offer.offer_id));
            }
            if offer.title.trim().is_empty() || offer.title.chars().count() > TITLE_CHARACTERS {
                wrong(format!("/offers/{index}/title"), format!("must have 1 to {TITLE_CHARACTERS} characters"));
            }
            if !(1..=MAXIMUM_REDEMPTIONS).contains(&offer.limit()) {
                wrong(format!("/offers/{index}/redemptionLimit"), format!("must be 1 to {MAXIMUM_REDEMPTIONS}"));
            }
            if let (Some(from), Some(until)) = (offer.redeemable_from, offer.redeemable_until)
                && from >= until
            {
                wrong(format!("/offers/{index}/redeemableUntil"), "must be later than redeemableFrom".into());
            }
        }
        if self.next_offer_after_seconds > MAXIMUM_NEXT_OFFER_AFTER_SECONDS {
            let message = format!("must be 0 to {MAXIMUM_NEXT_OFFER_AFTER_SECONDS}");
            wrong("/nextOfferAfterSeconds".into(), message);
        }
        if self.push_over_seconds > MAXIMUM_PUSH_OVER_SECONDS {
            wrong("/pushOverSeconds".into(), format!("must be 0 to {MAXIMUM_PUSH_OVER_SECONDS}"));
        }
        if self.maximum_devices.is_some_and(|devices| !(1..=MAXIMUM_DEVICES).contains(&devices)) {
            wrong("/maximumDevices".into(), format!("must be 1 to {MAXIMUM_DEVICES}, or null for any number"));
        }
        if self.retention_days.is_some_and(|days| !(1..=MAXIMUM_RETENTION_DAYS).contains(&days)) {
            wrong("/retentionDays".into(), format!("must be 1 to {MAXIMUM_RETENTION_DAYS}, or null to keep passes"));
        }
        problems.extend(limit::problems(self));
        for (index, offer) in self.offers.iter().enumerate() {
            problems.extend(location::problem_of_benefit(&format!("/offers/{index}"), offer.benefit.as_ref()));
        }
        problems.extend(location::problem_of_benefit("", self.benefit.as_ref()));
        problems.extend(location::problems(&self.locations));
        problems
    }

    /// Puts the draft into force over `previous`: every look is prepared with the template and compared with what it
    /// was. Offers that left the draft are kept for the passes that have them.
    pub fn compose(self, composition: Composition<'_>) -> Result<Composed, Problems> {
        let Composition { campaign_id, merchant_id, template, template_version, previous, active, now } = composition;
        let mut problems = self.problems();
        if let Some(previous) = previous
            && previous.draft.pass_type_identifier != self.pass_type_identifier
        {
            let message = format!(
                "this campaign's passes are of type {}; a pass cannot change its type, so make another campaign",
                previous.draft.pass_type_identifier
            );
            problems.push(Problem::new("/passTypeIdentifier", message));
        }
        // More looks than these are not prepared, not even to say what else is wrong.
        if self.offers.len() > MAXIMUM_OFFERS {
            return Err(problems);
        }
        let retired_offers = previous.map_or_else(Vec::new, |previous| {
            let left = |offer: &&Offer| !self.offers.iter().any(|kept| kept.offer_id == offer.offer_id);
            previous.draft.offers.iter().chain(&previous.retired_offers).filter(left).cloned().collect()
        });
        if retired_offers.len() > MAXIMUM_RETIRED_OFFERS {
            let message = format!(
                "more than {MAXIMUM_RETIRED_OFFERS} offers left this campaign, and passes may have them; make another campaign"
            );
            note(&mut problems, Problem::new("/offers", message));
            return Err(problems);
        }
        let kept_before = previous.filter(|previous| previous.draft.retention_days == self.retention_days);
        let retention_since = kept_before.map_or(self.retention_days.map(|_| now), |before| before.retention_since);
        let mut campaign = Campaign {
            campaign_id: campaign_id.clone(),
            merchant_id: merchant_id.to_owned(),
            draft: self,
            retired_offers,
            template: template_version,
            active,
            retention_since,
            looks: BTreeMap::new(),
            created_at: previous.map_or(now, |previous| previous.created_at),
            updated_at: now,
        };
        let mut altered = Vec::new();
        if !campaign.active.is_empty() {
            // Scheduled updates go again: what hangs on them would not be there then.
            let without = Campaign { active: Vec::new(), ..campaign.clone() };
            for key in campaign.look_keys() {
                add_new(&mut problems, without.prepare(&key, template, &[]).err().unwrap_or_default());
            }
        }
        for key in campaign.look_keys() {
            let prepared = match campaign.prepare(&key, template, &[]) {
                Ok(prepared) => prepared,
                Err(found) => {
                    add_new(&mut problems, found);
                    continue;
                }
            };
            let digest: String = prepared.digest().iter().map(|byte| format!("{byte:02x}")).collect();
            let shows_remaining = prepared.shows_remaining();
            let shows_barcode = prepared.shows_barcode();
            let expiration = prepared.expiration().cloned();
            let fresh = |revision| LookRevision {
                revision,
                digest: digest.clone(),
                shows_remaining,
                shows_barcode,
                expiration: expiration.clone(),
                since: now,
            };
            // What is left of an offer is no part of its look, but of every pass that shows it.
            let limit_of = |campaign: &Campaign| campaign.offer(&key.offer_id).map(Offer::limit);
            let counts_alike = previous.is_none_or(|previous| limit_of(previous) == limit_of(&campaign));
            let is_same = |before: &&LookRevision| before.digest == digest && (counts_alike || !shows_remaining);
            let look = match previous.and_then(|previous| previous.looks.get(&key)) {
                Some(before) if is_same(&before) => {
                    LookRevision { revision: before.revision, since: before.since, ..fresh(0) }
                }
                Some(before) => {
                    altered.push(key.clone());
                    fresh(before.revision + 1)
                }
                None => fresh(0),
            };
            campaign.looks.insert(key, look);
        }
        if serde_json::to_vec(&campaign).is_ok_and(|record| record.len() > RECORD_BYTES) {
            let message = format!(
                "the campaign with the offers that left it would have more than {RECORD_BYTES} bytes; make another campaign"
            );
            note(&mut problems, Problem::new("", message));
        }
        if problems.is_empty() { Ok(Composed { campaign, altered }) } else { Err(problems) }
    }
}

/// What is made of these updates; if nothing can be, of those that go together, each taken in its turn where it fits those
/// before it.
///
/// # Errors
/// Nothing can be made without any.
pub fn fitting<T>(
    updates: &[ActiveUpdate],
    make: impl Fn(&[ActiveUpdate]) -> Result<T, Problems>,
) -> Result<T, Problems> {
    make(updates).or_else(|_| {
        let (mut fitting, mut made) = (Vec::new(), make(&[])?);
        for update in updates {
            fitting.push(update.clone());
            match make(&fitting) {
                Ok(more) => made = more,
                Err(_) => drop(fitting.pop()),
            }
        }
        Ok(made)
    })
}

impl Campaign {
    /// The offer of this name, in the draft or retired.
    pub fn offer(&self, offer_id: &OfferId) -> Option<&Offer> {
        self.draft.offers.iter().chain(&self.retired_offers).find(|offer| &offer.offer_id == offer_id)
    }

    /// The offer a new pass begins with: the first.
    pub fn first_offer(&self) -> Option<(usize, &Offer)> {
        self.draft.offers.iter().enumerate().next()
    }

    /// The offer that follows `offer_id`, which stood at `position`. Offers that are over by then are passed over.
    /// `None`: nothing follows.
    ///
    /// When the offer has left the draft, what now stands in its place follows.
    pub fn offer_after(
        &self,
        offer_id: &OfferId,
        position: usize,
        is_over: impl Fn(&Offer) -> bool,
    ) -> Option<(usize, &Offer)> {
        let offers = &self.draft.offers;
        let next = match offers.iter().position(|offer| &offer.offer_id == offer_id) {
            Some(index) => index + 1,
            None => position,
        };
        let rest = offers.iter().enumerate().skip(next);
        let again = match self.draft.after_last_offer {
            AfterLastOffer::Stop => 0,
            AfterLastOffer::Repeat => next.min(offers.len()),
        };
        let mut following = rest.chain(offers.iter().enumerate().take(again));
        following.find(|(_, offer)| !is_over(offer))
    }

    /// From a redemption to the next offer.
    pub fn next_offer_after(&self) -> SignedDuration {
        SignedDuration::from_secs(self.draft.next_offer_after_seconds.into())
    }

    /// The present revision of a look; a look never altered has revision 0.
    pub fn revision(&self, key: &LookKey) -> u64 {
        self.looks.get(key).map_or(0, |look| look.revision)
    }

    /// Every look a pass of this campaign can have.
    fn look_keys(&self) -> Vec<LookKey> {
        let offers = self.draft.offers.iter().chain(&self.retired_offers);
        let states = [LookState::Redeemable, LookState::Welcome, LookState::Redeemed, LookState::Voided];
        offers.flat_map(|offer| states.map(|state| LookKey { state, offer_id: offer.offer_id.clone() })).collect()
    }

    /// Prepares a look as [`Campaign::prepare`] does, without those of the pass's own updates that do not fit: since they
    /// came, the pass has another offer, or the campaign or its template is another. A pass that was issued can always be
    /// fetched.
    ///
    /// # Errors
    /// The look is none, whatever the pass's own updates are.
    pub fn prepare_fitting(
        &self,
        key: &LookKey,
        template: &Template,
        of_pass: &[ActiveUpdate],
    ) -> Result<Look, Problems> {
        fitting(of_pass, |updates| self.prepare(key, template, updates))
    }

    /// Prepares a look: the template, then the overlays of the offer, of the campaign's scheduled updates, of the pass's
    /// own ones (`of_pass`), and of the state.
    pub fn prepare(&self, key: &LookKey, template: &Template, of_pass: &[ActiveUpdate]) -> Result<Look, Problems> {
        let Some(offer) = self.offer(&key.offer_id) else {
            let message = format!("the campaign has no offer {:?}", key.offer_id);
            return Err(vec![Problem::new("/offers", message)]);
        };
        let prefix = match self.draft.offers.iter().position(|other| other.offer_id == offer.offer_id) {
            Some(index) => format!("/offers/{index}/overlay"),
            None => format!("/retiredOffers/{}/overlay", offer.offer_id),
        };
        let of_offer = (prefix.as_str(), &offer.overlay);
        let (of_state, redeemability) = match key.state {
            LookState::Redeemable => (None, Redeemability::Open),
            LookState::Welcome => {
                let welcome = self.draft.welcome_overlay.as_ref();
                (welcome.map(|overlay| ("/welcomeOverlay", overlay)), Redeemability::Open)
            }
            LookState::Redeemed => (Some(("/redeemedOverlay", &self.draft.redeemed_overlay)), Redeemability::Used),
            LookState::Voided => (Some(("/voidedOverlay", &self.draft.voided_overlay)), Redeemability::Voided),
        };
        let scheduled = self.active.iter().chain(of_pass).map(|update| ("/overlay", &update.overlay));
        let overlays: Vec<_> = std::iter::once(of_offer).chain(scheduled).chain(of_state).collect();
        let placeholders = offer.placeholders();
        let expires_at = offer.redeemable_until;
        // With a wrong place among them none is looked at: the paths of the others' problems would be off.
        let places: Option<Vec<_>> = self.draft.locations.iter().map(Location::place).collect();
        let places = places.unwrap_or_default();
        let offer = &placeholders;
        Look::prepare(template, &LookPlan { overlays: &overlays, redeemability, offer, expires_at, places: &places })
    }
}
