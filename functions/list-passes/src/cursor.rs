//! The cursor of a list: what is listed, and the place where it goes on. Opaque to whoever holds it, and checked when it
//! comes back; it needs no signature, since it leads nowhere but into the merchant's own campaign.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use passkit::identifiers::CampaignId;
use platform::store::is_place_among_members;

/// Characters of a cursor: a campaign, a pass type and a serial number at their longest, in base64.
pub(crate) const LIMIT: usize = 400;

/// The cursor of a place in the list of a campaign's passes.
pub(crate) fn write(campaign_id: &CampaignId, place: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{campaign_id} {place}"))
}

/// The place, if this is a cursor of this campaign.
pub(crate) fn read(cursor: &str, campaign_id: &CampaignId) -> Option<String> {
    if cursor.len() > LIMIT {
        return None;
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (campaign, place) = text.split_once(' ')?;
    (campaign == campaign_id.as_str() && is_place_among_members(place)).then(|| place.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_one_campaign() {
        let (one, other): (CampaignId, CampaignId) = ("one".parse().unwrap(), "other".parse().unwrap());
        let cursor = write(&one, "3");
        assert_eq!(read(&cursor, &one).as_deref(), Some("3"));
        assert_eq!(read(&cursor, &other), None);
        for bad in ["", "3", "!", &write(&one, "9"), &write(&one, ""), &"A".repeat(LIMIT + 1)] {
            assert_eq!(read(bad, &one), None, "{bad:?}");
        }
    }

    #[test]
    fn the_longest_cursor_is_within_the_limit() {
        let longest = (64 + 1) + (1 + 1) + (128 + 1 + 64);
        assert!(usize::div_ceil(longest * 4, 3) <= LIMIT);
    }
}
