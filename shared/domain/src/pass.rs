//! A pass, and the machine it goes through.
//!
//! ```text
//!                 redeem (uses left)                      due, a next offer
//!                 +------+                     +----------------------------------+
//!                 |      v                     v                                  |
//!   issue ---> +------------+   redeem    (Redeemable, next offer)          +----------+
//!              | Redeemable | ------------------------------------------->  | Redeemed |
//!              +------------+   last use, another offer follows             +----------+
//!                 |      |                                                    |      |
//!                 |      |   last use, no offer follows     +----------+      |      |
//!                 |      +--------------------------------> | Finished | <----+      |
//!                 |                                         +----------+  due, but   |
//!                 | void                                 void |  no offer follows    |
//!                 v                                           v  any more            | void
//!              +--------+ <----------------------------------------------------------+
//!              | Voided |    (final; pending next offers are cancelled)
//!              +--------+
//! ```
//! A reversal goes the other way: from `Redeemed` and `Finished` back to `Redeemable`, and while nothing of the next offer
//! was used, from that back to the offer before. The machine's `round` says how many offers the pass has had.
//! `expired` is not a state of the machine: a redeemable pass that has ended (`expiry.rs`) is called so when seen.

use jiff::Timestamp;
use passkit::{
    expiration,
    identifiers::{CampaignId, OfferId, PassIdentity},
    personalization::Personalization,
    secrets::{AuthenticationToken, Barcode},
    update_tag::EffectiveVersion,
    web_service::LastModified,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    campaign::{ActiveUpdate, Campaign, LookKey, LookState, NewBarcode, Offer, OnTooManyDevices},
    link::Link,
    redemption::{CountedRedemption, Hindrance, NewRedemption, Redemption, RedemptionRequest, Refusal},
    time,
};

/// Seconds by which `Last-Modified` grows at least with each version of a pass.
///
/// One second would do if nobody changed the campaign meanwhile. A campaign-wide change adds one second to the passes it
/// alters without writing them, and it may commit between a till's read of the campaign and its write of the pass; the
/// slack of three keeps the dates of the two apart. More than three campaign changes within one call cannot happen: a
/// campaign is written one change at a time, each a round trip, and the call's read is milliseconds old.
const LAST_MODIFIED_STEP: i64 = 1 + 3;

/// Where a pass is in the machine above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
pub enum PassState {
    /// It shows its barcode.
    Redeemable,
    /// It shows that it was used; the next offer comes.
    Redeemed {
        /// When, never earlier.
        #[serde(with = "time::text")]
        next_offer_at: Timestamp,
    },
    /// It shows that it was used; nothing more comes.
    Finished,
    /// It shows that it is void.
    Voided {
        /// When.
        #[serde(with = "time::text")]
        voided_at: Timestamp,
        /// The merchant's words.
        reason: Option<String>,
    },
}

/// Whether the pass greets its owner (contract, `welcomeOverlay`). The version that the first registration makes differs
/// from the downloaded one by the greeting, so the phone's first fetch shows it, without a push (reference, section 5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Greeting {
    /// Nobody registered yet.
    #[default]
    NotYet,
    /// It is shown.
    Shown,
    /// Something else has happened since.
    Over,
}

/// What becomes of a device that registers.
#[derive(Debug)]
pub enum Admission {
    /// It is in, and the pass stays as it is.
    Admitted,
    /// It is in, and the pass changes with it: it counts its devices, or greets, or is voided.
    AdmittedWith(Box<Pass>),
    /// It gets no updates.
    Refused,
}

/// A pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Pass {
    /// Which.
    pub identity: PassIdentity,
    /// Whose.
    pub merchant_id: String,
    /// Its campaign, for life.
    pub campaign_id: CampaignId,
    /// The secret its devices present. Never changes: old copies keep using it (Apple, PassKit Web Service Reference).
    pub authentication_token: AuthenticationToken,
    /// The link of its landing page, unless it was revoked.
    pub link: Option<Link>,
    /// The merchant's data about the holder, for placeholders.
    pub holder: Value,
    /// Whether it still carries the sheet of rewards enrolment.
    pub personalization: Personalization,
    /// Grows by one with every change.
    pub version: u64,
    /// Grows by one with every change that a phone can see.
    pub shown: u64,
    /// `Last-Modified` less the revision of the present look.
    pub stamp: i64,
    /// Where it is.
    pub state: PassState,
    /// The offer it has, or had last.
    pub offer_id: OfferId,
    /// Where that offer stood in the campaign when the pass got it.
    pub offer_position: usize,
    /// How many offers the pass has had, this one included; a reversal that brings the one before back counts down.
    pub round: u64,
    /// Times this offer was redeemed.
    pub redemptions: u32,
    /// Redemptions that the offer before it had when this one came, as far as is known: what a reversal goes back to.
    pub redemptions_before: Option<u32>,
    /// What the till scans for this use; shown while redeemable.
    pub barcode: Barcode,
    /// The redemption that counted last.
    pub last_redemption: Option<Redemption>,
    /// The newest effective version some phone fetched.
    pub fetched: Option<EffectiveVersion>,
    /// Whether it greets.
    pub greeting: Greeting,
    /// How many devices carry it; counted from the first registration on that a limit watches.
    pub devices: Option<u32>,
    /// Scheduled updates of this pass alone that are on.
    pub active: Vec<ActiveUpdate>,
    /// When it was used up for good, while it is. Older releases did not note it.
    pub ended_at: Option<Timestamp>,
    /// Since when it is being erased, if it is: void, unknown to merchants, and soon to nobody (`retention.rs`).
    pub erasing_since: Option<Timestamp>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When its version last grew.
    pub updated_at: Timestamp,
}

/// The random parts of a new pass.
#[derive(Debug)]
pub struct NewPass {
    /// Which.
    pub identity: PassIdentity,
    /// Fresh.
    pub authentication_token: AuthenticationToken,
    /// Fresh.
    pub link: Link,
    /// Fresh.
    pub barcode: Barcode,
    /// The merchant's data about the holder.
    pub holder: Value,
}

/// A campaign without offers, or a pass whose offer its campaign does not know: a record that contradicts itself.
#[derive(Debug, thiserror::Error)]
#[error("campaign {campaign_id} has no offer {offer_id:?}")]
pub struct MissingOffer {
    campaign_id: CampaignId,
    offer_id: Option<OfferId>,
}

/// What became of a next offer that was due.
#[derive(Debug)]
pub enum NextOffer {
    /// The pass with its next offer: another version.
    Came(Box<Pass>),
    /// Nothing follows any more, since the campaign changed: the pass rests, looking as it did.
    Finished(Box<Pass>),
    /// It is too early.
    NotBefore(Timestamp),
    /// The pass waits for no next offer: it came, or the pass was voided.
    Superseded,
}

impl Pass {
    /// A new pass with its campaign's first offer.
    pub fn issue(new: NewPass, campaign: &Campaign, now: Timestamp) -> Result<Pass, MissingOffer> {
        let Some((offer_position, offer)) = campaign.first_offer() else {
            return Err(MissingOffer { campaign_id: campaign.campaign_id.clone(), offer_id: None });
        };
        let key = LookKey { state: LookState::Redeemable, offer_id: offer.offer_id.clone() };
        Ok(Pass {
            identity: new.identity,
            merchant_id: campaign.merchant_id.clone(),
            campaign_id: campaign.campaign_id.clone(),
            authentication_token: new.authentication_token,
            link: Some(new.link),
            holder: new.holder,
            personalization: Personalization::Offered,
            version: 1,
            shown: 1,
            stamp: now.as_second() - revision_seconds(campaign, &key),
            state: PassState::Redeemable,
            offer_id: offer.offer_id.clone(),
            offer_position,
            round: 1,
            redemptions: 0,
            barcode: new.barcode,
            redemptions_before: None,
            last_redemption: None,
            fetched: None,
            greeting: Greeting::NotYet,
            devices: None,
            active: Vec::new(),
            ended_at: None,
            erasing_since: None,
            created_at: now,
            updated_at: now,
        })
    }

    /// Whether this merchant may see it: theirs, and not being erased.
    pub fn is_known_to(&self, merchant_id: &str) -> bool {
        self.merchant_id == merchant_id && self.erasing_since.is_none()
    }

    /// The same pass, new at `now` in the state it is in.
    pub(crate) fn dated(self, campaign: &Campaign, now: Timestamp) -> Pass {
        Pass { stamp: now.as_second() - revision_seconds(campaign, &self.look_key()), ..self }
    }

    /// The offer the pass has, or had last.
    pub fn offer<'a>(&self, campaign: &'a Campaign) -> Result<&'a Offer, MissingOffer> {
        campaign.offer(&self.offer_id).ok_or_else(|| MissingOffer {
            campaign_id: campaign.campaign_id.clone(),
            offer_id: Some(self.offer_id.clone()),
        })
    }

    /// Which look the pass has.
    pub fn look_key(&self) -> LookKey {
        let state = match self.state {
            PassState::Redeemable if self.greeting == Greeting::Shown => LookState::Welcome,
            PassState::Redeemable => LookState::Redeemable,
            PassState::Redeemed { .. } | PassState::Finished => LookState::Redeemed,
            PassState::Voided { .. } => LookState::Voided,
        };
        LookKey { state, offer_id: self.offer_id.clone() }
    }

    /// What a phone can tell one package of this pass from another by.
    pub fn effective_version(&self, campaign: &Campaign) -> EffectiveVersion {
        EffectiveVersion { version: self.shown, revision: campaign.revision(&self.look_key()) }
    }

    /// Whether some phone fetched what the pass shows at present.
    pub fn is_fetched(&self, campaign: &Campaign) -> bool {
        self.fetched.is_some_and(|fetched| fetched >= self.effective_version(campaign))
    }

    /// `Last-Modified` of the present effective version.
    pub fn last_modified(&self, campaign: &Campaign) -> LastModified {
        LastModified(self.stamp + revision_seconds(campaign, &self.look_key()))
    }

    /// When what the pass shows last changed, by itself or with its campaign.
    pub fn shown_since(&self, campaign: &Campaign) -> Timestamp {
        let look = campaign.looks.get(&self.look_key());
        look.map_or(self.updated_at, |look| look.since.max(self.updated_at))
    }

    /// The barcode, while it is shown.
    pub fn shown_barcode(&self) -> Option<&Barcode> {
        match self.state {
            PassState::Redeemable => Some(&self.barcode),
            PassState::Redeemed { .. } | PassState::Finished | PassState::Voided { .. } => None,
        }
    }

    /// When the next offer comes, if one does.
    pub fn next_offer_at(&self) -> Option<Timestamp> {
        match self.state {
            PassState::Redeemed { next_offer_at } => Some(next_offer_at),
            PassState::Redeemable | PassState::Finished | PassState::Voided { .. } => None,
        }
    }

    /// Redemptions left of the present offer.
    pub fn remaining(&self, campaign: &Campaign) -> Result<u32, MissingOffer> {
        Ok(self.offer(campaign)?.limit().saturating_sub(self.redemptions))
    }

    /// Redeems the present offer, or says why not. Decides from the pass, its campaign and the time alone; whoever calls
    /// writes the result on the condition that the pass is still the one read.
    pub fn redeem(
        &self,
        campaign: &Campaign,
        new: NewRedemption,
        request: RedemptionRequest,
        now: Timestamp,
    ) -> Result<Result<Pass, Refusal>, MissingOffer> {
        let offer = self.offer(campaign)?;
        match &self.state {
            PassState::Voided { .. } => return Ok(Err(Refusal::Voided)),
            PassState::Redeemed { .. } | PassState::Finished => {
                let counted = self.last_redemption.clone().map(Box::new);
                return Ok(Err(counted.map_or(Refusal::UnknownPass, Refusal::AlreadyRedeemed)));
            }
            PassState::Redeemable => {}
        }
        if let Some(from) = offer.redeemable_from
            && now < from
        {
            return Ok(Err(Refusal::NotYetRedeemable(from)));
        }
        if let Some(end) = self.expires_at(campaign)?
            && now >= end
        {
            return Ok(Err(Refusal::Expired(end)));
        }
        let redemptions = self.redemptions.saturating_add(1);
        let next_offer_at = now + campaign.next_offer_after();
        let state = if redemptions < offer.limit() {
            PassState::Redeemable
        } else if self.may_follow(campaign, next_offer_at) {
            PassState::Redeemed { next_offer_at }
        } else {
            PassState::Finished
        };
        let last_redemption = Some(Redemption {
            redemption_id: new.redemption_id,
            offer_id: offer.offer_id.clone(),
            offer_title: offer.title.clone(),
            redeemed_at: now,
            location: request.location,
            till: request.till,
        });
        let renews = state == PassState::Redeemable && offer.new_barcode == NewBarcode::EachRedemption;
        let barcode = if renews { new.barcode } else { self.barcode.clone() };
        let greeting = Greeting::Over;
        let ended_at = (state == PassState::Finished).then_some(now);
        let changed = Pass { state, redemptions, barcode, last_redemption, greeting, ended_at, ..self.clone() };
        Ok(Ok(changed.after_use(self, campaign, now)))
    }

    /// The present state as what its last redemption left behind: what a reversal needs to know later.
    pub fn counted(&self) -> Option<CountedRedemption> {
        Some(CountedRedemption {
            redemption: self.last_redemption.clone()?,
            pass_version: self.version,
            round: self.round,
            offer_position: self.offer_position,
            redemptions: self.redemptions,
            next_offer_at: self.next_offer_at(),
        })
    }

    /// Takes a redemption of this pass back, or says why not. The pass is redeemable again with another barcode, and a
    /// next offer that was promised finds nothing to do. One that has come goes again as long as nothing of it was used:
    /// with the usual fifteen seconds between them, a till's mistake is noticed after it came. The caller sees to it that
    /// no redemption is taken back twice.
    pub fn reverse(
        &self,
        campaign: &Campaign,
        counted: &CountedRedemption,
        barcode: Barcode,
        now: Timestamp,
    ) -> Result<Pass, Refusal> {
        let until = counted.reversible_until(campaign);
        if now >= until {
            return Err(Refusal::TooLateToReverse(until));
        }
        if matches!(self.state, PassState::Voided { .. }) {
            return Err(Refusal::NotReversible(Hindrance::Voided));
        }
        let (state, greeting) = (PassState::Redeemable, Greeting::Over);
        let mut pass = Pass { state, barcode, greeting, ended_at: None, ..self.clone() };
        if counted.round == self.round {
            pass.redemptions = self.redemptions.saturating_sub(1);
        } else if counted.next_offer_at.is_some() && counted.round + 1 == self.round && self.redemptions == 0 {
            pass.offer_id = counted.redemption.offer_id.clone();
            pass.offer_position = counted.offer_position;
            pass.round = counted.round;
            // It may have been used up twice, with a reversal between and another limit the second time.
            pass.redemptions = self.redemptions_before.unwrap_or(counted.redemptions).saturating_sub(1);
            pass.redemptions_before = None;
        } else {
            return Err(Refusal::NotReversible(Hindrance::GoneOn));
        }
        let is_counted = |last: &Redemption| last.redemption_id == counted.redemption.redemption_id;
        pass.last_redemption = pass.last_redemption.filter(|last| !is_counted(last));
        Ok(pass.after_use(self, campaign, now))
    }

    /// The next version, after one use more or one fewer.
    fn after_use(self, before: &Pass, campaign: &Campaign, now: Timestamp) -> Pass {
        let pass = self.after(before, campaign, now);
        // Of a ticket for ten visits that shows neither its barcode nor what is left, nothing is to be seen; unless a scheduled
        // update of this pass alone shows it.
        let shows = pass.own_updates_vary()
            || campaign.looks.get(&pass.look_key()).is_none_or(|look| {
                look.shows_remaining || (look.shows_barcode && pass.shown_barcode() != before.shown_barcode())
            });
        if shows || pass.look_key() != before.look_key() { pass } else { pass.unseen(before) }
    }

    /// Whether the scheduled updates of this pass alone may show what its redemptions change.
    fn own_updates_vary(&self) -> bool {
        self.active.iter().any(|update| update.overlay.may_show_use())
    }

    /// Applies the next offer that was promised for `due`.
    pub fn next_offer(&self, campaign: &Campaign, due: Timestamp, barcode: Barcode, now: Timestamp) -> NextOffer {
        let PassState::Redeemed { next_offer_at } = self.state else { return NextOffer::Superseded };
        if next_offer_at != due {
            return NextOffer::Superseded;
        }
        if now < next_offer_at {
            return NextOffer::NotBefore(next_offer_at);
        }
        match self.offer_after(campaign, now) {
            Some((offer_position, offer)) => {
                let offer_id = offer.offer_id.clone();
                let state = PassState::Redeemable;
                let round = self.round + 1;
                let redemptions_before = Some(self.redemptions);
                let next = Pass {
                    state,
                    offer_id,
                    offer_position,
                    round,
                    redemptions: 0,
                    redemptions_before,
                    barcode,
                    ..self.clone()
                };
                NextOffer::Came(Box::new(next.after(self, campaign, now)))
            }
            None => {
                let (state, ended_at) = (PassState::Finished, Some(now));
                NextOffer::Finished(Box::new(Pass { state, ended_at, ..self.clone() }))
            }
        }
    }

    /// Whether an offer may follow at that time. An end that a scheduled update brought may be gone by then.
    fn may_follow(&self, campaign: &Campaign, at: Timestamp) -> bool {
        let mut updates = campaign.active.iter().chain(&self.active);
        if !updates.any(|update| update.overlay.set.contains_key(expiration::KEY)) {
            return self.offer_after(campaign, at).is_some();
        }
        let is_over = |offer: &Offer| offer.redeemable_until.is_some_and(|end| at >= end);
        campaign.offer_after(&self.offer_id, self.offer_position, is_over).is_some()
    }

    /// The offer that would follow at that time.
    pub(crate) fn offer_after<'a>(&self, campaign: &'a Campaign, at: Timestamp) -> Option<(usize, &'a Offer)> {
        let is_over = |offer: &Offer| self.end_of(offer, LookState::Redeemable, campaign).is_some_and(|end| at >= end);
        campaign.offer_after(&self.offer_id, self.offer_position, is_over)
    }

    /// Voids the pass; `None` when it is void already.
    pub fn void(&self, campaign: &Campaign, reason: Option<String>, now: Timestamp) -> Option<Pass> {
        match self.state {
            PassState::Voided { .. } => None,
            PassState::Redeemable | PassState::Redeemed { .. } | PassState::Finished => {
                let changed = Pass { state: PassState::Voided { voided_at: now, reason }, ..self.clone() };
                Some(changed.after(self, campaign, now))
            }
        }
    }

    /// Replaces the holder data; `None` when it is the same.
    pub fn with_holder(&self, holder: Value, campaign: &Campaign, now: Timestamp) -> Option<Pass> {
        (holder != self.holder).then(|| Pass { holder, ..self.clone() }.after(self, campaign, now))
    }

    /// Puts the scheduled updates of this pass in force.
    pub fn with_active(&self, active: Vec<ActiveUpdate>, campaign: &Campaign, now: Timestamp) -> Pass {
        Pass { active, ..self.clone() }.after(self, campaign, now)
    }

    /// Keeps what the customer typed into the sheet of rewards enrolment as `holder.personalization`, beside what was
    /// there, and takes the sheet away for good; `None` when all that is so already. Every state accepts it: a phone may
    /// hold a sheet that an earlier version of the pass had.
    pub fn personalize(&self, facts: Map<String, Value>, campaign: &Campaign, now: Timestamp) -> Option<Pass> {
        let mut members = self.holder.as_object().cloned().unwrap_or_default();
        let mut known = match members.remove("personalization") {
            Some(Value::Object(known)) => known,
            Some(_) | None => Map::new(),
        };
        known.extend(facts);
        members.insert("personalization".to_owned(), Value::Object(known));
        let pass = Pass { holder: Value::Object(members), personalization: Personalization::Done, ..self.clone() };
        (pass != *self).then(|| pass.after(self, campaign, now))
    }

    /// The same change, when the pass looks as it did `before`: no phone can tell, so none is to fetch it.
    pub fn unseen(self, before: &Pass) -> Pass {
        Pass { shown: before.shown, stamp: before.stamp, ..self }
    }

    /// The same pass, which phones must fetch once more: what was to be unseen is not.
    pub fn seen(&self, campaign: &Campaign, now: Timestamp) -> Pass {
        Pass { version: self.version, ..self.clone().after(self, campaign, now) }
    }

    /// Decides about one more device; `counted` are registered, and this one is not among them.
    pub fn admit(&self, campaign: &Campaign, counted: u32, now: Timestamp) -> Admission {
        let greets = campaign.draft.welcome_overlay.is_some()
            && self.greeting == Greeting::NotYet
            && self.state == PassState::Redeemable;
        let limit = campaign.draft.maximum_devices;
        // A count once begun goes on, so that it is right when a limit comes back.
        let counts = limit.is_some() || self.devices.is_some();
        let too_many = limit.is_some_and(|limit| counted >= limit);
        let mut pass = self.clone();
        match (too_many, campaign.draft.on_too_many_devices) {
            (true, OnTooManyDevices::Refuse) => return Admission::Refused,
            (true, OnTooManyDevices::Void) => {
                let reason = "registered by more devices than allowed".to_owned();
                pass = self.void(campaign, Some(reason), now).unwrap_or(pass);
            }
            (true, OnTooManyDevices::Allow) | (false, _) if greets => {
                pass = Pass { greeting: Greeting::Shown, ..pass }.after(self, campaign, now);
            }
            (true, OnTooManyDevices::Allow) | (false, _) => {}
        }
        if counts {
            pass.devices = Some(counted.saturating_add(1));
        }
        // A count that was wrong may be right by chance: it is written all the same, so that of two devices at once one waits.
        if counts || pass != *self { Admission::AdmittedWith(Box::new(pass)) } else { Admission::Admitted }
    }

    /// The next version, with a date that no earlier one had.
    fn after(mut self, before: &Pass, campaign: &Campaign, now: Timestamp) -> Pass {
        let LastModified(earlier) = before.last_modified(campaign);
        let last_modified = now.as_second().max(earlier + LAST_MODIFIED_STEP);
        self.version = before.version + 1;
        self.shown = before.shown + 1;
        self.stamp = last_modified - revision_seconds(campaign, &self.look_key());
        // Of two calls at once the slower may have come first: its change is the later one all the same.
        self.updated_at = now.max(before.updated_at);
        self
    }
}

/// One second for each revision of a look.
fn revision_seconds(campaign: &Campaign, key: &LookKey) -> i64 {
    i64::try_from(campaign.revision(key)).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
pub(crate) mod tests;
