//! The small checks every part of `pass.json` is made of. Each reports by path and answers the value if it is right.

use serde_json::{Map, Value};

use crate::{
    placeholder,
    problem::{Findings, pointer},
};

/// How finished the strings of a `pass.json` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Placeholders stand in them: such a string is not examined further.
    Template,
    /// They are what the phone will read.
    Finished,
}

pub(super) struct Check {
    pub(super) findings: Findings,
    stage: Stage,
}

/// A JSON type, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

impl Check {
    pub(super) fn new(stage: Stage) -> Self {
        Self { findings: Findings::default(), stage }
    }

    pub(super) fn error(&mut self, path: &str, message: impl Into<String>) {
        self.findings.error(path, message);
    }

    pub(super) fn warn(&mut self, path: &str, message: impl Into<String>) {
        self.findings.warn(path, message);
    }

    /// Whether the final text of a string is not known yet.
    pub(super) fn is_open(&self, text: &str) -> bool {
        self.stage == Stage::Template && placeholder::is_open(text)
    }

    fn wrong_type<T>(&mut self, path: &str, value: &Value, wanted: &str) -> Option<T> {
        self.error(path, format!("must be {wanted}, not {}", kind(value)));
        None
    }

    pub(super) fn object<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v Map<String, Value>> {
        value.as_object().or_else(|| self.wrong_type(path, value, "an object"))
    }

    pub(super) fn array<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v [Value]> {
        value.as_array().map(Vec::as_slice).or_else(|| self.wrong_type(path, value, "an array"))
    }

    pub(super) fn string<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v str> {
        value.as_str().or_else(|| self.wrong_type(path, value, "a string"))
    }

    pub(super) fn boolean(&mut self, path: &str, value: &Value) -> Option<bool> {
        value.as_bool().or_else(|| self.wrong_type(path, value, "true or false, without quotes"))
    }

    pub(super) fn number(&mut self, path: &str, value: &Value) -> Option<f64> {
        value.as_f64().or_else(|| self.wrong_type(path, value, "a number, without quotes"))
    }

    /// A string whose final text is known.
    pub(super) fn closed_string<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v str> {
        self.string(path, value).filter(|text| !self.is_open(text))
    }

    /// A required string that says something.
    pub(super) fn required_string(&mut self, parent: &str, members: &Map<String, Value>, key: &str) {
        let path = pointer(parent, key);
        match members.get(key) {
            None => self.error(&path, "is missing"),
            Some(value) => {
                if self.string(&path, value).is_some_and(|text| text.trim().is_empty()) {
                    self.error(&path, "must not be empty");
                }
            }
        }
    }

    pub(super) fn one_of(&mut self, path: &str, value: &Value, allowed: &[&str]) {
        if let Some(text) = self.closed_string(path, value)
            && !allowed.contains(&text)
        {
            self.error(path, format!("{text:?} is unknown; write one of {}", allowed.join(", ")));
        }
    }

    pub(super) fn date(&mut self, path: &str, value: &Value) -> Option<jiff::Timestamp> {
        let text = self.closed_string(path, value)?;
        let date = parse_date(text);
        if date.is_none() {
            self.error(
                path,
                format!("{text:?} is no date: write date, time and zone as in 2026-11-23T18:30:00Z or 2026-11-23T18:30+01:00"),
            );
        }
        date
    }

    pub(super) fn colour(&mut self, path: &str, value: &Value) {
        let Some(text) = self.closed_string(path, value) else { return };
        if is_hex_colour(text) {
            self.warn(path, "Apple documents rgb(r, g, b) only; older systems may ignore hexadecimal colours");
        } else if !is_rgb_colour(text) {
            self.error(path, format!("{text:?} is no colour: write rgb(r, g, b) with three numbers from 0 to 255"));
        }
    }

    pub(super) fn url(&mut self, path: &str, value: &Value) {
        if let Some(text) = self.closed_string(path, value) {
            let has_scheme = text.split_once(':').is_some_and(|(scheme, rest)| {
                scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                    && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                    && !rest.is_empty()
            });
            if !has_scheme || text.contains(char::is_whitespace) {
                self.error(
                    path,
                    format!("{text:?} is no URL: it begins with a scheme such as https: and holds no spaces"),
                );
            }
        }
    }

    /// Every item of an array by one check.
    pub(super) fn each(&mut self, path: &str, value: &Value, item: impl Fn(&mut Self, &str, &Value)) {
        for (index, value) in self.array(path, value).unwrap_or_default().iter().enumerate() {
            item(self, &pointer(path, index), value);
        }
    }
}

/// ISO 8601 as Apple reads it: date, `T`, hours and minutes, optional seconds and fraction, and a zone, `Z` or an
/// offset (reference 4, "General").
pub(crate) fn parse_date(text: &str) -> Option<jiff::Timestamp> {
    // jiff also reads spaces for the T, RFC 9557 annotations and hour-only times; Apple does not.
    let bytes = text.as_bytes();
    let shape =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let plain = bytes.get(4) == Some(&b'-')
        && bytes.get(7) == Some(&b'-')
        && bytes.get(10) == Some(&b'T')
        && bytes.get(13) == Some(&b':')
        && [0..4, 5..7, 8..10, 11..13, 14..16].into_iter().all(shape)
        && bytes.iter().all(|byte| byte.is_ascii_digit() || b"-+:.TZ".contains(byte));
    if plain { text.parse().ok() } else { None }
}

fn is_hex_colour(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|digits| matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_rgb_colour(text: &str) -> bool {
    let Some(inner) = text.trim().strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')')) else {
        return false;
    };
    let channel = |part: &str| {
        let part = part.trim();
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u8>().is_ok()
    };
    inner.split(',').count() == 3 && inner.split(',').all(channel)
}
