//! The mutations of our own code (`tests/simulation/mutations`): each is still a change of the code as it is, and stands in
//! the table of `docs/simulation.md`. That the simulation catches them is `mutations/run`'s to show, in ten minutes.

use std::collections::BTreeSet;
use std::fs;

use crate::checkout::{at, quoted, rows, text};

const FOLDER: &str = "tests/simulation/mutations";

fn names() -> BTreeSet<String> {
    let files = fs::read_dir(at(FOLDER)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    files.filter_map(|file| file.strip_suffix(".patch").map(str::to_owned)).collect()
}

/// What a hunk replaces: its lines without those it adds.
fn replaced(hunk: &str) -> String {
    let lines = hunk.lines().skip(1).filter(|line| !line.starts_with('+') && !line.starts_with('\\'));
    let lines = lines.map(|line| line.get(1..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_mutation_still_changes_the_code_and_says_how() {
    for name in names() {
        let patch = text(&format!("{FOLDER}/{name}.patch"));
        let (why, rest) = patch.split_once("\n\n").unwrap_or_else(|| panic!("{name}: no sentence before the change"));
        assert!(!why.is_empty() && !why.contains('\n'), "{name}: {why:?} is not one line");
        assert!(rest.contains(&format!("\"{name}\"")), "{name} is not switched on by its name");
        for of_file in rest.split("--- a/").skip(1) {
            let path = of_file.lines().next().unwrap();
            let code = text(path);
            for hunk in of_file.split("\n@@ ").skip(1) {
                let replaced = replaced(hunk);
                assert!(code.contains(&replaced), "{name} changes what {path} no longer has:\n{replaced}");
            }
        }
    }
}

#[test]
fn the_page_has_every_mutation_with_its_sentence() {
    let rows = rows(&text("docs/simulation.md"), "## Teeth");
    let told: BTreeSet<String> = rows.iter().map(|row| quoted(&row[0])[0].to_owned()).collect();
    assert_eq!(told, names());
    for row in rows {
        let patch = text(&format!("{FOLDER}/{}.patch", quoted(&row[0])[0]));
        assert_eq!(patch.lines().next(), Some(row[1].as_str()));
    }
}
