//! The log doctor: what the lines mean that phones post to `/v1/log` (Apple, "Log a Message"; reference 1.6).
//!
//! Read leniently: the clock is in the phone's own format, so it is passed over; case and the shape of quotes do not
//! count. Lines come from anyone, so what is found in one is a hint to be checked, never a fact.

use std::fmt;

use crate::identifiers::{DeviceLibraryIdentifier, PassIdentity};

/// Why a phone complains. One for each row of the table in reference 1.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// We answered 401.
    AuthenticationFailure,
    /// We answered a status that the call does not have.
    UnexpectedResponseCode,
    /// A list was not the JSON it should be, or an answer had no body.
    MalformedResponse,
    /// A package did not validate.
    InvalidPassData,
    /// A fetch brought another pass than the one asked for.
    WrongPass,
    /// A list named passes but repeated the tag it was asked with.
    TagNotAdvanced,
    /// A list had no `lastUpdated`.
    TagOmitted,
    /// A list named a pass that the device has not registered.
    UnregisteredSerialNumber,
    /// A push came, and the list was empty.
    SpuriousPush,
    /// A list named a pass that had not changed.
    PassUnchanged,
    /// An unchanged pass was sent whole.
    IfModifiedSinceIgnored,
    /// A pass was sent without `Last-Modified`.
    LastModifiedMissing,
    /// A personalized pass came back as it was.
    PersonalizedPassUnchanged,
    /// The signature over a personalization token does not verify.
    InvalidPersonalizationSignature,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 14] = [
        Cause::AuthenticationFailure,
        Cause::UnexpectedResponseCode,
        Cause::MalformedResponse,
        Cause::InvalidPassData,
        Cause::WrongPass,
        Cause::TagNotAdvanced,
        Cause::TagOmitted,
        Cause::UnregisteredSerialNumber,
        Cause::SpuriousPush,
        Cause::PassUnchanged,
        Cause::IfModifiedSinceIgnored,
        Cause::LastModifiedMissing,
        Cause::PersonalizedPassUnchanged,
        Cause::InvalidPersonalizationSignature,
    ];

    /// Its name in histories and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Cause::AuthenticationFailure => "authentication-failure",
            Cause::UnexpectedResponseCode => "unexpected-response-code",
            Cause::MalformedResponse => "malformed-response",
            Cause::InvalidPassData => "invalid-pass-data",
            Cause::WrongPass => "wrong-pass",
            Cause::TagNotAdvanced => "tag-not-advanced",
            Cause::TagOmitted => "tag-omitted",
            Cause::UnregisteredSerialNumber => "unregistered-serial-number",
            Cause::SpuriousPush => "spurious-push",
            Cause::PassUnchanged => "pass-unchanged",
            Cause::IfModifiedSinceIgnored => "if-modified-since-ignored",
            Cause::LastModifiedMissing => "last-modified-missing",
            Cause::PersonalizedPassUnchanged => "personalized-pass-unchanged",
            Cause::InvalidPersonalizationSignature => "invalid-personalization-signature",
        }
    }

    /// What to fix, in a sentence.
    pub fn advice(self) -> &'static str {
        match self {
            Cause::AuthenticationFailure => {
                "The service answered 401: look for a proxy that drops the Authorization header, and for a copy of the \
                 pass whose authenticationToken was not issued by this service."
            }
            Cause::UnexpectedResponseCode => {
                "Something answered a status that this call does not have: look for 5xx answers of the service, and for \
                 a proxy or firewall that answers instead of it."
            }
            Cause::MalformedResponse => {
                "An answer was empty or not the JSON it should be: look for a proxy that rewrites bodies."
            }
            Cause::InvalidPassData => {
                "The phone refused the package: open it with a validator, and check that the certificate is valid, \
                 Apple's, and for this pass type."
            }
            Cause::WrongPass => "A fetch brought another pass: look for a cache or CDN that mixes up addresses.",
            Cause::TagNotAdvanced => {
                "A list repeated the tag it was asked with: look for a cache or CDN that keeps answers to lists."
            }
            Cause::TagOmitted => "A list had no lastUpdated: look for a proxy that rewrites bodies.",
            Cause::UnregisteredSerialNumber => {
                "The phone has dropped this pass, or never registered it; it is listed until the phone unregisters."
            }
            Cause::SpuriousPush => {
                "A push came without a change for this phone: look for somebody else who pushes with this certificate."
            }
            Cause::PassUnchanged => {
                "The pass was listed but not different: the phone had fetched this version before it asked for the list."
            }
            Cause::IfModifiedSinceIgnored => {
                "An unchanged pass was sent whole: look for a proxy that drops the If-Modified-Since header."
            }
            Cause::LastModifiedMissing => {
                "A pass arrived without Last-Modified: look for a proxy that drops or renames the header."
            }
            Cause::PersonalizedPassUnchanged => {
                "A personalized pass came back as it was: look for a cache or CDN that keeps passes."
            }
            Cause::InvalidPersonalizationSignature => {
                "The signed personalization token did not verify: check that the certificate is valid, Apple's, and for \
                 this pass type."
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Why the phone complains.
    pub cause: Cause,
    /// Which device complains, where the line says so.
    pub device: Option<DeviceLibraryIdentifier>,
    /// About which pass, where the line says so.
    pub pass: Option<PassIdentity>,
}

/// Reads one line; `None`: it is none of the known ones.
pub fn diagnose(line: &str) -> Option<Diagnosis> {
    let line = Line::new(line);
    let message = line.after_any(&MARKERS).unwrap_or(&line.lower);
    let has = |fragment: &str| message.contains(fragment);
    // Lines that name several things are told from those that name one of them by coming first.
    let cause = if has("invalid personalization token signature") {
        Cause::InvalidPersonalizationSignature
    } else if has("personalization request was issued") && has("was unchanged") {
        Cause::PersonalizedPassUnchanged
    } else if has("server requested update to serial number") && has("was unchanged") {
        Cause::PassUnchanged
    } else if has("server ignored the 'if-modified-since' header") {
        Cause::IfModifiedSinceIgnored
    } else if has("did not provide a 'last-modified' header") {
        Cause::LastModifiedMissing
    } else if has("request included") && has("serial numbers") && has("remained the same") {
        Cause::TagNotAdvanced
    } else if has("omitted a lastupdated tag") {
        Cause::TagOmitted
    } else if has("update requested for unregistered serial number") {
        Cause::UnregisteredSerialNumber
    } else if has("received spurious push") {
        Cause::SpuriousPush
    } else if has("requested pass of type") || (has("requested serial number") && has("received serial number")) {
        Cause::WrongPass
    } else if has("received invalid pass data") {
        Cause::InvalidPassData
    } else if has("server response was malformed") {
        Cause::MalformedResponse
    } else if has("unexpected response code") {
        Cause::UnexpectedResponseCode
    } else if has("authentication failure") {
        Cause::AuthenticationFailure
    } else {
        return None;
    };
    let device = line.value_after("for device ", &[',', ';', ')']).and_then(|device| device.parse().ok());
    Some(Diagnosis { cause, device, pass: line.pass() })
}

/// What introduces a message, after the clock, the task and what it was about.
const MARKERS: [&str; 3] = ["encountered error", "encountered warning", "web service error for "];

/// A line in two spellings of the same length: as it came, and for comparing.
struct Line {
    text: String,
    lower: String,
}

impl Line {
    fn new(line: &str) -> Line {
        let text = line.replace(['\u{2018}', '\u{2019}'], "'");
        Line { lower: text.to_ascii_lowercase(), text }
    }

    /// What follows the first of these.
    fn after_any(&self, markers: &[&str]) -> Option<&str> {
        let ends = markers.iter().filter_map(|marker| Some(self.lower.find(marker)? + marker.len()));
        ends.min().and_then(|end| self.lower.get(end..))
    }

    /// What stands between `name` and the first of `ends`.
    fn value_after(&self, name: &str, ends: &[char]) -> Option<&str> {
        let rest = self.text.get(self.lower.find(name)? + name.len()..)?;
        rest.split(ends).next().map(str::trim)
    }

    /// The pass type stands in the brackets of a task, or after the words that introduce a service's error.
    fn pass(&self) -> Option<PassIdentity> {
        let pass_type = self
            .value_after("pass type ", &[',', ';', ')'])
            .or_else(|| self.value_after("web service error for ", &[' ', '(', ':']));
        let pass_type_identifier = pass_type?.parse().ok()?;
        let serial = self.value_after("serial number ", &[',', ';', ')', ' '])?;
        let quoted = serial.strip_prefix('\'').and_then(|serial| serial.strip_suffix('\''));
        // A bare one may end a sentence.
        let serial_number = quoted.unwrap_or_else(|| serial.trim_end_matches('.')).parse().ok()?;
        Some(PassIdentity { pass_type_identifier, serial_number })
    }
}

/// Characters kept of a line without its identifiers.
pub const SHAPE_CHARACTERS: usize = 300;

/// A line without its clock and without what may identify somebody: numbers, addresses, quotations, whatever follows a
/// name such as `serial number`, and every word with a digit or of more than twenty letters become `…`. Lines that
/// report the same thing have the same shape.
pub fn shape(line: &str) -> String {
    /// The words after which a value stands. Longest first where one begins with another.
    const NAMES: [&str; 6] =
        ["device ", "pass type ", "serial number ", "last updated ", "if-modified-since ", "error for "];
    let line = Line::new(line);
    let (text, lower) = match line.text.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, rest)) => (rest, rest.to_ascii_lowercase()),
        None => (line.text.as_str(), line.lower.clone()),
    };
    let mut shape = String::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let value_end = |from: usize, ends: &[char]| text[from..].find(ends).map_or(text.len(), |end| from + end);
        if let Some(quote) = rest.chars().next().filter(|quote| matches!(quote, '\'' | '"' | '\u{201c}')) {
            let from = at + quote.len_utf8();
            let end = value_end(from, &['\'', '"', '\u{201d}']);
            // An apostrophe opens no quotation.
            let inside_word = shape.ends_with(char::is_alphanumeric);
            if inside_word || end == text.len() {
                shape.push('\'');
                at = from;
            } else {
                shape.push_str("'…'");
                at = end + text[end..].chars().next().map_or(0, char::len_utf8);
            }
            continue;
        }
        if let Some(name) = NAMES.iter().find(|name| lower[at..].starts_with(**name)) {
            shape.push_str(name);
            shape.push('…');
            at = value_end(at + name.len(), &[',', ';', ')', ' ']);
            continue;
        }
        // An address is one word; a full stop or a colon at a word's end belongs to the sentence.
        let is_word = |c: char| c.is_alphanumeric() || "_-.:/@%+=&?#".contains(c);
        let word = &rest[..rest.find(|c: char| !is_word(c)).unwrap_or(rest.len())];
        let word = word.trim_end_matches(['.', ':', '?']);
        if word.is_empty() {
            shape.extend(rest.chars().next());
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        }
        let identifies = word.chars().any(char::is_numeric)
            || word.contains(['.', ':', '/', '@', '%', '=', '?', '#'])
            || word.chars().count() > 20;
        shape.push_str(if identifies { "…" } else { word });
        at += word.len();
    }
    let words: Vec<&str> = shape.split_whitespace().collect();
    words.join(" ").chars().take(SHAPE_CHARACTERS).collect()
}

#[cfg(test)]
mod tests;
