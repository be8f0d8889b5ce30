//! Webhooks: a merchant's own server is told what happens to their passes (issue 6, "Webhooks"; standardwebhooks.com).

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use passkit::identifiers::PassIdentity;
use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, CAMPAIGN, Issued, PASS_TYPE};
use passloop_tests::receiver::{Received, Receiver, Reply};
use passloop_tests::world::World;
use platform::store::{Along, Intent};
use platform::webhooks::telling;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// A world that admits webhooks on this machine, as `cargo run` does where it is told so.
async fn world() -> World {
    World::with_variables(&[("WEBHOOKS_TO_THIS_MACHINE", "true")]).await
}

async fn put(office: &BackOffice, id: &str, body: &Value) -> Answer {
    Answer::to(office.request(Method::PUT, &format!("/webhooks/{id}")).json(body)).await
}

async fn post(office: &BackOffice, path: &str, body: &Value) -> Answer {
    Answer::to(office.request(Method::POST, &format!("/webhooks/{path}")).json(body)).await
}

async fn get(office: &BackOffice, path: &str) -> Answer {
    Answer::to(office.request(Method::GET, &format!("/webhooks{path}"))).await
}

/// A webhook at this receiver that is in force. Gives its secret.
async fn webhook(world: &World, id: &str, receiver: &Receiver, events: &Value) -> String {
    let body = json!({ "url": receiver.url("/hook?shop=1"), "events": events });
    let made = put(&world.back_office(), id, &body).await.expect(201).json();
    world.advance(MINUTE);
    made["secret"].as_str().expect("a secret").to_owned()
}

fn types(received: &[Received]) -> Vec<String> {
    received.iter().map(|each| each.json()["type"].as_str().unwrap().to_owned()).collect()
}

/// Bytes through `openssl`, the outside opinion.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let program = Command::new("openssl").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut program = program.expect("openssl");
    program.stdin.take().unwrap().write_all(input).unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// What Standard Webhooks says the signature is, computed by openssl.
fn signature(secret: &str, received: &Received) -> String {
    let key = openssl(&["base64", "-d", "-A"], secret.strip_prefix("whsec_").expect("whsec_").as_bytes());
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let signed =
        format!("{}.{}.{}", received.header("webhook-id"), received.header("webhook-timestamp"), received.body);
    let mac = format!("hexkey:{hex}");
    let digest = openssl(&["dgst", "-sha256", "-mac", "HMAC", "-macopt", &mac, "-binary"], signed.as_bytes());
    format!("v1,{}", String::from_utf8(openssl(&["base64", "-A"], &digest)).unwrap().trim())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_a_pass_is_told_in_order_and_signed() {
    let world = world().await;
    let receiver = Receiver::start().await;
    let secret = webhook(&world, "shop", &receiver, &Value::Null).await;
    let (pass, mut phone) = world.customer("Ada").await;
    receiver.wait_for(3).await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    receiver.wait_for(5).await;
    world.pass_time(Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    receiver.wait_for(7).await;
    world.advance(Duration::from_secs(1));
    phone.delete(&pass.serial).await;
    receiver.wait_for(8).await;
    world.advance(Duration::from_secs(1));
    world.back_office().void(&pass).await.expect(200);
    let received = receiver.wait_for(9).await;
    let told = types(&received);
    assert_eq!(
        told,
        [
            "pass.issued",
            "pass.installed",
            "pass.delivered",
            "pass.redeemed",
            "pass.delivered",
            "pass.offer",
            "pass.delivered",
            "pass.removed",
            "pass.voided"
        ]
    );
    let mut ids: Vec<&str> = received.iter().map(|each| each.header("webhook-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 9);
    for each in &received {
        assert_eq!((each.method.as_str(), each.path.as_str()), ("POST", "/hook?shop=1"));
        assert_eq!(each.header("webhook-signature"), signature(&secret, each));
        assert_eq!(each.header("content-type"), "application/json");
        let told = each.json();
        assert_eq!(told["data"]["serialNumber"], json!(pass.serial));
        assert_eq!(
            (&told["data"]["passTypeIdentifier"], &told["data"]["campaignId"]),
            (&json!(PASS_TYPE), &json!(CAMPAIGN))
        );
        assert!(told["timestamp"].is_string());
        // No secret leaves: not the token, not a barcode, not the holder.
        for kept in [&pass.barcode, phone.push_token(), "Ada"] {
            assert!(!each.body.contains(kept), "{}", each.body);
        }
    }
    let redeemed = received[3].json();
    assert_eq!(
        (&redeemed["data"]["offerId"], &redeemed["data"]["location"]),
        (&json!("free-croissant"), &json!("Rue Cler"))
    );
    // What became of them can be read.
    let last = get(&world.back_office(), "/shop").await.expect(200).json();
    assert_eq!((&last["deadLetters"], &last["lastDelivery"]["outcome"]), (&json!(0), &json!("delivered")));
    assert_eq!(last["lastDelivery"]["status"], 200);
    let ask = || async { get(&world.back_office(), "/shop/deliveries").await.expect(200).json()["deliveries"].clone() };
    let all = world.until("each is kept", ask, |all| all.as_array().unwrap().len() == 9).await;
    assert!(!all.to_string().contains("whsec_") && !last.to_string().contains("whsec_"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_delivery_is_tried_again_and_holds_back_what_follows() {
    let world = world().await;
    let receiver = Receiver::start().await;
    webhook(&world, "shop", &receiver, &json!(["pass.issued", "pass.voided"])).await;
    let other = Receiver::start().await;
    webhook(&world, "other", &other, &json!(["pass.voided"])).await;
    receiver.answer_next([Reply::Status(500), Reply::Redirect(other.url("/elsewhere"))]);
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    receiver.wait_for(1).await;
    // The void is not told before the issue was, to this one; the other does not wait.
    world.advance(Duration::from_secs(1));
    office.void(&pass).await.expect(200);
    assert_eq!(types(&other.wait_for(1).await), ["pass.voided"]);
    // A second pass does not wait either.
    receiver.answer(Reply::Status(204));
    let ask = || async { deliveries(&world, "shop").await.len() };
    world.until("the first failure is kept", ask, |count| *count == 1).await;
    tries_again(&world, &receiver, 2).await;
    // 302 is no delivery, and is not followed.
    assert_eq!(other.received().len(), 1);
    tries_again(&world, &receiver, 4).await;
    let received = receiver.received();
    assert_eq!(types(&received), ["pass.issued", "pass.issued", "pass.issued", "pass.voided"]);
    let ids: Vec<&str> = received.iter().map(|each| each.header("webhook-id")).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    let ask = || deliveries(&world, "shop");
    let told = world.until("all are kept", ask, |told| told.len() == 4).await;
    let mut outcomes: Vec<(u64, u64)> = told
        .iter()
        .filter(|each| each["type"] == "pass.issued")
        .map(|each| (each["attempt"].as_u64().unwrap(), each["status"].as_u64().unwrap()))
        .collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [(1, 500), (2, 302), (3, 204)]);
    world.end().await;
}

async fn deliveries(world: &World, id: &str) -> Vec<Value> {
    let told = get(&world.back_office(), &format!("/{id}/deliveries")).await.expect(200).json();
    told["deliveries"].as_array().unwrap().clone()
}

/// Time passes until the receiver has so many requests.
async fn tries_again(world: &World, receiver: &Receiver, count: usize) {
    let ask = || async {
        world.pass_time(Duration::from_secs(5)).await;
        receiver.received().len()
    };
    world.until("it is tried again", ask, |received| *received >= count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_for_too_long_is_given_up_and_can_be_replayed() {
    let world =
        World::with_variables(&[("WEBHOOKS_TO_THIS_MACHINE", "true"), ("WEBHOOK_GIVE_UP_SECONDS", "3600")]).await;
    let receiver = Receiver::start().await;
    webhook(&world, "shop", &receiver, &json!(["pass.issued", "pass.updated", "pass.voided"])).await;
    let office = world.back_office();
    receiver.answer(Reply::Status(503));
    let pass = office.issue("Ada").await;
    receiver.wait_for(1).await;
    world.advance(Duration::from_secs(1));
    office.patch_holder(&pass, json!({ "name": "Ada L." })).await.expect(200);
    let ask = || async {
        world.pass_time(MINUTE * 5).await;
        get(&office, "/shop").await.expect(200).json()
    };
    let told = world.until("it is given up", ask, |told| told["deadLetters"] == 1).await;
    assert_eq!((&told["lastDelivery"]["outcome"], &told["lastDelivery"]["status"]), (&json!("dead"), &json!(503)));
    // The clock jumps over leases: a second worker may be at it.
    let no_intent = |intents: &Vec<Intent>| intents.is_empty();
    let swept = || async {
        world.pass_time(MINUTE * 5).await;
        world.intents().await
    };
    world.until("nobody tries any more", swept, no_intent).await;
    let tried = receiver.received().len();
    world.pass_time(DAY).await;
    assert_eq!(receiver.received().len(), tried);
    // Given up once more: what was given up before it is not forgotten.
    let name = json!({ "name": "Ada Lovelace" });
    office.patch_holder(&pass, name).await.expect(200);
    receiver.wait_for(tried + 1).await;
    let ask = || async {
        world.pass_time(MINUTE * 5).await;
        get(&office, "/shop").await.expect(200).json()["lastDelivery"]["outcome"].clone()
    };
    world.until("it is tried again", ask, |outcome| *outcome == "again").await;
    world.until("it is given up again", ask, |outcome| *outcome == "dead").await;
    world.until("nobody tries any more", swept, no_intent).await;
    let tried = receiver.received().len();
    // Mended: what happens from now on is told, and what was given up when somebody asks for it, in its order.
    receiver.answer(Reply::Status(200));
    office.void(&pass).await.expect(200);
    let received = receiver.wait_for(tried + 1).await;
    assert_eq!(received[tried].json()["type"], "pass.voided");
    let replayed = post(&office, "shop/replay", &json!({})).await.expect(200).json();
    assert_eq!(replayed, json!({ "passes": 1, "more": false }));
    let received = receiver.wait_for(tried + 5).await;
    assert_eq!(types(&received[tried + 1..]), ["pass.issued", "pass.updated", "pass.updated", "pass.voided"]);
    assert_eq!(received[tried].header("webhook-id"), received[tried + 4].header("webhook-id"));
    let ask = || async { get(&office, "/shop").await.expect(200).json()["deadLetters"].clone() };
    world.until("nothing is dead", ask, |dead| *dead == 0).await;
    // One pass, from the beginning; another merchant's is unknown.
    let named = json!({ "passTypeIdentifier": pass.pass_type, "serialNumber": pass.serial });
    post(&office, "shop/replay", &named).await.expect(200);
    receiver.wait_for(tried + 9).await;
    let nobody = json!({ "passTypeIdentifier": PASS_TYPE, "serialNumber": "nobody" });
    post(&office, "shop/replay", &nobody).await.problem(404, "unknown_pass");
    post(&office, "shop/replay", &json!({ "serialNumber": "1" })).await.problem(422, "invalid");
    world.end().await;
}

/// Of a pass that is gone nothing can be told again, and nothing is left behind (decisions 0016, 0018).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_can_be_replayed_while_the_pass_is_there() {
    let world =
        World::with_variables(&[("WEBHOOKS_TO_THIS_MACHINE", "true"), ("WEBHOOK_GIVE_UP_SECONDS", "3600")]).await;
    let receiver = Receiver::start().await;
    webhook(&world, "shop", &receiver, &json!(["pass.issued", "pass.erased"])).await;
    let office = world.back_office();
    receiver.answer(Reply::Status(503));
    let passes = [office.issue("Ada").await, office.issue("Eve").await];
    receiver.wait_for(2).await;
    let ask = || async {
        world.pass_time(MINUTE * 5).await;
        get(&office, "/shop").await.expect(200).json()["deadLetters"].clone()
    };
    // One has an hour of its telling over when its erasure begins, and gives up the erasure with all else.
    for _ in 0..8 {
        world.pass_time(MINUTE * 5).await;
    }
    let erase = async |pass: &Issued| {
        let path = format!("/passes/{}/{}", pass.pass_type, pass.serial);
        Answer::to(office.request(Method::DELETE, &path)).await.expect(204)
    };
    erase(&passes[0]).await;
    world.until("both are given up", ask, |dead| *dead == 2).await;
    receiver.answer(Reply::Status(200));
    let told = receiver.received().len();
    assert_eq!(
        post(&office, "shop/replay", &json!({})).await.expect(200).json(),
        json!({ "passes": 2, "more": false })
    );
    let received = receiver.wait_for(told + 3).await;
    assert!(types(&received[told..]).contains(&"pass.erased".to_owned()), "{received:#?}");
    // The other is given up, and gone when its time is over.
    receiver.answer(Reply::Status(503));
    erase(&passes[1]).await;
    world.until("it is given up", ask, |dead| *dead == 1).await;
    let report = || async {
        world.pass_time(MINUTE * 30).await;
        Answer::to(office.report(CAMPAIGN, "")).await.expect(200).json()["erased"].clone()
    };
    world.until("both are gone", report, |erased| *erased == 2).await;
    assert_eq!(
        post(&office, "shop/replay", &json!({})).await.expect(200).json(),
        json!({ "passes": 0, "more": false })
    );
    assert_eq!(get(&office, "/shop").await.expect(200).json()["deadLetters"], 0);
    world.end().await;
}

/// The sweep sends the intent again while the dead worker's lease holds: it must still be there when the lease has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_that_died_was_to_tell_is_told() {
    let world = world().await;
    let receiver = Receiver::start().await;
    webhook(&world, "shop", &receiver, &json!(["pass.issued", "pass.redeemed"])).await;
    let pass = world.back_office().issue("Ada").await;
    receiver.wait_for(1).await;
    let no_intent = |intents: &Vec<Intent>| intents.is_empty();
    world.until("all is told", || world.intents(), no_intent).await;
    // A worker begins, and dies.
    let store = &world.local().app().store;
    let identity =
        PassIdentity { pass_type_identifier: PASS_TYPE.parse().unwrap(), serial_number: pass.serial.parse().unwrap() };
    let shop = store.webhook("local", "shop").await.unwrap().unwrap();
    let begun = Intent::new(world.now(), telling::step(&shop, &identity), world.now()).unwrap();
    store.add_intents(std::slice::from_ref(&begun)).await.unwrap();
    let before = store.telling(&identity, "shop").await.unwrap().unwrap();
    let lease = Some(("dead".to_owned(), (world.now() + Duration::from_secs(80)).as_millisecond()));
    let mut taken = before.clone();
    (taken.lease, taken.held_for) = (lease, Some(begun.key.clone()));
    store.put_telling(&shop, &identity, (Some(&before), &taken), Along::default()).await.unwrap();
    // What happens now is left to it.
    world.till().redeem(&pass.barcode).await.expect(201);
    let left = || async { store.telling(&identity, "shop").await.unwrap().unwrap().poked };
    world.until("a mark is left", left, |poked| *poked).await;
    world.pass_time(Duration::from_secs(30)).await;
    let sent = || async { world.intents().await.into_iter().find(|intent| intent.key == begun.key) };
    world.until("it is sent again", sent, |intent| intent.as_ref().is_none_or(|intent| intent.sent.is_some())).await;
    world.pass_time(Duration::from_secs(60)).await;
    let received = receiver.wait_for(2).await;
    assert_eq!(types(&received), ["pass.issued", "pass.redeemed"]);
    world.end().await;
}

/// A worker that is in the midst of telling goes on with the webhook as it is put meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_is_changed_while_it_is_told_is_told_there_and_of_that() {
    let world = world().await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    webhook(&world, "shop", &old, &json!(["pass.issued", "pass.updated"])).await;
    let office = world.back_office();
    let answers = Arc::new(Notify::new());
    old.answer_next([Reply::When(Arc::clone(&answers))]);
    let pass = office.issue("Ada").await;
    old.wait_for(1).await;
    office.patch_holder(&pass, json!({ "name": "Ada L." })).await.expect(200);
    let changed = json!({ "url": new.url("/"), "events": ["pass.issued", "pass.updated", "pass.voided"] });
    put(&office, "shop", &changed).await.expect(200);
    office.void(&pass).await.expect(200);
    answers.notify_one();
    assert_eq!(types(&new.wait_for(2).await), ["pass.updated", "pass.voided"]);
    // Nor does it go on when the webhook is deleted.
    let another = office.issue("Eve").await;
    new.wait_for(3).await;
    new.answer_next([Reply::When(Arc::clone(&answers))]);
    office.patch_holder(&another, json!({ "name": "Eve L." })).await.expect(200);
    new.wait_for(4).await;
    office.void(&another).await.expect(200);
    Answer::to(office.request(Method::DELETE, "/webhooks/shop")).await.expect(204);
    answers.notify_one();
    let no_intent = |intents: &Vec<Intent>| intents.is_empty();
    world.until("nobody tells any more", || world.intents(), no_intent).await;
    assert_eq!((old.received().len(), new.received().len()), (1, 4));
    world.end().await;
}

/// A webhook of the same name, put anew, has the whole time again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_a_webhook_that_was_deleted_are_forgotten() {
    let world = world().await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::Status(503));
    webhook(&world, "shop", &receiver, &json!(["pass.issued", "pass.updated"])).await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    receiver.wait_for(1).await;
    let outcome = || async { get(&office, "/shop").await.expect(200).json()["lastDelivery"]["outcome"].clone() };
    world.until("it failed", outcome, |outcome| *outcome == "again").await;
    Answer::to(office.request(Method::DELETE, "/webhooks/shop")).await.expect(204);
    let no_intent = |intents: &Vec<Intent>| intents.is_empty();
    let swept = || async {
        world.pass_time(DAY).await;
        world.intents().await
    };
    world.until("nobody tries any more", swept, no_intent).await;
    world.advance(DAY * 4);
    webhook(&world, "shop", &receiver, &json!(["pass.updated"])).await;
    let tried = receiver.received().len();
    office.patch_holder(&pass, json!({ "name": "Ada L." })).await.expect(200);
    receiver.wait_for(tried + 1).await;
    let updated = || async { deliveries(&world, "shop").await.into_iter().find(|each| each["type"] == "pass.updated") };
    let told = world.until("it failed again", updated, Option::is_some).await.unwrap();
    assert_eq!((&told["outcome"], &told["attempt"]), (&json!("again"), &json!(1)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_holds_back_nobody_else() {
    let world = world().await;
    let (silent, lively) = (Receiver::start().await, Receiver::start().await);
    silent.answer(Reply::Silence);
    webhook(&world, "silent", &silent, &json!(["pass.issued"])).await;
    webhook(&world, "lively", &lively, &json!(["pass.issued", "pass.redeemed"])).await;
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    // Long before the silent one is given up on, everybody else knows.
    let begun = std::time::Instant::now();
    phone.hear(world.apns()).await;
    lively.wait_for(2).await;
    assert!(begun.elapsed() < Duration::from_secs(9), "it took {:?}", begun.elapsed());
    silent.wait_for(1).await;
    let ask = || deliveries(&world, "silent");
    let told = world.until("it is noted", ask, |told| told.len() == 1).await;
    assert_eq!((&told[0]["status"], &told[0]["error"]), (&Value::Null, &json!("no answer in time")));
    // An answer without end is an answer: its beginning says 200.
    silent.answer(Reply::Endless);
    tries_again(&world, &silent, 2).await;
    let ask = || deliveries(&world, "silent");
    world.until("it counts", ask, |told| told.iter().any(|each| each["outcome"] == "delivered")).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_shown_once_and_rotates() {
    let world = world().await;
    let office = world.back_office();
    let receiver = Receiver::start().await;
    let body = json!({ "url": receiver.url("/"), "events": ["pass.issued"] });
    let made = put(&office, "shop", &body).await.expect(201).json();
    let first = made["secret"].as_str().unwrap().to_owned();
    assert!(first.starts_with("whsec_"), "{made}");
    assert_eq!(put(&office, "shop", &body).await.expect(200).json()["secret"], Value::Null);
    for path in ["", "/shop", "/shop/deliveries"] {
        assert!(!get(&office, path).await.expect(200).text().contains(&first));
    }
    let rotate = || office.request(Method::POST, "/webhooks/shop/rotate").header("Idempotency-Key", "rotate 1");
    let rotated = Answer::to(rotate().json(&json!({ "keepSeconds": 3600 }))).await.expect(200).json();
    let second = rotated["secret"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    assert!(rotated["olderSecretUntil"].is_string());
    let again = Answer::to(rotate().json(&json!({ "keepSeconds": 3600 }))).await.expect(200);
    assert_eq!((again.header("idempotency-replayed"), &again.json()["secret"]), (Some("true"), &Value::Null));
    // Both sign for an hour, then the new one alone. A test call is a delivery like any other.
    let tried = post(&office, "shop/test", &json!({})).await.expect(200).json();
    assert_eq!((&tried["delivered"], &tried["status"]), (&json!(true), &json!(200)));
    let received = receiver.wait_for(1).await;
    assert_eq!(received[0].json()["type"], "webhook.test");
    assert_eq!(tried["messageId"], received[0].header("webhook-id"));
    let both = [signature(&second, &received[0]), signature(&first, &received[0])].join(" ");
    assert_eq!(received[0].header("webhook-signature"), both);
    // Whoever lost that answer rotates once more: the first, which their server has, signs for as long as was promised.
    let third =
        Answer::to(office.request(Method::POST, "/webhooks/shop/rotate").json(&json!({}))).await.expect(200).json();
    let third = third["secret"].as_str().unwrap();
    post(&office, "shop/test", &json!({})).await.expect(200);
    let received = receiver.wait_for(2).await;
    let all = [third, &second, &first].map(|secret| signature(secret, &received[1])).join(" ");
    assert_eq!(received[1].header("webhook-signature"), all);
    world.advance(MINUTE * 60);
    receiver.answer_next([Reply::Status(418)]);
    let tried = post(&office, "shop/test", &json!({})).await.expect(200).json();
    assert_eq!((&tried["delivered"], &tried["status"]), (&json!(false), &json!(418)));
    let received = receiver.wait_for(3).await;
    let both = [third, &second].map(|secret| signature(secret, &received[2])).join(" ");
    assert_eq!(received[2].header("webhook-signature"), both);
    // Unless none is to be kept.
    let last =
        Answer::to(office.request(Method::POST, "/webhooks/shop/rotate").json(&json!({ "keepSeconds": 0 }))).await;
    post(&office, "shop/test", &json!({})).await.expect(200);
    let received = receiver.wait_for(4).await;
    let alone = signature(last.expect(200).json()["secret"].as_str().unwrap(), &received[3]);
    assert_eq!(received[3].header("webhook-signature"), alone);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_inside_are_refused_and_nobody_else_sees_a_webhook() {
    let world = World::new().await;
    let office = world.back_office();
    for url in [
        "http://example.com/hook",
        "https://127.0.0.1/hook",
        "http://127.0.0.1:8080/hook",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fd00:ec2::254]/",
        "https://user:secret@example.com/",
        "/hook",
        "ftp://example.com/",
        "",
    ] {
        let refused = put(&office, "shop", &json!({ "url": url })).await;
        refused.problem(422, "invalid");
        assert_eq!(refused.problem_paths(), ["/url"], "{url}");
    }
    put(&office, "shop", &json!({ "url": "https://example.com/", "events": ["pass.eaten"] }))
        .await
        .problem(422, "invalid");
    put(&office, "a b", &json!({ "url": "https://example.com/" })).await.problem(422, "invalid");
    // A name that leads inside is found when it is called.
    put(&office, "shop", &json!({ "url": "https://localhost/" })).await.expect(201);
    let tried = post(&office, "shop/test", &json!({})).await.expect(200).json();
    assert_eq!(tried["error"], "leads to an address inside a network");
    assert_eq!((&tried["delivered"], &tried["status"]), (&json!(false), &Value::Null));

    let theirs = world.back_office_with(&world.key_of_another_merchant().await);
    assert_eq!(get(&theirs, "").await.expect(200).json(), json!({ "webhooks": [] }));
    get(&theirs, "/shop").await.problem(404, "not_found");
    Answer::to(theirs.request(Method::DELETE, "/webhooks/shop")).await.expect(204);
    assert_eq!(get(&office, "").await.expect(200).json()["webhooks"].as_array().unwrap().len(), 1);
    for number in 1..10 {
        put(&office, &format!("w{number}"), &json!({ "url": "https://example.com/" })).await.expect(201);
    }
    put(&office, "one-more", &json!({ "url": "https://example.com/" })).await.problem(409, "too_many_webhooks");
    Answer::to(office.request(Method::DELETE, "/webhooks/shop")).await.expect(204);
    Answer::to(office.request(Method::DELETE, "/webhooks/shop")).await.expect(204);
    get(&office, "/shop").await.problem(404, "not_found");
    Answer::to(office.request(Method::DELETE, "/webhooks/sh%23p")).await.problem(404, "not_found");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_is_told_before_the_history_goes() {
    let world = world().await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::Status(500));
    webhook(&world, "shop", &receiver, &json!(["pass.issued", "pass.erased"])).await;
    let office = world.back_office();
    let pass = Issued::read(&office.post_pass(&json!({ "campaignId": CAMPAIGN })).await.expect(201).json());
    receiver.wait_for(1).await;
    let path = format!("/passes/{}/{}", pass.pass_type, pass.serial);
    world.advance(Duration::from_secs(1));
    Answer::to(office.request(Method::DELETE, &path)).await.expect(204);
    receiver.answer(Reply::Status(200));
    let ask = || async {
        world.pass_time(MINUTE).await;
        types(&receiver.received())
    };
    let erased = |told: &Vec<String>| told.iter().position(|told| told == "pass.erased");
    let told = world.until("both are told", ask, |told| erased(told).is_some()).await;
    // In this order, each at least once.
    assert_eq!(told[..erased(&told).expect("told")].last().expect("one before"), "pass.issued");
    let report = || async {
        world.pass_time(MINUTE).await;
        Answer::to(office.report(CAMPAIGN, "")).await.expect(200).json()["erased"].clone()
    };
    world.until("then it is gone", report, |erased| *erased == 1).await;
    world.end().await;
}
