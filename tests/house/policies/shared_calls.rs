//! What the parts of `platform` that doors share do, besides the store.

use std::collections::BTreeSet;

use super::grants::Grants;
use super::store_calls;
use crate::sources;

/// A function of `platform`: its module, its name, and what it calls in turn.
struct SharedCall {
    module: &'static str,
    name: &'static str,
    calls: &'static [&'static str],
}

const fn shared(module: &'static str, name: &'static str, calls: &'static [&'static str]) -> SharedCall {
    SharedCall { module, name, calls }
}

/// Everything in `platform` outside the store and the packages that uses the app. `queues.send PushQueue` is a message
/// to that queue, `shared module.name` another of these.
const SHARED_CALLS: &[SharedCall] = &[
    shared("keys", "authorise", &["store.key", "store.note_use"]),
    shared("keys", "authorise_anew", &["store.key", "store.note_use"]),
    shared("keys", "ensure", &["store.key", "store.make_key"]),
    shared("issuing", "make", &["packages.check"]),
    shared("batch_view", "named", &["store.batch"]),
    shared(
        "batch_work",
        "chunk",
        &[
            "store.batch",
            "store.campaign",
            "store.change_batch",
            "store.issue_several",
            "store.done",
            "store.stop_lanes",
            "store.were_issued",
            "batch_files.input",
            "batch_files.put_results",
            "batch_files.forget_input",
            "shared issuing.make",
            "webhooks.news",
            "queues.send FollowUpQueue",
            "queues.send BatchQueue",
        ],
    ),
    shared("merchant", "pass", &["store.pass_and_campaign"]),
    shared("redemption_view", "named", &["store.redemption", "store.pass_and_campaign", "store.campaign"]),
    shared("idempotency", "earlier_answer", &["store.recorded"]),
    shared("idempotency", "asked", &["store.recorded"]),
    shared("idempotency", "valid", &["store.recorded"]),
    shared("idempotency", "refuse", &["store.record"]),
    shared("update_view", "named", &["store.update"]),
    shared("scheduled", "rehearse", &["store.campaign", "store.pass_and_campaign", "packages.template"]),
    shared(
        "scheduled",
        "edge",
        &[
            "store.update",
            "store.done",
            "store.campaign",
            "store.pass_and_campaign",
            "store.carry_out",
            "webhooks.news",
            "packages.template",
            "queues.send PushQueue",
            "queues.send FollowUpQueue",
        ],
    ),
    // What is cancelled has no next edge.
    shared(
        "scheduled",
        "cancel",
        &[
            "store.campaign",
            "store.pass_and_campaign",
            "store.carry_out",
            "webhooks.news",
            "packages.template",
            "queues.send PushQueue",
        ],
    ),
    shared(
        "erasing",
        "begin",
        &[
            "store.registrations",
            "store.begin_erasure",
            "webhooks.news",
            "queues.send PushQueue",
            "queues.send FollowUpQueue",
        ],
    ),
    shared(
        "erasing",
        "rest",
        &[
            "store.pass_and_campaign",
            "store.registrations",
            "store.done",
            "store.progress",
            "store.forget",
            "store.forget_answers",
            "store.finish_erasure",
            "telling.told",
            "webhooks.news",
            "packages.forget",
            "queues.send FollowUpQueue",
        ],
    ),
    shared("erasing", "forget_answers", &["store.forget_answers"]),
    shared("webhooks", "news", &["store.has_webhooks", "queues.send WebhookQueue"]),
    shared(
        "telling",
        "spread",
        &[
            "store.webhooks",
            "store.add_intents",
            "store.done",
            "store.progress",
            "store.pass",
            "store.telling",
            "store.put_telling",
            "store.dead_letter",
            "store.intent",
            "store.events",
            "store.log_delivery",
            "queues.send WebhookQueue",
        ],
    ),
    shared("telling", "one", &["store.webhook", "store.done"]),
    shared("telling", "told", &["store.webhooks", "store.telling", "store.events", "store.dead_letter"]),
    shared("telling", "post", &[]),
    shared(
        "erasing",
        "again",
        &["store.forget", "store.done", "store.progress", "packages.forget", "queues.send FollowUpQueue"],
    ),
    shared(
        "erasing",
        "look",
        &[
            "store.pass_and_campaign",
            "store.done",
            "store.progress",
            "store.registrations",
            "store.begin_erasure",
            "webhooks.news",
            "queues.send PushQueue",
            "queues.send FollowUpQueue",
        ],
    ),
    shared(
        "erasing",
        "look_at_campaign",
        &["store.campaign", "store.members", "store.add_intents", "store.progress", "queues.send FollowUpQueue"],
    ),
    shared("pushing", "push", &["store.unregister", "identities.of", "webhooks.news"]),
];

const PACKAGES: &str = "!Sub ${Bucket.Arn}/packages/*";
const TEMPLATES: &str = "!Sub ${Bucket.Arn}/templates/*";

const BATCHES: &str = "!Sub ${Bucket.Arn}/batches/*";

/// Every public method of `BatchFiles`, and what it does to which objects of the bucket.
const BATCH_FILE_CALLS: &[(&str, &[(&str, &str)])] = &[
    ("put_input", &[("s3:PutObject", BATCHES)]),
    ("upload_url", &[("s3:PutObject", BATCHES)]),
    // As with packages: what is not there is 403 for whoever may not list.
    ("input", &[("s3:GetObject", BATCHES), ("s3:ListBucket", "!GetAtt Bucket.Arn")]),
    ("put_results", &[("s3:PutObject", BATCHES)]),
    ("forget_input", &[("s3:DeleteObject", BATCHES)]),
    ("results_url", &[("s3:GetObject", BATCHES)]),
];

/// A method of `Packages`: whether it chooses a signing identity, and what it does to which objects of the bucket.
struct PackageCall {
    method: &'static str,
    identity: Identity,
    bucket: &'static [(&'static str, &'static str)],
}

const fn package(
    method: &'static str,
    identity: Identity,
    bucket: &'static [(&'static str, &'static str)],
) -> PackageCall {
    PackageCall { method, identity, bucket }
}

/// Every public method of `Packages`.
const PACKAGE_CALLS: &[PackageCall] = &[
    package("put_template", Identity::NotUsed, &[("s3:PutObject", TEMPLATES)]),
    package("template", Identity::NotUsed, &[("s3:GetObject", TEMPLATES)]),
    package("look", Identity::NotUsed, &[("s3:GetObject", TEMPLATES)]),
    package(
        "package",
        Identity::Used,
        &[
            ("s3:GetObject", TEMPLATES),
            ("s3:GetObject", PACKAGES),
            ("s3:PutObject", PACKAGES),
            // Whoever may not list is told 403, not 404, of an object that is not there (S3, GetObject).
            ("s3:ListBucket", "!GetAtt Bucket.Arn"),
        ],
    ),
    package("look_alike", Identity::Used, &[("s3:GetObject", TEMPLATES)]),
    package("rendered", Identity::Used, &[("s3:GetObject", TEMPLATES)]),
    package("pass_json", Identity::Used, &[("s3:GetObject", TEMPLATES)]),
    package("shown", Identity::Used, &[("s3:GetObject", TEMPLATES)]),
    package("forget", Identity::NotUsed, &[("s3:ListBucket", "!GetAtt Bucket.Arn"), ("s3:DeleteObject", PACKAGES)]),
    package("check", Identity::Used, &[("s3:GetObject", TEMPLATES)]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Identity {
    Used,
    NotUsed,
}

/// Adds what a door needs, by its source on one line.
pub(super) fn add(grants: &mut Grants, door: &str) {
    let used = SHARED_CALLS.iter().filter(|shared| uses(door, shared.module, shared.name));
    for call in used.flat_map(|shared| shared.calls) {
        add_call(grants, call);
    }
    for called in called(door) {
        add_call(grants, &called);
    }
    if door.contains("app.queues.") {
        queues_of(door).into_iter().for_each(|queue| grants.send(queue));
    }
}

/// Whether a source names a function of a module: `module::name`, `module::{…, name, …}`, or, of what the app holds,
/// `app.module.name`.
fn uses(line: &str, module: &str, name: &str) -> bool {
    let path = format!("{module}::");
    let listed = line.match_indices(&format!("{path}{{")).any(|(place, found)| {
        let names = &line[place + found.len()..];
        let names = names.split('}').next().unwrap_or_default();
        names.split(',').any(|listed| listed.trim() == name)
    });
    listed
        || sources::names_after(line, &path).any(|found| found == name)
        || sources::calls(line, &format!("app.{module}.")).contains(name)
}

fn add_call(grants: &mut Grants, call: &str) {
    if let Some((module, name)) = call.strip_prefix("shared ").and_then(|shared| shared.split_once('.')) {
        let shared = SHARED_CALLS.iter().find(|shared| (shared.module, shared.name) == (module, name));
        shared.expect("in the table").calls.iter().for_each(|call| add_call(grants, call));
        return;
    }
    let (part, name) = call.split_once('.').expect("part.method");
    match part {
        "store" => store_calls::add(grants, name),
        "packages" => {
            let call = PACKAGE_CALLS.iter().find(|call| call.method == name);
            let call = call.unwrap_or_else(|| panic!("Packages::{name} is not in the table of the house"));
            call.bucket.iter().for_each(|(action, objects)| grants.other(action, objects));
            if call.identity == Identity::Used {
                grants.identities();
            }
        }
        "batch_files" => {
            let (_, bucket) = BATCH_FILE_CALLS.iter().find(|(method, _)| *method == name).expect("in the table");
            bucket.iter().for_each(|(action, objects)| grants.other(action, objects));
        }
        "identities" => grants.identities(),
        "webhooks" | "telling" => {
            let shared = SHARED_CALLS.iter().find(|shared| shared.module == part && shared.name == name);
            shared.expect("in the table").calls.iter().for_each(|call| add_call(grants, call));
        }
        "queues" => grants.send(name.strip_prefix("send ").expect("send <queue>")),
        other => panic!("{other}: no part of the app that the house knows"),
    }
}

/// `store.pass`, `identities.of`, …: what a source calls on the app.
fn called(line: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for part in ["store", "packages", "batch_files", "identities"] {
        let receiver = format!("app.{part}");
        // Under another name its calls would not be seen.
        assert!(sources::rests(line, &receiver).all(|rest| rest.starts_with('.')), "{receiver} is used without a call");
        all.extend(sources::calls(line, &format!("{receiver}.")).into_iter().map(|name| format!("{part}.{name}")));
    }
    all
}

/// Which queues a door sends to: those of the steps it names; whoever names none sends whatever is due.
fn queues_of(door: &str) -> BTreeSet<&'static str> {
    let mut queues = BTreeSet::new();
    for step in sources::names_after(door, "Step::") {
        queues.insert(match step {
            "push" | "push_campaign" | "Push" | "PushAgain" | "PushUnfetched" | "PushCampaign" | "PushMembers" => {
                "PushQueue"
            }
            "Webhooks" | "Webhook" => "WebhookQueue",
            "NextOffer" | "ScheduledUpdate" | "Erase" | "EraseAgain" | "Retain" | "RetainCampaign" => "FollowUpQueue",
            "Batch" => "BatchQueue",
            other => panic!("Step::{other}: no step that the house knows"),
        });
    }
    let follows = [("scheduled", "next_intent"), ("erasing", "look_at_all"), ("issuing", "following")];
    if follows.iter().any(|(module, name)| uses(door, module, name)) {
        queues.insert("FollowUpQueue");
    }
    if door.contains("telling::step(") {
        queues.insert("WebhookQueue");
    }
    let only_news = queues.is_empty() && uses(door, "webhooks", "news");
    if queues.is_empty() && !only_news {
        return BTreeSet::from(["PushQueue", "FollowUpQueue", "BatchQueue", "WebhookQueue"]);
    }
    queues
}

/// Protects the table above from a shared part that does something else than it says, or is not in it.
#[test]
fn the_table_says_what_the_shared_parts_call() {
    let sources = sources::below("shared/platform/src");
    for (path, code) in &sources {
        let path = path.trim_start_matches("shared/platform/src/").trim_end_matches(".rs");
        // These two have tables of their own.
        if path.starts_with("store") || path == "packages" {
            continue;
        }
        let name = path.rsplit('/').next().unwrap();
        let listed: BTreeSet<String> = SHARED_CALLS
            .iter()
            .filter(|shared| shared.module == name)
            .flat_map(|shared| shared.calls)
            .filter(|call| !call.starts_with("queues.") && !call.starts_with("shared "))
            .map(|call| (*call).to_owned())
            .collect();
        let line = sources::one_line(code);
        let mut expected = called(&line);
        // What the shared parts use of each other.
        for (module, used) in [("webhooks", "news"), ("telling", "told")] {
            if module != name && uses(&line, module, used) {
                expected.insert(format!("{module}.{used}"));
            }
        }
        assert_eq!(listed, expected, "{path}");
        if !listed.is_empty() {
            let shared = SHARED_CALLS.iter().filter(|shared| shared.module == name);
            let shared: BTreeSet<_> = shared.map(|shared| shared.name.to_owned()).collect();
            assert_eq!(shared, sources::calls(&line, "pub async fn "), "{path}");
        }
    }
}

/// Protects the table above from a new way to the rows of a batch, or to their answers.
#[test]
fn the_table_lists_every_method_of_the_batch_files() {
    let code = sources::code(&crate::checkout::text("shared/platform/src/batch_files.rs"));
    let public: BTreeSet<_> = sources::calls(&sources::one_line(&code), "pub async fn ");
    let listed: BTreeSet<_> = BATCH_FILE_CALLS.iter().map(|(method, _)| (*method).to_owned()).collect();
    assert_eq!(listed, public);
}

/// Protects the table above from a new way to a package.
#[test]
fn the_table_lists_every_method_of_the_packages() {
    let code = sources::code(&crate::checkout::text("shared/platform/src/packages.rs"));
    let public: BTreeSet<_> = sources::calls(&sources::one_line(&code), "pub async fn ");
    let listed: BTreeSet<_> = PACKAGE_CALLS.iter().map(|call| call.method.to_owned()).collect();
    assert_eq!(listed, public);
}
