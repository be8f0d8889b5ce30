//! Folders, crates, binaries and the template's functions.

use crate::checkout;
use crate::template::{Template, at, told};

/// `register-pass` is `RegisterPass` in the template.
fn logical_id(folder: &str) -> String {
    let words = folder.split('-').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect()
}

/// Protects deployments from a function that is written and never deployed, or deployed under a name that is not its own.
#[test]
fn a_function_is_its_folder_its_crate_its_binary_and_its_resource() {
    let template = Template::read();
    let deployed: Vec<_> = template.functions().iter().map(|function| function.folder()).collect();
    assert_eq!(checkout::folders("functions").iter().map(String::as_str).collect::<Vec<_>>(), {
        let mut sorted = deployed.clone();
        sorted.sort_unstable();
        sorted
    });
    for folder in deployed {
        assert_eq!(template.function(folder).id, logical_id(folder));
        let manifest = checkout::text(&format!("functions/{folder}/Cargo.toml"));
        let names: Vec<_> = manifest.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
        assert_eq!(names, [format!("\"{folder}\""), format!("\"{folder}\"")], "package and binary of {folder}");
        let library = checkout::text(&format!("functions/{folder}/src/lib.rs"));
        assert!(library.contains(&format!("name: \"{folder}\"")), "{folder}: FUNCTION has another name");
        let main = checkout::text(&format!("functions/{folder}/src/main.rs"));
        assert!(main.contains(&format!("{}::FUNCTION", folder.replace('-', "_"))), "{folder}: main.rs");
    }
}

/// Protects `sam build` from a function that it would not know how to build.
#[test]
fn every_function_is_built_by_cargo_lambda() {
    for function in Template::read().functions() {
        let method = at(function.whole, &["Metadata", "BuildMethod"]).map(told);
        assert_eq!(method.as_deref(), Some("rust-cargolambda"), "{}", function.id);
    }
}

/// Protects the bill, and customers' data, from logs that are kept for ever.
#[test]
fn every_function_logs_into_a_group_of_its_own_that_forgets() {
    let template = Template::read();
    let groups = template.resources("AWS::Logs::LogGroup");
    for group in &groups {
        assert_eq!(group.told(&["RetentionInDays"]), "!Ref LogRetentionDays", "{}", group.id);
    }
    for function in template.functions() {
        let group = format!("{}Logs", function.id);
        assert_eq!(function.told(&["LoggingConfig", "LogGroup"]), format!("!Ref {group}"));
        let group = groups.iter().find(|other| other.id == group).expect("the log group is there");
        let name = format!("!Sub /${{AWS::StackName}}/{}", function.folder());
        assert_eq!(group.told(&["LogGroupName"]), name);
    }
}

/// Protects a door from being cut off while it could still have answered, and from waiting longer than anybody listens.
#[test]
fn doors_answer_before_the_api_gives_up() {
    let template = Template::read();
    let usual = told(template.at(&["Globals", "Function", "Timeout"]));
    for function in template.functions() {
        let seconds: u32 = function.property(&["Timeout"]).map_or(usual.clone(), told).parse().expect("seconds");
        // The SDK ends one operation, with its repetitions, after 15 seconds (platform::app); an HTTP API waits 30.
        assert!(seconds > 15, "{}", function.id);
        assert!(function.events("HttpApi").is_empty() || seconds < 30, "{}", function.id);
    }
}
