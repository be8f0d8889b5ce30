use aws_sdk_dynamodb::types::AttributeValue;
use clap::Parser as _;
use platform::app::dynamodb;
use platform::keys::Ensured;
use tempfile::TempDir;

use super::*;
use crate::aws::{self, Aws, resources};
use crate::start::{Persistence, Schedule};
use crate::template::Template;

/// The SHA-256 of the secret `old`.
const OLD: &str = "KEY#cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4";

#[derive(clap::Parser)]
struct Line {
    #[command(subcommand)]
    command: KeysCommand,
}

/// A stack's table, and the environment that names it.
struct Stack {
    variables: BTreeMap<String, String>,
    now: Timestamp,
    aws: Aws,
    _directory: TempDir,
}

impl Stack {
    async fn start() -> Stack {
        let directory = TempDir::new().unwrap();
        let mut variables: BTreeMap<String, String> = [
            ("PUSH_QUEUE_URL", "http://queue.invalid/"),
            ("FOLLOW_UP_QUEUE_URL", "http://queue.invalid/"),
            ("WEBHOOK_QUEUE_URL", "http://queue.invalid/"),
            ("PUBLIC_URL", "http://127.0.0.1:9"),
            ("SIGNING_IDENTITIES", "file:/nowhere"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let template = Template::embedded().unwrap();
        let aws = aws::start(&mut variables, &template, directory.path(), Persistence::Ephemeral, Schedule::ByHand);
        let aws = aws.await.unwrap();
        let config = platform::Config::from_variables(|name| variables.get(name).cloned()).unwrap();
        resources::ensure_table_and_bucket(&config).await.unwrap();
        Stack { variables, now: Timestamp::from_second(1_900_000_000).unwrap(), aws, _directory: directory }
    }

    /// Runs a command line; words are separated by blanks.
    async fn run(&self, line: &str) -> Result<Outcome, KeysError> {
        let line = Line::try_parse_from(["keys"].into_iter().chain(line.split_whitespace())).unwrap();
        run(&line.command, &self.variables, self.now).await
    }

    async fn app(&self) -> platform::App {
        let config = platform::Config::from_variables(|name| self.variables.get(name).cloned()).unwrap();
        let sdk = sdk_config(&config.aws).await;
        platform::App::new(config, &sdk)
    }
}

fn key_id(made: &Outcome) -> &str {
    made.notes.split(' ').nth(1).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_made_listed_and_revoked() {
    let stack = Stack::start().await;
    let made =
        stack.run("make --merchant shop --role admin --name office --pass-type pass.example.shop").await.unwrap();
    let secret = made.result.trim();
    assert!(secret.starts_with("plk_") && !made.notes.contains(secret), "{made:?}");
    let store = &stack.app().await.store;
    let key = store.key(secret).await.unwrap().unwrap();
    assert_eq!((key.merchant_id.as_str(), key.role, key.revoked_at), ("shop", Role::Admin, None));
    let pass_type = "pass.example.shop".parse().unwrap();
    assert_eq!(store.holding("shop", &pass_type).await.unwrap(), Holding::Theirs);

    let listed = stack.run("list --merchant shop").await.unwrap().result;
    let line = listed.lines().nth(1).unwrap();
    let cells: Vec<_> = line.split('\t').map(str::trim).collect();
    assert_eq!(cells, [key_id(&made), "admin", "2030-03-17 17:46", "-", "-", "office"]);
    assert!(!listed.contains(secret));
    assert_eq!(stack.run("list --merchant nobody").await.unwrap().result.lines().count(), 1);

    // The operator may take the last one: they can make another.
    stack.run(&format!("revoke --merchant shop {}", key_id(&made))).await.unwrap();
    assert_eq!(store.key(secret).await.unwrap().unwrap().revoked_at, Some(stack.now));
    let unknown = stack.run(&format!("revoke --merchant other {}", key_id(&made))).await.unwrap_err();
    assert_eq!(unknown.to_string(), format!("other has no key {:?}", key_id(&made)));
    // An id may begin with a hyphen, which is no flag.
    assert!(stack.run("revoke --merchant shop -aBcDeFgHiJkLmN_").await.unwrap_err().to_string().contains("-aBc"));
    stack.aws.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_type_is_given_once() {
    let stack = Stack::start().await;
    stack.run("make --merchant shop --role admin --pass-type pass.example.shop").await.unwrap();
    // Again, to the same merchant, changes nothing.
    stack.run("make --merchant shop --role issue --pass-type pass.example.shop").await.unwrap();
    let line = "make --merchant other --role admin --pass-type pass.example.other --pass-type pass.example.shop";
    let taken = stack.run(line).await.unwrap_err().to_string();
    assert!(taken.starts_with("pass.example.shop is another merchant's"), "{taken}");
    assert_eq!(stack.run("list --merchant other").await.unwrap().result.lines().count(), 1);
    let free = stack.app().await.store.holding("third", &"pass.example.other".parse().unwrap()).await.unwrap();
    assert_eq!(free, Holding::Free);
    stack.aws.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_one_clear_line() {
    let mut stack = Stack::start().await;
    stack.variables.insert("TABLE_NAME".to_owned(), "no-such-table".to_owned());
    let fault = stack.run("list --merchant shop").await.unwrap_err().to_string();
    assert!(fault.contains("DynamoDB") && !fault.contains('\n'), "{fault}");
    stack.variables.remove("TABLE_NAME");
    assert!(stack.run("list --merchant shop").await.unwrap_err().to_string().contains("TABLE_NAME"));
    stack.aws.stop().await;
}

/// Keys of version 1 were items of their own, made by hand; they count, and whoever makes sure of one takes it into the
/// list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_version_1_counts_and_is_taken_into_the_list() {
    let stack = Stack::start().await;
    let app = stack.app().await;
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let aws = AwsVariables::from_variables(|name| stack.variables.get(name).cloned());
    let put = dynamodb(&sdk_config(&aws).await, &aws)
        .put_item()
        .table_name(&stack.variables["TABLE_NAME"])
        .item("pk", text(OLD))
        .item("sk", text("KEY"))
        .item("v", AttributeValue::N("1".to_owned()))
        .item("merchant_id", text("shop"))
        .item("role", text("admin"))
        .item("created_at", text("2026-01-01T00:00:00.000Z"));
    put.send().await.unwrap();
    let read = app.store.key("old").await.unwrap().unwrap();
    assert_eq!((read.merchant_id.as_str(), read.role, read.revoked_at), ("shop", Role::Admin, None));
    assert_eq!(app.store.keys("shop", stack.now).await.unwrap(), []);
    let new = |key_id| NewKey { key_id, secret: "old", merchant_id: "shop", role: Role::Admin, name: None };
    for key_id in ["first", "second"] {
        assert_eq!(platform::keys::ensure(&app, new(key_id), stack.now).await.unwrap(), Ensured::Good);
    }
    let listed: Vec<_> = app.store.keys("shop", stack.now).await.unwrap().into_iter().map(|key| key.key_id).collect();
    assert_eq!(listed, ["first"]);
    stack.run("revoke --merchant shop first").await.unwrap();
    assert_eq!(platform::keys::ensure(&app, new("third"), stack.now).await.unwrap(), Ensured::Revoked);
    stack.aws.stop().await;
}
