//! What appears on the lock screen when an update arrives (reference 5).

use jiff::Timestamp;
use serde_json::Value;

use crate::package::Package;

/// What the lock screen says when `new` replaces `old` (reference 5): the one changed field's
/// message; a general text when several changed; nothing for expired or voided passes.
pub(crate) fn announcement(old: &Package, new: &Package, now: Timestamp) -> Option<String> {
    let expires: Option<Timestamp> = new.text("expirationDate").parse().ok();
    if new.pass["voided"] == true || expires.is_some_and(|at| at <= now) {
        return None;
    }
    let before = old.fields();
    let changed: Vec<(&str, &Value)> = new
        .fields()
        .into_iter()
        .filter_map(|(key, field)| Some((key, field, field["changeMessage"].as_str()?)))
        .filter(|(key, field, _)| before.get(key).is_some_and(|old| old["value"] != field["value"]))
        .map(|(_, field, message)| (message, &field["value"]))
        .collect();
    match changed.as_slice() {
        [] => None,
        [(message, value)] if message.contains("%@") => {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some(message.replace("%@", &value))
        }
        [..] => Some(format!("{} changed", new.text("organizationName"))),
    }
}
