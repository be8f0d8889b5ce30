//! What phones do as often as they like, told in the history once for each version that a pass shows.

use domain::Pass;
use jiff::{SignedDuration, Timestamp};
use passkit::{identifiers::PassIdentity, update_tag::EffectiveVersion};
use serde::{Deserialize, Serialize};

use super::{
    Event, EventKind, Key, Store, items,
    transaction::{Condition, Transaction},
};
use crate::Fault;

/// How long it is remembered that something was told. A phone that still asks for the same version then, asks once more.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Somebody downloaded the pass by its link.
    Downloaded,
    /// A phone asked what changed and was told this pass.
    Asked,
}

impl Told {
    fn event(self) -> (EventKind, &'static str) {
        match self {
            Told::Downloaded => (EventKind::Downloaded, "downloaded"),
            Told::Asked => (EventKind::Asked, "asked"),
        }
    }
}

/// A mark that something was told, version 1.
#[derive(Serialize, Deserialize)]
struct ToldItem {
    v: u8,
    expires_at: i64,
}

fn told_key(identity: &PassIdentity, name: &str, shows: EffectiveVersion) -> Key {
    Key::new(items::pass_partition(identity), format!("TOLD#{name}#{}#{}", shows.version, shows.revision))
}

impl Store {
    /// Writes what happened into a pass's history, unless that was told of this effective version: whoever asks every
    /// second reads every second and writes once.
    pub async fn tell_once(
        &self,
        pass: &Pass,
        told: Told,
        shows: EffectiveVersion,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let (kind, name) = told.event();
        let key = told_key(&pass.identity, name, shows);
        if self.get::<ToldItem>(&key).await?.is_some() {
            return Ok(());
        }
        let mut transaction = Transaction::default();
        let mark = ToldItem { v: 1, expires_at: (now + REMEMBERED).as_second() };
        transaction.put(&key, &mark, Condition::absent())?;
        transaction.put_event(&pass.identity, &Event::new(kind, now, pass.version))?;
        // Refused: another call told it first.
        self.commit(transaction).await.map(|_| ())
    }
}
