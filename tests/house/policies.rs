//! What functions may do: exactly what their code does.
//!
//! What a door does is read from its source: the calls on `app.store`, `app.packages`, `app.queues`,
//! `app.batch_files` and `app.identities`, and the parts of `platform` that doors share. What a call needs is in two tables
//! ([`store_calls`], [`shared_calls`]), which are themselves compared with the sources of `platform`.

mod grants;
mod shared_calls;
mod store_calls;

use serde_norway::Value;

use crate::sources;
use crate::template::{Resource, Template, at, list, told};
use grants::Grants;

/// What a function's policies allow.
fn allowed(function: Resource<'_>) -> Grants {
    let mut grants = Grants::default();
    let policies = function.property(&["Policies"]).and_then(Value::as_sequence).into_iter().flatten();
    for policy in policies {
        match at(policy, &["Statement"]).and_then(Value::as_sequence) {
            Some(statements) => statements.iter().for_each(|statement| allow(&mut grants, statement)),
            None => {
                assert_eq!(
                    told(policy),
                    "!Ref ReadIdentities",
                    "{}: a policy that the house does not know",
                    function.id
                );
                grants.identities();
            }
        }
    }
    grants
}

fn allow(grants: &mut Grants, statement: &Value) {
    let part = |path: &[&str]| at(statement, path);
    assert_eq!(part(&["Effect"]).map(told).as_deref(), Some("Allow"));
    let (actions, resources) = (list(part(&["Action"]).expect("Action")), list(part(&["Resource"]).expect("Resource")));
    let keys = part(&["Condition", "ForAllValues:StringLike", "dynamodb:LeadingKeys"]).map(list);
    for resource in &resources {
        match (resource.as_str(), &keys) {
            ("!GetAtt Table.Arn", Some(keys)) => {
                let actions: Vec<_> = actions.iter().map(|action| action.trim_start_matches("dynamodb:")).collect();
                grants.table(&actions, keys);
            }
            ("!GetAtt Table.Arn", None) => panic!("a statement about the table names its keys: {statement:?}"),
            (other, None) => actions.iter().for_each(|action| grants.other(action, other)),
            (other, Some(_)) => panic!("{other} has no keys"),
        }
    }
}

/// What a function's code needs.
fn needed(folder: &str) -> Grants {
    let sources = sources::below(&format!("functions/{folder}/src"));
    let line: String = sources.iter().map(|(_, code)| sources::one_line(code) + "\n").collect();
    let mut grants = Grants::default();
    shared_calls::add(&mut grants, &line);
    grants
}

/// Protects everything that a function does not need from a function that was taken over, and customers from a function
/// that is denied what it needs.
#[test]
fn every_function_may_do_what_its_code_does_and_no_more() {
    let mut differences = Vec::new();
    for function in Template::read().functions() {
        let (allowed, needed) = (allowed(function), needed(function.folder()));
        if allowed != needed {
            differences.push(format!("{}:\n  allowed {allowed:#?}\n  needed {needed:#?}", function.id));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Protects other stacks of the account: AWS's own policies for logs and queues, which SAM gives to every role, name all
/// of them.
#[test]
fn every_role_is_fenced_in() {
    let template = Template::read();
    let boundary = template.at(&["Globals", "Function", "PermissionsBoundary"]);
    assert_eq!(told(boundary), "!Ref NothingOutsideThisStack");
    let policies = template.resources("AWS::IAM::ManagedPolicy");
    let fence = policies.iter().find(|policy| policy.id == "NothingOutsideThisStack").expect("the fence");
    let statements = fence.property(&["PolicyDocument", "Statement"]).and_then(Value::as_sequence).expect("statements");
    for statement in statements {
        let actions = list(at(statement, &["Action"]).expect("Action"));
        let everywhere = list(at(statement, &["Resource"]).expect("Resource")).contains(&"*".to_owned());
        let harmless = |action: &String| action.starts_with("xray:Put") || action == "secretsmanager:ListSecrets";
        assert!(!everywhere || actions.iter().all(harmless), "{actions:?} on everything");
    }
    // The fence must leave room for what stands within: a role may do what both allow, and no emulator says so.
    let room: Vec<(Vec<String>, Vec<String>)> = statements
        .iter()
        .map(|statement| {
            (list(at(statement, &["Action"]).expect("Action")), list(at(statement, &["Resource"]).expect("Resource")))
        })
        .collect();
    for function in template.functions() {
        // `ReadIdentities` is a policy of its own, of the fence's last two statements.
        for granted in allowed(function).others.iter().filter(|granted| !granted.starts_with("ReadIdentities")) {
            let (action, resource) = granted.split_once(' ').expect("an action and a resource");
            let within = |fence: &String| {
                fence == resource || fence.strip_suffix('*').is_some_and(|beginning| resource.starts_with(beginning))
            };
            let fits = room.iter().any(|(actions, resources)| {
                actions.iter().any(|fence| fence == action) && resources.iter().any(within)
            });
            assert!(fits, "{}: {granted} is outside the fence", function.id);
        }
    }
}
