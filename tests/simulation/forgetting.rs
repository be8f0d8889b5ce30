//! What is left of a customer whose pass was erased: on phones that the pass is void, and elsewhere nothing of theirs
//! (docs/decisions/0016).

use std::sync::{Arc, Mutex};

use crate::dynamodb;
use crate::invariants::Invariant;
use crate::ledger::IssuedPass;
use crate::phone::Phone;
use crate::shop::{Shop, link_of};
use crate::truth;
use crate::wallet::Package;
use crate::world::{TABLE, World, lock};

/// Partitions that may name the pass: the shop's books, and what it was told or told others, until that expires.
const MAY_NAME: [&str; 6] = ["REDEMPTION#", "BARCODE#", "BATCH#", "DELIVERIES#", "WEBHOOKS#", "ONCE#"];

/// What is known of a pass before it is erased.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) serial: String,
    download: String,
    /// As its link gives it.
    pub(crate) package: Package,
    /// What the holder was called.
    pub(crate) names: Arc<Mutex<Vec<String>>>,
    /// The phones that are registered for it.
    registered: Vec<String>,
}

impl Known {
    pub(crate) async fn read(world: &World, shop: &Shop, pass: &IssuedPass, phones: &[Arc<Phone>]) -> Option<Known> {
        let serial = pass.serial.clone();
        let package = shop.newest(&serial).await.ok()?;
        let download = world.ledger().download(&serial)?;
        let names = Arc::new(Mutex::new(vec![world.ledger().names.get(&serial)?.clone()]));
        let mut registered = Vec::new();
        for phone in phones {
            if phone.contents.lock().await.wallet.get(&serial).is_some_and(|carried| carried.is_registered) {
                registered.push(phone.name.clone());
            }
        }
        Some(Known { serial, download, package, names, registered })
    }

    /// What must be nowhere: what the holder was called, and the pass's secrets.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = lock(&self.names).clone();
        secrets.push(self.package.text("authenticationToken").to_owned());
        secrets.push(link_of(&self.download).to_owned());
        secrets
    }

    /// Whether a text names the pass, and not one whose name begins or ends so.
    fn is_named_in(&self, text: &str) -> bool {
        let in_a_name = |next: Option<char>| next.is_some_and(|next| next.is_ascii_alphanumeric() || next == '-');
        text.match_indices(&self.serial).any(|(place, found)| {
            let (before, after) = (&text[..place], &text[place + found.len()..]);
            !in_a_name(before.chars().next_back()) && !in_a_name(after.chars().next())
        })
    }
}

/// When its phones' time is over and every step is done.
pub(crate) async fn check(world: &World, shop: &Shop, phones: &[Arc<Phone>], known: &Known) {
    let breaks = |seen: String| world.breaks(Invariant::Forgotten, seen);
    let serial = &known.serial;
    for item in dynamodb::all(&world.database, TABLE) {
        let (partition, text) = (item["pk"]["S"].as_str().unwrap_or_default(), item.to_string());
        if !MAY_NAME.iter().any(|kind| partition.starts_with(kind)) && known.is_named_in(&text) {
            breaks(format!("{serial} was erased, and there is {text}"));
        }
        if let Some(secret) = known.secrets().iter().find(|secret| text.contains(*secret)) {
            breaks(format!("{serial} was erased, and {secret} is in {text}"));
        }
    }
    for path in world.bucket.paths().iter().filter(|path| !path.contains("/batches/") && known.is_named_in(path)) {
        breaks(format!("{serial} was erased, and there is {path} in the bucket"));
    }
    let is_shared = world.ledger().is_shared(serial);
    let unheard = world.ledger().unheard.clone();
    for phone in phones {
        let contents = phone.contents.lock().await;
        let Some(carried) = contents.wallet.get(serial) else { continue };
        let is_told = known.registered.contains(&phone.name) && !unheard.contains(&phone.name) && !is_shared;
        let is_void = carried.package.pass["voided"] == true && carried.package.barcode().is_none();
        if is_told && !is_void {
            breaks(format!("{} still shows {serial} as worth something", phone.name));
        }
        world.note(&phone.name, || format!("keeps {serial}, which is erased; void: {is_void}"));
    }
    let report = shop.report().await;
    let others = world.ledger().issued.iter().map(|pass| pass.serial.clone()).collect::<Vec<_>>();
    let installed: usize = others.iter().map(|serial| dynamodb::registrations(&world.database, TABLE, serial)).sum();
    if report["erased"] != 1 || report["installed"]["now"] != installed {
        breaks(format!("one pass is erased, and the others are installed {installed} times: {report}"));
    }
    let told = world.listener.told(serial).iter().filter(|told| told.kind == "pass.erased").count();
    if told != usize::from(shop.tells_from().is_some()) {
        breaks(format!("the webhook was told {told} times that {serial} is erased"));
    }
    if let Some(answered) = shop.gives_again(serial).await {
        breaks(format!("{serial}, erased, was asked for once more and answered {answered}"));
    }
    // Nobody else noticed.
    for other in others.iter().filter(|other| *other != serial) {
        match shop.newest(other).await {
            Ok(newest) => {
                for phone in phones {
                    truth::shows(world, phone, other, &newest).await;
                }
            }
            Err(why) => breaks(format!("another pass, {other}, cannot be downloaded: {why}")),
        }
    }
}
