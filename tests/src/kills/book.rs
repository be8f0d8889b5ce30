//! What phones, tills and the back office were told: everything in here was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use serde_json::Value;

use crate::back_office::Issued;
use crate::chance::Chance;

/// What is known of one pass.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) issued: Issued,
    /// What a phone shows, for a till to scan.
    pub(super) shown: Option<String>,
    /// The answer to each sale that counted, with the barcode that was scanned.
    pub(super) receipts: BTreeMap<String, (String, Value)>,
    /// The holder's name, as the back office was last told.
    pub(super) name: String,
    /// Whether voiding was answered.
    pub(super) voided: bool,
    /// Device ids whose registration was answered and that did not leave.
    pub(super) devices: BTreeSet<String>,
}

/// The book.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: Mutex<BTreeMap<String, Entry>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Book {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap()
    }

    /// Counts something that happened, for the report.
    pub(super) fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap().clone()
    }

    /// A pass was issued.
    pub(super) fn issued(&self, issued: Issued, name: &str) {
        let shown = Some(issued.barcode.clone());
        let entry = Entry {
            shown,
            receipts: BTreeMap::new(),
            name: name.to_owned(),
            voided: false,
            devices: BTreeSet::new(),
            issued: issued.clone(),
        };
        self.entries().insert(issued.serial, entry);
    }

    /// Writes something down about a pass.
    pub(super) fn note<T>(&self, serial: &str, write: impl FnOnce(&mut Entry) -> T) -> T {
        write(self.entries().get_mut(serial).expect("a pass of the book"))
    }

    /// Every pass.
    pub(super) fn all(&self) -> Vec<Entry> {
        self.entries().values().cloned().collect()
    }

    /// One of the passes that are not void.
    pub(super) fn living(&self, chance: &mut Chance) -> Entry {
        let living: Vec<Entry> = self.entries().values().filter(|entry| !entry.voided).cloned().collect();
        chance.of(&living).cloned().expect("a pass that is not void")
    }

    /// How many passes are not void.
    pub(super) fn living_count(&self) -> usize {
        self.entries().values().filter(|entry| !entry.voided).count()
    }
}
