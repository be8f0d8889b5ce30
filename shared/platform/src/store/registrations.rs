//! Registrations: which devices carry which passes. Both items of one are written together, so that a list right after
//! a registration is complete.

use std::collections::HashMap;

use domain::{Campaign, Pass, PassState};
use jiff::Timestamp;
use passkit::{
    identifiers::{DeviceLibraryIdentifier, PassIdentity, PassTypeIdentifier},
    secrets::{AuthenticationToken, PushToken},
    web_service::ClientKind,
};

use super::{
    ATTEMPTS, Event, EventKind, Intent, Key, Knows, Page, Store, StoredCampaign, StoredPass, Written, fault,
    items::{self, DeviceItem, RegistrationItem},
    read,
    tallies::Happened,
    transaction::{Condition, Outcome, Transaction, number},
};
use crate::Fault;

/// A device that carries a pass.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Which device.
    pub device: DeviceLibraryIdentifier,
    /// Its address at APNs.
    pub push_token: PushToken,
    /// What it is.
    pub client: ClientKind,
    /// When it registered last.
    pub registered_at: Timestamp,
}

/// Why a registration ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// The device says so.
    Removed,
    /// APNs says that the device is gone.
    Unreachable,
}

/// A pass, seen from one device.
#[derive(Debug)]
pub struct OnDevice {
    /// The pass.
    pub stored: StoredPass,
    /// Its campaign.
    pub campaign: StoredCampaign,
    /// The device's registration, if it carries the pass.
    pub registration: Option<Registration>,
}

/// A pass registered on a device, with the campaign it belongs to.
#[derive(Debug)]
pub struct RegisteredPass {
    /// The pass.
    pub pass: Pass,
    /// Its campaign, as it was read together with the pass.
    pub campaign: std::sync::Arc<Campaign>,
}

impl RegistrationItem {
    fn new(registration: &Registration) -> RegistrationItem {
        RegistrationItem {
            v: 1,
            device: registration.device.clone(),
            token: registration.push_token.clone(),
            client: registration.client,
            registered: registration.registered_at.as_millisecond(),
        }
    }

    fn into_registration(self) -> Result<Registration, Fault> {
        let registered_at = Timestamp::from_millisecond(self.registered)
            .map_err(|error| Fault::new("reading a registration's time", error))?;
        Ok(Registration { device: self.device, push_token: self.token, client: self.client, registered_at })
    }
}

impl Store {
    /// A pass with its campaign, for a phone that knows its secret, and whether this device carries it, in one round trip.
    pub async fn pass_on_device(
        &self,
        identity: &PassIdentity,
        secret: &AuthenticationToken,
        device: &DeviceLibraryIdentifier,
    ) -> Result<Option<OnDevice>, Fault> {
        let registration_key = items::registration_key(identity, device);
        let others = std::slice::from_ref(&registration_key);
        let mut found = self.with_campaign(identity, Knows::Secret(secret), others).await?;
        let Some(pass) = found.take(&items::pass_key(identity))? else { return Ok(None) };
        let registration: Option<RegistrationItem> = found.take(&registration_key)?;
        let registration = registration.map(RegistrationItem::into_registration).transpose()?;
        Ok(Some(OnDevice {
            stored: StoredPass::from_item(pass)?,
            campaign: found.campaign(&self.opened)?,
            registration,
        }))
    }

    /// Registers a device that was not registered. The pass itself is written only when it changes with this, which
    /// `after` says: one coupon carried by a million phones must not become one hot item.
    pub async fn register(
        &self,
        before: &StoredPass,
        after: Option<&Pass>,
        registration: &Registration,
        then: &[Intent],
    ) -> Result<Written, Fault> {
        let mut transaction = self.registering(&before.pass, registration, Condition::absent())?;
        let version = after.unwrap_or(&before.pass).version;
        let event = Event::new(EventKind::Registered, registration.registered_at, version);
        transaction.put_event(&before.pass.identity, &event)?;
        transaction.tally(&before.pass.merchant_id, &before.pass.campaign_id, Happened::Installed)?;
        if let Some(after) = after {
            transaction.put_pass(before, after)?;
            if let PassState::Voided { reason, .. } = &after.state
                && after.state != before.pass.state
            {
                let event = Event::new(EventKind::Voided, after.updated_at, after.version);
                transaction.put_event(&before.pass.identity, &event.with("reason", reason.clone()))?;
            }
        }
        transaction.put_intents(then)?;
        self.registered(transaction).await
    }

    /// Replaces the push token of a device that is registered, on the condition that it is as it was read. If its registration
    /// ended meanwhile, nothing is written: what comes back has to be counted, and let in, like any other. Nor if it was
    /// replaced: a call that was given up brings no token that the device has no more.
    pub async fn register_again(
        &self,
        pass: &Pass,
        known: &Registration,
        registration: &Registration,
    ) -> Result<Written, Fault> {
        let read = number(known.registered_at.as_millisecond());
        let unchanged = Condition::holds("registered = :read").with(":read", read);
        let transaction = self.registering(pass, registration, unchanged)?;
        self.registered(transaction).await
    }

    async fn registered(&self, transaction: Transaction) -> Result<Written, Fault> {
        Ok(match self.commit(transaction).await? {
            Outcome::Committed => Written::Done,
            Outcome::Refused(_) => Written::Changed,
        })
    }

    fn registering(
        &self,
        pass: &Pass,
        registration: &Registration,
        condition: Condition,
    ) -> Result<Transaction, Fault> {
        let mut transaction = Transaction::default();
        let by_pass = items::registration_key(&pass.identity, &registration.device);
        transaction.put(&by_pass, &RegistrationItem::new(registration), condition)?;
        let by_device = DeviceItem {
            v: 1,
            serial: pass.identity.serial_number.clone(),
            merchant: pass.merchant_id.clone(),
            campaign: pass.campaign_id.clone(),
        };
        transaction.put(&items::device_key(&pass.identity, &registration.device), &by_device, Condition::none())?;
        Ok(transaction)
    }

    /// Ends a registration as read, counting why, with the steps that follow. When the device registered again since, or is
    /// gone already, nothing happens. `stored` is the pass if it was read just now; it is read again where it has changed since.
    pub async fn unregister(
        &self,
        identity: &PassIdentity,
        mut stored: Option<StoredPass>,
        registration: &Registration,
        departure: Departure,
        then: &[Intent],
        now: Timestamp,
    ) -> Result<(), Fault> {
        for _ in 0..ATTEMPTS {
            let read = match stored.take() {
                Some(stored) => Some(stored),
                None => self.pass(identity).await?,
            };
            let Some(stored) = read else { return Ok(()) };
            let mut transaction = Transaction::default();
            let as_read = Condition::holds("registered = :read");
            let as_read = as_read.with(":read", number(registration.registered_at.as_millisecond()));
            transaction.delete(&items::registration_key(identity, &registration.device), as_read)?;
            transaction.delete(&items::device_key(identity, &registration.device), Condition::none())?;
            transaction.put_event(identity, &Event::new(EventKind::Unregistered, now, stored.pass.version))?;
            let happened = match departure {
                Departure::Removed => Happened::Removed,
                Departure::Unreachable => Happened::Unreachable,
            };
            transaction.tally(&stored.pass.merchant_id, &stored.pass.campaign_id, happened)?;
            transaction.put_intents(then)?;
            let place_of_pass = transaction.len();
            if let Some(devices) = stored.pass.devices {
                let pass = Pass { devices: Some(devices.saturating_sub(1)), ..stored.pass.clone() };
                transaction.put_pass(&stored, &pass)?;
            }
            match self.commit(transaction).await? {
                Outcome::Refused(places) if places == [place_of_pass] => {}
                Outcome::Refused(_) | Outcome::Committed => return Ok(()),
            }
        }
        Err(Fault::contradiction("a pass changed too often for a registration to end"))
    }

    /// One page of the devices that carry a pass, after `after` (a place this method returned).
    pub async fn registrations(
        &self,
        identity: &PassIdentity,
        after: Option<&str>,
        limit: i32,
    ) -> Result<(Vec<Registration>, Option<String>), Fault> {
        let partition = items::pass_partition(identity);
        let (found, next) = self.page(Page { partition: &partition, prefix: "DEVICE#", after, limit }).await?;
        let registrations = found.into_iter().map(|item| read::<RegistrationItem>(item)?.into_registration());
        Ok((registrations.collect::<Result<_, _>>()?, next))
    }

    /// These devices' registrations for a pass, of those that still have one.
    pub async fn registrations_of(
        &self,
        identity: &PassIdentity,
        devices: &[DeviceLibraryIdentifier],
    ) -> Result<Vec<Registration>, Fault> {
        let keys: Vec<Key> = devices.iter().map(|device| items::registration_key(identity, device)).collect();
        let mut found = self.get_many(&keys).await?;
        let there = keys.iter().filter_map(|key| found.remove(key));
        there.map(|item| read::<RegistrationItem>(item)?.into_registration()).collect()
    }

    /// How many devices carry a pass. Where they are `at_most` or more, some number from there on: whoever has a pass can register
    /// as many as they like, and nobody who asks shall wait for all of them.
    pub async fn count_registrations(&self, identity: &PassIdentity, at_most: u64) -> Result<u64, Fault> {
        use aws_sdk_dynamodb::types::{AttributeValue::S, Select};
        let (mut count, mut start) = (0, None);
        loop {
            let answer = self
                .client()
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .select(Select::Count)
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":pk", S(items::pass_partition(identity)))
                .expression_attribute_values(":prefix", S("DEVICE#".to_owned()))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| fault("counting devices", error))?;
            count += u64::try_from(answer.count).unwrap_or(0);
            match answer.last_evaluated_key.filter(|_| count < at_most) {
                Some(next) => start = Some(next),
                None => return Ok(count),
            }
        }
    }

    /// Every pass of one type that a device carries: one query, then one batch read of passes and campaigns for each
    /// hundred.
    pub async fn passes_on_device(
        &self,
        device: &DeviceLibraryIdentifier,
        pass_type: &PassTypeIdentifier,
    ) -> Result<Vec<RegisteredPass>, Fault> {
        let carried: Vec<DeviceItem> = self.all(&items::device_partition(device, pass_type), "").await?;
        if carried.is_empty() {
            return Ok(Vec::new());
        }
        let identity = |item: &DeviceItem| PassIdentity {
            pass_type_identifier: pass_type.clone(),
            serial_number: item.serial.clone(),
        };
        let campaign_key = |item: &DeviceItem| items::campaign_key(&item.merchant, &item.campaign);
        let mut keys: Vec<Key> = carried.iter().map(campaign_key).collect();
        keys.sort_by(|a, b| a.partition.cmp(&b.partition));
        keys.dedup();
        let campaign_keys = keys.clone();
        keys.extend(carried.iter().map(|item| items::pass_key(&identity(item))));
        let mut found = self.get_many(&keys).await?;
        let mut campaigns = HashMap::new();
        for key in campaign_keys {
            if let Some(item) = found.remove(&key) {
                campaigns.insert(key.clone(), self.opened.open(key, item)?.campaign);
            }
        }
        let mut passes = Vec::with_capacity(carried.len());
        for item in &carried {
            let Some(pass) = found.remove(&items::pass_key(&identity(item))) else { continue };
            let campaign = campaigns.get(&campaign_key(item)).cloned();
            let campaign = campaign.ok_or_else(|| Fault::contradiction("a pass without its campaign"))?;
            passes.push(RegisteredPass { pass: StoredPass::from_item(read(pass)?)?.pass, campaign });
        }
        Ok(passes)
    }
}
