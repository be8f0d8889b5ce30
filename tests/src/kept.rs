//! What a release leaves behind: its table and its bucket, played once and kept in the tree (`tests/kept`), so that every
//! later release is shown to go on from them (`docs/deploy.md`, "Updating without a gap").
//!
//! DynamoDB is spoken to in its own JSON, so that what is kept is what is stored, and no type of ours stands between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use platform::app;
use platform::store::TTL_ATTRIBUTE;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::back_office::{CAMPAIGN, Issued, PASS_TYPE, two_offers};
use crate::iphone::IPhone;
use crate::template_folder::TemplateFolder;
use crate::till::Till;
use crate::world::World;

/// Everything a release left.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    /// What the world outside remembers: phones, the back office, a till.
    pub remembered: Remembered,
    /// The table's items, in DynamoDB's JSON, sorted by key.
    pub items: Vec<Value>,
    /// The bucket's template archives by their names. Packages are not kept: they are a cache.
    pub archives: BTreeMap<String, Archive>,
}

/// An object of the bucket.
#[derive(Serialize, Deserialize)]
pub struct Archive {
    /// Its bytes, in base64.
    pub content: String,
    /// Its user metadata.
    pub metadata: BTreeMap<String, String>,
}

/// What those outside the service remember of it.
#[derive(Serialize, Deserialize)]
pub struct Remembered {
    /// Used, and promised its next offer.
    pub ada: Customer,
    /// Ready to be redeemed.
    pub bob: Customer,
    /// Voided.
    pub cleo: Customer,
    /// The till's sale that used Ada's pass.
    pub sale: String,
    /// What it was answered.
    pub receipt: Value,
    /// A key of the role `redeem`.
    pub till_key: String,
    /// The campaign's report.
    pub report: Value,
    /// A scheduled update, far away.
    pub update: Value,
}

/// A customer with a phone.
#[derive(Serialize, Deserialize)]
pub struct Customer {
    /// The pass as the back office last saw it.
    pub pass: Value,
    /// `deviceLibraryIdentifier`.
    pub device: String,
    /// `Authorization`.
    pub authorization: String,
    /// `lastUpdated` of the last list.
    pub tag: String,
    /// `Last-Modified` of the version the phone holds.
    pub last_modified: String,
    /// The events of its history, in order.
    pub history: Vec<Value>,
}

impl Customer {
    /// The pass. A link that was revoked is empty.
    pub fn issued(&self) -> Issued {
        let text = |key: &str| self.pass[key].as_str().unwrap_or_default().to_owned();
        Issued {
            pass_type: text("passTypeIdentifier"),
            serial: text("serialNumber"),
            barcode: text("barcode"),
            landing_url: text("landingUrl"),
            download_url: text("downloadUrl"),
        }
    }
}

/// Every kept release, the oldest first.
pub fn releases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("kept");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    files
}

/// Lives through everything that leaves a trace, in a world that has nothing yet. The clock stands still at the end:
/// what is due later is left for whoever goes on.
pub async fn play(world: &World) -> Kept {
    let office = world.back_office();
    office.put_template(CAMPAIGN, &TemplateFolder::coupon()).await.expect(201);
    let mut campaign = two_offers();
    campaign["totalRedemptionLimit"] = json!(1000);
    campaign["holderKey"] = json!("/name");
    campaign["redemptionsPerHolder"] = json!(5);
    campaign["maximumDevices"] = json!(3);
    campaign["welcomeOverlay"] = json!({ "fields": { "news": { "value": "Welcome!", "changeMessage": "%@" } } });
    campaign["locations"] = json!([{ "locationId": "main", "name": "Main Street", "latitude": 52.5, "longitude": 13.4,
        "benefit": { "gift": "a bag" } }]);
    office.put_campaign(CAMPAIGN, &campaign).await.expect(201);

    let (ada, ada_phone) = customer(world, "Ada").await;
    let (bob, mut bob_phone) = customer(world, "Bob").await;
    let (cleo, mut cleo_phone) = customer(world, "Cleo").await;

    // A sale that was taken back, and a change of who somebody is.
    let taken_back = world.till().redeem(&bob.barcode).await.expect(201).json();
    bob_phone.hear(world.apns()).await;
    world.advance(std::time::Duration::from_secs(5));
    office.reverse(taken_back["redemptionId"].as_str().unwrap()).await.expect(200);
    bob_phone.hear(world.apns()).await;
    office.patch_holder(&bob, json!({ "name": "Robert" })).await.expect(200);
    bob_phone.hear(world.apns()).await;
    let bob = Issued::read(&office.get(&bob).await);

    office.void(&cleo).await.expect(200);
    cleo_phone.hear(world.apns()).await;
    office.revoke_link(&cleo).await.expect(200);
    office.renew_link(&bob, &json!({ "downloadLimit": 5 })).await.expect(201);
    world.web_service().log("application/json", complaints(&bob_phone, &bob)).await.expect(200);

    let till_key = office.make_key(&json!({ "role": "redeem", "name": "till" })).await.expect(201).json();
    let till_key = till_key["secret"].as_str().unwrap().to_owned();
    let update = json!({ "target": { "campaignId": CAMPAIGN }, "at": "2090-03-01T18:00:00+01:00",
        "until": "2090-03-02T00:00:00+01:00", "every": "week", "timeZone": "Europe/Berlin",
        "overlay": { "fields": { "news": { "value": "20 % tonight", "changeMessage": "%@" } } } });
    let update = Answer::to(office.request(Method::POST, "/updates").json(&update)).await.expect(201).json();

    // Last, with APNs busy: Ada's phone knows nothing of it, and the next offer is due in a quarter of a minute.
    world.apns().answer(ada_phone.push_token(), 503, "ServiceUnavailable", None);
    let till = world.back_office_with(&till_key);
    let sale = Till::new_sale();
    let sold = till.request(Method::POST, "/redemptions").header("Idempotency-Key", &sale);
    let sold = sold.json(&json!({ "barcode": ada.barcode, "location": "main", "till": "till 1" }));
    let receipt = Answer::to(sold).await.expect(201).json();
    // The worker's attempt leaves the intent of another one.
    world
        .until("a refused push", || items(world), |items| items.iter().any(|item| text(item).contains("push-again")))
        .await;

    let report = Answer::to(office.report(CAMPAIGN, "")).await.expect(200).json();
    let remembered = Remembered {
        ada: remember(world, &ada, &ada_phone).await,
        bob: remember(world, &bob, &bob_phone).await,
        cleo: remember(world, &cleo, &cleo_phone).await,
        sale,
        receipt,
        till_key,
        report,
        update,
    };
    Kept { remembered, items: items(world).await, archives: archives(world).await }
}

async fn customer(world: &World, name: &str) -> (Issued, IPhone) {
    let body = json!({ "campaignId": CAMPAIGN, "serialNumber": name.to_lowercase(), "holder": { "name": name } });
    let pass = Issued::read(&world.back_office().post_pass(&body).await.expect(201).json());
    let mut phone = world.iphone();
    phone.add(&world.download(&pass).await.body).await;
    (pass, phone)
}

/// One that is understood and one that is not (reference 1.6).
fn complaints(phone: &IPhone, pass: &Issued) -> Vec<u8> {
    let known = format!(
        "[2026-11-01 1:49:07 PM -0600] Get pass task (for device {}, pass type {}, serial number {}; with web service url \
         https://passes.example.com) encountered error: Unexpected response code 502",
        phone.device(),
        pass.pass_type,
        pass.serial
    );
    json!({ "logs": [known, "Something else went wrong"] }).to_string().into_bytes()
}

async fn remember(world: &World, pass: &Issued, phone: &IPhone) -> Customer {
    let office = world.back_office();
    Customer {
        pass: office.get(pass).await,
        device: phone.device().to_owned(),
        authorization: phone.authorization(&pass.serial),
        tag: phone.tag(PASS_TYPE).to_owned(),
        last_modified: phone.last_modified(&pass.serial).to_owned(),
        history: office.events(pass).await,
    }
}

/// One call of DynamoDB, in its own words.
pub async fn dynamodb(world: &World, operation: &str, mut body: Value) -> Value {
    let config = &world.local().app().config;
    body["TableName"] = json!(config.table_name);
    let endpoint = world.local().description().aws_endpoint.dynamodb.as_deref().expect("a DynamoDB of the tests");
    let request = world
        .http()
        .post(endpoint)
        .header("X-Amz-Target", format!("DynamoDB_20120810.{operation}"))
        .header("Content-Type", "application/x-amz-json-1.0")
        // Its form is asked for; nobody checks it here.
        .header("X-Amz-Date", "20260101T000000Z")
        .header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
        .body(body.to_string());
    Answer::to(request).await.expect(200).json()
}

/// Every item of the table, sorted by key.
async fn items(world: &World) -> Vec<Value> {
    let mut items = Vec::new();
    let mut start = Value::Null;
    loop {
        let mut body = json!({ "ConsistentRead": true });
        if !start.is_null() {
            body["ExclusiveStartKey"] = start;
        }
        let page = dynamodb(world, "Scan", body).await;
        items.extend(page["Items"].as_array().expect("items").iter().cloned());
        start = page["LastEvaluatedKey"].clone();
        if start.is_null() {
            break;
        }
    }
    items.sort_by_key(|item| (item["pk"]["S"].to_string(), item["sk"]["S"].to_string()));
    items
}

fn text(item: &Value) -> String {
    item.to_string()
}

async fn archives(world: &World) -> BTreeMap<String, Archive> {
    let (s3, bucket) = s3(world).await;
    let listed = s3.list_objects_v2().bucket(&bucket).prefix("templates/").send().await.unwrap();
    let mut archives = BTreeMap::new();
    for name in listed.contents().iter().filter_map(|object| object.key()) {
        let object = s3.get_object().bucket(&bucket).key(name).send().await.unwrap();
        let metadata = object.metadata().into_iter().flatten();
        let metadata = metadata.map(|(name, value)| (name.clone(), value.clone())).collect();
        let content = BASE64.encode(object.body.collect().await.unwrap().into_bytes());
        archives.insert(name.to_owned(), Archive { content, metadata });
    }
    archives
}

async fn s3(world: &World) -> (aws_sdk_s3::Client, String) {
    let config = &world.local().app().config;
    (app::s3(&app::sdk_config(&config.aws), &config.aws), config.bucket_name.clone())
}

impl Kept {
    /// Reads one from the tree.
    pub fn read(file: &Path) -> Kept {
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    /// Puts everything into a world that has nothing yet. What lives for a time lives from now on.
    pub async fn load(&self, world: &World) {
        let in_thirty_days = world.now() + jiff::SignedDuration::from_hours(30 * 24);
        for item in &self.items {
            let mut item = item.clone();
            if item.get(TTL_ATTRIBUTE).is_some() {
                item[TTL_ATTRIBUTE] = json!({ "N": in_thirty_days.as_second().to_string() });
            }
            dynamodb(world, "PutItem", json!({ "Item": item })).await;
        }
        let (s3, bucket) = s3(world).await;
        for (name, archive) in &self.archives {
            let content = BASE64.decode(&archive.content).unwrap();
            let metadata = archive.metadata.clone().into_iter().collect();
            let put = s3.put_object().bucket(&bucket).key(name).set_metadata(Some(metadata)).body(content.into());
            put.send().await.unwrap();
        }
    }

    /// Which attributes the items of each kind have, of which type, those within JSON texts included. Two releases that
    /// store in the same shapes have the same lines.
    pub fn shapes(&self) -> BTreeSet<String> {
        let mut shapes = BTreeSet::new();
        for item in &self.items {
            let kind = kind(item);
            for (name, value) in item.as_object().expect("an item") {
                if name != "pk" && name != "sk" {
                    attribute(&mut shapes, &format!("{kind} {name}"), value);
                }
            }
        }
        shapes
    }
}

/// The first words of the keys; a sort key that begins with somebody's own identifier has none.
fn kind(item: &Value) -> String {
    let word = |key: &str| {
        let text = item[key]["S"].as_str().expect("a key");
        let word = text.split('#').next().unwrap_or_default();
        if word.bytes().all(|byte| byte.is_ascii_uppercase()) { word.to_owned() } else { "*".to_owned() }
    };
    format!("{}/{}", word("pk"), word("sk"))
}

fn attribute(shapes: &mut BTreeSet<String>, path: &str, value: &Value) {
    let (kind, content) = value.as_object().and_then(|typed| typed.iter().next()).expect("a typed value");
    match (kind.as_str(), content) {
        ("M", Value::Object(map)) => {
            for (name, value) in map {
                attribute(shapes, &format!("{path}.{name}"), value);
            }
        }
        ("L", Value::Array(list)) => {
            for value in list {
                attribute(shapes, &format!("{path}[]"), value);
            }
        }
        ("S", Value::String(text)) if text.starts_with(['{', '[']) => match serde_json::from_str(text) {
            Ok(json) => within(shapes, path, &json),
            Err(_) => drop(shapes.insert(format!("{path}: S"))),
        },
        (kind, _) => drop(shapes.insert(format!("{path}: {kind}"))),
    }
}

/// Objects whose members are named by merchants, not by us: their own JSON, fields and images by name, languages.
const THEIR_OWN: [&str; 6] = ["holder", "set", "fields", "images", "benefit", "body"];

fn within(shapes: &mut BTreeSet<String>, path: &str, json: &Value) {
    let theirs = path.rsplit(['.', ' ']).next().is_some_and(|last| THEIR_OWN.contains(&last));
    match json {
        Value::Object(members) if !theirs => {
            for (name, value) in members {
                within(shapes, &format!("{path}.{name}"), value);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| within(shapes, &format!("{path}[]"), value)),
        Value::Object(_) => drop(shapes.insert(format!("{path}: object"))),
        // What may be absent is told by where it is present.
        Value::Null => {}
        Value::Bool(_) => drop(shapes.insert(format!("{path}: boolean"))),
        Value::Number(_) => drop(shapes.insert(format!("{path}: number"))),
        Value::String(_) => drop(shapes.insert(format!("{path}: string"))),
    }
}
