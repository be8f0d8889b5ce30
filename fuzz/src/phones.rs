//! What phones and strangers send: headers, registrations, logs, dates, update tags, enrolments.

use std::collections::BTreeSet;

use passkit::identifiers::{DeviceLibraryIdentifier, PassTypeIdentifier, SerialNumber};
use passkit::log_doctor;
use passkit::personalization::PersonalizationRequest;
use passkit::update_tag::{Current, EffectiveVersion, Listed, Listing, list};
use passkit::web_service::{
    LOG_LINE_CHARACTERS, LOG_LINES, LastModified, client_kind, parse_authorization, parse_log, parse_registration,
};

/// The first byte chooses who reads the rest.
pub fn phone(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let text = std::str::from_utf8(rest).unwrap_or_default();
    match kind % 7 {
        0 => authorization(text),
        1 => registration(rest),
        2 => log(rest),
        3 => date(text),
        4 => tag(rest),
        5 => enrolment(rest),
        _ => identifiers(text),
    }
}

fn authorization(text: &str) {
    if let Some((scheme, token)) = parse_authorization(text) {
        assert!(!token.expose().is_empty() && text.trim_end().ends_with(token.expose()));
        let _ = client_kind(scheme, Some(text), None);
        let _ = client_kind(scheme, None, Some(text));
    }
}

fn registration(body: &[u8]) {
    if let Ok(token) = parse_registration(body) {
        // It becomes a path of a request to APNs.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte);
        assert!(!token.expose().is_empty() && token.expose().bytes().all(plain));
    }
}

fn log(body: &[u8]) {
    let lines = parse_log(body);
    assert!(lines.len() <= LOG_LINES);
    for line in lines {
        assert!(line.chars().count() <= LOG_LINE_CHARACTERS && !line.chars().any(char::is_control));
        let shape = log_doctor::shape(&line);
        assert!(shape.chars().count() <= LOG_LINE_CHARACTERS, "a shape is no longer than its line");
        let _ = log_doctor::diagnose(&line);
    }
}

fn date(text: &str) {
    if let Some(date) = LastModified::parse(text) {
        // An identity: what we wrote is what we read.
        assert_eq!(LastModified::parse(&date.to_header()), Some(date), "{text:?}");
    }
}

/// A few passes, and a tag that somebody made up: none that changed is kept back, and what is known is not told again.
fn tag(bytes: &[u8]) {
    let Some((&[count, version], tag)) = bytes.split_first_chunk::<2>() else { return };
    // With the second half of all counts, more than one tag can tell one by one.
    let count = if count < 128 { usize::from(count) } else { 400 + usize::from(count) };
    let serials: Vec<SerialNumber> = (0..count).map(|number| format!("s{number}").parse().unwrap()).collect();
    let current: Vec<Current<'_>> = serials
        .iter()
        .map(|serial_number| Current {
            serial_number,
            effective_version: EffectiveVersion { version: 1 + u64::from(version), revision: u64::from(version % 3) },
            listing: Listing::WhenChanged,
        })
        .collect();
    let given = std::str::from_utf8(tag).ok();
    let Listed::Passes { serial_numbers, last_updated } = list(given, &current) else { return };
    let distinct: BTreeSet<&str> = serial_numbers.iter().map(|serial| serial.as_str()).collect();
    assert_eq!(distinct.len(), serial_numbers.len(), "a serial number was listed twice");
    assert_ne!(given, Some(last_updated.as_str()), "the tag remained the same");
    assert!(last_updated.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    assert!(last_updated.len() < 8 * 1024, "a request line holds the tag");
    assert_eq!(list(Some(&last_updated), &current), Listed::Nothing, "told twice");
    for changed in 0..current.len().min(3) {
        let mut later = current.clone();
        later[changed].effective_version.version += 1;
        let Listed::Passes { serial_numbers, .. } = list(Some(&last_updated), &later) else {
            panic!("an update is lost")
        };
        assert!(serial_numbers.contains(&later[changed].serial_number), "an update is lost");
    }
}

fn enrolment(body: &[u8]) {
    if let Ok(request) = PersonalizationRequest::parse(body) {
        // Else it could be a manifest.
        assert!(!request.token.is_empty() && !request.token.contains('{'));
        assert!(request.facts.values().all(serde_json::Value::is_string));
    }
}

fn identifiers(text: &str) {
    fn plain(name: &str) {
        // Each is part of a key of the table, whose parts are divided by `#`.
        assert!(!name.is_empty() && name.len() <= 256 && !name.contains(['#', '\0', '\n']), "{name:?}");
    }
    if let Ok(device) = text.parse::<DeviceLibraryIdentifier>() {
        plain(device.as_str());
    }
    if let Ok(pass_type) = text.parse::<PassTypeIdentifier>() {
        plain(pass_type.as_str());
    }
    if let Ok(serial) = text.parse::<SerialNumber>() {
        plain(serial.as_str());
    }
}
