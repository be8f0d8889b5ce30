//! Reading a campaign's draft from JSON: every problem named by its path.

use domain::{CampaignDraft, Offer};
use lambda_http::Request;
use passkit::overlay::{Change, FieldChange, Overlay};
use platform::{
    http::Failure,
    input::{self, Fields},
};
use serde_json::{Map, Value};

pub(crate) fn read(request: &Request) -> Result<CampaignDraft, Failure> {
    let mut fields = input::fields(request)?;
    let pass_type_identifier = fields.required("passTypeIdentifier");
    let template_id = fields.required("templateId");
    let offers = fields.objects("offers", offer);
    let redeemed_overlay = fields.object("redeemedOverlay", overlay).unwrap_or_default();
    let voided_overlay = fields.object("voidedOverlay", overlay).unwrap_or_default();
    let welcome_overlay = fields.object("welcomeOverlay", overlay);
    let next_offer_after_seconds = fields.optional("nextOfferAfterSeconds").unwrap_or(15);
    let after_last_offer = fields.optional("afterLastOffer").unwrap_or_default();
    let maximum_devices = fields.optional("maximumDevices");
    let on_too_many_devices = fields.optional("onTooManyDevices").unwrap_or_default();
    let read = pass_type_identifier.zip(template_id).map(|(pass_type_identifier, template_id)| CampaignDraft {
        pass_type_identifier,
        template_id,
        offers,
        redeemed_overlay,
        voided_overlay,
        welcome_overlay,
        next_offer_after_seconds,
        after_last_offer,
        maximum_devices,
        on_too_many_devices,
    });
    fields.done(read)
}

fn offer(fields: &mut Fields) -> Option<Offer> {
    let offer_id = fields.required("offerId");
    let title = fields.required("title");
    let redemption_limit = fields.optional("redemptionLimit");
    let redeemable_from = fields.optional("redeemableFrom");
    let redeemable_until = fields.optional("redeemableUntil");
    let overlay = fields.object("overlay", overlay).unwrap_or_default();
    let (offer_id, title) = offer_id.zip(title)?;
    Some(Offer { offer_id, title, redemption_limit, redeemable_from, redeemable_until, overlay })
}

fn overlay(fields: &mut Fields) -> Overlay {
    let set: Map<String, Value> = fields.optional("set").unwrap_or_default();
    let changes = fields.object("fields", |fields| fields.every(field_change)).unwrap_or_default();
    Overlay {
        set,
        fields: changes.into_iter().collect(),
        remove_fields: fields.optional("removeFields").unwrap_or_default(),
        images: fields.optional("images").unwrap_or_default(),
    }
}

/// Here null means something: the member goes.
fn field_change(fields: &mut Fields) -> FieldChange {
    let mut change = |name: &str| match fields.raw(name) {
        None => Change::Keep,
        Some(Value::Null) => Change::Remove,
        Some(value) => Change::Set(value),
    };
    FieldChange { value: change("value"), label: change("label"), change_message: change("changeMessage") }
}
