//! What Apple says.
//!
//! Everything here is pure: identifiers, secrets, `pass.json`, overlays, packages, signatures, the web service's wire
//! types and the update tag. No network, no environment, no clock, no randomness: values go in, values come out.

pub mod bundle;
pub mod expiration;
pub mod identifiers;
pub mod images;
pub mod lock_screen;
pub mod log_doctor;
pub mod look;
pub mod overlay;
pub mod package;
pub mod pass_json;
pub mod personalization;
pub mod placeholder;
pub mod problem;
pub mod secrets;
pub mod signing;
pub mod strings;
pub mod template;
pub mod update_tag;
pub mod web_service;
