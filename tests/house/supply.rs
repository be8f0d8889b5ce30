//! What is linked in: under which licences, from where, with how many TLS stacks, and without `unsafe` of our own.
//!
//! `deny.toml` says the same for those who have cargo-deny, which is four hundred crates to build itself; advisories are
//! its affair alone, since their database is fetched from the network.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::checkout;

/// Licences that ask for no more than their text (deny.toml has the same list).
const LICENCES: [&str; 9] = [
    "MIT",
    "Apache-2.0",
    "ISC",
    "BSD-3-Clause",
    "Zlib",
    "Unicode-3.0",
    // The public roots of TLS, as data.
    "CDLA-Permissive-2.0",
    "CC0-1.0",
    "0BSD",
];
/// The only place that crates come from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// TLS that we do not want beside rustls. `openssl` signs packages and speaks no TLS here.
const OTHER_TLS: [&str; 5] = ["native-tls", "boring", "s2n-tls", "tokio-openssl", "hyper-openssl"];

fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        // Only what is built here: other systems' crates need not be on this machine.
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &host]);
        let output = cargo.current_dir(checkout::at("")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    })
}

fn packages() -> impl Iterator<Item = &'static Value> {
    metadata()["packages"].as_array().unwrap().iter()
}

fn name(package: &Value) -> String {
    format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap())
}

/// An SPDX expression (or `A/B`, as it was written once), allowed if one may choose only what is in the list.
fn allowed(expression: &str) -> bool {
    let expression = expression.trim();
    for (word, all) in [(" OR ", false), (" AND ", true)] {
        let parts = apart(expression, word);
        if parts.len() > 1 {
            return if all { parts.into_iter().all(allowed) } else { parts.into_iter().any(allowed) };
        }
    }
    match expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inside) => allowed(inside),
        None => LICENCES.contains(&expression),
    }
}

/// The parts between a word that stands outside of all parentheses.
fn apart<'a>(expression: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (place, letter) in expression.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ' ' if depth == 0 && expression[place..].starts_with(word) => {
                parts.push(&expression[start..place]);
                start = place + word.len();
            }
            _ => {}
        }
    }
    parts.push(&expression[start..]);
    parts
}

#[test]
fn every_licence_asks_for_no_more_than_its_text() {
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_else(|| panic!("{} has no licence", name(package)));
        let licence = licence.replace(" / ", " OR ").replace('/', " OR ");
        assert!(allowed(&licence), "{}: {licence}", name(package));
    }
    assert!(allowed("GPL-3.0 OR (MIT AND ISC)") && !allowed("MIT AND GPL-3.0") && !allowed("(MIT OR ISC) AND GPL-3.0"));
    let deny = checkout::text("deny.toml");
    for licence in LICENCES {
        assert!(deny.contains(&format!("\"{licence}\"")), "deny.toml does not allow {licence}");
    }
}

#[test]
fn every_crate_comes_from_crates_io() {
    for package in packages() {
        match package["source"].as_str() {
            Some(source) => assert_eq!(source, CRATES_IO, "{}", name(package)),
            // Ours: a path below this checkout.
            None => assert_eq!(package["license"], "MIT OR Apache-2.0", "{}", name(package)),
        }
    }
}

/// a2 brings rustls 0.22 for a client that nobody calls (`docs/decisions/0001`); the linker drops it. Without a2 there is one.
#[test]
fn there_is_one_tls_stack_but_for_what_a2_brings() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        assert!(!OTHER_TLS.contains(&name), "{name} is another TLS stack");
    }
    let reached = reached_without("a2");
    let versions: BTreeSet<String> =
        packages().filter(|package| package["name"] == "rustls" && reached.contains(id(package))).map(name).collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
    assert!(versions.iter().all(|version| version.starts_with("rustls 0.23.")), "{versions:?}");
}

fn id(package: &Value) -> &str {
    package["id"].as_str().unwrap()
}

/// Everything that our crates need, if one package of them were not.
fn reached_without(left_out: &str) -> HashSet<&'static str> {
    let names: HashMap<&str, &str> =
        packages().map(|package| (id(package), package["name"].as_str().unwrap())).collect();
    let nodes = metadata()["resolve"]["nodes"].as_array().unwrap();
    let needs: HashMap<&str, Vec<&str>> = nodes
        .iter()
        .map(|node| {
            let needed = node["dependencies"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
            (node["id"].as_str().unwrap(), needed.collect())
        })
        .collect();
    let members = metadata()["workspace_members"].as_array().unwrap();
    let mut waiting: Vec<&str> = members.iter().map(|id| id.as_str().unwrap()).collect();
    let mut reached = HashSet::new();
    while let Some(id) = waiting.pop() {
        if names[id] != left_out && reached.insert(id) {
            waiting.extend(&needs[id]);
        }
    }
    reached
}

/// The lint is `forbid`, which nobody can allow again, and every crate inherits it.
#[test]
fn unsafe_is_forbidden_in_every_crate() {
    let workspace = checkout::text("Cargo.toml");
    assert!(workspace.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    let members = metadata()["workspace_members"].as_array().unwrap();
    let manifests: Vec<&str> = packages()
        .filter(|package| members.contains(&package["id"]))
        .map(|package| package["manifest_path"].as_str().unwrap())
        .collect();
    assert_eq!(manifests.len(), members.len());
    for manifest in manifests {
        let text = std::fs::read_to_string(manifest).unwrap();
        assert!(text.contains("\n[lints]\nworkspace = true\n"), "{manifest} does not inherit the lints");
    }
    // Apart from the workspace.
    assert!(checkout::text("fuzz/src/lib.rs").contains("#![forbid(unsafe_code)]"));
}
