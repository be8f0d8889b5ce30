//! What must hold, each as a sentence with its source.

use std::fmt;

/// An invariant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invariant {
    /// See [`Invariant::sentence`]; the same for all.
    NewestVersion,
    CountsOnce,
    NextOffer,
    NoLostWrite,
    NoComplaint,
    NotModified,
    PushesOnlyToRegistered,
    Drains,
    NoSecretInLogs,
    FailsOnlyForAReason,
    OneDateOneManifest,
    Tenancy,
    RefusedForAReason,
    InTime,
    ReadsStrongly,
    ToldInOrder,
    RowsAnsweredOnce,
    Forgotten,
}

impl Invariant {
    /// What is promised, and where.
    pub(crate) fn sentence(self) -> (&'static str, &'static str) {
        match self {
            Invariant::NewestVersion => (
                "every registered, awake phone holds the newest version of its passes, its manifest byte for byte",
                "contract 4 (Redemptions), 5; design 3",
            ),
            Invariant::CountsOnce => (
                "a redemption counts once, whatever is retried, and never beyond a limit of its pass or campaign",
                "contract 4 (Idempotency-Key, Redemptions); docs/decisions/0006",
            ),
            Invariant::NextOffer => (
                "the next offer comes exactly once, never before its time, and never after a void",
                "contract 4 (Redemptions, void)",
            ),
            Invariant::NoLostWrite => ("no answered write is lost", "contract 1 (SIGKILL loses nothing); design 3"),
            Invariant::NoComplaint => (
                "a phone never has reason to report: no serial that it does not carry, no unchanged pass after a listing, \
                 no tag that repeats, no refusal",
                "Apple, Log a Message; reference 1.6",
            ),
            Invariant::NotModified => {
                ("304 exactly when the phone holds this very version", "contract 3; reference 1.3 G")
            }
            Invariant::PushesOnlyToRegistered => (
                "no push goes to a token that was removed, and none to a device that is not Apple's",
                "reference 2.4, 7; design 6",
            ),
            Invariant::Drains => ("every step that was promised is done, and no intent stays", "design 3 (intents)"),
            Invariant::NoSecretInLogs => ("no log line holds a secret", "design 7"),
            Invariant::FailsOnlyForAReason => (
                "a function fails only when something around it failed: no 5xx, no message left in its queue otherwise",
                "design 7; contract 4",
            ),
            Invariant::OneDateOneManifest => {
                ("one Last-Modified of a pass is one manifest, and dates only grow", "contract 5; design 4")
            }
            Invariant::RefusedForAReason => (
                "a till is refused only what was used, voided or limited, and what a pass shows in the end is redeemed",
                "contract 4 (Redemptions)",
            ),
            Invariant::InTime => (
                "with nothing in the way the next offer comes within seconds of its time, and every phone asks within seconds \
                 of a redemption, an offer or a void",
                "contract 4 (Redemptions, nextOfferAfterSeconds), 5",
            ),
            Invariant::ReadsStrongly => (
                "every read is a consistent one: a read right after a push must not see the world before it",
                "AWS, DynamoDB read consistency; design 4",
            ),
            Invariant::ToldInOrder => (
                "a webhook is told everything that happened to a pass from its beginning on, in order, and nothing else",
                "docs/decisions/0018",
            ),
            Invariant::RowsAnsweredOnce => (
                "each row of a batch is answered once, and makes the pass that it was answered, or none",
                "docs/decisions/0014",
            ),
            Invariant::Forgotten => (
                "an erased pass is unknown to its merchant at once, void on the phones that carry it, and then nowhere; its serial \
                 number is never another's",
                "docs/decisions/0016",
            ),
            Invariant::Tenancy => {
                ("what is another merchant's is unknown, and cannot be changed", "contract 4; design 7")
            }
        }
    }
}

/// An invariant that did not hold.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    /// Which.
    pub(crate) invariant: Invariant,
    /// What was seen.
    pub(crate) seen: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sentence, source) = self.invariant.sentence();
        write!(f, "broken: {:?}: {sentence} ({source})\n  seen: {}", self.invariant, self.seen)
    }
}
