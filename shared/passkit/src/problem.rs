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

/// How many problems are told at once. Whoever sent something has 256 KiB to be wrong in, once in every five bytes; nobody
/// reads on after the two-hundredth, and all of them together would be more than an answer holds. With the limits below it
/// is 300 KB at most, and a few kilobytes in life.
pub const TOLD: usize = 200;
/// The longest path, in characters; what is longer is cut. A name may have as many bytes as what was sent, and would be
/// repeated in the path of everything below it.
pub const PATH_CHARACTERS: usize = 512;
/// The longest message, in characters; what is longer is cut. Some quote what was sent.
pub const MESSAGE_CHARACTERS: usize = 1024;

impl Problem {
    /// A problem at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: cut(path.into(), PATH_CHARACTERS), message: cut(message.into(), MESSAGE_CHARACTERS) }
    }
}

/// Notes a problem, unless there are more than [`TOLD`] already.
pub fn note(problems: &mut Problems, problem: Problem) {
    if problems.len() <= TOLD {
        problems.push(problem);
    }
}

/// The pointer of member `token` of what `parent` points to, escaped as RFC 6901, section 3, says. Names and pointers that
/// nobody would read are cut: a pointer is made for every member, and is to cost no more than that member.
pub fn pointer(parent: &str, token: impl std::fmt::Display) -> String {
    if parent.len() > PATH_CHARACTERS {
        return parent.to_owned();
    }
    // Every member of every pass that is examined comes through here: one allocation, mostly.
    let mut pointer = String::with_capacity(parent.len() + 32);
    pointer.push_str(parent);
    pointer.push('/');
    // Writing to a string cannot fail; a name that is too long ends it early.
    let _ = write!(Escaping { pointer: &mut pointer, left: PATH_CHARACTERS }, "{token}");
    pointer
}

/// Escapes what is written to it, and cuts it.
struct Escaping<'a> {
    pointer: &'a mut String,
    /// Characters it still takes.
    left: usize,
}

impl std::fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        // No text has more characters than bytes.
        if text.len() <= self.left && !text.contains(['~', '/']) {
            self.pointer.push_str(text);
            self.left -= text.chars().count();
            return Ok(());
        }
        for character in text.chars() {
            let Some(left) = self.left.checked_sub(1) else {
                self.pointer.push('…');
                return Err(std::fmt::Error);
            };
            self.left = left;
            match character {
                '~' => self.pointer.push_str("~0"),
                '/' => self.pointer.push_str("~1"),
                other => self.pointer.push(other),
            }
        }
        Ok(())
    }
}

fn cut(mut text: String, characters: usize) -> String {
    // No text has more characters than bytes.
    if text.len() > characters
        && let Some((end, _)) = text.char_indices().nth(characters)
    {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The problems of one examination: errors refuse, warnings advise.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) errors: Problems,
    pub(crate) warnings: Problems,
}

impl Findings {
    pub(crate) fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        note(&mut self.errors, Problem::new(path, message));
    }

    pub(crate) fn warn(&mut self, path: impl Into<String>, message: impl Into<String>) {
        note(&mut self.warnings, Problem::new(path, message));
    }
}

/// Adds what is not named yet, up to [`TOLD`] and one: one overlay is part of several looks, and what is wrong with it is
/// said once.
pub fn add_new(problems: &mut Problems, found: Problems) {
    for problem in found {
        if problems.len() <= TOLD && !problems.contains(&problem) {
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

    #[test]
    fn a_name_of_any_length_makes_a_path_and_a_message_to_read() {
        let long = "é".repeat(100_000);
        let mut path = String::new();
        for _ in 0..100 {
            path = pointer(&path, &long);
        }
        assert!(path.len() < 4096, "{}", path.len());
        let problem = Problem::new(path, long);
        assert_eq!(problem.path.chars().count(), PATH_CHARACTERS + 1);
        assert_eq!(problem.message.chars().count(), MESSAGE_CHARACTERS + 1);
        assert!(problem.message.ends_with("é…"));
    }

    #[test]
    fn what_is_wrong_everywhere_is_told_so_often_and_no_more() {
        let mut findings = Findings::default();
        (0..10_000).for_each(|number| findings.error(format!("/{number}"), "is wrong"));
        assert_eq!(findings.errors.len(), TOLD + 1);
        let mut all = Problems::new();
        add_new(&mut all, (0..10_000).map(|number| Problem::new(format!("/{number}"), "is wrong")).collect());
        assert_eq!(all.len(), TOLD + 1);
    }
}
