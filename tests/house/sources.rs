//! Rust sources, as text to search in.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::checkout;

/// Every source below a folder, by its path, without its tests and comments.
pub(crate) fn below(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&checkout::at(folder), folder, &mut found);
    found.sort();
    assert!(!found.is_empty(), "{folder}");
    found
}

fn collect(folder: &Path, name: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{name}: {error}")) {
        let path = entry.unwrap().path();
        let own = path.file_name().unwrap().to_str().unwrap();
        let name = format!("{name}/{own}");
        if path.is_dir() {
            collect(&path, &name, found);
        } else if own.ends_with(".rs") && own != "tests.rs" {
            found.push((name, code(&fs::read_to_string(&path).unwrap())));
        }
    }
}

/// One source without its tests and comments.
pub(crate) fn code(source: &str) -> String {
    let lines = source.lines().take_while(|line| *line != "#[cfg(test)]");
    let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
    lines.fold(String::new(), |all, line| all + line + "\n")
}

/// A source on one line, so that a chain of calls is found however it is broken.
pub(crate) fn one_line(code: &str) -> String {
    code.split_whitespace().collect::<Vec<_>>().join(" ").replace(" .", ".")
}

/// The names that follow each occurrence of `before` in a source on one line.
pub(crate) fn names_after<'a>(line: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    rests(line, before).map(|rest| &rest[..end_of_name(rest)]).filter(|name| !name.is_empty())
}

/// The functions called, or declared, as `<before><name>(` in a source on one line; with parameters of type or without.
pub(crate) fn calls(line: &str, before: &str) -> BTreeSet<String> {
    let called = rests(line, before).filter_map(|rest| {
        let (name, after) = rest.split_at(end_of_name(rest));
        (after.starts_with('(') || after.starts_with("::<") || after.starts_with('<')).then(|| name.to_owned())
    });
    called.filter(|name| !name.is_empty()).collect()
}

/// What follows each occurrence of `before` that is not the end of a longer name.
pub(crate) fn rests<'a>(line: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    let occurrences = line.match_indices(before).map(|(place, _)| (&line[..place], &line[place + before.len()..]));
    occurrences.filter(|(earlier, _)| !earlier.ends_with(in_a_name)).map(|(_, rest)| rest)
}

fn end_of_name(text: &str) -> usize {
    text.find(|letter| !in_a_name(letter)).unwrap_or(text.len())
}

fn in_a_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
