//! Texts that merchants write: placeholders, translations, pass.json, expiry dates, scheduled updates, lock screens.

use std::collections::BTreeMap;

use domain::schedule::{Edge, ScheduledUpdate};
use jiff::Timestamp;
use passkit::expiration::Expiration;
use passkit::lock_screen::LockScreen;
use passkit::placeholder::Text;
use passkit::strings;
use serde_json::Value;

/// The first byte chooses who reads the rest.
pub fn texts(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    match kind % 5 {
        0 => placeholders(std::str::from_utf8(rest).unwrap_or_default()),
        1 => translations(rest),
        2 => update(rest),
        3 => expiration(rest),
        _ => lock_screen(rest),
    }
}

fn placeholders(source: &str) {
    match Text::compile(source) {
        Ok(text) => {
            assert!(!text.is_literal() || text.to_string() == source, "a text without placeholders stays as it is");
            // Written again it is the same text.
            let again = Text::compile(&text.to_string()).expect("what we write, we read");
            assert_eq!(again, text);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn translations(bytes: &[u8]) {
    let Ok(read) = strings::parse(bytes) else { return };
    let again = strings::parse(&strings::encode(&read.entries)).expect("what we write, we read");
    // A property list holds no other control characters; what differed in them alone is one.
    let plain = |text: &str| text.replace(|letter: char| letter.is_control() && !"\n\r\t".contains(letter), "");
    let expected: BTreeMap<String, String> = read.entries.iter().map(|(key, text)| (plain(key), plain(text))).collect();
    assert_eq!(again.entries, expected);
}

fn update(bytes: &[u8]) {
    let Ok(update) = serde_json::from_slice::<ScheduledUpdate>(bytes) else { return };
    let now: Timestamp = "2026-11-25T10:00:00Z".parse().expect("a time");
    let _ = update.next_at();
    if !update.problems(now).is_empty() {
        return;
    }
    for next in [update.first(now), update.after(Edge::Begin, now), update.after(Edge::End, now)] {
        if let Some((Edge::Begin, at)) = next.edge {
            let (begins, ends) = update_bounds(&update, next.occurrence);
            assert_eq!(at, begins);
            assert!(ends.is_none_or(|ends| ends > now), "a repetition that is over was chosen");
        }
    }
}

fn update_bounds(update: &ScheduledUpdate, occurrence: u32) -> (Timestamp, Option<Timestamp>) {
    update.bounds(occurrence).expect("a repetition that was chosen has its times")
}

fn expiration(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    if let Some(expiration) = Expiration::read(Some(&value), &value) {
        let _ = expiration.of(&value);
    }
}

fn lock_screen(bytes: &[u8]) {
    let Ok(Value::Array(passes)) = serde_json::from_slice::<Value>(bytes) else { return };
    let [old, new] = passes.as_slice() else { return };
    let now: Timestamp = "2026-11-25T10:00:00Z".parse().expect("a time");
    let _ = LockScreen::of_update(old, new, &BTreeMap::new(), now).text();
}
