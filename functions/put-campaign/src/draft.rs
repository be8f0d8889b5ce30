//! Reading a campaign's draft from JSON: every problem named by its path.

use domain::{CampaignDraft, Location, Offer, campaign::DEFAULT_REVERSIBLE_FOR_SECONDS, limit::HOLDER_KEY_CHARACTERS};
use lambda_http::Request;
use passkit::problem::Problems;
use platform::{
    http::Failure,
    input::{self, Fields},
};

/// What can be read of the draft, and every problem of its form. Nothing, if an item of a list cannot be read: it would be
/// missing, and what is wrong behind it would be named by the place before.
pub(crate) fn read(request: &Request) -> Result<(Option<CampaignDraft>, Problems), Failure> {
    let mut fields = input::fields(request)?;
    let pass_type_identifier = fields.required("passTypeIdentifier");
    let template_id = fields.required("templateId");
    let entries = [fields.entries("offers"), fields.entries("locations")];
    let offers = fields.objects("offers", offer);
    let redeemed_overlay = fields.object("redeemedOverlay", input::overlay).unwrap_or_default();
    let voided_overlay = fields.object("voidedOverlay", input::overlay).unwrap_or_default();
    let welcome_overlay = fields.object("welcomeOverlay", input::overlay);
    let next_offer_after_seconds = fields.optional("nextOfferAfterSeconds").unwrap_or(15);
    let after_last_offer = fields.optional("afterLastOffer").unwrap_or_default();
    let total_redemption_limit = fields.optional("totalRedemptionLimit");
    let holder_key = fields.text("holderKey", HOLDER_KEY_CHARACTERS);
    let redemptions_per_holder = fields.optional("redemptionsPerHolder");
    let reversible_for_seconds = fields.optional("reversibleForSeconds").unwrap_or(DEFAULT_REVERSIBLE_FOR_SECONDS);
    let push_over_seconds = fields.optional("pushOverSeconds").unwrap_or(0);
    let maximum_devices = fields.optional("maximumDevices");
    let on_too_many_devices = fields.optional("onTooManyDevices").unwrap_or_default();
    let locations = fields.optional_objects("locations", location);
    let benefit = fields.optional("benefit");
    let retention_days = fields.optional("retentionDays");
    let is_whole = [offers.len(), locations.len()] == entries;
    let read = pass_type_identifier.zip(template_id).map(|(pass_type_identifier, template_id)| CampaignDraft {
        pass_type_identifier,
        template_id,
        offers,
        redeemed_overlay,
        voided_overlay,
        welcome_overlay,
        next_offer_after_seconds,
        total_redemption_limit,
        holder_key,
        redemptions_per_holder,
        reversible_for_seconds,
        after_last_offer,
        push_over_seconds,
        maximum_devices,
        on_too_many_devices,
        locations,
        benefit,
        retention_days,
    });
    Ok(fields.so_far(read.filter(|_| is_whole)))
}

fn offer(fields: &mut Fields) -> Option<Offer> {
    let offer_id = fields.required("offerId");
    let title = fields.required("title");
    let redemption_limit = fields.optional("redemptionLimit");
    let total_redemption_limit = fields.optional("totalRedemptionLimit");
    let new_barcode = fields.optional("newBarcode").unwrap_or_default();
    let redeemable_from = fields.time("redeemableFrom");
    let redeemable_until = fields.time("redeemableUntil");
    let overlay = fields.object("overlay", input::overlay).unwrap_or_default();
    let benefit = fields.optional("benefit");
    let (offer_id, title) = offer_id.zip(title)?;
    Some(Offer {
        offer_id,
        title,
        redemption_limit,
        total_redemption_limit,
        new_barcode,
        redeemable_from,
        redeemable_until,
        overlay,
        benefit,
    })
}

fn location(fields: &mut Fields) -> Option<Location> {
    let location_id = fields.required("locationId");
    let name = fields.required("name");
    let latitude = fields.required("latitude");
    let longitude = fields.required("longitude");
    let relevant_text = fields.optional("relevantText");
    let benefit = fields.optional("benefit");
    let ((location_id, name), (latitude, longitude)) = location_id.zip(name).zip(latitude.zip(longitude))?;
    Some(Location { location_id, name, latitude, longitude, relevant_text, benefit })
}
