//! The stories: what customers, tills and offices live through, told over HTTP.
//!
//! Expectations cite the contract and Apple's page ("reference"); `B1` to `B20` are the bugs of
//! other people's servers (`peers.md` a3) that must not be ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken expectation ends the story")]

mod android;
mod apns_cleanup;
mod auth;
mod batches;
mod bundles;
mod campaign_change;
mod concurrency;
mod conditional_get;
mod delivery;
mod determinism;
mod device_limit;
mod double_redemption;
mod double_slash;
mod erasure;
mod expiry;
mod first_install;
mod history;
mod hostile;
mod idempotency;
mod import;
mod keys;
mod limits;
mod links;
mod list_and_tags;
mod log;
mod log_doctor;
mod mail;
mod malformed;
mod many_passes;
mod merchants;
mod next_offer;
mod older_releases;
mod openapi;
mod personalize;
mod places;
mod preview;
mod private_links;
mod races;
mod re_registration;
mod reading;
mod recovery;
mod redeem_story;
mod renewal;
mod reports;
mod reversals;
mod scheduled_updates;
mod schemes;
mod spread_pushes;
mod strangers;
mod templates;
mod two_phones;
mod units;
mod void;
mod webhooks;
mod welcome;
mod windows;
