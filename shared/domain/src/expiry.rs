//! When a pass ends: what the phone shows as expired, the till refuses.

use jiff::Timestamp;
use passkit::expiration::{self, Expiration};
use serde_json::Value;

use crate::{
    campaign::{Campaign, LookKey, LookState, Offer},
    pass::{MissingOffer, Pass},
};

impl Pass {
    /// When the pass ends as it is now: at the `expirationDate` it shows or at its offer's `redeemableUntil`, whichever
    /// comes first. `None`: never.
    pub fn expires_at(&self, campaign: &Campaign) -> Result<Option<Timestamp>, MissingOffer> {
        Ok(self.end_of(self.offer(campaign)?, self.look_key().state, campaign))
    }

    /// Whether the pass has ended.
    pub fn is_expired(&self, campaign: &Campaign, now: Timestamp) -> Result<bool, MissingOffer> {
        Ok(self.expires_at(campaign)?.is_some_and(|end| now >= end))
    }

    /// When the pass would end with this offer in this state.
    pub(crate) fn end_of(&self, offer: &Offer, state: LookState, campaign: &Campaign) -> Option<Timestamp> {
        let shown = self.expiration(offer, state, campaign).and_then(|expiration| expiration.of(&self.holder));
        [shown, offer.redeemable_until].into_iter().flatten().min()
    }

    /// What template and overlays say of the end. The updates of this pass alone lie over the campaign's look, and the
    /// overlay of the state over them ([`Campaign::prepare`]).
    fn expiration(&self, offer: &Offer, state: LookState, campaign: &Campaign) -> Option<Expiration> {
        let of_state = match state {
            LookState::Redeemable => None,
            LookState::Welcome => campaign.draft.welcome_overlay.as_ref(),
            LookState::Redeemed => Some(&campaign.draft.redeemed_overlay),
            LookState::Voided => Some(&campaign.draft.voided_overlay),
        };
        let own: Option<&Value> = match of_state.and_then(|overlay| overlay.set.get(expiration::KEY)) {
            Some(_) => None,
            None => self.active.iter().rev().find_map(|update| update.overlay.set.get(expiration::KEY)),
        };
        match own {
            Some(written) => Expiration::read(Some(written), &offer.placeholders()),
            None => {
                let key = LookKey { state, offer_id: offer.offer_id.clone() };
                campaign.looks.get(&key).and_then(|look| look.expiration.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use passkit::{
        identifiers::PassIdentity,
        secrets::{AuthenticationToken, Barcode, LinkId},
    };
    use serde_json::json;

    use super::*;
    use crate::{
        PassState,
        campaign::{ActiveUpdate, TemplateVersion},
        link::{Link, LinkTerms},
        pass::NewPass,
        redemption::{NewRedemption, RedemptionRequest, Refusal},
    };

    const NOON: &str = "2026-11-23T12:00:00Z";
    const EVENING: &str = "2026-11-23T18:00:00Z";
    const TOMORROW: &str = "2026-11-24T12:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Two offers; passes of the first end as told: what they show, and `redeemableUntil`.
    fn campaign(shown: Option<Expiration>, until: Option<&str>) -> Campaign {
        let draft = json!({
            "passTypeIdentifier": "pass.example.passloop",
            "templateId": "t",
            "offers": [
                { "offerId": "first", "title": "First", "redeemableUntil": until },
                { "offerId": "second", "title": "Second" },
            ],
        });
        let look = |expiration: Option<Expiration>| {
            json!({
                "revision": 0, "digest": "", "showsRemaining": false, "expiration": expiration, "since": NOON,
            })
        };
        serde_json::from_value(json!({
            "campaignId": "c",
            "merchantId": "m",
            "draft": draft,
            "retiredOffers": [],
            "template": TemplateVersion { version: 1, digest: String::new() },
            "looks": { "redeemable:first": look(shown.clone()), "welcome:first": look(shown) },
            "createdAt": NOON,
            "updatedAt": NOON,
        }))
        .unwrap()
    }

    fn pass(campaign: &Campaign, holder: Value) -> Pass {
        let new = NewPass {
            identity: PassIdentity {
                pass_type_identifier: campaign.draft.pass_type_identifier.clone(),
                serial_number: "S1".parse().unwrap(),
            },
            authentication_token: AuthenticationToken::new("0123456789abcdef"),
            link: Link { id: LinkId::new("l"), terms: LinkTerms::default() },
            barcode: Barcode::new("b"),
            holder,
        };
        Pass::issue(new, campaign, at(NOON)).unwrap()
    }

    fn redeem(pass: &Pass, campaign: &Campaign, now: &str) -> Result<Pass, Refusal> {
        let new = NewRedemption { redemption_id: "r".into(), barcode: Barcode::new("after") };
        pass.redeem(campaign, new, RedemptionRequest::default(), at(now)).unwrap()
    }

    #[test]
    fn the_earlier_of_what_is_shown_and_what_is_promised_counts() {
        let ends = |shown: Option<&str>, until| {
            let campaign = campaign(shown.map(|text| Expiration::At(at(text))), until);
            pass(&campaign, json!({})).expires_at(&campaign).unwrap()
        };
        assert_eq!(ends(None, None), None);
        assert_eq!(ends(Some(EVENING), None), Some(at(EVENING)));
        assert_eq!(ends(None, Some(EVENING)), Some(at(EVENING)));
        assert_eq!(ends(Some(TOMORROW), Some(EVENING)), Some(at(EVENING)));
        assert_eq!(ends(Some(EVENING), Some(TOMORROW)), Some(at(EVENING)));
    }

    #[test]
    fn an_expired_pass_is_refused_and_told_when() {
        let campaign = campaign(Some(Expiration::At(at(EVENING))), None);
        let pass = pass(&campaign, json!({}));
        assert!(redeem(&pass, &campaign, "2026-11-23T17:59:59.999Z").is_ok());
        assert_eq!(redeem(&pass, &campaign, EVENING), Err(Refusal::Expired(at(EVENING))));
        assert!(pass.is_expired(&campaign, at(EVENING)).unwrap());
    }

    #[test]
    fn each_holder_may_have_a_date_of_their_own() {
        let campaign = campaign(Some(Expiration::OfHolder("{{ holder.until }}".into())), None);
        let ends = |holder| pass(&campaign, holder).expires_at(&campaign).unwrap();
        assert_eq!(ends(json!({"until": EVENING})), Some(at(EVENING)));
        assert_eq!(ends(json!({"until": TOMORROW})), Some(at(TOMORROW)));
        assert_eq!(ends(json!({})), None);
    }

    #[test]
    fn an_update_of_the_pass_alone_moves_its_end_unless_its_state_sets_one() {
        let mut campaign = campaign(Some(Expiration::At(at(EVENING))), None);
        let mut pass = pass(&campaign, json!({}));
        let update = |end: Value| ActiveUpdate {
            update_id: "u".into(),
            overlay: serde_json::from_value(json!({"set": {"expirationDate": end}})).unwrap(),
        };
        pass.active = vec![update(json!(TOMORROW))];
        assert_eq!(pass.expires_at(&campaign).unwrap(), Some(at(TOMORROW)));
        pass.active.push(update(Value::Null));
        assert_eq!(pass.expires_at(&campaign).unwrap(), None);
        campaign.draft.welcome_overlay = Some(update(json!(EVENING)).overlay);
        let offer = pass.offer(&campaign).unwrap();
        assert_eq!(pass.end_of(offer, LookState::Welcome, &campaign), Some(at(EVENING)));
    }

    #[test]
    fn an_offer_that_would_come_expired_is_passed_over() {
        let mut campaign = campaign(Some(Expiration::At(at(TOMORROW))), None);
        let of = |offer_id: &str| LookKey { state: LookState::Redeemable, offer_id: offer_id.parse().unwrap() };
        let look = campaign.looks.remove(&of("first")).unwrap();
        campaign.looks.insert(of("second"), look);
        let pass = pass(&campaign, json!({}));
        let state = |pass: &Pass, now| redeem(pass, &campaign, now).unwrap().state;
        let next_offer_at = at("2026-11-24T11:59:59Z");
        assert_eq!(state(&pass, "2026-11-24T11:59:44Z"), PassState::Redeemed { next_offer_at });
        assert_eq!(state(&pass, "2026-11-24T11:59:45Z"), PassState::Finished);
    }

    #[test]
    fn a_campaign_stored_before_looks_had_an_end_still_reads() {
        let mut stored = serde_json::to_value(campaign(None, None)).unwrap();
        stored["looks"]["redeemable:first"].as_object_mut().unwrap().remove("expiration");
        for member in ["locations", "benefit"] {
            stored["draft"].as_object_mut().unwrap().remove(member);
        }
        assert_eq!(serde_json::from_value::<Campaign>(stored).unwrap(), campaign(None, None));
    }
}
