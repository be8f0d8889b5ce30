//! The service is asked for everything that it answered. A broken promise is a sentence; all of them are told.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::Value;

use super::book::Entry;
use super::{BAKERY, NEXT_OFFER_AFTER, Town};
use crate::answer::Answer;
use crate::back_office::PASS_TYPE;
use crate::iphone::IPhone;
use crate::package::Package;

/// How long the town may take to come to rest. A lost message waits for the sweep, which comes every minute.
const REST_LIMIT: Duration = Duration::from_secs(150);

/// Waits for rest, then checks every promise. Phones do nothing but react to pushes.
pub(super) async fn audit(town: &Town, mut phones: Vec<IPhone>) -> Vec<String> {
    let mut broken = rest(town, &mut phones).await;
    for phone in &phones {
        // Wallet reports what it disliked in any of its conversations (reference 1.6).
        broken.extend(phone.complaints().iter().map(|complaint| format!("a phone reports: {complaint}")));
    }
    let entries = town.book.all();
    for entry in &entries {
        audit_pass(town, entry, &mut broken).await;
    }
    audit_campaign(town, &entries, &mut broken).await;
    broken
}

/// Until every pass that was used has its next offer, and every phone has the newest version of what it carries.
async fn rest(town: &Town, phones: &mut [IPhone]) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let mut waiting = Vec::new();
        for entry in town.book.all() {
            let pass = town.office.get(&entry.issued).await;
            let expected = if entry.voided { "voided" } else { "redeemable" };
            if pass["state"] != expected {
                waiting.push(format!("pass {} is {} and not {expected}", entry.issued.serial, pass["state"]));
            }
        }
        for phone in phones.iter_mut() {
            phone.hear_what_came(&town.apns).await;
            for serial in phone.serials() {
                if !is_newest(town, phone, &serial).await {
                    waiting.push(format!("phone {} has an old version of {serial}", phone.device()));
                }
            }
        }
        if waiting.is_empty() || begun.elapsed() > REST_LIMIT {
            return waiting;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Whether a phone has what anybody who has the pass would get now, byte for byte in the manifest.
async fn is_newest(town: &Town, phone: &IPhone, serial: &str) -> bool {
    let service = crate::web_service::WebService::new(&town.http, &town.base);
    let authorization = phone.authorization(serial);
    let fresh = service.pass(PASS_TYPE, serial, Some(&authorization), None).await.expect(200);
    match Package::open(&fresh.body, &town.root) {
        Ok(fresh) => fresh.manifest == phone.pass(serial).manifest,
        Err(problems) => panic!("{serial} is no valid pass: {problems:?}"),
    }
}

async fn audit_pass(town: &Town, entry: &Entry, broken: &mut Vec<String>) {
    let serial = &entry.issued.serial;
    let mut wrong = |message: String| broken.push(format!("pass {serial}: {message}"));
    let pass = town.office.get(&entry.issued).await;
    if pass["holder"]["name"] != entry.name.as_str() {
        wrong(format!("the holder is {} and was renamed {}", pass["holder"]["name"], entry.name));
    }
    if pass["devices"] != entry.devices.len() {
        wrong(format!(
            "has {} devices and {} were told that they are registered",
            pass["devices"],
            entry.devices.len()
        ));
    }
    for (sale, (_, receipt)) in &entry.receipts {
        let id = receipt["redemptionId"].as_str().unwrap_or_default();
        let told = town.office.redemption(id).await;
        if told.status != 200 || told.json()["redeemedAt"] != receipt["redeemedAt"] {
            wrong(format!("{sale} was told that it counts, and later {}: {}", told.status, told.text()));
        }
    }
    audit_history(&history(town, entry).await, entry, &mut wrong);
}

/// Redemption and next offer take turns, the first first: each once, the second not early, none after a void.
fn audit_history(events: &[(String, Timestamp)], entry: &Entry, wrong: &mut impl FnMut(String)) {
    let mut redeemed_at: Option<Timestamp> = None;
    let (mut redemptions, mut void) = (0, false);
    let after = SignedDuration::try_from(NEXT_OFFER_AFTER).unwrap();
    for (kind, at) in events {
        match (kind.as_str(), redeemed_at) {
            ("redeemed" | "offer", _) if void => wrong(format!("{kind} at {at}, after it was voided")),
            ("redeemed", None) => (redemptions, redeemed_at) = (redemptions + 1, Some(*at)),
            ("redeemed", Some(earlier)) => {
                redemptions += 1;
                wrong(format!("redeemed at {at}, again after {earlier} and without an offer between"));
            }
            ("offer", Some(earlier)) => {
                if at.duration_since(earlier) < after {
                    wrong(format!("the next offer came early: {at}, after {earlier}"));
                }
                redeemed_at = None;
            }
            ("offer", None) => wrong(format!("an offer at {at} for which nobody had redeemed")),
            ("voided", _) => void = true,
            _ => {}
        }
    }
    if redemptions != entry.receipts.len() {
        wrong(format!("counted {redemptions} redemptions and told {} sales that they count", entry.receipts.len()));
    }
    if void != entry.voided {
        wrong(format!("voided: {void} in its history, {} as answered", entry.voided));
    }
    if redeemed_at.is_some() && !void {
        wrong("was redeemed, and the next offer never came".to_owned());
    }
}

/// Kind and time of every event, all pages.
async fn history(town: &Town, entry: &Entry) -> Vec<(String, Timestamp)> {
    let path = format!("/passes/{}/{}/history", entry.issued.pass_type, entry.issued.serial);
    let (mut events, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let query = cursor.map(|cursor| format!("?cursor={}", cursor.replace('#', "%23"))).unwrap_or_default();
        let page = Answer::to(town.office.request(Method::GET, &format!("{path}{query}"))).await.expect(200).json();
        let text = |event: &Value, key: &str| event[key].as_str().expect("a text").to_owned();
        let read = page["events"].as_array().expect("events").iter();
        events.extend(read.map(|event| (text(event, "type"), text(event, "at").parse().expect("a time"))));
        match page["cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return events,
        }
    }
}

/// The campaign's own counts: as many passes and redemptions as were answered.
async fn audit_campaign(town: &Town, entries: &[Entry], broken: &mut Vec<String>) {
    let report = Answer::to(town.office.report(BAKERY, "")).await.expect(200).json();
    let sales: usize = entries.iter().map(|entry| entry.receipts.len()).sum();
    if report["issued"] != entries.len() {
        broken.push(format!("the report says {} passes issued, answered were {}", report["issued"], entries.len()));
    }
    if report["redeemed"] != sales {
        broken.push(format!("the report says {} redemptions, answered were {sales}", report["redeemed"]));
    }
}
