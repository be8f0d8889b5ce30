//! Two merchants on one service: neither sees or touches what is the other's (contract 4, first
//! bullet: a key is a merchant's).

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, CAMPAIGN, PASS_TYPE, two_offers};
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::till::Till;
use passloop_tests::world::{OTHER_PASS_TYPE, World};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_merchant_finds_none_of_our_passes() {
    let world = World::new().await;
    let ours = world.back_office();
    let pass = ours.issue("Ada").await;
    let before = ours.get(&pass).await;
    let key = world.key_of_another_merchant().await;
    let theirs = world.back_office_with(&key);
    let path = format!("/passes/{}/{}", pass.pass_type, pass.serial);
    for tail in ["", "/history"] {
        let request = theirs.request(Method::GET, &format!("{path}{tail}"));
        Answer::to(request).await.any_problem(&[404]);
    }
    theirs.patch_holder(&pass, json!({ "name": "Eve" })).await.any_problem(&[404]);
    theirs.void(&pass).await.any_problem(&[404]);
    let till = Till::new(world.http(), world.base(), &key, "till 1");
    till.redeem(&pass.barcode).await.problem(404, "unknown_pass");
    till.redeem_pass(&pass.pass_type, &pass.serial).await.problem(404, "unknown_pass");
    theirs.post_pass(&json!({ "campaignId": CAMPAIGN })).await.any_problem(&[404, 409, 422]);
    assert_eq!(ours.get(&pass).await, before);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_names_are_different_things_for_different_merchants() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    let theirs = world.back_office_with(&world.key_of_another_merchant().await);
    let folder = TemplateFolder::coupon().edit(|pass| pass["description"] = json!("Theirs"));
    theirs.put_template(CAMPAIGN, &folder).await.expect(201);
    let mut campaign = two_offers();
    campaign["offers"][0]["title"] = json!("Theirs");
    campaign["passTypeIdentifier"] = json!(OTHER_PASS_TYPE);
    theirs.put_campaign(CAMPAIGN, &campaign).await.expect(201);
    phone.nothing_new(&pass.pass_type).await;
    // Idempotency keys are a merchant's own.
    let body = json!({ "campaignId": CAMPAIGN, "holder": { "name": "Ada" } });
    for office in [world.back_office(), theirs] {
        let request = office.request(Method::POST, "/passes").header("Idempotency-Key", "order 1");
        let answer = Answer::to(request.json(&body)).await.expect(201);
        assert_eq!(answer.header("idempotency-replayed"), None);
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_type_is_theirs_who_first_use_it() {
    let world = World::new().await;
    let (ours, theirs) = (world.back_office(), world.back_office_with(&world.key_of_another_merchant().await));
    for office in [&ours, &theirs] {
        office.put_template("t", &TemplateFolder::coupon()).await.expect(201);
    }
    let of_type = |pass_type: &str| {
        let mut campaign = two_offers();
        campaign["passTypeIdentifier"] = json!(pass_type);
        campaign["templateId"] = json!("t");
        campaign
    };
    // What is another merchant's is answered like what has no certificate, in every word.
    let others = theirs.put_campaign("c", &of_type(PASS_TYPE)).await.problem(422, "invalid");
    let nobodys = theirs.put_campaign("c", &of_type("pass.example.nobody")).await.problem(422, "invalid");
    let text = |problem: &Value| problem.to_string().replace(problem["requestId"].as_str().unwrap(), "");
    assert_eq!(text(&others).replace(PASS_TYPE, "pass.example.nobody"), text(&nobodys));
    // The operator's word comes before anybody's use.
    ours.put_campaign("c", &of_type(OTHER_PASS_TYPE)).await.problem(422, "invalid");
    theirs.put_campaign("c", &of_type(OTHER_PASS_TYPE)).await.expect(201);
    world.end().await;
}

fn news() -> Value {
    json!({ "fields": { "news": { "value": "20 % tonight" } } })
}

/// Every name a call can hold: ours, or nobody's.
struct Names {
    campaign: String,
    template: String,
    pass_type: String,
    serial: String,
    barcode: String,
    update: String,
    key: String,
    redemption: String,
    batch: String,
    webhook: String,
}

impl Names {
    fn nobodys() -> Names {
        Names {
            campaign: "nobody".to_owned(),
            template: "nobody".to_owned(),
            pass_type: "pass.example.nobody".to_owned(),
            serial: "00000000000000000000000000000000".to_owned(),
            barcode: "00000000000000000000000000000000".to_owned(),
            update: "1795435200000-0000000000000000".to_owned(),
            key: "0000000000000000".to_owned(),
            redemption: "0000000000000000".to_owned(),
            batch: "0000000000000000".to_owned(),
            webhook: "nobody-s".to_owned(),
        }
    }

    fn all(&self) -> [&str; 10] {
        [
            &self.barcode,
            &self.serial,
            &self.update,
            &self.key,
            &self.redemption,
            &self.batch,
            &self.pass_type,
            &self.campaign,
            &self.template,
            &self.webhook,
        ]
    }

    /// What a parameter of a path or a query that every call needs names.
    fn of(&self, parameter: &str) -> &str {
        match parameter {
            "campaignId" => &self.campaign,
            "templateId" => &self.template,
            "passTypeIdentifier" => &self.pass_type,
            "serialNumber" => &self.serial,
            "updateId" => &self.update,
            "keyId" => &self.key,
            "redemptionId" => &self.redemption,
            "batchId" => &self.batch,
            "webhookId" => &self.webhook,
            other => panic!("{other}: say here what it names"),
        }
    }

    /// The bodies of a call that name things; each call that takes a body has a line.
    fn bodies(&self, operation: &str) -> Vec<Value> {
        let (kind, serial) = (&self.pass_type, &self.serial);
        let pass = json!({ "passTypeIdentifier": kind, "serialNumber": serial });
        let later = "2099-01-01T00:00:00Z";
        match operation {
            // Rows are told apart by stories/batches.rs.
            "make-batch" => vec![json!({ "format": "csv", "bytes": 100 })],
            "make-key" => vec![json!({ "role": "redeem" })],
            "put-campaign" => {
                let mut campaign = two_offers();
                campaign["passTypeIdentifier"] = json!(kind);
                campaign["templateId"] = json!(self.template);
                vec![campaign]
            }
            "preview-campaign" => vec![json!({ "from": { "state": "redeemable" }, "to": { "state": "redeemed" } })],
            "issue-pass" => vec![json!({ "campaignId": self.campaign, "serialNumber": serial })],
            "update-pass" => vec![json!({ "holder": { "name": "Eve" } })],
            "void-pass" | "renew-link" | "reverse-redemption" => vec![json!({})],
            "put-webhook" => vec![json!({ "url": "https://localhost/hook" })],
            "rotate-webhook-secret" | "test-webhook" => vec![json!({})],
            "replay-webhook" => vec![json!({}), pass],
            "make-bundle" => vec![json!({ "passes": [pass] })],
            "redeem-pass" => vec![json!({ "barcode": self.barcode }), pass],
            "schedule-update" => [json!({ "campaignId": self.campaign }), pass]
                .map(|target| json!({ "target": target, "at": later, "overlay": news() }))
                .into(),
            other => panic!("{other}: say here what its body looks like when it names another merchant's things"),
        }
    }
}

/// A merchants' call of the document that takes a key.
struct Operation {
    id: String,
    method: Method,
    path: String,
    content: Value,
    parameters: Vec<Value>,
}

impl Operation {
    fn all(document: &Value) -> Vec<Operation> {
        let mut all = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
                let content = &item[method.as_str().to_lowercase()];
                let takes_a_key = content["security"].to_string().contains("merchantKey");
                if let (true, Some(path)) = (takes_a_key, path.strip_prefix("/merchant/v1")) {
                    let parameters = [&item["parameters"], &content["parameters"]].map(Value::as_array);
                    let parameters =
                        parameters.into_iter().flatten().flatten().map(|each| match each["$ref"].as_str() {
                            Some(reference) => document.pointer(&reference[1..]).unwrap().clone(),
                            None => each.clone(),
                        });
                    let (parameters, id) = (parameters.collect(), content["operationId"].as_str().unwrap().to_owned());
                    all.push(Operation { id, method, path: path.to_owned(), content: content.clone(), parameters });
                }
            }
        }
        assert!(all.len() > 20, "{} calls", all.len());
        all
    }

    /// The call naming these things, by this office, as often as it has bodies.
    fn calls(&self, office: &BackOffice, names: &Names) -> Vec<RequestBuilder> {
        let mut path = self.path.clone();
        let mut query = Vec::new();
        for parameter in &self.parameters {
            let name = parameter["name"].as_str().unwrap();
            match parameter["in"].as_str().unwrap() {
                "path" => path = path.replace(&format!("{{{name}}}"), names.of(name)),
                "query" if parameter["required"] == true => query.push(format!("{name}={}", names.of(name))),
                _ => {}
            }
        }
        assert!(!path.contains('{'), "{path}");
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let request = || office.request(self.method.clone(), &path);
        let media = self.content["requestBody"]["content"].as_object();
        match media.and_then(|media| media.keys().next()).map(String::as_str) {
            None => vec![request()],
            Some("application/zip") => {
                let folder = TemplateFolder::coupon().edit(|pass| pass["description"] = json!("Eve's"));
                vec![request().header("Content-Type", "application/zip").body(folder.zip())]
            }
            Some("application/json") => {
                names.bodies(&self.id).iter().map(|body| request().json(body)).collect::<Vec<_>>()
            }
            Some(other) => panic!("{}: say here how a body of {other} is made", self.id),
        }
    }
}

/// An answer without what belongs to the one request, and whatever names stand in it.
fn gist(answer: &Answer, names: &Names) -> String {
    let mut text = answer.text();
    if let Ok(problem) = serde_json::from_str::<Value>(&text)
        && let Some(id) = problem["requestId"].as_str()
    {
        text = text.replace(id, "");
    }
    names.all().into_iter().fold(text, |text, name| text.replace(name, "<name>"))
}

/// What our office reads by every call that only reads.
async fn everything(operations: &[Operation], office: &BackOffice, names: &Names) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for operation in operations.iter().filter(|operation| operation.method == Method::GET) {
        for call in operation.calls(office, names) {
            let answer = Answer::to(call).await;
            all.push((format!("{} {}", operation.id, answer.status), gist(&answer, &Names::nobodys())));
        }
    }
    all
}

/// Every call of the document, by another merchant, with our names: answered as if nobody had such things, telling
/// nothing of ours and changing nothing of ours. A door that is new is tried here as soon as it is described.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_about_another_merchants_things_finds_nothing() {
    let world = World::new().await;
    let ours = world.back_office();
    let document = Answer::to(ours.request(Method::GET, "/openapi.json")).await.expect(200).json();
    let operations = Operation::all(&document);
    let (pass, mut phone) = world.customer("Ada").await;
    let used = world.till().redeem(&ours.issue("Grace").await.barcode).await.expect(201).json();
    let key = ours.make_key(&json!({ "role": "redeem", "name": "Ada's till" })).await.expect(201).json();
    let update = json!({ "target": { "campaignId": CAMPAIGN }, "at": "2099-01-01T00:00:00Z", "overlay": news() });
    let update = Answer::to(ours.request(Method::POST, "/updates").json(&update)).await.expect(201).json();
    let batch = ours.announce_batch("ours", "", "csv", 100).await.expect(201).json();
    let hook = ours.request(Method::PUT, "/webhooks/our-own-hook").json(&json!({ "url": "https://localhost/ours" }));
    let hook = Answer::to(hook).await.expect(201).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names = Names {
        campaign: CAMPAIGN.to_owned(),
        template: CAMPAIGN.to_owned(),
        pass_type: pass.pass_type.clone(),
        serial: pass.serial.clone(),
        barcode: pass.barcode.clone(),
        update: text(&update["updateId"]),
        key: text(&key["keyId"]),
        redemption: text(&used["redemptionId"]),
        batch: text(&batch["batchId"]),
        webhook: "our-own-hook".to_owned(),
    };
    let template = Answer::to(ours.request(Method::GET, &format!("/templates/{CAMPAIGN}"))).await.expect(200).json();
    let link = pass.landing_url.rsplit('/').next().unwrap();
    let secret = text(&hook["secret"]);
    let told_to_nobody = [
        secret.as_str(),
        "localhost/ours",
        &names.serial,
        &names.barcode,
        &names.update,
        &names.key,
        &names.redemption,
        &names.batch,
        link,
        "Ada",
        "Grace",
    ];
    let digest = text(&template["sha256"]);

    // The same requests under the same idempotency keys were ours before; those that change anything went elsewhere.
    for operation in operations.iter().filter(|operation| operation.method == Method::POST) {
        for (place, call) in operation.calls(&ours, &Names::nobodys()).into_iter().enumerate() {
            let answer = Answer::to(call.header("Idempotency-Key", format!("{} {place}", operation.id))).await;
            assert!(answer.status < 500, "{}: {}", answer.asked, answer.text());
        }
    }
    let before = everything(&operations, &ours, &names).await;

    let theirs = world.back_office_with(&world.key_of_another_merchant().await);
    for operation in &operations {
        let nobodys = operation.calls(&theirs, &Names::nobodys()).into_iter();
        for (place, (about_ours, about_nobodys)) in
            operation.calls(&theirs, &names).into_iter().zip(nobodys).enumerate()
        {
            let about_nobodys = about_nobodys.header("Idempotency-Key", format!("{} {place}", operation.id));
            let about_nobodys = Answer::to(about_nobodys).await;
            assert_eq!(about_nobodys.header("idempotency-replayed"), None, "{}: our answer", about_nobodys.asked);
            let about_ours = about_ours.header("Idempotency-Key", format!("{} {place} of theirs", operation.id));
            let about_ours = Answer::to(about_ours).await;
            assert_eq!(about_ours.status, about_nobodys.status, "{}: {}", about_ours.asked, about_ours.text());
            if about_ours.status < 300 {
                // It is about things of their own.
                let told = about_ours.text();
                for name in told_to_nobody.iter().copied().chain([digest.as_str()]) {
                    assert!(!told.contains(name), "{} tells {name}: {told}", about_ours.asked);
                }
            } else {
                assert_eq!(gist(&about_ours, &names), gist(&about_nobodys, &Names::nobodys()), "{}", about_ours.asked);
            }
        }
    }
    assert_eq!(everything(&operations, &ours, &names).await, before);
    phone.nothing_new(&pass.pass_type).await;
    phone.was_content();
    // That nothing was found was for whose it is, not for how it was asked: from us each call is understood. What takes
    // something away comes last, and the whole after its parts.
    let (taking, mut in_order): (Vec<_>, Vec<_>) = operations.iter().partition(|each| each.method == Method::DELETE);
    let mut taking = taking;
    taking.sort_by_key(|each| std::cmp::Reverse(each.path.len()));
    in_order.extend(taking);
    for operation in in_order {
        for call in operation.calls(&ours, &names) {
            let answer = Answer::to(call.header("Idempotency-Key", Till::new_sale())).await;
            assert!(![400, 404, 422].contains(&answer.status), "{}: {}", answer.asked, answer.text());
        }
    }
    world.end().await;
}
