use passkit::secrets::{AuthenticationToken, Barcode, LinkId};
use serde_json::json;

use super::*;
use crate::{Link, LinkTerms, pass::tests::campaign};

const NOON: &str = "2026-11-23T12:00:00Z";

fn two_offers() -> Campaign {
    campaign(json!([
        { "offerId": "card", "title": "Card", "redemptionLimit": 3 }, { "offerId": "last", "title": "Last" },
    ]))
}

fn import(campaign: &Campaign, imported: &Imported) -> Result<Pass, Vec<String>> {
    let new = NewPass {
        identity: passkit::identifiers::PassIdentity {
            pass_type_identifier: campaign.draft.pass_type_identifier.clone(),
            serial_number: "OLD-1".parse().unwrap(),
        },
        authentication_token: AuthenticationToken::new("0123456789abcdef"),
        link: Link { id: LinkId::new("l"), terms: LinkTerms::default() },
        barcode: Barcode::new("old"),
        holder: json!({}),
    };
    let pass = Pass::import(new, imported, "r".to_owned(), campaign, NOON.parse().unwrap()).unwrap();
    pass.map_err(|problems| problems.into_iter().map(|problem| problem.path).collect())
}

fn state(state: ImportedState) -> Imported {
    Imported { state, ..Imported::default() }
}

#[test]
fn a_pass_comes_in_the_state_it_had() {
    let campaign = two_offers();
    let pass = import(&campaign, &Imported::default()).unwrap();
    assert_eq!((pass.state, pass.redemptions, pass.last_redemption), (PassState::Redeemable, 0, None));
    let pass = import(&campaign, &state(ImportedState::Redeemed)).unwrap();
    let next_offer_at = "2026-11-23T12:00:15Z".parse().unwrap();
    assert_eq!((pass.state, pass.redemptions), (PassState::Redeemed { next_offer_at }, 3));
    assert_eq!(pass.last_redemption.unwrap().redeemed_at, NOON.parse().unwrap());
    let pass = import(&campaign, &state(ImportedState::Finished)).unwrap();
    assert_eq!((pass.state, pass.ended_at), (PassState::Finished, Some(NOON.parse().unwrap())));
    let pass = import(&campaign, &state(ImportedState::Voided)).unwrap();
    assert!(matches!(pass.state, PassState::Voided { .. }));
}

#[test]
fn after_the_last_offer_a_redeemed_pass_rests() {
    let imported = Imported { offer_id: Some("last".parse().unwrap()), ..state(ImportedState::Redeemed) };
    let pass = import(&two_offers(), &imported).unwrap();
    assert_eq!((pass.state, pass.offer_position), (PassState::Finished, 1));
}

#[test]
fn a_card_goes_on_where_it_was() {
    let imported = Imported { redemptions: Some(2), ..Imported::default() };
    let (campaign, now) = (two_offers(), NOON.parse().unwrap());
    let pass = import(&campaign, &imported).unwrap();
    assert_eq!(pass.remaining(&campaign).unwrap(), 1);
    let new = crate::NewRedemption { redemption_id: "s".to_owned(), barcode: Barcode::new("b") };
    let used = pass.redeem(&campaign, new, crate::RedemptionRequest::default(), now).unwrap().unwrap();
    assert!(matches!(used.state, PassState::Redeemed { .. }));
}

#[test]
fn what_cannot_have_been_is_refused_by_name() {
    let campaign = two_offers();
    for redemptions in [3, 4] {
        let imported = Imported { redemptions: Some(redemptions), ..Imported::default() };
        assert_eq!(import(&campaign, &imported).unwrap_err(), ["/redemptions"]);
    }
    let imported = Imported {
        offer_id: Some("nobody".parse().unwrap()),
        redemptions: Some(0),
        redeemed_at: Some("2026-11-23T12:00:01Z".parse().unwrap()),
        ..state(ImportedState::Finished)
    };
    assert_eq!(import(&campaign, &imported).unwrap_err(), ["/offerId", "/redemptions", "/redeemedAt"]);
}
