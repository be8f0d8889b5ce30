//! What people do meanwhile. Whatever a call is answered is written down before the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::{BAKERY, Town, campaign};
use crate::answer::Answer;
use crate::back_office::Issued;
use crate::chance::Chance;
use crate::iphone::IPhone;
use crate::till::Till;

/// Passes that are not void at any time: enough for tills to meet at one, few enough for each to live through much.
const LIVING: (usize, usize) = (3, 6);

async fn breathe(chance: &mut Chance, milliseconds: (u64, u64)) {
    tokio::time::sleep(Duration::from_millis(chance.between(milliseconds.0, milliseconds.1))).await;
}

/// Issues a pass, once, however often the call has to be repeated.
pub(super) async fn issue(town: &Town) {
    static ORDERS: AtomicU64 = AtomicU64::new(1);
    let order = ORDERS.fetch_add(1, Ordering::Relaxed);
    let name = format!("customer {order}");
    let body = json!({ "campaignId": BAKERY, "holder": { "name": name } });
    let request = town.office.request(Method::POST, "/passes").header("Idempotency-Key", format!("order-{order}"));
    let pass = Answer::to(request.json(&body)).await.expect(201).json();
    town.book.issued(Issued::read(&pass), &name);
    town.book.count("passes issued");
}

/// Somebody with a phone: adds a pass, reacts to pushes, looks at it, changes phones, throws it away and adds it again.
pub(super) async fn customer(town: Arc<Town>, mut chance: Chance) -> IPhone {
    let mut phone = town.iphone();
    let mut carried = add(&town, &mut phone, &mut chance).await;
    while !town.closes() {
        match chance.below(24) {
            0 => {
                phone.rotate_push_token().await;
                // The old id stays registered: nobody takes it back (reference 1.4).
                let device = phone.device().to_owned();
                town.book.note(&carried, |entry| entry.devices.insert(device));
                town.book.count("push tokens rotated");
            }
            1 => {
                let device = phone.device().to_owned();
                phone.delete(&carried).await;
                town.book.note(&carried, |entry| entry.devices.remove(&device));
                town.book.count("passes thrown away");
                carried = add(&town, &mut phone, &mut chance).await;
            }
            2 | 3 => phone.pull_to_refresh(&carried).await,
            _ => drop(phone.hear_what_came(&town.apns).await),
        }
        let shown = phone.pass(&carried).barcode().map(str::to_owned);
        town.book.note(&carried, |entry| entry.shown = shown);
        breathe(&mut chance, (20, 200)).await;
    }
    phone
}

/// Downloads a pass and registers. Gives its serial number.
async fn add(town: &Town, phone: &mut IPhone, chance: &mut Chance) -> String {
    let pass = town.book.living(chance).issued;
    let package = Answer::to(town.http.get(&pass.download_url)).await.expect(200).body;
    let status = phone.add(&package).await;
    assert!([200, 201].contains(&status), "a registration was answered {status}");
    town.book.note(&pass.serial, |entry| entry.devices.insert(phone.device().to_owned()));
    town.book.count("registrations");
    pass.serial
}

/// Somebody at a till: scans what phones show, sometimes twice at once, sometimes a sale of before.
pub(super) async fn cashier(town: Arc<Town>, till: Till, mut chance: Chance) {
    while !town.closes() {
        breathe(&mut chance, (5, 120)).await;
        let entry = town.book.living(&mut chance);
        if chance.one_in(4)
            && let Some((sale, (barcode, receipt))) = chance.of(&entry.receipts.iter().collect::<Vec<_>>())
        {
            // A receipt was told once and is told again, by whichever till sold it.
            let seller = Till::new(&town.http, &town.base, &town.merchant_key, receipt["till"].as_str().unwrap());
            let again = seller.redeem_as(sale, barcode).await.expect(201);
            assert_eq!((again.header("idempotency-replayed"), &again.json()), (Some("true"), receipt), "{sale}");
            town.book.count("sales told again");
            continue;
        }
        let Some(barcode) = entry.shown else { continue };
        let sale = Till::new_sale();
        let answers = if chance.one_in(4) {
            let (one, other) = tokio::join!(till.redeem_as(&sale, &barcode), till.redeem_as(&sale, &barcode));
            vec![one, other]
        } else {
            vec![till.redeem_as(&sale, &barcode).await]
        };
        for answer in answers {
            sold(&town, &entry.issued.serial, (&sale, &barcode), &answer);
        }
    }
}

fn sold(town: &Town, serial: &str, (sale, barcode): (&str, &str), answer: &Answer) {
    match answer.status {
        201 => {
            let receipt = answer.json();
            assert_eq!(receipt["serialNumber"], serial);
            town.book.note(serial, |entry| {
                let known =
                    entry.receipts.entry(sale.to_owned()).or_insert_with(|| (barcode.to_owned(), receipt.clone()));
                assert_eq!(known.1, receipt, "one sale, two receipts");
            });
            town.book.count("sales answered 201");
        }
        // Somebody was faster, the offer is over, the pass is void, or the barcode was replaced.
        404 | 409 => {
            let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
            let expected = ["already_redeemed", "voided", "unknown_pass"];
            assert!(expected.contains(&code.as_str()), "{}", answer.text());
            town.book.count("sales refused");
        }
        other => panic!("a till was answered {other}: {}", answer.text()),
    }
}

/// The back office: renames holders, changes the campaign, voids, issues. One person, so that the last word is known.
pub(super) async fn clerk(town: Arc<Town>, mut chance: Chance) {
    for number in 1_u64.. {
        if town.closes() {
            return;
        }
        breathe(&mut chance, (20, 250)).await;
        let entry = town.book.living(&mut chance);
        let (pass, living) = (&entry.issued, town.book.living_count());
        match chance.below(16) {
            0 if living > LIVING.0 => {
                town.office.void(pass).await.expect(200);
                town.book.note(&pass.serial, |entry| entry.voided = true);
                town.book.count("passes voided");
            }
            1 | 2 if living < LIVING.1 => issue(&town).await,
            3 => {
                town.office.put_campaign(BAKERY, &campaign(&format!("News {number}"))).await.expect(200);
                town.book.count("campaign changes");
            }
            _ => {
                let name = format!("name {number}");
                town.office.patch_holder(pass, json!({ "name": name })).await.expect(200);
                town.book.note(&pass.serial, |entry| entry.name = name);
                town.book.count("holders renamed");
            }
        }
    }
}
