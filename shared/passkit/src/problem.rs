//! What is wrong with something a merchant sent, told by path, all of it at once.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// One thing that is wrong with what a merchant sent. Safe to show to whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where: a JSON pointer (RFC 6901, `/offers/0/offerId`), or for archives the file's path and a pointer into it
    /// (`/pass.json/coupon/primaryFields/0/key`, `/icon.png`). Empty: the whole.
    pub path: String,
    /// What is wrong and what to do, one sentence.
    pub message: String,
}

/// Several problems, in the order in which they were found.
pub type Problems = Vec<Problem>;

impl Problem {
    /// A problem at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// The pointer of member `token` of what `parent` points to, escaped as RFC 6901, section 3, says.
pub fn pointer(parent: &str, token: impl std::fmt::Display) -> String {
    // Every member of every pass that is examined comes through here: one allocation, mostly.
    let mut pointer = String::with_capacity(parent.len() + 32);
    pointer.push_str(parent);
    pointer.push('/');
    // Writing to a string cannot fail.
    let _ = write!(Escaping(&mut pointer), "{token}");
    pointer
}

/// Escapes what is written to it.
struct Escaping<'a>(&'a mut String);

impl std::fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if !text.contains(['~', '/']) {
            self.0.push_str(text);
            return Ok(());
        }
        for character in text.chars() {
            match character {
                '~' => self.0.push_str("~0"),
                '/' => self.0.push_str("~1"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

/// The problems of one examination: errors refuse, warnings advise.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) errors: Problems,
    pub(crate) warnings: Problems,
}

impl Findings {
    pub(crate) fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(Problem::new(path, message));
    }

    pub(crate) fn warn(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Problem::new(path, message));
    }
}

/// Adds what is not named yet: one overlay is part of several looks, and what is wrong with it is said once.
pub fn add_new(problems: &mut Problems, found: Problems) {
    for problem in found {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_slash_and_tilde_as_rfc_6901_says() {
        assert_eq!(pointer("/fields", "a/b~c"), "/fields/a~1b~0c");
        assert_eq!(pointer("/offers", 0), "/offers/0");
    }
}
