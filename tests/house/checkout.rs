//! The files of this checkout.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A path below the project's root.
pub(crate) fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The text of a file.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of the folders in a folder.
pub(crate) fn folders(path: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let entries = entries.map(|entry| entry.unwrap()).filter(|entry| entry.path().is_dir());
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// The cells of every row of the tables below a heading, up to the next heading. Headers and rules are left out.
pub(crate) fn rows(markdown: &str, heading: &str) -> Vec<Vec<String>> {
    let mut lines = markdown.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "there is no heading `{heading}`");
    let section: Vec<&str> = lines.take_while(|line| !line.starts_with('#')).collect();
    let mut rows = Vec::new();
    for (number, line) in section.iter().enumerate() {
        let is_rule = |line: &str| line.starts_with("|-");
        let is_header = section.get(number + 1).is_some_and(|next| is_rule(next));
        if line.starts_with('|') && !is_rule(line) && !is_header {
            rows.push(line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect());
        }
    }
    assert!(!rows.is_empty(), "there is no table below `{heading}`");
    rows
}

/// What stands between backticks.
pub(crate) fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}
