//! The log doctor (issue 3; reference 1.6): what phones report becomes a named cause in the pass's history, once a day,
//! and only from phones that carry the pass. What nobody knows is kept, bounded, without identifiers.

use std::time::Duration;

use passloop_tests::back_office::{BackOffice, Issued};
use passloop_tests::world::World;
use serde_json::{Value, json};

async fn diagnoses(office: &BackOffice, pass: &Issued) -> Vec<Value> {
    office.events(pass).await.into_iter().filter(|event| event["type"] == "diagnosed").collect()
}

async fn log(world: &World, lines: &[String]) {
    let body = json!({ "logs": lines }).to_string();
    world.web_service().log("application/json", body.into_bytes()).await.expect(200);
}

fn line(device: &str, pass: &Issued, text: &str) -> String {
    format!(
        "[2026-11-01 1:49:07 PM -0600] Get pass task (for device {device}, pass type {}, serial number {}; with web service \
         url https://passes.example.com) encountered error: {text}",
        pass.pass_type, pass.serial
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_complains_is_understood_once_a_day() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, phone) = world.customer("Ada").await;
    let complaint = line(phone.device(), &pass, "Unexpected response code 502");
    for _ in 0..3 {
        log(&world, &[complaint.clone(), complaint.clone()]).await;
    }
    let told = diagnoses(&office, &pass).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["cause"], &told[0]["version"]), (&json!("unexpected-response-code"), &json!(1)));
    assert!(told[0]["advice"].as_str().unwrap().ends_with('.'), "{told:?}");

    // Another cause is another diagnosis; so is the next day.
    world.advance(Duration::from_secs(1));
    log(&world, &[line(phone.device(), &pass, "Server response was malformed")]).await;
    world.advance(Duration::from_hours(24));
    log(&world, &[complaint]).await;
    let causes: Vec<Value> = diagnoses(&office, &pass).await.iter().map(|event| event["cause"].clone()).collect();
    assert_eq!(causes, ["unexpected-response-code", "malformed-response", "unexpected-response-code"]);
    // The history stays in the order of time.
    let times: Vec<String> =
        office.events(&pass).await.iter().map(|event| event["at"].as_str().unwrap().to_owned()).collect();
    assert!(times.is_sorted(), "{times:?}");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_tell_a_cause_once() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let complaint = [line(phone.device(), &pass, "Unexpected response code 502")];
    let calls = (0..6).map(|_| {
        let body = json!({ "logs": complaint }).to_string().into_bytes();
        let service = world.web_service();
        tokio::spawn(async move { service.log("application/json", body).await.expect(200) })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(diagnoses(&world.back_office(), &pass).await.len(), 1);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_phone_really_finds_reaches_the_history() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    // Somebody else pushes with our certificate; the phone's tag is older than five minutes (reference 1.6).
    world.advance(Duration::from_secs(600));
    phone.pushed(&pass.pass_type).await;
    assert_eq!(phone.complaints().len(), 1, "{:?}", phone.complaints());
    phone.report(&pass.serial).await;
    let told = diagnoses(&office, &pass).await;
    assert_eq!(told.iter().map(|event| &event["cause"]).collect::<Vec<_>>(), ["spurious-push"]);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_write_into_no_history() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    let other = world.back_office().issue("Bob").await;
    let text = "Authentication failure";
    let service = format!("Web service error for {} (https://h): {text} serial number {}", pass.pass_type, pass.serial);
    log(
        &world,
        &[
            line("ffffffffffffffffffffffffffffffff", &pass, text),
            line(phone.device(), &other, text),
            line("", &pass, text),
            service,
        ],
    )
    .await;
    let device = phone.device().to_owned();
    phone.delete(&pass.serial).await;
    log(&world, &[line(&device, &pass, text)]).await;
    for pass in [&pass, &other] {
        assert_eq!(diagnoses(&office, pass).await, Vec::<Value>::new());
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_name_no_device() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    log(&world, &[line(phone.device(), &pass, "Authentication failure")]).await;
    let events = Value::from(world.back_office().events(&pass).await).to_string();
    assert!(events.contains("diagnosed") && !events.contains(phone.device()), "{events}");
    phone.was_content();
    world.end().await;
}

/// The partition of unknown lines, read as an operator reads it: from DynamoDB.
async fn reports(world: &World) -> Vec<Value> {
    let endpoint = world.local().description().aws_endpoint.dynamodb.clone().expect("an embedded DynamoDB");
    let query = json!({
        "TableName": world.local().app().config.table_name,
        "KeyConditionExpression": "pk = :reports",
        "ExpressionAttributeValues": { ":reports": { "S": "REPORTS" } } });
    let request = world
        .http()
        .post(endpoint)
        .header("Content-Type", "application/x-amz-json-1.0")
        .header("X-Amz-Target", "DynamoDB_20120810.Query")
        .header("X-Amz-Date", "20260101T000000Z")
        // The embedded DynamoDB asks for a signature and does not check it.
        .header("Authorization", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c")
        .body(query.to_string());
    let answer = passloop_tests::answer::Answer::to(request).await.expect(200).json();
    answer["Items"].as_array().expect("items").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_lines_are_kept_without_identifiers_and_counted() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let text = "The network connection was lost.";
    for serial in ["one", "two", "three"] {
        let pass = Issued { serial: serial.to_owned(), ..pass.clone() };
        log(&world, &[line(phone.device(), &pass, text), line("abc", &pass, text)]).await;
    }
    let kept = reports(&world).await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    let item = &kept[0];
    assert_eq!(item["seen"]["N"], "6");
    let example = item["example"]["S"].as_str().unwrap();
    assert!(example.ends_with("encountered error: The network connection was lost."), "{example}");
    for identifier in [phone.device(), &pass.pass_type, "three", "passes.example.com"] {
        assert!(!example.contains(identifier), "{identifier} in {example}");
    }
    // Thirty days, then DynamoDB forgets it.
    let expires: i64 = item["expires_at"]["N"].as_str().unwrap().parse().unwrap();
    assert_eq!(expires - world.now().as_second(), 30 * 24 * 60 * 60);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_inventions_writes_little() {
    let world = World::new().await;
    let word = |number: usize| -> String {
        number.to_string().bytes().map(|digit| char::from(b'a' + (digit - b'0'))).collect()
    };
    let lines: Vec<String> = (0..100).map(|number| format!("the {} line", word(number))).collect();
    log(&world, &lines).await;
    let kept = reports(&world).await;
    assert!((1..=8).contains(&kept.len()), "{kept:?}");
    world.end().await;
}
