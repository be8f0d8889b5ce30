//! Stored shapes and their keys. Each shape carries `v`, its own version: what was written by an older release is read
//! by every newer one. They are apart from the domain's types so that neither's changes drag the other along.

use domain::{Link, LinkTerms, Pass, PassState, Redemption, pass::Greeting};
use jiff::Timestamp;
use passkit::{
    identifiers::{
        CampaignId, DeviceLibraryIdentifier, OfferId, PassIdentity, PassTypeIdentifier, SerialNumber, TemplateId,
    },
    personalization::Personalization,
    secrets::{AuthenticationToken, Barcode, LinkId, PushToken},
    update_tag::EffectiveVersion,
    web_service::ClientKind,
};
use serde::{Deserialize, Serialize};

use super::{Item, Key};
use crate::Fault;

/// Partitions of a campaign's members: one partition takes about 1,000 writes a second, and issuing is the one thing
/// merchants do in bulk.
pub(super) const MEMBER_SHARDS: u32 = 8;

pub(super) fn pass_partition(identity: &PassIdentity) -> String {
    format!("PASS#{}#{}", identity.pass_type_identifier, identity.serial_number)
}

pub(super) fn pass_key(identity: &PassIdentity) -> Key {
    Key::new(pass_partition(identity), "PASS")
}

pub(super) fn registration_key(identity: &PassIdentity, device: &DeviceLibraryIdentifier) -> Key {
    Key::new(pass_partition(identity), format!("DEVICE#{device}"))
}

pub(super) fn device_partition(device: &DeviceLibraryIdentifier, pass_type: &PassTypeIdentifier) -> String {
    // A device identifier holds no '#', so no two pairs share a partition.
    format!("DEVICE#{device}#{pass_type}")
}

pub(super) fn device_key(identity: &PassIdentity, device: &DeviceLibraryIdentifier) -> Key {
    Key::new(device_partition(device, &identity.pass_type_identifier), identity.serial_number.as_str())
}

pub(super) fn barcode_key(merchant_id: &str, barcode: &Barcode) -> Key {
    Key::new(format!("BARCODE#{merchant_id}#{}", barcode.expose()), "BARCODE")
}

pub(super) fn link_key(link: &LinkId) -> Key {
    Key::new(format!("LINK#{}", link.expose()), "LINK")
}

pub(super) fn campaign_key(merchant_id: &str, campaign_id: &CampaignId) -> Key {
    Key::new(format!("CAMPAIGN#{merchant_id}#{campaign_id}"), "CAMPAIGN")
}

pub(super) fn campaigns_partition(merchant_id: &str) -> String {
    format!("CAMPAIGNS#{merchant_id}")
}

pub(super) fn templates_partition(merchant_id: &str) -> String {
    format!("TEMPLATES#{merchant_id}")
}

pub(super) fn members_partition(merchant_id: &str, campaign_id: &CampaignId, shard: u32) -> String {
    format!("MEMBERS#{merchant_id}#{campaign_id}#{shard}")
}

/// A pass stays in the shard its serial number falls in.
pub(super) fn member_shard(identity: &PassIdentity) -> u32 {
    let sum: u32 =
        identity.serial_number.as_str().bytes().fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    sum % MEMBER_SHARDS
}

pub(super) fn member_sort(identity: &PassIdentity) -> String {
    format!("{}#{}", identity.pass_type_identifier, identity.serial_number)
}

/// The pass that a sort key among a campaign's members names.
pub(super) fn member_identity(sort: &str) -> Option<PassIdentity> {
    let (pass_type, serial) = sort.split_once('#')?;
    Some(PassIdentity { pass_type_identifier: pass_type.parse().ok()?, serial_number: serial.parse().ok()? })
}

pub(super) fn member_key(merchant_id: &str, campaign_id: &CampaignId, identity: &PassIdentity) -> Key {
    Key::new(members_partition(merchant_id, campaign_id, member_shard(identity)), member_sort(identity))
}

/// Where it is kept that a pass was erased: by a digest, since a serial number may say whose pass it was.
pub(super) fn erased_key(identity: &PassIdentity) -> Key {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{}#{}", identity.pass_type_identifier, identity.serial_number));
    Key::new(format!("ERASED#{}", hex::encode(digest)), "ERASED")
}

/// In a pass's partition: that an answer kept under this idempotency key tells of its holder.
pub(super) fn answer_mark_key(identity: &PassIdentity, once_key: &str) -> Key {
    Key::new(pass_partition(identity), format!("ANSWER#{once_key}"))
}

/// In a pass's partition: that a scheduled update is about it.
pub(super) fn update_mark_key(identity: &PassIdentity, update_id: &str) -> Key {
    Key::new(pass_partition(identity), format!("UPDATE#{update_id}"))
}

pub(super) fn template_partition(merchant_id: &str, template_id: &TemplateId) -> String {
    format!("TEMPLATE#{merchant_id}#{template_id}")
}

pub(super) fn template_key(merchant_id: &str, template_id: &TemplateId) -> Key {
    Key::new(template_partition(merchant_id, template_id), "TEMPLATE")
}

pub(super) fn template_version_key(merchant_id: &str, template_id: &TemplateId, version: u64) -> Key {
    Key::new(template_partition(merchant_id, template_id), format!("VERSION#{version:010}"))
}

pub(super) fn template_campaign_key(merchant_id: &str, template_id: &TemplateId, campaign_id: &CampaignId) -> Key {
    Key::new(template_partition(merchant_id, template_id), format!("CAMPAIGN#{campaign_id}"))
}

/// Of a pass item, only whose it is.
pub(super) struct Owner {
    pub(super) merchant: String,
    pub(super) campaign: CampaignId,
    pub(super) token: AuthenticationToken,
}

impl Owner {
    /// Three attributes of an item that is read as a whole later, or not at all.
    pub(super) fn of(item: &Item) -> Result<Owner, Fault> {
        let text = |name: &str| {
            let text = item.get(name).and_then(|value| value.as_s().ok());
            text.ok_or_else(|| Fault::contradiction(format!("a pass item without its {name}")))
        };
        let campaign = text("campaign")?.parse().map_err(|error| Fault::new("reading a pass's campaign", error))?;
        Ok(Owner { merchant: text("merchant")?.clone(), campaign, token: AuthenticationToken::new(text("token")?) })
    }
}

/// The pass item, version 1. At most a kilobyte or so with a short holder: writes cost by the kilobyte.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PassItem {
    v: u8,
    /// Grows with every write of the item; every write is on the condition that it is the one read.
    pub(super) generation: u64,
    #[serde(rename = "type")]
    pass_type: PassTypeIdentifier,
    serial: SerialNumber,
    merchant: String,
    campaign: CampaignId,
    token: AuthenticationToken,
    /// Of a revoked link nothing stays.
    #[serde(default)]
    link: Option<LinkId>,
    #[serde(default, with = "domain::time::optional_text", skip_serializing_if = "Option::is_none")]
    link_expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link_limit: Option<u32>,
    /// JSON text: a DynamoDB number would not give every JSON number back as it was.
    holder: String,
    #[serde(default)]
    personalization: Personalization,
    version: u64,
    shown: u64,
    stamp: i64,
    state: PassState,
    offer: OfferId,
    position: usize,
    #[serde(default)]
    round: u64,
    redemptions: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redemptions_before: Option<u32>,
    barcode: Barcode,
    last: Option<Redemption>,
    fetched: Option<EffectiveVersion>,
    greeting: Greeting,
    devices: Option<u32>,
    /// JSON text, like holder data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    active: Option<String>,
    #[serde(default, with = "domain::time::optional_text", skip_serializing_if = "Option::is_none")]
    ended: Option<Timestamp>,
    #[serde(default, with = "domain::time::optional_text", skip_serializing_if = "Option::is_none")]
    erasing: Option<Timestamp>,
    #[serde(with = "domain::time::text")]
    created: Timestamp,
    #[serde(with = "domain::time::text")]
    updated: Timestamp,
}

impl PassItem {
    pub(super) fn new(pass: &Pass, generation: u64) -> PassItem {
        PassItem {
            v: 1,
            generation,
            pass_type: pass.identity.pass_type_identifier.clone(),
            serial: pass.identity.serial_number.clone(),
            merchant: pass.merchant_id.clone(),
            campaign: pass.campaign_id.clone(),
            token: pass.authentication_token.clone(),
            link: pass.link.as_ref().map(|link| link.id.clone()),
            link_expires: pass.link.as_ref().and_then(|link| link.terms.expires_at),
            link_limit: pass.link.as_ref().and_then(|link| link.terms.download_limit),
            holder: pass.holder.to_string(),
            personalization: pass.personalization,
            version: pass.version,
            shown: pass.shown,
            stamp: pass.stamp,
            state: pass.state.clone(),
            offer: pass.offer_id.clone(),
            position: pass.offer_position,
            round: pass.round,
            redemptions: pass.redemptions,
            redemptions_before: pass.redemptions_before,
            barcode: pass.barcode.clone(),
            last: pass.last_redemption.clone(),
            fetched: pass.fetched,
            greeting: pass.greeting,
            devices: pass.devices,
            active: (!pass.active.is_empty()).then(|| serde_json::json!(pass.active).to_string()),
            ended: pass.ended_at,
            erasing: pass.erasing_since,
            created: pass.created_at,
            updated: pass.updated_at,
        }
    }

    pub(super) fn into_pass(self) -> Result<Pass, Fault> {
        let holder = serde_json::from_str(&self.holder).map_err(|error| Fault::new("reading holder data", error))?;
        let active = self.active.as_deref().map_or(Ok(Vec::new()), serde_json::from_str);
        let active = active.map_err(|error| Fault::new("reading a pass's updates", error))?;
        let terms = LinkTerms { expires_at: self.link_expires, download_limit: self.link_limit };
        Ok(Pass {
            identity: PassIdentity { pass_type_identifier: self.pass_type, serial_number: self.serial },
            merchant_id: self.merchant,
            campaign_id: self.campaign,
            authentication_token: self.token,
            link: self.link.map(|id| Link { id, terms }),
            holder,
            personalization: self.personalization,
            version: self.version,
            shown: self.shown,
            stamp: self.stamp,
            state: self.state,
            offer_id: self.offer,
            offer_position: self.position,
            round: self.round,
            redemptions: self.redemptions,
            redemptions_before: self.redemptions_before,
            barcode: self.barcode,
            last_redemption: self.last,
            fetched: self.fetched,
            greeting: self.greeting,
            devices: self.devices,
            active,
            ended_at: self.ended,
            erasing_since: self.erasing,
            created_at: self.created,
            updated_at: self.updated,
        })
    }
}

/// A barcode item, version 1: which pass, and once it is used, the redemption that counted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BarcodeItem {
    pub(super) v: u8,
    #[serde(rename = "type")]
    pub(super) pass_type: PassTypeIdentifier,
    pub(super) serial: SerialNumber,
    pub(super) used: Option<Redemption>,
}

/// A link item, version 1.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LinkItem {
    pub(super) v: u8,
    #[serde(rename = "type")]
    pub(super) pass_type: PassTypeIdentifier,
    pub(super) serial: SerialNumber,
    /// Downloads it has answered.
    #[serde(default)]
    pub(super) downloads: u64,
}

/// A registration by pass, version 1: what a push needs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RegistrationItem {
    pub(super) v: u8,
    pub(super) device: DeviceLibraryIdentifier,
    pub(super) token: PushToken,
    pub(super) client: ClientKind,
    /// Milliseconds since 1970: compared with the time in APNs's 410.
    pub(super) registered: i64,
}

/// A registration by device, version 1: what a list needs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeviceItem {
    pub(super) v: u8,
    pub(super) serial: SerialNumber,
    pub(super) merchant: String,
    pub(super) campaign: CampaignId,
}
