use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::pass::tests::{campaign, pass};

fn total(counted: &[u32; SHARDS]) -> u64 {
    counted.iter().map(|count| u64::from(*count)).sum()
}

#[test]
fn the_shares_of_a_limit_add_up_to_it() {
    for limit in [0, 1, 15, 16, 17, 500, MAXIMUM_TOTAL_REDEMPTIONS] {
        let sum: u64 = shares(limit, &[0; SHARDS]).into_iter().flatten().map(u64::from).sum();
        assert_eq!(sum, u64::from(limit));
    }
}

#[test]
fn a_limit_lowered_below_what_counted_leaves_no_room() {
    let mut counted = [0; SHARDS];
    counted[3] = 40;
    assert!(rooms(Some(40), &counted).is_empty());
    assert_eq!(rooms(Some(41), &counted).len(), 1);
    assert_eq!(rooms(None, &counted).len(), SHARDS);
}

proptest! {
    /// Tills that decide from any earlier reading, and reversals between them: as many count as the limit says.
    #[test]
    fn whatever_tills_read_no_redemption_counts_beyond_the_limit(
        mut counted in prop::array::uniform16(0_u32..12),
        limit in 0_u32..150,
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..8), 0..300),
    ) {
        let mut readings = vec![counted];
        for (reading, pick, kind) in steps {
            if kind == 0 {
                let place = pick.index(SHARDS);
                counted[place] = counted[place].saturating_sub(1);
            } else {
                let rooms = rooms(Some(limit), reading.get(&readings));
                if rooms.is_empty() {
                    continue;
                }
                let place = rooms[pick.index(rooms.len())];
                if place.below.is_some_and(|below| counted[place.shard] < below) {
                    counted[place.shard] += 1;
                    prop_assert!(total(&counted) <= u64::from(limit), "{counted:?}");
                }
            }
            readings.push(counted);
        }
        let before = total(&counted);
        while let Some(place) = rooms(Some(limit), &counted).first() {
            counted[place.shard] += 1;
        }
        prop_assert_eq!(total(&counted), before.max(limit.into()));
    }
}

#[test]
fn campaign_and_offer_are_counted_in_one_place_where_both_have_room() {
    let mut campaign = campaign(json!([{ "offerId": "first", "title": "First", "totalRedemptionLimit": 1 }]));
    campaign.draft.total_redemption_limit = Some(2);
    let pass = pass(&campaign, json!({}));
    let offer = &campaign.draft.offers[0];
    let claim = campaign.claim(offer, &pass, &Spent::default(), 7).unwrap();
    assert_eq!((claim.campaign.shard, claim.offer.shard), (0, 0));
    let mut spent = Spent::default();
    spent.campaign[0] = 1;
    let claim = campaign.claim(offer, &pass, &spent, 7).unwrap();
    assert_eq!((claim.campaign.shard, claim.offer.shard), (1, 0));
    spent.offer[0] = 1;
    assert_eq!(campaign.claim(offer, &pass, &spent, 7), Err(Refusal::LimitReached(Limit::Offer)));
    spent.campaign[1] = 1;
    assert_eq!(campaign.claim(offer, &pass, &spent, 7), Err(Refusal::LimitReached(Limit::Campaign)));
}

#[test]
fn a_holder_is_who_the_data_says_and_else_the_pass() {
    let mut campaign = campaign(json!([{ "offerId": "first", "title": "First" }]));
    campaign.draft.holder_key = Some("/contact/email".to_owned());
    let holder = |campaign: &Campaign, holder| campaign.holder(&pass(campaign, holder));
    assert_eq!(holder(&campaign, json!({})), None);
    campaign.draft.redemptions_per_holder = Some(1);
    let ada = holder(&campaign, json!({ "contact": { "email": "ada@example.com" } }));
    assert_eq!(ada, holder(&campaign, json!({ "contact": { "email": " Ada@Example.com " } })));
    assert_ne!(ada, holder(&campaign, json!({ "contact": { "email": "bob@example.com" } })));
    let nobody = holder(&campaign, json!({ "contact": { "email": "" } }));
    assert_eq!(nobody, holder(&campaign, json!({})));
    assert_ne!(nobody, ada);
    assert!(!format!("{ada:?}").contains("ada"), "{ada:?}");
}

#[test]
fn impossible_limits_are_named() {
    let draft: CampaignDraft = serde_json::from_value(json!({
        "passTypeIdentifier": "pass.example.passloop",
        "templateId": "t",
        "offers": [{ "offerId": "first", "title": "First", "totalRedemptionLimit": 0 }],
        "totalRedemptionLimit": 1_000_000_001,
        "redemptionsPerHolder": 2,
        "reversibleForSeconds": 31_536_001,
    }))
    .unwrap();
    let paths: Vec<String> = problems(&draft).into_iter().map(|problem| problem.path).collect();
    let expected = ["/totalRedemptionLimit", "/offers/0/totalRedemptionLimit", "/holderKey", "/reversibleForSeconds"];
    assert_eq!(paths, expected);
    let draft = CampaignDraft { holder_key: Some("email".to_owned()), ..draft };
    assert!(problems(&draft).iter().any(|problem| problem.path == "/holderKey"));
}
