//! No `unsafe` of our own. What is linked in besides (licences, sources, TLS stacks) is cargo-deny's affair: `tests/supply/run`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::checkout;

/// The workspace as cargo sees it, without what it depends on.
fn metadata() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--no-deps"]);
    let output = cargo.current_dir(checkout::at("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The lint is `forbid`, which nobody can allow again, and every crate inherits it.
#[test]
fn unsafe_is_forbidden_in_every_crate() {
    let workspace = checkout::text("Cargo.toml");
    assert!(workspace.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), metadata["workspace_members"].as_array().unwrap().len());
    for package in packages {
        let manifest = package["manifest_path"].as_str().unwrap();
        let text = std::fs::read_to_string(manifest).unwrap();
        assert!(text.contains("\n[lints]\nworkspace = true\n"), "{manifest} does not inherit the lints");
    }
    // Apart from the workspace.
    assert!(checkout::text("fuzz/src/lib.rs").contains("#![forbid(unsafe_code)]"));
}

/// Protects tests from being skipped, and the gate from linking the AWS SDK into fifty test programs without a test.
#[test]
fn a_target_is_linked_for_tests_if_it_has_some() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    for target in packages.iter().flat_map(|package| package["targets"].as_array().unwrap()) {
        let path = Path::new(target["src_path"].as_str().unwrap());
        let has_tests = match target["kind"][0].as_str().unwrap() {
            "lib" => has_tests(path.parent().unwrap()),
            "bin" => has_tests(path),
            _ => continue,
        };
        assert_eq!(target["test"], has_tests, "`test = …` of {}", path.display());
    }
}

/// Whether a source, or one below a folder, has unit tests.
fn has_tests(path: &Path) -> bool {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().any(|entry| has_tests(&entry.unwrap().path()));
    }
    path.extension().is_some_and(|extension| extension == "rs")
        && fs::read_to_string(path).unwrap().contains("#[cfg(test)]")
}
