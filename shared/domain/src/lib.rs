//! What we promise: passes, campaigns, offers, and the redemption machine.
//!
//! Everything here is a synchronous function of values: the time, the random ids and the records come in, a decision
//! comes out. Nothing here waits, reads a clock, or knows where things are kept.

pub mod campaign;
pub mod expiry;
pub mod import;
pub mod limit;
pub mod link;
pub mod location;
pub mod pass;
pub mod redemption;
pub mod retention;
pub mod schedule;
pub mod time;

pub use campaign::{Campaign, CampaignDraft, LookKey, LookState, Offer};
pub use import::{Imported, ImportedState};
pub use link::{Link, LinkTerms};
pub use location::Location;
pub use pass::{Pass, PassState};
pub use redemption::{CountedRedemption, NewRedemption, Redemption, RedemptionRequest, Refusal};
