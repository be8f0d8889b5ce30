//! `POST /merchant/v1/campaigns/{campaignId}/preview` (issue 3): what the lock screen will say is what
//! the phones of these stories then say (reference 5).

use std::time::Duration;

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{CAMPAIGN, two_offers};
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::world::World;
use platform::keys::Role;
use reqwest::Method;
use serde_json::{Value, json};

async fn ask(world: &World, body: &Value) -> Answer {
    let request = world.back_office().request(Method::POST, &format!("/campaigns/{CAMPAIGN}/preview"));
    Answer::to(request.json(body)).await
}

async fn preview(world: &World, from: Value, to: Value) -> Value {
    ask(world, &json!({ "from": from, "to": to, "holder": { "name": "Ada" } })).await.expect(200).json()
}

fn state(state: &str) -> Value {
    json!({ "state": state })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_previewed_is_what_the_phone_says() {
    let mut campaign = two_offers();
    campaign["welcomeOverlay"] =
        json!({ "fields": { "news": { "value": "Hello, {{ holder.name }}!", "changeMessage": "%@" } } });
    let world = World::with_campaign(&campaign).await;
    let next = json!({ "state": "redeemable", "offerId": "half-price-coffee" });
    let previews = [
        preview(&world, state("redeemable"), state("welcome")).await,
        preview(&world, state("welcome"), state("redeemed")).await,
        preview(&world, state("redeemed"), next).await,
    ];
    let (pass, mut phone) = world.customer("Ada").await;
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    world.pass_time(Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    let said: Vec<&str> =
        previews.iter().map(|preview| preview["lockScreen"]["text"].as_str().expect("a text")).collect();
    assert_eq!(phone.lock_screen(), said);
    assert!(previews.iter().all(|preview| preview["lockScreen"]["kind"] == "text"));

    // And so is what it shows, save what is each pass's own.
    let mut expected = previews[2]["passJson"].clone();
    let shown = &phone.pass(&pass.serial).pass;
    for own in ["serialNumber", "authenticationToken"] {
        assert!(expected[own].as_str().expect("a text").starts_with("EXAMPLE"), "{expected}");
        expected[own] = shown[own].clone();
    }
    assert!(expected["barcodes"][0]["message"].as_str().expect("a text").starts_with("EXAMPLE"), "{expected}");
    expected["barcodes"] = shown["barcodes"].clone();
    expected["coupon"]["backFields"][0]["value"] = json!(pass.serial);
    assert_eq!(&expected, shown);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_and_words_of_wallets_own_are_explained() {
    let mut campaign = two_offers();
    campaign["redeemedOverlay"]["fields"]["status"]["changeMessage"] = json!("Now %@");
    campaign["offers"][1]["overlay"]["fields"]["news"]["changeMessage"] = json!("There is news");
    let world = World::with_campaign(&campaign).await;
    let next = json!({ "state": "redeemable", "offerId": "half-price-coffee" });
    for (from, to, kind, text, why) in [
        // Reference 5: rules 3, 2, 9 and 1.
        (state("redeemable"), state("redeemed"), "generic", json!("Coupon changed"), "news, status"),
        (state("redeemable"), next, "generic", json!("Coupon changed"), "%@"),
        (state("redeemable"), state("voided"), "none", Value::Null, "voided"),
        (state("redeemed"), state("redeemable"), "none", Value::Null, "changeMessage"),
        (state("redeemable"), state("welcome"), "none", Value::Null, "the same"),
    ] {
        let said = preview(&world, from.clone(), to.clone()).await["lockScreen"].clone();
        assert_eq!((&said["kind"], &said["text"]), (&json!(kind), &text), "{from} {to}: {said}");
        assert!(said["why"].as_str().expect("a reason").contains(why), "{from} {to}: {said}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_text_is_in_the_language_of_the_phone() {
    let mut campaign = two_offers();
    campaign["redeemedOverlay"]["fields"]["news"] = json!({ "value": "USED", "changeMessage": "NEWS" });
    let world = World::new().await;
    let template = TemplateFolder::coupon()
        .with("en.lproj/pass.strings", "\"NEWS\" = \"News: %@\"; \"USED\" = \"Used\";")
        .with("de.lproj/pass.strings", "\"NEWS\" = \"{{ holder.name }}: %@\"; \"USED\" = \"Eingelöst\";");
    world.back_office().put_template(CAMPAIGN, &template).await.expect(201);
    world.back_office().put_campaign(CAMPAIGN, &campaign).await.expect(200);
    for (language, text) in
        [(json!("de"), "Ada: Eingelöst"), (json!("de-AT"), "Ada: Eingelöst"), (Value::Null, "News: Used")]
    {
        let body = json!({ "from": state("redeemable"), "to": state("redeemed"), "holder": { "name": "Ada" },
                           "language": language });
        assert_eq!(ask(&world, &body).await.expect(200).json()["lockScreen"]["text"], text, "{language}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_changes_nothing_and_a_repeated_one_is_the_same() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    let before = world.back_office().get(&pass).await;
    let body = json!({ "from": state("redeemable"), "to": state("redeemed") });
    let keyed = || {
        let request = world.back_office().request(Method::POST, &format!("/campaigns/{CAMPAIGN}/preview"));
        Answer::to(request.header("Idempotency-Key", "preview-1").json(&body))
    };
    let first = keyed().await.expect(200);
    world
        .back_office()
        .put_campaign(CAMPAIGN, &{
            let mut campaign = two_offers();
            campaign["redeemedOverlay"]["fields"]["news"]["value"] = json!("Gone");
            campaign
        })
        .await
        .expect(200);
    let again = keyed().await.expect(200);
    assert_eq!((again.json(), again.header("idempotency-replayed")), (first.json(), Some("true")));
    assert_eq!(ask(&world, &body).await.expect(200).json()["lockScreen"]["text"], "Gone");
    assert_eq!(world.back_office().get(&pass).await, before);
    phone.nothing_new(&pass.pass_type).await;
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_previews_are_refused_each_problem_by_its_path() {
    let world = World::new().await;
    let paths = |body: Value| {
        let world = &world;
        async move {
            let answer = ask(world, &body).await;
            answer.problem(422, "invalid");
            let mut paths = answer.problem_paths();
            paths.sort();
            paths
        }
    };
    assert_eq!(
        paths(json!({ "to": { "state": "eaten" }, "language": "", "when": 1 })).await,
        ["/from", "/language", "/to/state", "/when"]
    );
    assert_eq!(paths(json!({ "from": null, "to": 1, "holder": [] })).await, ["/from", "/holder", "/to"]);
    let nobody = json!({ "state": "redeemed", "offerId": "free-tea" });
    assert_eq!(paths(json!({ "from": nobody, "to": nobody })).await, ["/from/offerId", "/to/offerId"]);

    let body = json!({ "from": state("redeemable"), "to": state("redeemed") });
    let elsewhere = world.back_office().request(Method::POST, "/campaigns/tea/preview").json(&body);
    Answer::to(elsewhere).await.problem(404, "not_found");
    let path = format!("/campaigns/{CAMPAIGN}/preview");
    let till = world.back_office_with(&world.key_with_role(Role::Redeem).await);
    Answer::to(till.request(Method::POST, &path).json(&body)).await.problem(403, "forbidden");
    let stranger = world.back_office_with(&world.key_of_another_merchant().await);
    Answer::to(stranger.request(Method::POST, &path).json(&body)).await.problem(404, "not_found");
    world.end().await;
}
