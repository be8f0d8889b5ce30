//! What the world outside knows for certain: what was answered, what was seen, when. The truth that the service is held to.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

/// A registration as its phone knows it: what the service may hold.
struct Registered {
    /// One, or several while no answer says which.
    tokens: BTreeSet<String>,
    /// Not registered earlier than this.
    since: Timestamp,
}

/// A pass, from the answer to its issuing.
#[derive(Debug, Clone)]
pub(crate) struct IssuedPass {
    pub(crate) serial: String,
    /// Who holds it: what `holderKey` finds.
    pub(crate) customer: String,
    /// The path of its download.
    pub(crate) download: String,
    /// The barcode it was issued with: a screenshot of the first day.
    pub(crate) barcode: String,
}

/// A batch that was begun.
#[derive(Debug, Clone)]
pub(crate) struct Ordered {
    pub(crate) batch: String,
    /// The serial number and the customer of each row.
    pub(crate) rows: Vec<(String, String)>,
    /// Of the rows, those whose serial number another pass has.
    pub(crate) taken: BTreeSet<String>,
    /// Somebody began to cancel it.
    pub(crate) cancelled: bool,
    /// Its answers were read.
    pub(crate) collected: bool,
}

/// A redemption that was answered.
#[derive(Debug, Clone)]
pub(crate) struct Redeemed {
    pub(crate) serial: String,
    pub(crate) next_offer_at: Option<Timestamp>,
    pub(crate) version: u64,
}

/// A sale that a till began: it may have counted, unless it was refused.
#[derive(Debug, Clone)]
struct Sale {
    serial: String,
    customer: String,
    refused: bool,
}

/// What is known.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Everything that must not be printed, with what it is.
    secrets: Vec<(String, String)>,
    registrations: BTreeMap<(String, String), Registered>,
    removed: BTreeMap<String, Instant>,
    /// By serial number and date.
    manifests: BTreeMap<(String, i64), Vec<u8>>,
    newest: BTreeMap<String, i64>,
    /// Barcodes that a redemption used up, and when that was answered.
    burnt: BTreeMap<String, (String, Instant)>,
    not_noted: BTreeSet<String>,
    /// The phones that ever had a pass, by its serial number.
    carriers: BTreeMap<String, BTreeSet<String>>,
    pub(crate) issued: Vec<IssuedPass>,
    /// Paths of downloads whose link somebody began to replace or to revoke.
    pub(crate) dying_links: BTreeSet<String>,
    /// Paths of downloads that are dead, and when that was answered.
    dead_links: BTreeMap<String, Instant>,
    /// Passes that somebody began to erase.
    pub(crate) to_be_erased: BTreeSet<String>,
    /// When it was first answered that a pass is erased.
    pub(crate) erased: BTreeMap<String, Instant>,
    /// Phones that asked about a pass that is being erased, and were not answered.
    pub(crate) unheard: BTreeSet<String>,
    pub(crate) batches: Vec<Ordered>,
    /// First answers by idempotency key.
    answers: BTreeMap<String, (u16, Value)>,
    /// By idempotency key.
    sales: BTreeMap<String, Sale>,
    pub(crate) redeemed: BTreeMap<String, Redeemed>,
    /// When it was first answered that a redemption is reversed.
    pub(crate) reversed: BTreeMap<String, Instant>,
    /// Passes of which somebody began to take a redemption back.
    pub(crate) to_be_reversed: BTreeSet<String>,
    /// Passes that somebody began to void.
    pub(crate) to_be_voided: BTreeSet<String>,
    /// When it was first answered that a pass is void.
    pub(crate) voided: BTreeMap<String, Instant>,
    /// The holder's name last answered, by serial number.
    pub(crate) names: BTreeMap<String, String>,
    /// The holder's number last answered, by serial number.
    pub(crate) numbers: BTreeMap<String, String>,
    /// What the field `promo` says, by the state of a pass.
    pub(crate) promos: BTreeMap<&'static str, String>,
    /// Whether it says the holder's number too, while the pass is redeemable.
    pub(crate) shows_number: bool,
    /// What the label of the field `status` is, by the template.
    pub(crate) label: String,
}

impl Ledger {
    /// Must be in no log line.
    pub(crate) fn secret(&mut self, what: &str, secret: &str) {
        // Short texts are in any line by chance.
        if secret.len() >= 8 && !self.secrets.iter().any(|(_, known)| known == secret) {
            self.secrets.push((what.to_owned(), secret.to_owned()));
        }
    }

    pub(crate) fn secrets(&self) -> &[(String, String)] {
        &self.secrets
    }

    /// A phone begins to register: from now on the service may know this token.
    pub(crate) fn registers(&mut self, device: &str, serial: &str, token: &str, now: Timestamp) {
        let key = (device.to_owned(), serial.to_owned());
        let new = || Registered { tokens: BTreeSet::new(), since: now };
        self.registrations.entry(key).or_insert_with(new).tokens.insert(token.to_owned());
        self.removed.remove(token);
    }

    /// The service said that it has it: it has this token, and no other.
    pub(crate) fn is_registered(&mut self, device: &str, serial: &str, token: &str, begun: Timestamp) {
        let key = (device.to_owned(), serial.to_owned());
        let now = Registered { tokens: BTreeSet::from([token.to_owned()]), since: begun };
        let before = self.registrations.insert(key, now);
        self.forget(before);
    }

    /// The service said that it has it no more.
    pub(crate) fn is_unregistered(&mut self, device: &str, serial: &str) {
        let before = self.registrations.remove(&(device.to_owned(), serial.to_owned()));
        self.forget(before);
    }

    fn forget(&mut self, before: Option<Registered>) {
        for token in before.into_iter().flat_map(|before| before.tokens) {
            if !self.registrations.values().any(|registered| registered.tokens.contains(&token)) {
                self.removed.insert(token, Instant::now());
            }
        }
    }

    /// When the last registration with a token ended, if all did.
    pub(crate) fn removed_at(&self, token: &str) -> Option<Instant> {
        self.removed.get(token).copied()
    }

    /// No registration with this token is older.
    pub(crate) fn registered_since(&self, token: &str) -> Option<Timestamp> {
        let with = self.registrations.values().filter(|registered| registered.tokens.contains(token));
        with.map(|registered| registered.since).min()
    }

    /// A package was sent. Says what is wrong with its date.
    pub(crate) fn sent(&mut self, serial: &str, date: i64, manifest: &[u8]) -> Option<String> {
        let first = self.manifests.entry((serial.to_owned(), date)).or_insert_with(|| manifest.to_vec());
        (first != manifest).then(|| format!("two manifests of {serial} with the date {date}"))
    }

    /// The newest date that any phone was told of a pass.
    pub(crate) fn newest(&self, serial: &str) -> i64 {
        self.newest.get(serial).copied().unwrap_or(i64::MIN)
    }

    pub(crate) fn told(&mut self, serial: &str, date: i64) {
        let newest = self.newest.entry(serial.to_owned()).or_insert(date);
        *newest = date.max(*newest);
    }

    /// The service may not know that a pass was fetched.
    pub(crate) fn fetch_not_noted(&mut self, serial: &str) {
        self.not_noted.insert(serial.to_owned());
    }

    /// Whether the service knows of every fetch of a pass.
    pub(crate) fn every_fetch_is_noted(&self, serial: &str) -> bool {
        !self.not_noted.contains(serial)
    }

    /// A phone adds a pass.
    pub(crate) fn carries(&mut self, serial: &str, phone: &str) {
        self.carriers.entry(serial.to_owned()).or_default().insert(phone.to_owned());
    }

    /// Whether a pass was ever on more phones than one.
    pub(crate) fn is_shared(&self, serial: &str) -> bool {
        self.carriers.get(serial).is_some_and(|phones| phones.len() > 1)
    }

    /// The link of a pass is dead, and this one, if any, has taken its place.
    pub(crate) fn is_relinked(&mut self, serial: &str, download: Option<&str>) {
        for pass in self.issued.iter_mut().filter(|pass| pass.serial == serial) {
            if download != Some(&pass.download) {
                self.dead_links.entry(pass.download.clone()).or_insert_with(Instant::now);
            }
            if let Some(download) = download {
                download.clone_into(&mut pass.download);
            }
        }
    }

    /// When it was answered that a link is dead.
    pub(crate) fn link_died_at(&self, download: &str) -> Option<Instant> {
        self.dead_links.get(download).copied()
    }

    /// Where a pass is downloaded, as far as is known.
    pub(crate) fn download(&self, serial: &str) -> Option<String> {
        self.issued.iter().find(|pass| pass.serial == serial).map(|pass| pass.download.clone())
    }

    /// Links that open nothing.
    pub(crate) fn dead_links(&self) -> Vec<String> {
        self.dead_links.keys().cloned().collect()
    }

    /// Whether a phone's call is about a pass that is being erased, or was.
    pub(crate) fn is_to_be_erased(&self, path: &str) -> bool {
        path.rsplit('/').next().is_some_and(|serial| self.to_be_erased.contains(serial))
    }

    /// A redemption with this barcode was answered. Says so if another one counted with it.
    pub(crate) fn burn(&mut self, barcode: &str, redemption: &str) -> Option<String> {
        let first = self.burnt.entry(barcode.to_owned()).or_insert_with(|| (redemption.to_owned(), Instant::now()));
        (first.0 != redemption).then(|| format!("one barcode counted for {} and for {redemption}", first.0))
    }

    /// When it was answered that a barcode is used up.
    pub(crate) fn burnt_at(&self, barcode: &str) -> Option<Instant> {
        self.burnt.get(barcode).map(|(_, at)| *at)
    }

    /// A till begins a sale of a pass.
    pub(crate) fn sells(&mut self, key: &str, serial: &str) {
        let customer = self.customer(serial);
        self.sales.insert(key.to_owned(), Sale { serial: serial.to_owned(), customer, refused: false });
    }

    pub(crate) fn is_refused(&mut self, key: &str) {
        if let Some(sale) = self.sales.get_mut(key) {
            sale.refused = true;
        }
    }

    pub(crate) fn customer(&self, serial: &str) -> String {
        let pass = self.issued.iter().find(|pass| pass.serial == serial);
        pass.map(|pass| pass.customer.clone()).unwrap_or_default()
    }

    /// The pass that a sale named.
    pub(crate) fn sold(&self, key: &str) -> String {
        self.sales.get(key).map(|sale| sale.serial.clone()).unwrap_or_default()
    }

    /// Whether another sale of the same pass may have counted: without one its barcode is as it was issued, and unused.
    pub(crate) fn another_sale_may_count(&self, key: &str) -> bool {
        let serial = self.sold(key);
        self.sales.iter().any(|(other, sale)| other != key && sale.serial == serial && !sale.refused)
    }

    /// How many other sales may count at most, of everybody's and of the same customer's: what had been taken back before
    /// this one began does not.
    pub(crate) fn may_count(&self, key: &str, begun: Instant) -> (u64, u64) {
        let customer = self.sales.get(key).map(|sale| sale.customer.clone()).unwrap_or_default();
        let others = self.sales.iter().filter(|(other, sale)| *other != key && !sale.refused);
        let of_customer = others.clone().filter(|(_, sale)| sale.customer == customer).count() as u64;
        let taken_back = self.reversed.iter().filter(|(_, at)| **at < begun).map(|(redemption, _)| redemption);
        let whose =
            taken_back.filter_map(|redemption| self.redeemed.get(redemption)).map(|known| self.customer(&known.serial));
        let whose: Vec<String> = whose.collect();
        let theirs = whose.iter().filter(|whose| **whose == customer).count() as u64;
        ((others.count() as u64).saturating_sub(whose.len() as u64), of_customer.saturating_sub(theirs))
    }

    /// An answer under an idempotency key. Says so if there was another.
    pub(crate) fn answered(&mut self, key: &str, status: u16, body: &Value) -> Option<String> {
        let first = self.answers.entry(key.to_owned()).or_insert_with(|| (status, body.clone()));
        let same = first.0 == status && first.1 == *body;
        (!same).then(|| format!("{key} was answered {} {}, then {status} {body}", first.0, first.1))
    }
}
