//! Merchants' keys over HTTP (contract 4, first bullet; the calls as the OpenAPI document describes them).

use std::time::Duration;

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, CAMPAIGN};
use passloop_tests::kept;
use passloop_tests::till::Till;
use passloop_tests::world::World;
use platform::keys::Role;
use platform::store::{Caller, KeyMade, MAXIMUM_KEYS, NewKey};
use reqwest::Method;
use serde_json::{Value, json};

/// Longer than a key is believed without looking.
const LATER: Duration = Duration::from_secs(31);

async fn make(office: &BackOffice, role: &str, name: &str) -> (String, String) {
    let made = office.make_key(&json!({ "role": role, "name": name })).await.expect(201).json();
    let text = |member: &str| made[member].as_str().unwrap_or_else(|| panic!("no {member} in {made}")).to_owned();
    (text("keyId"), text("secret"))
}

async fn listed(office: &BackOffice, key_id: &str) -> Value {
    let keys = office.keys().await;
    keys.iter().find(|key| key["keyId"] == key_id).unwrap_or_else(|| panic!("{key_id} is not in {keys:?}")).clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_made_used_seen_and_revoked() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let made = office.make_key(&json!({ "role": "redeem", "name": "till 3" })).await.expect(201).json();
    let secret = made["secret"].as_str().unwrap();
    let expected = json!({
        "keyId": made["keyId"], "role": "redeem", "name": "till 3", "secret": secret, "createdAt": made["createdAt"],
    });
    assert_eq!(made, expected);
    let key_id = made["keyId"].as_str().unwrap();
    assert_eq!(listed(&office, key_id).await["lastUsedAt"], Value::Null);

    let till = Till::new(world.http(), world.base(), secret, "till 3");
    till.redeem(&pass.barcode).await.expect(201);
    let seen = listed(&office, key_id).await;
    let expected = json!({
        "keyId": key_id, "role": "redeem", "name": "till 3", "createdAt": made["createdAt"],
        "lastUsedAt": made["createdAt"], "revokedAt": null,
    });
    assert_eq!(seen, expected);

    office.revoke_key(key_id).await.expect(204);
    world.advance(LATER);
    till.redeem(&pass.barcode).await.problem(401, "unauthorised");
    let seen = listed(&office, key_id).await;
    assert!(seen["revokedAt"].is_string(), "{seen}");
    // Again: it stays revoked since the first time.
    office.revoke_key(key_id).await.expect(204);
    assert_eq!(listed(&office, key_id).await, seen);
    // The list tells of it for thirty days.
    world.advance(Duration::from_hours(30 * 24));
    assert!(office.keys().await.iter().all(|key| key["keyId"] != key_id));
    till.redeem(&pass.barcode).await.problem(401, "unauthorised");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_is_told_once_and_a_repetition_makes_no_second_key() {
    let world = World::new().await;
    let office = world.back_office();
    let order = json!({ "role": "issue", "name": "shop" });
    let ask = || office.request(Method::POST, "/keys").header("Idempotency-Key", "office 1").json(&order);
    let first = Answer::to(ask()).await.expect(201);
    let secret = first.json()["secret"].as_str().unwrap().to_owned();
    let again = Answer::to(ask()).await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let mut expected = first.json();
    expected["secret"] = Value::Null;
    assert_eq!(again.json(), expected);
    let keys = office.keys().await;
    assert_eq!(keys.iter().filter(|key| key["name"] == "shop").count(), 1);
    assert!(!json!(keys).to_string().contains(&secret));
    // It is a key, and with its own role.
    let shop = world.back_office_with(&secret);
    shop.issue("Ada").await;
    shop.make_key(&order).await.problem(403, "forbidden");
    Answer::to(shop.request(Method::GET, "/keys")).await.problem(403, "forbidden");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_order_is_told_whole() {
    let world = World::empty().await;
    let office = world.back_office();
    let answer = office.make_key(&json!({ "role": "king", "name": "", "till": 3 })).await;
    answer.problem(422, "invalid");
    assert_eq!(answer.problem_paths(), ["/role", "/name", "/till"]);
    let answer = office.make_key(&json!({ "name": "x".repeat(101) })).await;
    assert_eq!(answer.problem_paths(), ["/role", "/name"]);
    office.make_key(&json!({ "role": "admin", "name": "x".repeat(100) })).await.expect(201);
    office.make_key(&json!({ "role": "admin", "name": null })).await.expect(201);
    office.revoke_key("nonsense").await.problem(404, "not_found");
    Answer::to(office.request(Method::GET, "/keys?page=2")).await.problem(422, "invalid");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_locks_themselves_out() {
    let world = World::empty().await;
    let office = world.back_office();
    let own = office.keys().await[0]["keyId"].as_str().unwrap().to_owned();
    make(&office, "issue", "shop").await;
    office.revoke_key(&own).await.problem(409, "last_admin_key");
    // With another there, one's own may go, and at once makes no further keys.
    let (next, secret) = make(&office, "admin", "next").await;
    office.revoke_key(&own).await.expect(204);
    office.make_key(&json!({ "role": "admin" })).await.problem(401, "unauthorised");
    let office = world.back_office_with(&secret);
    office.revoke_key(&next).await.problem(409, "last_admin_key");
    // A revoked one is no other.
    let (spare, _) = make(&office, "admin", "spare").await;
    office.revoke_key(&spare).await.expect(204);
    office.revoke_key(&next).await.problem(409, "last_admin_key");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_all_admin_keys_revoked_at_once_one_is_left() {
    let world = World::empty().await;
    let office = world.back_office();
    for name in ["a", "b", "c", "d"] {
        make(&office, "admin", name).await;
    }
    let keys = office.keys().await;
    let calls: Vec<_> = keys
        .iter()
        .map(|key| {
            let (office, key_id) = (office.clone(), key["keyId"].as_str().unwrap().to_owned());
            tokio::spawn(async move { office.revoke_key(&key_id).await.status })
        })
        .collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap());
    }
    // Whoever comes after the office's own key is gone is answered 401; nobody takes the last.
    let gone = statuses.iter().filter(|status| **status == 204).count();
    assert!((1..=4).contains(&gone) && statuses.iter().all(|status| [204, 401, 409].contains(status)), "{statuses:?}");
    let store = &world.local().app().store;
    let left = store.keys("local", world.now()).await.unwrap();
    let left = left.iter().filter(|key| key.revoked_at.is_none()).count();
    assert_eq!(left, 5 - gone);
    assert!(left >= 1);
    world.end().await;
}

/// What a stolen key does while its merchant revokes it. The thief's call is held back where it reads the list of keys, or
/// where it writes what it decided on it.
async fn revoked_meanwhile(held_at: &str, does: impl AsyncFn(&BackOffice, &str) -> Answer) {
    let (world, tap, underneath) = World::tapped().await;
    let office = world.back_office();
    let own = office.keys().await[0]["keyId"].as_str().unwrap().to_owned();
    let (stolen, secret) = make(&office, "admin", "stolen").await;
    let thief = world.back_office_with(&secret);
    let mut held = tap.hold(held_at);
    let revoke = async {
        held.caught().await;
        office.revoke_key(&stolen).await.expect(204);
        drop(held);
    };
    let (answer, ()) = tokio::join!(does(&thief, &own), revoke);
    answer.problem(401, "unauthorised");
    let mut keys = office.keys().await;
    keys.retain(|key| key["revokedAt"].is_null());
    assert!(keys.len() == 1 && keys[0]["keyId"] == own.as_str(), "{keys:?}");
    world.end().await;
    underneath.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_meanwhile_makes_no_other() {
    for held_at in ["GetItem", "TransactWriteItems"] {
        revoked_meanwhile(held_at, async |thief, _| thief.make_key(&json!({ "role": "admin" })).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_meanwhile_revokes_no_other() {
    for held_at in ["GetItem", "TransactWriteItems"] {
        revoked_meanwhile(held_at, async |thief, own| thief.revoke_key(own).await).await;
    }
}

/// Such a key is in no list; whoever made it by hand revokes it by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_version_1_that_is_revoked_meanwhile_makes_and_revokes_no_other() {
    let (world, tap, underneath) = World::tapped().await;
    let office = world.back_office();
    // The item of the secret "old".
    let item = json!({
        "pk": { "S": "KEY#cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4" }, "sk": { "S": "KEY" },
        "v": { "N": "1" }, "merchant_id": { "S": "local" }, "role": { "S": "admin" },
        "created_at": { "S": "2026-01-01T00:00:00.000Z" },
    });
    let mut revoked = item.clone();
    revoked["revoked_at"] = json!({ "S": "2026-01-02T00:00:00.000Z" });
    let put = async |item: &Value| drop(kept::dynamodb(&world, "PutItem", json!({ "Item": item })).await);
    let old = world.back_office_with("old");
    put(&item).await;
    let (till, _) = make(&old, "redeem", "till").await;
    let order = json!({ "role": "admin" });
    for making in [true, false] {
        put(&item).await;
        let mut held = tap.hold("TransactWriteItems");
        let revoke = async {
            held.caught().await;
            put(&revoked).await;
            drop(held);
        };
        let ask = async { if making { old.make_key(&order).await } else { old.revoke_key(&till).await } };
        let (answer, ()) = tokio::join!(ask, revoke);
        answer.problem(401, "unauthorised");
    }
    let keys = office.keys().await;
    assert!(keys.len() == 2 && keys.iter().all(|key| key["revokedAt"].is_null()), "{keys:?}");
    world.end().await;
    underneath.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_use_is_noted_once_an_hour() {
    let world = World::new().await;
    let office = world.back_office();
    let (key_id, secret) = make(&office, "issue", "shop").await;
    let shop = world.back_office_with(&secret);
    let used = async || {
        Answer::to(shop.request(Method::GET, &format!("/campaigns/{CAMPAIGN}"))).await.expect(200);
        listed(&office, &key_id).await["lastUsedAt"].as_str().unwrap().to_owned()
    };
    let first = used().await;
    world.advance(Duration::from_mins(59));
    assert_eq!(used().await, first);
    world.advance(Duration::from_mins(2));
    let second = used().await;
    assert_eq!(second.parse::<jiff::Timestamp>().unwrap(), world.now());
    world.advance(LATER);
    assert_eq!(used().await, second);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_services_own_key_outlives_a_restart_unless_it_was_revoked() {
    let world = World::on_disk().await;
    let own = world.local().merchant_key().to_owned();
    let world = world.restart().await;
    assert_eq!(world.local().merchant_key(), own);
    let office = world.back_office();
    let [key] = &office.keys().await[..] else { panic!("one key") };
    let key_id = key["keyId"].as_str().unwrap().to_owned();
    let (_, secret) = make(&office, "admin", "mine").await;
    office.revoke_key(&key_id).await.expect(204);
    let world = world.restart().await;
    world.back_office_with(&own).make_key(&json!({ "role": "redeem" })).await.problem(401, "unauthorised");
    // Contract 1: `merchantKey` has the role admin.
    assert_ne!(world.local().merchant_key(), own);
    assert_eq!(world.back_office().keys().await.len(), 3);
    assert_eq!(world.back_office_with(&secret).keys().await.len(), 3);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merchant_has_so_many_keys_and_no_more() {
    let world = World::empty().await;
    let store = &world.local().app().store;
    for number in 1..MAXIMUM_KEYS {
        let (id, secret) = (format!("key {number}"), format!("secret {number}"));
        let new = NewKey { key_id: &id, secret: &secret, merchant_id: "local", role: Role::Redeem, name: None };
        assert_eq!(store.make_key(new, Caller::Operator, None, world.now()).await.unwrap(), KeyMade::Done);
    }
    let office = world.back_office();
    office.make_key(&json!({ "role": "redeem" })).await.problem(409, "too_many_keys");
    office.revoke_key("key 7").await.expect(204);
    office.make_key(&json!({ "role": "redeem" })).await.problem(409, "too_many_keys");
    world.advance(Duration::from_hours(30 * 24));
    office.make_key(&json!({ "role": "redeem" })).await.expect(201);
    // Another merchant's are counted apart.
    world.key_of_another_merchant().await;
    world.end().await;
}
