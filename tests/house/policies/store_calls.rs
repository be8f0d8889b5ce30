//! What each method of the store does to the table.

use std::collections::{BTreeMap, BTreeSet};

use super::grants::Grants;
use crate::sources;

const GET: &str = "GetItem";
const BATCH: &str = "BatchGetItem";
const QUERY: &str = "Query";
const PUT: &str = "PutItem";
const UPDATE: &str = "UpdateItem";
const DELETE: &str = "DeleteItem";
const CHECK: &str = "ConditionCheckItem";

/// A method, what it reads and what it writes: actions, and partitions by how their keys begin.
pub(super) struct StoreCall {
    pub(super) method: &'static str,
    reads: Access,
    writes: Access,
}

type Access = (&'static [&'static str], &'static [&'static str]);

const NOTHING: Access = (&[], &[]);
/// The writing of a pass: with what came of it, its barcodes, its link, the answer and the steps that follow.
const CHANGE: Access = (&[PUT, DELETE], &["PASS#*", "BARCODE#*", "LINK#*", "ONCE#*", "DUE#*"]);

/// The writing of a pass with a redemption of it, or its reversal, and what that counts.
const COUNTED_CHANGE: Access = (
    &[PUT, UPDATE, DELETE],
    &["PASS#*", "BARCODE#*", "LINK#*", "ONCE#*", "DUE#*", "REDEMPTION#*", "TALLY#*", "HOLDER#*"],
);

const fn call(method: &'static str, reads: Access, writes: Access) -> StoreCall {
    StoreCall { method, reads, writes }
}

/// Every public method of `Store`.
const STORE_CALLS: &[StoreCall] = &[
    call("add_intents", NOTHING, (&[PUT], &["DUE#*"])),
    call(
        "begin_erasure",
        NOTHING,
        (&[PUT, DELETE], &["PASS#*", "BARCODE#*", "LINK#*", "ONCE#*", "DUE#*", "MEMBERS#*"]),
    ),
    call("assign_pass_type", (&[GET], &["TYPE#*"]), (&[PUT, CHECK], &["TYPE#*"])),
    call("batch", (&[GET], &["BATCH#*"]), NOTHING),
    call("batch_chunks", (&[QUERY], &["BATCH#*"]), NOTHING),
    call("campaign", (&[GET], &["CAMPAIGN#*"]), NOTHING),
    call("campaigns", (&[QUERY, BATCH], &["CAMPAIGNS#*", "CAMPAIGN#*"]), NOTHING),
    call("campaigns_of_template", (&[QUERY, BATCH], &["TEMPLATE#*", "CAMPAIGN#*"]), NOTHING),
    call("carry_out", NOTHING, (&[PUT, DELETE], &["UPDATES#*", "CAMPAIGN#*", "PASS#*", "DUE#*"])),
    call("change", NOTHING, CHANGE),
    call("change_batch", NOTHING, (&[PUT, DELETE], &["BATCH#*", "DUE#*", "ONCE#*"])),
    call("count_download", NOTHING, (&[UPDATE], &["LINK#*"])),
    call("count_registrations", (&[QUERY], &["PASS#*"]), NOTHING),
    call("counts", (&[QUERY, GET], &["PASS#*", "LINK#*"]), NOTHING),
    call("diagnose", (&[BATCH], &["PASS#*"]), (&[PUT], &["PASS#*"])),
    call("done", NOTHING, (&[DELETE], &["DUE#*"])),
    call("due", (&[QUERY], &["DUE#*"]), NOTHING),
    call("dead_letter", (&[GET], &["WEBHOOKS#*"]), NOTHING),
    call("dead_letters", (&[QUERY], &["WEBHOOKS#*"]), NOTHING),
    call("delete_webhook", NOTHING, (&[DELETE], &["WEBHOOKS#*"])),
    call("deliveries", (&[QUERY], &["DELIVERIES#*"]), NOTHING),
    call("drop_dead_letter", NOTHING, (&[DELETE], &["WEBHOOKS#*"])),
    call("erased", (&[GET], &["ERASED#*"]), NOTHING),
    call("events", (&[QUERY], &["PASS#*"]), NOTHING),
    call("find_link", (&[GET], &["LINK#*"]), NOTHING),
    call("finish_erasure", NOTHING, (&[PUT, UPDATE, DELETE], &["PASS#*", "ERASED#*", "TALLY#*", "DUE#*"])),
    call(
        "forget",
        (&[QUERY, GET], &["PASS#*", "ONCE#*", "REDEMPTION#*"]),
        (&[PUT, UPDATE, DELETE], &["PASS#*", "DEVICE#*", "TALLY#*", "ONCE#*", "REDEMPTION#*", "UPDATES#*"]),
    ),
    call(
        "forget_answers",
        (&[QUERY, GET], &["PASS#*", "ONCE#*", "REDEMPTION#*"]),
        (&[PUT, DELETE], &["PASS#*", "ONCE#*", "REDEMPTION#*", "UPDATES#*"]),
    ),
    call("has_webhooks", (&[QUERY], &["WEBHOOKS#*"]), NOTHING),
    call("history", (&[QUERY], &["PASS#*"]), NOTHING),
    call("intent", (&[GET], &["DUE#*"]), NOTHING),
    call(
        "issue",
        NOTHING,
        (
            &[PUT, UPDATE, CHECK],
            &["PASS#*", "BARCODE#*", "LINK#*", "MEMBERS#*", "ONCE#*", "TALLY#*", "ERASED#*", "DUE#*"],
        ),
    ),
    call(
        "issue_several",
        NOTHING,
        (
            &[PUT, UPDATE, CHECK],
            &["BATCH#*", "PASS#*", "BARCODE#*", "DUE#*", "ERASED#*", "LINK#*", "MEMBERS#*", "TALLY#*"],
        ),
    ),
    call("keep_report", NOTHING, (&[UPDATE], &["REPORTS"])),
    call("holding", (&[GET], &["TYPE#*"]), NOTHING),
    call("key", (&[BATCH], &["KEY#*", "USED#*"]), NOTHING),
    call("keys", (&[GET, QUERY, BATCH], &["KEYS#*", "USED#*"]), NOTHING),
    call("make_batch", NOTHING, (&[PUT], &["BATCH#*", "DUE#*", "ONCE#*"])),
    call("log_delivery", NOTHING, (&[PUT], &["DELIVERIES#*"])),
    call("make_key", (&[GET, QUERY], &["KEYS#*"]), (&[PUT, CHECK], &["KEY#*", "KEYS#*", "ONCE#*"])),
    call("members", (&[QUERY, BATCH], &["MEMBERS#*", "PASS#*"]), NOTHING),
    call("note_fetched", NOTHING, (&[PUT, UPDATE], &["PASS#*", "TALLY#*", "DUE#*"])),
    call("note_use", NOTHING, (&[UPDATE], &["USED#*"])),
    call("note_sent", NOTHING, (&[UPDATE], &["DUE#*"])),
    call("pass", (&[GET], &["PASS#*"]), NOTHING),
    call("pass_and_campaign", (&[BATCH], &["PASS#*", "CAMPAIGN#*"]), NOTHING),
    call("pass_for_phone", (&[BATCH], &["PASS#*", "CAMPAIGN#*"]), NOTHING),
    call("pass_on_device", (&[BATCH], &["PASS#*", "CAMPAIGN#*"]), NOTHING),
    call("passes_on_device", (&[QUERY, BATCH], &["DEVICE#*", "PASS#*", "CAMPAIGN#*"]), NOTHING),
    call("progress", NOTHING, (&[PUT, DELETE], &["DUE#*", "PASS#*"])),
    call(
        "put_campaign",
        NOTHING,
        (&[PUT, UPDATE, DELETE, CHECK], &["CAMPAIGN#*", "CAMPAIGNS#*", "TEMPLATE#*", "TYPE#*", "DUE#*"]),
    ),
    call("put_template", NOTHING, (&[PUT], &["TEMPLATE#*", "TEMPLATES#*", "CAMPAIGN#*", "DUE#*"])),
    call("put_telling", NOTHING, (&[PUT, DELETE], &["PASS#*", "DUE#*", "WEBHOOKS#*"])),
    call("put_webhook", NOTHING, (&[PUT], &["WEBHOOKS#*", "ONCE#*"])),
    call("record", NOTHING, (&[PUT], &["ONCE#*"])),
    call("recorded", (&[GET], &["ONCE#*"]), NOTHING),
    call("recorded_and_barcode", (&[BATCH], &["ONCE#*", "BARCODE#*"]), NOTHING),
    call("recorded_and_pass", (&[BATCH], &["ONCE#*", "PASS#*", "CAMPAIGN#*"]), NOTHING),
    call("redeem", NOTHING, COUNTED_CHANGE),
    call("redemption", (&[GET], &["REDEMPTION#*"]), NOTHING),
    call("register", NOTHING, (&[PUT, UPDATE], &["PASS#*", "DEVICE#*", "DUE#*", "TALLY#*"])),
    call("register_again", NOTHING, (&[PUT], &["PASS#*", "DEVICE#*"])),
    call("replay", (&[GET], &["PASS#*"]), (&[PUT, DELETE, CHECK], &["PASS#*", "DUE#*", "WEBHOOKS#*"])),
    call("report", (&[QUERY, BATCH], &["TALLY#*"]), NOTHING),
    call("reverse", NOTHING, COUNTED_CHANGE),
    call("registrations", (&[QUERY], &["PASS#*"]), NOTHING),
    call("registrations_of", (&[BATCH], &["PASS#*"]), NOTHING),
    call("revoke_key", (&[GET, QUERY], &["KEYS#*"]), (&[PUT, UPDATE, CHECK], &["KEY#*", "KEYS#*"])),
    call("schedule", NOTHING, (&[PUT], &["UPDATES#*", "PASS#*", "ONCE#*", "DUE#*"])),
    call("show", NOTHING, (&[PUT], &["PASS#*", "DUE#*"])),
    call("spent", (&[BATCH], &["TALLY#*", "HOLDER#*"]), NOTHING),
    call("tell_once", (&[GET], &["PASS#*"]), (&[PUT], &["PASS#*"])),
    call("telling", (&[GET], &["PASS#*"]), NOTHING),
    call("template", (&[GET], &["TEMPLATE#*"]), NOTHING),
    call("template_version", (&[GET], &["TEMPLATE#*"]), NOTHING),
    call("templates", (&[QUERY, BATCH], &["TEMPLATES#*", "TEMPLATE#*"]), NOTHING),
    call("unregister", (&[GET], &["PASS#*"]), (&[PUT, UPDATE, DELETE], &["PASS#*", "DEVICE#*", "TALLY#*", "DUE#*"])),
    call("update", (&[GET], &["UPDATES#*"]), NOTHING),
    call("updates", (&[QUERY], &["UPDATES#*"]), NOTHING),
    call("stop_lanes", NOTHING, (&[PUT], &["BATCH#*"])),
    call("were_issued", (&[BATCH], &["PASS#*"]), NOTHING),
    call("webhook", (&[GET], &["WEBHOOKS#*"]), NOTHING),
    call("webhooks", (&[QUERY], &["WEBHOOKS#*"]), NOTHING),
];

/// The name of a key in the store's code, and how the partition it names begins.
const KEYS: &[(&str, &str)] = &[
    ("items::pass_key(", "PASS#*"),
    ("items::pass_partition(", "PASS#*"),
    ("items::registration_key(", "PASS#*"),
    ("items::answer_mark_key(", "PASS#*"),
    ("items::update_mark_key(", "PASS#*"),
    ("items::erased_key(", "ERASED#*"),
    ("event_key(", "PASS#*"),
    ("webhooks_partition(", "WEBHOOKS#*"),
    ("webhook_key(", "WEBHOOKS#*"),
    ("dead_letter_key(", "WEBHOOKS#*"),
    ("deliveries_partition(", "DELIVERIES#*"),
    ("telling_key(", "PASS#*"),
    ("diagnosed_key(", "PASS#*"),
    ("told_key(", "PASS#*"),
    ("batch_partition(", "BATCH#*"),
    ("batch_key(", "BATCH#*"),
    ("chunk_key(", "BATCH#*"),
    ("stop_key(", "BATCH#*"),
    ("items::device_partition(", "DEVICE#*"),
    ("items::device_key(", "DEVICE#*"),
    ("items::barcode_key(", "BARCODE#*"),
    ("items::link_key(", "LINK#*"),
    ("items::campaign_key(", "CAMPAIGN#*"),
    ("items::members_partition(", "MEMBERS#*"),
    ("items::member_key(", "MEMBERS#*"),
    ("items::template_partition(", "TEMPLATE#*"),
    ("items::template_key(", "TEMPLATE#*"),
    ("items::template_version_key(", "TEMPLATE#*"),
    ("items::templates_partition(", "TEMPLATES#*"),
    ("items::campaigns_partition(", "CAMPAIGNS#*"),
    ("items::template_campaign_key(", "TEMPLATE#*"),
    ("update_key(", "UPDATES#*"),
    ("\"UPDATES#{merchant_id}\"", "UPDATES#*"),
    ("once_key(", "ONCE#*"),
    ("key_of(", "KEY#*"),
    ("use_of(", "USED#*"),
    ("roster_partition(", "KEYS#*"),
    ("listed_key(", "KEYS#*"),
    ("head_key(", "KEYS#*"),
    ("type_key(", "TYPE#*"),
    (".to_key()", "DUE#*"),
    ("\"DUE#{shard}\"", "DUE#*"),
    ("report_key(", "REPORTS"),
    ("redemption_key(", "REDEMPTION#*"),
    ("shard_key(", "TALLY#*"),
    ("holder_key(", "HOLDER#*"),
    ("Key::new(\"CHECK\"", "CHECK"),
];

/// What in the store's code is one action.
const ACTIONS: &[(&str, &str)] = &[
    (".get_item()", GET),
    (".batch_get_item()", BATCH),
    (".query()", QUERY),
    (".update_item()", UPDATE),
    ("Put::builder()", PUT),
    ("Update::builder()", UPDATE),
    ("Delete::builder()", DELETE),
    ("ConditionCheck::builder()", CHECK),
];

/// Adds what a method needs.
pub(super) fn add(grants: &mut Grants, method: &str) {
    let call = STORE_CALLS.iter().find(|call| call.method == method);
    let call = call.unwrap_or_else(|| panic!("Store::{method} is not in the table of the house"));
    for (actions, keys) in [call.reads, call.writes] {
        grants.table(actions, keys);
    }
}

/// A method of the store's code: of which type, its name, whether others may call it, and its code on one line.
struct Method {
    owner: String,
    name: String,
    public: bool,
    body: String,
}

/// The methods of `Store` and `Transaction`: rustfmt puts each at four spaces, down to a bracket at four spaces.
fn methods() -> Vec<Method> {
    let mut found: Vec<Method> = Vec::new();
    let sources = sources::below("shared/platform/src");
    for (_, code) in sources.iter().filter(|(path, _)| path.starts_with("shared/platform/src/store")) {
        let (mut owner, mut open) = (String::new(), false);
        for line in code.lines() {
            if let Some(implemented) = line.strip_prefix("impl ") {
                owner = implemented.trim_end_matches(" {").to_owned();
            }
            let declared = line.strip_prefix("    ").filter(|line| !line.starts_with(' '));
            if let Some((before, rest)) = declared.and_then(|line| line.split_once("fn "))
                && matches!(before.trim_end(), "" | "async" | "pub" | "pub async" | "pub(super)" | "pub(super) async")
            {
                let name = rest.split(['(', '<']).next().unwrap().to_owned();
                let public = before.starts_with("pub ");
                found.push(Method { owner: owner.clone(), name, public, body: String::new() });
                open = true;
            }
            if open {
                found.last_mut().unwrap().body += &format!("{line}\n");
            }
            open &= line != "    }";
        }
    }
    found.retain(|method| method.owner == "Store" || method.owner == "Transaction");
    found.iter_mut().for_each(|method| method.body = sources::one_line(&method.body));
    found
}

/// The code of a method and of every method it calls.
fn reached<'a>(methods: &'a [Method], owner: &str, name: &str, reached_before: &mut BTreeMap<String, &'a str>) {
    let method = methods.iter().find(|method| method.owner == owner && method.name == name);
    let method = method.unwrap_or_else(|| panic!("{owner}::{name} is not where the house looks for it"));
    if reached_before.insert(format!("{owner}::{name}"), &method.body).is_some() {
        return;
    }
    for called in sources::calls(&method.body, "self.") {
        reached(methods, owner, &called, reached_before);
    }
    for called in sources::calls(&method.body, "transaction.") {
        reached(methods, "Transaction", &called, reached_before);
    }
}

/// Protects the table above from a method that does something else than it says, or is not in it.
#[test]
fn the_table_says_what_the_stores_methods_do() {
    let methods = methods();
    let public: BTreeSet<&str> =
        methods.iter().filter(|method| method.public && method.owner == "Store").map(|method| &*method.name).collect();
    let listed: BTreeSet<&str> = STORE_CALLS.iter().map(|call| call.method).chain(["new"]).collect();
    assert_eq!(listed, public);
    for call in STORE_CALLS {
        let mut bodies = BTreeMap::new();
        reached(&methods, "Store", call.method, &mut bodies);
        let mentioned = |table: &[(&str, &'static str)]| -> BTreeSet<&str> {
            let hits = table.iter().filter(|(name, _)| bodies.values().any(|body| body.contains(name)));
            hits.map(|(_, meaning)| *meaning).collect()
        };
        let both = |one: &'static [&str], other: &'static [&str]| one.iter().chain(other).copied().collect();
        assert_eq!(mentioned(ACTIONS), both(call.reads.0, call.writes.0), "actions of {}", call.method);
        assert_eq!(mentioned(KEYS), both(call.reads.1, call.writes.1), "keys of {}", call.method);
    }
}

/// Protects the table of keys from a partition that the store has and the house does not know.
#[test]
fn every_kind_of_partition_is_known() {
    let sources = sources::below("shared/platform/src/store");
    let mut named = BTreeSet::new();
    for (_, code) in &sources {
        let texts = code.split('"').skip(1).step_by(2);
        let partitions = texts.filter_map(|text| text.split_once("#{")).map(|(kind, _)| kind.to_owned());
        let is_kind = |kind: &String| kind.chars().all(|letter| letter.is_ascii_uppercase());
        // Sort keys alone begin so; DEVICE and CAMPAIGN begin both.
        let sorts = [
            "ANSWER",
            "CHUNK",
            "DAY",
            "DEAD",
            "DIAGNOSED",
            "EVENT",
            "HOOK",
            "LISTED",
            "STOP",
            "TOLD",
            "UPDATE",
            "VERSION",
        ];
        named.extend(partitions.filter(is_kind).filter(|kind| !sorts.contains(&kind.as_str())));
    }
    let known: BTreeSet<_> = KEYS.iter().filter_map(|(_, key)| key.strip_suffix("#*")).map(str::to_owned).collect();
    assert_eq!(named, known);
}
