//! The environment of the functions.

use std::collections::BTreeSet;

use platform::config::VARIABLES;

use crate::checkout::{self, quoted};
use crate::template::Template;

/// Protects a deployed function from a variable that nobody gives it, and the template from one that nobody reads.
#[test]
fn the_template_gives_every_function_the_variables_of_the_configuration() {
    let template = Template::read();
    let given = template.at(&["Globals", "Function", "Environment", "Variables"]).as_mapping().expect("a mapping");
    let given: BTreeSet<_> = given.keys().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(given, BTreeSet::from(VARIABLES));
    for function in template.functions() {
        assert!(function.property(&["Environment"]).is_none(), "{} has variables of its own", function.id);
    }
}

/// Protects readers of the README from variables that it does not tell of.
#[test]
fn the_readme_tells_of_every_variable() {
    let rows = checkout::rows(&checkout::text("README.md"), "## How the pieces map to AWS");
    let told: BTreeSet<String> = rows.iter().flat_map(|row| quoted(&row[0])).map(str::to_owned).collect();
    for name in VARIABLES {
        assert!(told.contains(name), "{name}");
    }
}
