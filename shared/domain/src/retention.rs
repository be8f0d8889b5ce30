//! Erasure and retention: when a pass has ended for good, and what it becomes when it is to be forgotten.
//!
//! A pass is erased in two steps: first it is void, without link, so that its phones can learn that it is worth nothing;
//! then nothing is left of it but what was counted (`docs/decisions/0016`).

use jiff::{SignedDuration, Timestamp};

use crate::{
    campaign::Campaign,
    pass::{MissingOffer, Pass, PassState},
};

/// The longest `retentionDays`: ten years, which the longest book-keeping rules ask for.
pub const MAXIMUM_RETENTION_DAYS: u32 = 3_653;

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Passes that are kept for long are looked at this often all the same: an end may be put back, and what says when to look names
/// the pass, also when that was erased by its merchant.
const LOOKED_AT: SignedDuration = SignedDuration::from_hours(30 * 24);

impl Campaign {
    /// How long a pass is kept after its end; `None`: until somebody erases it.
    pub fn retention(&self) -> Option<SignedDuration> {
        self.draft.retention_days.map(|days| DAY * i32::try_from(days).unwrap_or(i32::MAX))
    }

    /// When its last offer ends; `None` while some offer has no end.
    fn ends_at(&self) -> Option<Timestamp> {
        let ends: Option<Vec<Timestamp>> = self.draft.offers.iter().map(|offer| offer.redeemable_until).collect();
        ends?.into_iter().max()
    }
}

impl Pass {
    /// When the pass ended, or will end if nothing happens to it; `None`: there is no end in sight.
    pub fn ends_at(&self, campaign: &Campaign) -> Result<Option<Timestamp>, MissingOffer> {
        let of_campaign = campaign.ends_at();
        Ok(match &self.state {
            PassState::Voided { voided_at, .. } => Some(*voided_at),
            // Of a release that did not note its end, its last change: that came after.
            PassState::Finished => Some(self.ended_at.unwrap_or(self.updated_at)),
            PassState::Redeemed { .. } => of_campaign,
            PassState::Redeemable => [self.expires_at(campaign)?, of_campaign].into_iter().flatten().min(),
        })
    }

    /// When the campaign wants it erased, if its end is known.
    pub fn erase_at(&self, campaign: &Campaign) -> Result<Option<Timestamp>, MissingOffer> {
        let Some(kept) = campaign.retention() else { return Ok(None) };
        Ok(self.ends_at(campaign)?.map(|end| end.checked_add(kept).unwrap_or(Timestamp::MAX)))
    }

    /// When to look next whether it is to be erased: when its campaign wants that, and not later than the time for which
    /// passes are kept from now, since whatever ends it meanwhile happens after now; after 30 days in any case. So looking is
    /// never late, and nobody who changes a pass needs to think of it. `None`: its campaign keeps passes.
    pub fn next_look(&self, campaign: &Campaign, now: Timestamp) -> Result<Option<Timestamp>, MissingOffer> {
        let Some(kept) = campaign.retention() else { return Ok(None) };
        // From the beginning of the hour, so that two chains of looks at one pass, should there ever be two, become one: the
        // intent of a look is named by its time, to the millisecond.
        let into_the_hour = SignedDuration::new(now.as_second().rem_euclid(3600), now.subsec_nanosecond());
        // Less some part of an hour, by the pass: a hundred thousand that were issued at once are not looked at in one moment.
        let serial = self.identity.serial_number.as_str();
        let spread = serial.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 3600;
        let latest = (now - into_the_hour).checked_add(kept.min(LOOKED_AT)).unwrap_or(Timestamp::MAX);
        let latest = (latest - SignedDuration::from_secs(spread.into())).max(now);
        Ok(Some(self.erase_at(campaign)?.map_or(latest, |wanted| wanted.clamp(now, latest))))
    }

    /// The first step of its erasure: void, if it was not, and without its link. `None` when it was taken before.
    pub fn begin_erasure(&self, campaign: &Campaign, now: Timestamp) -> Option<Pass> {
        if self.erasing_since.is_some() {
            return None;
        }
        let void = self.void(campaign, None, now).unwrap_or_else(|| self.clone());
        Some(Pass { link: None, erasing_since: Some(now), ..void })
    }
}

#[cfg(test)]
mod tests {
    use passkit::{identifiers::PassIdentity, secrets::Barcode};
    use serde_json::json;

    use super::*;
    use crate::pass::{NextOffer, tests as passes};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn campaign(days: Option<u32>, until: Option<&str>) -> Campaign {
        let mut campaign = passes::campaign(json!([
            { "offerId": "first", "title": "First", "redeemableUntil": until },
        ]));
        campaign.draft.retention_days = days;
        campaign
    }

    #[test]
    fn a_pass_is_looked_at_in_time_whatever_ends_it() {
        let (noon, week) = (at("2026-11-23T12:00:00Z"), at("2026-11-30T12:00:00Z"));
        let endless = campaign(Some(7), None);
        let pass = passes::pass(&endless, json!({}));
        assert_eq!(pass.next_look(&campaign(None, None), noon).unwrap(), None);
        // No end in sight: whatever ends it from now on is a week away from its erasure. Some part of an hour less, this pass's own.
        let nearly = Some(at("2026-11-30T11:16:18Z"));
        assert_eq!(pass.next_look(&endless, noon).unwrap(), nearly);
        // It ends in two days, and is gone in nine; the look before that is one more.
        let ending = campaign(Some(7), Some("2026-11-25T12:00:00Z"));
        assert_eq!(pass.next_look(&ending, noon).unwrap(), nearly);
        assert_eq!(pass.next_look(&ending, week).unwrap(), Some(at("2026-12-02T12:00:00Z")));
        assert_eq!(pass.erase_at(&ending).unwrap(), Some(at("2026-12-02T12:00:00Z")));
        // Long over.
        let later = at("2027-01-01T00:00:00Z");
        assert_eq!(pass.next_look(&ending, later).unwrap(), Some(later));
    }

    #[test]
    fn passes_that_are_issued_at_once_are_not_looked_at_at_once() {
        let endless = campaign(Some(7), None);
        let pass = passes::pass(&endless, json!({}));
        let looks = (1..=100).map(|number| {
            let identity =
                PassIdentity { serial_number: format!("S{number}").parse().unwrap(), ..pass.identity.clone() };
            Pass { identity, ..pass.clone() }.next_look(&endless, at("2026-11-23T12:00:00Z")).unwrap().unwrap()
        });
        let looks: std::collections::BTreeSet<Timestamp> = looks.collect();
        let week = at("2026-11-30T12:00:00Z");
        let within = |look: &Timestamp| *look <= week && week.duration_since(*look) < SignedDuration::from_hours(1);
        assert!(looks.len() == 100 && looks.iter().all(within), "{looks:?}");
    }

    #[test]
    fn two_chains_of_looks_in_one_hour_become_one() {
        let endless = campaign(Some(7), None);
        let pass = passes::pass(&endless, json!({}));
        let look = |now| pass.next_look(&endless, at(now)).unwrap();
        assert_eq!(look("2026-11-23T12:00:00.123Z"), Some(at("2026-11-30T11:16:18Z")));
        assert_eq!(look("2026-11-23T12:00:00.456Z"), look("2026-11-23T12:59:59.999999999Z"));
        assert_eq!(look("2026-11-23T12:00:00.123Z"), look("2026-11-23T12:00:00.456Z"));
    }

    #[test]
    fn a_used_pass_has_ended_when_it_was_used_up_whatever_changes_later() {
        let campaign = campaign(Some(7), None);
        let pass = passes::pass(&campaign, json!({}));
        let (used, counted) = passes::redeem(&pass, &campaign, "r", 60);
        let gone = Some(at("2026-11-30T12:01:00Z"));
        assert_eq!(used.erase_at(&campaign).unwrap(), gone);
        let later = at("2026-11-25T12:00:00Z");
        let touched = used.with_holder(json!({ "name": "Ada" }), &campaign, later).unwrap();
        let touched = touched.with_active(Vec::new(), &campaign, later);
        assert!(touched.updated_at == later && touched.erase_at(&campaign).unwrap() == gone);
        // Taken back, it has no end; used again, another.
        let back = passes::reverse(&touched, &campaign, &counted, 120).unwrap();
        assert_eq!(back.erase_at(&campaign).unwrap(), None);
        let (again, _) = passes::redeem(&back, &campaign, "again", 180);
        assert_eq!(again.erase_at(&campaign).unwrap(), Some(at("2026-11-30T12:03:00Z")));
    }

    #[test]
    fn a_pass_whose_promised_offer_went_ends_when_that_is_found() {
        let offers = json!([{ "offerId": "first", "title": "First" }, { "offerId": "second", "title": "Second" }]);
        let mut campaign = passes::campaign(offers);
        campaign.draft.retention_days = Some(7);
        let (used, _) = passes::redeem(&passes::pass(&campaign, json!({})), &campaign, "r", 0);
        assert_eq!(used.erase_at(&campaign).unwrap(), None);
        campaign.draft.offers.truncate(1);
        let (due, now) = (used.next_offer_at().unwrap(), at("2026-12-23T12:00:00Z"));
        let NextOffer::Finished(rests) = used.next_offer(&campaign, due, Barcode::new("next"), now) else {
            panic!("an offer came")
        };
        assert_eq!(rests.erase_at(&campaign).unwrap(), Some(at("2026-12-30T12:00:00Z")));
    }

    #[test]
    fn erasing_voids_once() {
        let campaign = campaign(None, None);
        let noon = at("2026-11-23T12:00:00Z");
        let pass = passes::pass(&campaign, json!({}));
        let erased = pass.begin_erasure(&campaign, noon).unwrap();
        assert!(matches!(erased.state, PassState::Voided { .. }) && erased.link.is_none());
        assert_eq!((erased.version, erased.shown), (pass.version + 1, pass.shown + 1));
        assert_eq!(erased.begin_erasure(&campaign, noon), None);
        // What is void already looks the same, and no phone need know.
        let void = pass.void(&campaign, Some("refunded".into()), noon).unwrap();
        assert_eq!(void.begin_erasure(&campaign, noon).unwrap().shown, void.shown);
    }
}
