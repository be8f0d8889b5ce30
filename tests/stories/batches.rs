//! Many passes at once: rows in the call or uploaded, each answered in order, none made twice.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, CAMPAIGN, Issued, PASS_TYPE, two_offers};
use passloop_tests::batches::{CSV, JSON_LINES, error_paths, lines};
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::world::World;
use platform::batch_work;
use platform::keys::Role;
use platform::store::{Intent, Step};
use reqwest::Method;
use serde_json::{Value, json};

/// Rows of the usual campaign, without a serial number.
fn rows(count: usize) -> Vec<Value> {
    (1..=count).map(|number| json!({ "holder": { "name": format!("Guest {number}") } })).collect()
}

const OF_CAMPAIGN: &str = "?campaignId=croissant";

/// How many passes the campaign has, by its report.
async fn issued(office: &BackOffice) -> u64 {
    Answer::to(office.report(CAMPAIGN, "")).await.expect(200).json()["issued"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_answered_like_a_pass_request() {
    let world = World::new().await;
    let office = world.back_office();
    let there = office.post_pass(&json!({ "campaignId": CAMPAIGN, "serialNumber": "THERE" })).await.expect(201).json();
    let row = |row: Value| row.to_string();
    let past = format!("{}", world.now() - jiff::SignedDuration::from_secs(1));
    let cases: Vec<(String, &[&str])> = vec![
        (row(json!({ "campaignId": CAMPAIGN, "serialNumber": "A-1", "holder": { "name": "Ada" } })), &[]),
        (row(json!({ "campaignId": CAMPAIGN, "linkExpiresAt": "2036-01-01T00:00:00Z", "downloadLimit": 2 })), &[]),
        ("{\"campaignId\":".to_owned(), &[""]),
        (row(json!([1])), &[""]),
        (row(json!({ "campaign": CAMPAIGN, "holder": [] })), &["/campaignId", "/holder", "/campaign"]),
        (row(json!({ "campaignId": "nobody" })), &["/campaignId"]),
        (
            row(json!({ "campaignId": CAMPAIGN, "serialNumber": "a/b", "downloadLimit": 0 })),
            &["/serialNumber", "/downloadLimit"],
        ),
        (row(json!({ "campaignId": CAMPAIGN, "linkExpiresAt": past })), &["/linkExpiresAt"]),
        (row(json!({ "campaignId": CAMPAIGN, "serialNumber": "A-1" })), &["/serialNumber"]),
        (row(json!({ "campaignId": CAMPAIGN, "serialNumber": "THERE" })), &["/serialNumber"]),
        (row(json!({ "campaignId": CAMPAIGN, "holder": { "name": "x".repeat(5000) } })), &["/holder"]),
        (row(json!({ "campaignId": CAMPAIGN, "holder": { "name": "x".repeat(20_000) } })), &[""]),
        (row(json!({ "campaignId": CAMPAIGN, "serialNumber": "A-2" })), &[]),
    ];
    let text: String = cases.iter().map(|(line, _)| format!("{line}\n\n")).collect();
    let (batch, answers) = office.whole_batch(world.http(), "", JSON_LINES, text).await;
    assert_eq!(answers.len(), cases.len());
    for (answer, (line, paths)) in answers.iter().zip(&cases) {
        assert_eq!(error_paths(answer), *paths, "{line}: {answer}");
    }
    assert_eq!((&batch["state"], &batch["rowsRead"]), (&json!("finished"), &json!(cases.len())));
    assert_eq!((&batch["issued"], &batch["failed"], &batch["imported"]), (&json!(3), &json!(10), &json!(0)));
    assert_eq!(batch["bytesRead"], batch["bytes"]);
    // The words are those of the single door.
    let taken = json!({ "campaignId": CAMPAIGN, "serialNumber": "THERE" });
    let taken = office.post_pass(&taken).await.problem(409, "serial_number_taken");
    assert_eq!(answers[9]["errors"][0]["message"], taken["detail"]);
    // What was made is a pass like any other.
    let ada = Issued::read(&answers[0]);
    let pass = office.get(&ada).await;
    for member in ["serialNumber", "campaignId", "state", "barcode", "landingUrl", "downloadUrl"] {
        assert_eq!(answers[0][member], pass[member], "{member}");
    }
    assert_eq!((&pass["version"], &pass["holder"]), (&json!(1), &json!({ "name": "Ada" })));
    assert_eq!(office.history(&ada).await, ["issued"]);
    let mut phone = world.iphone();
    assert_eq!(phone.add(&world.download(&ada).await.body).await, 201);
    world.till().redeem(&ada.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass("A-1").barcode(), None);
    assert_eq!(office.get(&Issued::read(&answers[1])).await["downloadLimit"], 2);
    assert_eq!(office.get(&Issued::read(&there)).await, there);
    assert_eq!(issued(&office).await, 4);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spreadsheet_is_a_batch() {
    let world = World::new().await;
    let office = world.back_office();
    let text = "\u{feff}serialNumber,holder.name,holder.address.city,downloadLimit,linkExpiresAt\r\n\
                S-1,\"Ada, Countess\",London,3,2036-01-01T00:00:00Z\r\n\
                S-2,\"Grace \"\"Amazing\"\"\nHopper\",,,\r\n\
                \r\n\
                S-3,too,few\r\n\
                ,nobody's number,,many,\r\n\
                ,Alan,,,";
    let (batch, answers) = office.whole_batch(world.http(), OF_CAMPAIGN, CSV, text.to_owned()).await;
    let paths: Vec<_> = answers.iter().map(error_paths).collect();
    assert_eq!(paths, [vec![], vec![], vec![""], vec!["/downloadLimit"], vec![]], "{answers:?}");
    assert_eq!((&batch["format"], &batch["campaignId"]), (&json!("csv"), &json!(CAMPAIGN)));
    let ada = office.get(&Issued::read(&answers[0])).await;
    assert_eq!(ada["holder"], json!({ "name": "Ada, Countess", "address": { "city": "London" } }));
    assert_eq!((&ada["downloadLimit"], &ada["linkExpiresAt"]), (&json!(3), &json!("2036-01-01T00:00:00.000Z")));
    let grace = office.get(&Issued::read(&answers[1])).await;
    assert_eq!(grace["holder"], json!({ "name": "Grace \"Amazing\"\nHopper" }));
    // A bare byte that is no UTF-8 is told of its cell.
    let latin = [b"holder.name\nAda\nJos\xe9\n".as_slice()].concat();
    let made = office.batch("latin", OF_CAMPAIGN, CSV, latin).await.expect(202).json();
    let id = made["batchId"].as_str().unwrap();
    assert_eq!(office.batch_over(id).await["failed"], 1);
    assert_eq!(error_paths(&office.batch_answers(world.http(), id).await[1]), ["/holder.name"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_is_the_same_batch() {
    let world = World::new().await;
    let office = world.back_office();
    let text = lines(&rows(20));
    // Twice at the same moment, as by an impatient client.
    let both = join_all((0..2).map(|_| office.batch("guests", OF_CAMPAIGN, JSON_LINES, text.clone()))).await;
    let first = both[0].clone().expect(202).json();
    assert_eq!(both[1].clone().expect(202).json(), first);
    let id = first["batchId"].as_str().unwrap();
    office.batch_over(id).await;
    let again = office.batch("guests", OF_CAMPAIGN, JSON_LINES, text.clone()).await.expect(202);
    assert_eq!((again.header("idempotency-replayed"), again.json()), (Some("true"), first.clone()));
    assert_eq!(issued(&office).await, 20);
    office.batch("guests", OF_CAMPAIGN, JSON_LINES, lines(&rows(21))).await.problem(422, "idempotency_key_reused");
    office.batch("guests", "", JSON_LINES, text.clone()).await.problem(422, "idempotency_key_reused");
    // A hundred thousand doubles are too dear for a call without a key.
    let without = office.request(Method::POST, "/passes/batch").header("Content-Type", JSON_LINES).body(text);
    Answer::to(without).await.problem(400, "idempotency_key_required");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_a_call_is_uploaded() {
    let world = World::new().await;
    let office = world.back_office();
    let text = lines(&rows(2500));
    let order = office.announce_batch("upload", OF_CAMPAIGN, "jsonl", text.len()).await.expect(201).json();
    let id = order["batchId"].as_str().unwrap();
    assert_eq!((&order["state"], &order["bytes"]), (&json!("uploading"), &json!(text.len())));
    let upload = &order["upload"];
    assert_eq!((&upload["method"], &upload["headers"]["Content-Type"]), (&json!("PUT"), &json!(JSON_LINES)));
    office.start_batch(id).await.problem(409, "not_uploaded");
    let put = |kind: &str, text: String| {
        let request = world.http().put(upload["url"].as_str().unwrap()).header("Content-Type", kind);
        Answer::to(request.body(text))
    };
    // The URL is for rows of this kind and length, and for no others.
    assert!(put(JSON_LINES, lines(&rows(2501))).await.status >= 400);
    assert!(put(CSV, text.clone()).await.status >= 400);
    office.start_batch(id).await.problem(409, "not_uploaded");
    put(JSON_LINES, text.clone()).await.expect(200);
    let app = world.local().app();
    let batch = app.store.batch("local", id).await.unwrap().expect("the batch").batch;
    let rows_there = async || app.batch_files.input(&batch, 0, 1).await.unwrap().is_some();
    assert!(rows_there().await);
    office.start_batch(id).await.expect(202);
    let over = office.batch_over(id).await;
    // Holders' data: whoever erases a pass of it later erases all of it (docs/decisions/0014).
    world.until("the rows are gone", rows_there, |there| !there).await;
    assert_eq!((&over["state"], &over["issued"], &over["failed"]), (&json!("finished"), &json!(2500), &json!(0)));
    let answers = office.batch_answers(world.http(), id).await;
    let serials: BTreeSet<_> = answers.iter().map(|answer| answer["serialNumber"].as_str().unwrap()).collect();
    let barcodes: BTreeSet<_> = answers.iter().map(|answer| answer["barcode"].as_str().unwrap()).collect();
    assert_eq!((answers.len(), serials.len(), barcodes.len()), (2500, 2500, 2500));
    // At least 96 random bits (contract 4), and nothing of one row is another's.
    assert!(barcodes.iter().all(|barcode| barcode.len() == 32));
    for (row, name) in [(1, "Guest 1"), (1000, "Guest 1000"), (1001, "Guest 1001"), (2500, "Guest 2500")] {
        let pass = office.get(&Issued::read(&answers[row - 1])).await;
        assert_eq!(pass["holder"]["name"], name, "row {row}");
    }
    assert_eq!(issued(&office).await, 2500);
    // Again, and nothing more happens.
    assert_eq!(office.start_batch(id).await.expect(200).json(), over);
    assert_eq!(office.batch_now(id).await.expect(200).json()["upload"], json!(null));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_batch_is_refused_at_once() {
    let world = World::new().await;
    let office = world.back_office();
    let csv = |text: &str| office.batch("bad", OF_CAMPAIGN, CSV, text.to_owned());
    csv("serialNumber,name,serialNumber\nA,a,A\n").await.problem(422, "invalid");
    let told = csv("serialNumber,name,serialNumber\nA,a,A\n").await;
    assert_eq!(told.problem_paths(), ["/name", "/serialNumber"]);
    csv("").await.problem(422, "invalid");
    csv("holder.name\n\r\n").await.problem(422, "invalid");
    assert_eq!(csv("holder.name,holder\nA,{}\n").await.problem_paths(), ["/holder"]);
    // A short row is given every part of every name in the header.
    let deep = |levels: usize| format!("holder.{}\nx\n", vec!["a"; levels - 1].join("."));
    csv(&deep(65)).await.problem(422, "invalid");
    csv(&deep(5000)).await.problem(422, "invalid");
    let broad: Vec<String> = (0..150).map(|number| format!("holder.a{number}.b")).collect();
    csv(&format!("{}\n{}x\n", broad.join(","), ",".repeat(149))).await.problem(422, "invalid");
    let bytes = vec![0xff; 10];
    office.batch("bad", OF_CAMPAIGN, CSV, bytes).await.problem(422, "invalid");
    office.batch("bad", "", JSON_LINES, "\n \n".to_owned()).await.problem(422, "invalid");
    let many = "{}\n".repeat(100_001);
    office.batch("bad", OF_CAMPAIGN, JSON_LINES, many).await.problem(422, "invalid");
    let large = format!("{{\"holder\":{{\"name\":\"{}\"}}}}\n", "x".repeat(3_000_000));
    office.batch("bad", OF_CAMPAIGN, JSON_LINES, large).await.problem(413, "too_large");
    let other = office.batch("bad", "?campaignId=nobody", JSON_LINES, "{}".to_owned()).await;
    assert_eq!(other.problem_paths(), ["/campaignId"]);
    assert_eq!(office.batch("bad", "?campaign=c", JSON_LINES, "{}".to_owned()).await.problem_paths(), ["/campaign"]);
    // An announcement is JSON.
    let announced = |order: Value| {
        let request = office.request(Method::POST, "/passes/batch").header("Idempotency-Key", "bad");
        Answer::to(request.json(&order))
    };
    assert_eq!(announced(json!({ "format": "xlsx", "rows": 3 })).await.problem_paths(), ["/format", "/bytes", "/rows"]);
    assert_eq!(announced(json!({ "format": "csv", "bytes": 0 })).await.problem_paths(), ["/bytes"]);
    assert_eq!(announced(json!({ "format": "csv", "bytes": 1_000_000_000 })).await.problem_paths(), ["/bytes"]);
    // Nothing of all that used the key.
    let good = office.batch("bad", OF_CAMPAIGN, JSON_LINES, "{}".to_owned()).await.expect(202).json();
    assert_eq!(office.batch_over(good["batchId"].as_str().unwrap()).await["issued"], 1);
    world.end().await;
}

/// Spreadsheets end lines with two characters; after the last row there is room for, the second is still to be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_as_many_rows_as_there_may_be_is_finished() {
    const MOST: usize = 100_000;
    let world = World::new().await;
    let office = world.back_office();
    // Rows that are answered at once: each has a cell too many.
    for (rows, state) in [(MOST, "finished"), (MOST + 1, "failed")] {
        let text = format!("serialNumber\r\n{}", "a,b\r\n".repeat(rows));
        let order = office.announce_batch(state, OF_CAMPAIGN, "csv", text.len()).await.expect(201).json();
        let put = world.http().put(order["upload"]["url"].as_str().unwrap()).header("Content-Type", CSV);
        Answer::to(put.body(text)).await.expect(200);
        let id = order["batchId"].as_str().unwrap();
        office.start_batch(id).await.expect(202);
        let over = office.batch_over(id).await;
        assert_eq!((&over["state"], &over["failed"]), (&json!(state), &json!(MOST)), "{}", over["errors"]);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uploaded_header_is_refused_at_the_start_and_a_missing_quote_where_it_is() {
    let world = World::new().await;
    let office = world.back_office();
    let upload = async |key: &str, text: &str| {
        let order = office.announce_batch(key, OF_CAMPAIGN, "csv", text.len()).await.expect(201).json();
        let put = |text: &str| {
            let request = world.http().put(order["upload"]["url"].as_str().unwrap()).header("Content-Type", CSV);
            Answer::to(request.body(text.to_owned()))
        };
        put(text).await.expect(200);
        order["batchId"].as_str().unwrap().to_owned()
    };
    let id = upload("header", "serial,holder.name\n1,Ada\n").await;
    assert_eq!(office.start_batch(&id).await.problem_paths(), ["/serial"]);
    assert_eq!(office.batch_now(&id).await.expect(200).json()["state"], "uploading");
    let rest = "x,y\n".repeat(300_000);
    let id = upload("quote", &format!("serialNumber,holder.name\nQ-1,Ada\nQ-2,\"Bob\n{rest}")).await;
    office.start_batch(&id).await.expect(202);
    let over = office.batch_over(&id).await;
    assert_eq!((&over["state"], &over["issued"]), (&json!("failed"), &json!(1)), "{over}");
    assert!(over["errors"][0]["message"].as_str().unwrap().starts_with("row 2 "), "{over}");
    // What was answered before stays answered.
    assert_eq!(office.batch_answers(world.http(), &id).await[0]["serialNumber"], "Q-1");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_cancelled_answers_exactly_what_it_made() {
    let world = World::new().await;
    let office = world.back_office();
    let order = office.announce_batch("never", "", "csv", 100).await.expect(201).json();
    let id = order["batchId"].as_str().unwrap();
    assert_eq!(office.cancel_batch(id).await.expect(200).json()["state"], "cancelled");
    assert_eq!(office.start_batch(id).await.expect(200).json()["state"], "cancelled");

    let text = lines(&rows(5000));
    let made = office.batch("cancelled", OF_CAMPAIGN, JSON_LINES, text).await.expect(202).json();
    let id = made["batchId"].as_str().unwrap();
    let state = office.cancel_batch(id).await.expect(200).json()["state"].clone();
    assert!(state == "cancelling" || state == "cancelled", "{state}");
    let over = office.batch_over(id).await;
    assert_eq!(over["state"], "cancelled");
    assert!(over["rowsRead"].as_u64().unwrap() < 5000, "{over}");
    let answers = office.batch_answers(world.http(), id).await;
    let passes = answers.iter().filter(|answer| answer.get("errors").is_none()).count() as u64;
    assert_eq!(over["issued"], passes);
    assert_eq!(issued(&office).await, passes);
    assert_eq!(office.cancel_batch(id).await.expect(200).json(), over);
    world.end().await;
}

/// Decision 0014: answers are exactly what was made, also where a worker that was given up has passes on their way. Found by
/// the simulation (seed 1041 of its day).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cancelled_batch_says_it_did_not_make_is_made_by_no_slow_worker() {
    let (world, tap, underneath) = World::tapped().await;
    let office = world.back_office();
    office.put_template(CAMPAIGN, &TemplateFolder::coupon()).await.expect(201);
    office.put_campaign(CAMPAIGN, &two_offers()).await.expect(201);
    let text = lines(&[json!({ "serialNumber": "S-1" }), json!({ "serialNumber": "S-2" })]);
    // The first transaction makes the batch, the next the passes of its rows.
    let mut making = tap.hold("TransactWriteItems");
    let set_next = async {
        making.caught().await;
        tap.hold("TransactWriteItems")
    };
    let (mut issuing, made) = {
        let made = office.batch("slow", OF_CAMPAIGN, JSON_LINES, text);
        tokio::pin!(made);
        let issuing = tokio::select! {
            issuing = set_next => issuing,
            answer = &mut made => panic!("answered before it was written: {}", answer.status),
        };
        drop(making);
        (issuing, made.await.expect(202).json())
    };
    let id = made["batchId"].as_str().unwrap();
    issuing.caught().await;
    office.cancel_batch(id).await.expect(200);
    let ask = || async {
        world.pass_time(Duration::from_secs(61)).await;
        office.batch_now(id).await.expect(200).json()
    };
    world.until("it is cancelled", ask, |batch| batch["state"] == "cancelled").await;
    tap.take();
    drop(issuing);
    world.until("the slow worker goes on", || async { tap.take() }, |calls| !calls.is_empty()).await;
    let answers = office.batch_answers(world.http(), id).await;
    assert_eq!(answers.len(), 2);
    for (answer, serial) in answers.iter().zip(["S-1", "S-2"]) {
        let is_made = answer.get("errors").is_none();
        let path = format!("/passes/{PASS_TYPE}/{serial}");
        let found = Answer::to(office.request(Method::GET, &path)).await;
        assert_eq!(found.status, if is_made { 200 } else { 404 }, "{answer}");
        if !is_made {
            // Nor has anybody else one with that name.
            assert_eq!(answer["errors"][0]["message"], "the batch was cancelled before this row");
            let again = json!({ "campaignId": CAMPAIGN, "serialNumber": serial });
            office.post_pass(&again).await.expect(201);
        }
    }
    world.end().await;
    underneath.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_halfway_a_batch_goes_on_without_doubles() {
    let world = World::on_disk().await;
    let text = lines(&rows(4000));
    let made = world.back_office().batch("guests", OF_CAMPAIGN, JSON_LINES, text.clone()).await.expect(202);
    let id = made.json()["batchId"].as_str().unwrap().to_owned();
    let office = world.back_office();
    let begun = world.until(
        "the first thousand rows",
        async || office.batch_now(&id).await.expect(200).json(),
        |batch| batch["rowsRead"].as_u64().unwrap() > 0,
    );
    begun.await;
    let world = world.restart().await;
    let office = world.back_office();
    let over = office.batch_over(&id).await;
    assert_eq!((&over["state"], &over["issued"], &over["failed"]), (&json!("finished"), &json!(4000), &json!(0)));
    assert_eq!(issued(&office).await, 4000);
    let answers = office.batch_answers(world.http(), &id).await;
    let serials: BTreeSet<_> = answers.iter().map(|answer| answer["serialNumber"].as_str().unwrap()).collect();
    assert_eq!(serials.len(), 4000);
    let again = office.batch("guests", OF_CAMPAIGN, JSON_LINES, text).await.expect(202);
    assert_eq!(again.json(), made.json());
    world.end().await;
}

/// The intent of a batch at work.
async fn intent_of(world: &World, batch_id: &str) -> Option<Intent> {
    let of_batch = |intent: &Intent| matches!(&intent.step, Step::Batch { batch_id: id, .. } if id == batch_id);
    world.intents().await.into_iter().find(of_batch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_worked_twice_make_one_pass_each() {
    let world = World::new().await;
    let office = world.back_office();
    let mut rows = rows(600);
    for (number, row) in rows.iter_mut().enumerate().filter(|(number, _)| number % 3 == 0) {
        row["serialNumber"] = json!(format!("S-{}", number % 450));
    }
    let made = office.batch("twice", OF_CAMPAIGN, JSON_LINES, lines(&rows)).await.expect(202).json();
    let id = made["batchId"].as_str().unwrap();
    // Messages that came twice, and workers that were killed at any moment, beside the service's own.
    for killed_after in [5, 20, 60, 120, 300] {
        let Some(intent) = intent_of(&world, id).await else { break };
        let (app, now) = (world.local().app().clone(), world.now());
        let work =
            tokio::spawn(async move { batch_work::chunk(&app, &intent, now).await.map_err(|fault| fault.chain()) });
        tokio::time::sleep(Duration::from_millis(killed_after)).await;
        work.abort();
        if let Ok(Err(fault)) = work.await {
            panic!("{fault}");
        }
    }
    let over = office.batch_over(id).await;
    let answers = office.batch_answers(world.http(), id).await;
    assert_eq!((&over["state"], answers.len()), (&json!("finished"), 600));
    // Every third row names a serial number; those from the 450th on name one that was named before.
    for (number, answer) in answers.iter().enumerate() {
        let expected: &[&str] = if number % 3 == 0 && number >= 450 { &["/serialNumber"] } else { &[] };
        assert_eq!(error_paths(answer), expected, "{answer}");
    }
    assert_eq!((&over["issued"], &over["failed"]), (&json!(550), &json!(50)));
    assert_eq!(issued(&office).await, 550);
    let mut listed = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/passes?campaignId={CAMPAIGN}&limit=100{cursor}");
        let page = Answer::to(office.request(Method::GET, &path)).await.expect(200).json();
        for pass in page["passes"].as_array().unwrap() {
            assert!(listed.insert(pass["serialNumber"].as_str().unwrap().to_owned()), "{pass}");
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed.len(), 550);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_its_merchants_and_a_tills_key_makes_none() {
    let world = World::new().await;
    let office = world.back_office();
    let made = office.batch("mine", OF_CAMPAIGN, JSON_LINES, "{}".to_owned()).await.expect(202).json();
    let id = made["batchId"].as_str().unwrap();
    let over = office.batch_over(id).await;
    let theirs = world.back_office_with(&world.key_of_another_merchant().await);
    theirs.batch_now(id).await.problem(404, "not_found");
    theirs.batch_results(id).await.problem(404, "not_found");
    theirs.cancel_batch(id).await.problem(404, "not_found");
    theirs.start_batch(id).await.problem(404, "not_found");
    // Neither a name of theirs nor a campaign of ours: the rows find nothing.
    let (_, answers) =
        theirs.whole_batch(world.http(), "", JSON_LINES, lines(&[json!({ "campaignId": CAMPAIGN })])).await;
    assert_eq!(error_paths(&answers[0]), ["/campaignId"]);
    let till = world.back_office_with(&world.key_with_role(Role::Redeem).await);
    till.batch("till", "", JSON_LINES, "{}".to_owned()).await.problem(403, "forbidden");
    till.batch_results(id).await.problem(403, "forbidden");
    for nobodys in ["x", "0000000000000000", "..%2Fbatch"] {
        office.batch_now(nobodys).await.problem(404, "not_found");
    }
    assert_eq!(office.batch_now(id).await.expect(200).json(), over);
    // After a week the answers are gone, and what is left says how many there were.
    world.advance(Duration::from_secs(7 * 86_400));
    assert_eq!(office.batch_results(id).await.expect(200).json()["results"], json!([]));
    assert_eq!(office.batch_now(id).await.expect(200).json()["issued"], 1);
    assert_eq!(over["resultsUntil"], format!("{:.3}", world.now()));
    assert_eq!(answers[0].get("passTypeIdentifier"), None, "{PASS_TYPE}");
    world.end().await;
}
