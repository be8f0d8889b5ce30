use jiff::SignedDuration;
use passkit::secrets::LinkId;
use serde_json::json;

use super::*;
use crate::{LinkTerms, campaign::TemplateVersion};

const NOON: &str = "2026-11-23T12:00:00Z";

fn at(seconds: i64) -> Timestamp {
    let noon: Timestamp = NOON.parse().unwrap();
    noon + SignedDuration::from_secs(seconds)
}

/// A campaign with these offers, whose looks show barcodes and nothing else of a pass's own.
pub(crate) fn campaign(offers: Value) -> Campaign {
    let draft: crate::CampaignDraft = serde_json::from_value(json!({
        "passTypeIdentifier": "pass.example.passloop", "templateId": "t", "offers": offers,
    }))
    .unwrap();
    let look = json!({
        "revision": 0, "digest": "", "showsRemaining": false, "showsBarcode": true, "since": NOON,
    });
    let keys = draft.offers.iter().map(|offer| format!("redeemable:{}", offer.offer_id));
    let looks: Map<String, Value> = keys.map(|key| (key, look.clone())).collect();
    serde_json::from_value(json!({
        "campaignId": "c", "merchantId": "m", "draft": draft, "retiredOffers": [],
        "template": TemplateVersion { version: 1, digest: String::new() },
        "looks": looks, "createdAt": NOON, "updatedAt": NOON,
    }))
    .unwrap()
}

/// A pass of it, issued at noon.
pub(crate) fn pass(campaign: &Campaign, holder: Value) -> Pass {
    let new = NewPass {
        identity: PassIdentity {
            pass_type_identifier: campaign.draft.pass_type_identifier.clone(),
            serial_number: "S1".parse().unwrap(),
        },
        authentication_token: AuthenticationToken::new("0123456789abcdef"),
        link: Link { id: LinkId::new("l"), terms: LinkTerms::default() },
        barcode: Barcode::new("issued"),
        holder,
    };
    Pass::issue(new, campaign, at(0)).unwrap()
}

fn two_offers() -> Campaign {
    campaign(json!([{ "offerId": "first", "title": "First" }, { "offerId": "second", "title": "Second" }]))
}

pub(crate) fn redeem(pass: &Pass, campaign: &Campaign, id: &str, now: i64) -> (Pass, CountedRedemption) {
    let new = NewRedemption { redemption_id: id.to_owned(), barcode: Barcode::new(format!("after {id}")) };
    let pass = pass.redeem(campaign, new, RedemptionRequest::default(), at(now)).unwrap().unwrap();
    let counted = pass.counted().unwrap();
    (pass, counted)
}

pub(crate) fn reverse(
    pass: &Pass,
    campaign: &Campaign,
    counted: &CountedRedemption,
    now: i64,
) -> Result<Pass, Refusal> {
    let barcode = Barcode::new(format!("back {}", counted.redemption.redemption_id));
    pass.reverse(campaign, counted, barcode, at(now))
}

fn next_offer(pass: &Pass, campaign: &Campaign, now: i64) -> Pass {
    let due = pass.next_offer_at().unwrap();
    let NextOffer::Came(pass) = pass.next_offer(campaign, due, Barcode::new("next"), at(now)) else {
        panic!("no next offer came")
    };
    *pass
}

#[test]
fn each_visit_of_a_card_makes_the_scanned_barcode_worthless() {
    let campaign = campaign(json!([{ "offerId": "card", "title": "Card", "redemptionLimit": 3 }]));
    let mut pass = pass(&campaign, json!({}));
    for visit in 1..=3 {
        let (used, counted) = redeem(&pass, &campaign, &visit.to_string(), visit);
        assert_eq!((used.redemptions, used.shown), (counted.redemptions, pass.shown + 1));
        assert_eq!(used.state == PassState::Redeemable, visit < 3);
        assert_eq!(used.barcode != pass.barcode, visit < 3);
        pass = used;
    }
    assert_eq!(pass.state, PassState::Finished);
}

#[test]
fn a_card_may_keep_its_barcode_for_a_family() {
    let offers = json!([{ "offerId": "card", "title": "Card", "redemptionLimit": 3, "newBarcode": "eachOffer" }]);
    let campaign = campaign(offers);
    let pass = pass(&campaign, json!({}));
    let (used, _) = redeem(&pass, &campaign, "1", 1);
    assert_eq!((&used.barcode, used.shown, used.version), (&pass.barcode, pass.shown, pass.version + 1));
}

#[test]
fn a_reversed_redemption_leaves_the_pass_redeemable_under_another_barcode() {
    let campaign = two_offers();
    let pass = pass(&campaign, json!({}));
    let (used, counted) = redeem(&pass, &campaign, "1", 1);
    let back = reverse(&used, &campaign, &counted, 5).unwrap();
    assert_eq!((&back.state, back.redemptions, &back.last_redemption), (&PassState::Redeemable, 0, &None));
    assert_ne!(back.barcode, pass.barcode);
    assert_eq!((back.version, back.shown), (3, 3));
    // The next offer that was promised.
    let due = used.next_offer_at().unwrap();
    let came = back.next_offer(&campaign, due, Barcode::new("n"), due);
    assert!(matches!(came, NextOffer::Superseded), "{came:?}");
}

#[test]
fn a_next_offer_that_came_unused_goes_again() {
    let campaign = two_offers();
    let (used, counted) = redeem(&pass(&campaign, json!({})), &campaign, "1", 1);
    let moved = next_offer(&used, &campaign, 16);
    assert_eq!((moved.offer_id.as_str(), moved.round), ("second", 2));
    let back = reverse(&moved, &campaign, &counted, 60).unwrap();
    assert_eq!((back.offer_id.as_str(), back.round, back.redemptions), ("first", 1, 0));
    let (again, _) = redeem(&back, &campaign, "2", 61);
    assert_eq!(next_offer(&again, &campaign, 76).offer_id.as_str(), "second");
}

#[test]
fn redemptions_of_two_offers_are_reversed_from_the_last_one_on() {
    let campaign = two_offers();
    let (used, first) = redeem(&pass(&campaign, json!({})), &campaign, "1", 1);
    let (finished, second) = redeem(&next_offer(&used, &campaign, 16), &campaign, "2", 20);
    let refused = reverse(&finished, &campaign, &first, 30).unwrap_err();
    assert_eq!(refused, Refusal::NotReversible(Hindrance::GoneOn));
    let back = reverse(&finished, &campaign, &second, 31).unwrap();
    assert_eq!(back.offer_id.as_str(), "second");
    let back = reverse(&back, &campaign, &first, 32).unwrap();
    assert_eq!((back.offer_id.as_str(), back.redemptions), ("first", 0));
}

#[test]
fn one_visit_of_many_is_given_back_whichever_it_was() {
    let campaign = campaign(json!([
        { "offerId": "card", "title": "Card", "redemptionLimit": 3 }, { "offerId": "next", "title": "Next" },
    ]));
    let (one, first) = redeem(&pass(&campaign, json!({})), &campaign, "1", 1);
    let (two, _) = redeem(&one, &campaign, "2", 2);
    let (three, last) = redeem(&two, &campaign, "3", 3);
    let back = reverse(&three, &campaign, &first, 4).unwrap();
    assert_eq!((&back.state, back.redemptions), (&PassState::Redeemable, 2));
    // Once the card went, only the visit that used it up brings it back.
    let moved = next_offer(&three, &campaign, 18);
    let refused = reverse(&moved, &campaign, &first, 20).unwrap_err();
    assert_eq!(refused, Refusal::NotReversible(Hindrance::GoneOn));
    assert_eq!(reverse(&moved, &campaign, &last, 20).unwrap().redemptions, 2);
}

#[test]
fn an_offer_that_was_used_up_twice_goes_back_to_what_it_had_the_second_time() {
    let offers = |limit: u32| {
        campaign(json!([
            { "offerId": "card", "title": "Card", "redemptionLimit": limit }, { "offerId": "next", "title": "Next" },
        ]))
    };
    let (one, first) = redeem(&pass(&offers(3), json!({})), &offers(3), "1", 1);
    let (two, _) = redeem(&one, &offers(3), "2", 2);
    let (three, third) = redeem(&two, &offers(3), "3", 3);
    let mut back = reverse(&three, &offers(3), &first, 4).unwrap();
    for (id, now) in [("4", 5), ("5", 6), ("6", 7)] {
        back = redeem(&back, &offers(5), id, now).0;
    }
    let moved = next_offer(&back, &offers(5), 22);
    // Four of five count: the second, the fourth, the fifth and the sixth.
    assert_eq!(reverse(&moved, &offers(5), &third, 23).unwrap().redemptions, 4);
}

#[test]
fn what_is_too_late_or_void_stays_as_it_is() {
    let mut campaign = two_offers();
    campaign.draft.reversible_for_seconds = 60;
    let (used, counted) = redeem(&pass(&campaign, json!({})), &campaign, "1", 0);
    assert!(reverse(&used, &campaign, &counted, 59).is_ok());
    assert_eq!(reverse(&used, &campaign, &counted, 60).unwrap_err(), Refusal::TooLateToReverse(at(60)));
    let void = used.void(&campaign, None, at(10)).unwrap();
    let refused = reverse(&void, &campaign, &counted, 11).unwrap_err();
    assert_eq!(refused, Refusal::NotReversible(Hindrance::Voided));
}
