//! What phones report (`POST /v1/log`): diagnoses in the histories of their passes, and lines that nobody knows.

use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use jiff::{SignedDuration, Timestamp};
use passkit::{
    identifiers::{DeviceLibraryIdentifier, PassIdentity},
    log_doctor::Cause,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Event, EventKind, Key, Store, TTL_ATTRIBUTE, fault,
    items::{self, PassItem},
    transaction::{Condition, Transaction},
};
use crate::Fault;

/// Different unknown lines kept. iOS has some dozens; what strangers invent falls into the same places.
const PLACES: u64 = 1000;
/// How long an unknown line is kept after it was last seen.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long it is remembered that a day had its diagnosis: the day, and time zones to spare.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(2 * 24);

/// A mark that a cause was told on a day, version 1.
#[derive(Serialize, Deserialize)]
struct DiagnosedItem {
    v: u8,
    expires_at: i64,
}

/// One for each pass, cause and UTC day. The event itself has a key of its own, so that histories stay in the order of
/// time.
fn diagnosed_key(identity: &PassIdentity, cause: Cause, now: Timestamp) -> Key {
    Key::new(items::pass_partition(identity), format!("DIAGNOSED#{}#{cause}", now.strftime("%Y-%m-%d")))
}

/// Lines of one shape share an item; so may others, since the number of items is bounded.
fn report_key(shape: &str) -> Key {
    let digest = Sha256::digest(shape.to_lowercase());
    let place = digest.iter().take(8).fold(0_u64, |place, byte| (place << 8) | u64::from(*byte)) % PLACES;
    Key::new("REPORTS", format!("{place:03}"))
}

impl Store {
    /// Writes into a pass's history why a device complains, once for each cause and UTC day. A device that carries no
    /// such pass is a stranger, and strangers write into no history: nothing happens. Two calls at most.
    pub async fn diagnose(
        &self,
        identity: &PassIdentity,
        device: &DeviceLibraryIdentifier,
        cause: Cause,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let pass = items::pass_key(identity);
        let registration = items::registration_key(identity, device);
        let diagnosed = diagnosed_key(identity, cause, now);
        let mut found = self.get_many(&[pass.clone(), registration.clone(), diagnosed.clone()]).await?;
        if !found.contains_key(&registration) || found.contains_key(&diagnosed) {
            return Ok(());
        }
        let Some(pass) = found.remove(&pass) else { return Ok(()) };
        let pass = super::read::<PassItem>(pass)?.into_pass()?;
        let mut transaction = Transaction::default();
        let mark = DiagnosedItem { v: 1, expires_at: (now + REMEMBERED).as_second() };
        transaction.put(&diagnosed, &mark, Condition::absent())?;
        let event = Event::new(EventKind::Diagnosed, now, pass.version);
        let event = event.with("cause", cause.name()).with("advice", cause.advice());
        transaction.put_event(identity, &event)?;
        // Refused: another call told it first.
        self.commit(transaction).await.map(|_| ())
    }

    /// Keeps a line that nobody knows, as its shape, and counts it. An example stays for thirty days after it was last
    /// seen. A repeated call counts twice, which is well enough for what is only looked at.
    pub async fn keep_report(&self, shape: &str, lines: u32, now: Timestamp) -> Result<(), Fault> {
        let expression =
            format!("SET v = :v, example = :example, seen_at = :now, {TTL_ATTRIBUTE} = :end ADD seen :lines");
        let request = self
            .client()
            .update_item()
            .table_name(&self.table)
            .set_key(Some(report_key(shape).to_item()))
            .update_expression(expression)
            .expression_attribute_values(":v", N("1".to_owned()))
            .expression_attribute_values(":example", S(shape.to_owned()))
            .expression_attribute_values(":now", S(domain::time::to_text(now)))
            .expression_attribute_values(":end", N((now + KEPT).as_second().to_string()))
            .expression_attribute_values(":lines", N(lines.to_string()));
        request.send().await.map_err(|error| fault("keeping a report", error)).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_lines_fall_into_a_bounded_number_of_places() {
        let places: std::collections::BTreeSet<String> =
            (0..20_000).map(|line| report_key(&format!("line {line}")).sort).collect();
        assert!(places.len() <= 1000 && places.len() > 900, "{}", places.len());
        assert_eq!(report_key("The Same"), report_key("the same"));
    }

    #[test]
    fn a_day_ends_at_midnight_utc() {
        let identity =
            PassIdentity { pass_type_identifier: "pass.example".parse().unwrap(), serial_number: "1".parse().unwrap() };
        let key = |at: &str| diagnosed_key(&identity, Cause::SpuriousPush, at.parse().unwrap()).sort;
        assert_eq!(key("2026-03-01T00:00:00Z"), "DIAGNOSED#2026-03-01#spurious-push");
        assert_eq!(key("2026-03-01T23:59:59.999Z"), key("2026-03-01T00:00:00Z"));
        assert_ne!(key("2026-03-02T00:00:00Z"), key("2026-03-01T23:59:59Z"));
    }
}
