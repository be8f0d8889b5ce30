//! The main job, once through every door, against a service that runs somewhere else: `tests/deployed/tour.py` deploys it.
//!
//! Prints one line of JSON, what the service has to be given: a signing identity and the APNs stand-in. Reads one line from
//! standard input, where the service is: `{"baseUrl": "…", "merchantKey": "…"}`. Then tells the story in real time, as a
//! phone, a till and a back office; exit code 0 when everything held.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test: a broken expectation ends the tour"
)]

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use passloop_local::Clock;
use passloop_local::apns::{StandIn, StandInOptions};
use passloop_local::certificates::make_chain;
use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, CAMPAIGN, Issued, PASS_TYPE, two_offers};
use passloop_tests::batches::{CSV, JSON_LINES, lines};
use passloop_tests::iphone::IPhone;
use passloop_tests::template_folder::{TemplateFolder, plain_png};
use passloop_tests::till::Till;
use passloop_tests::web_service::WebService;
use passloop_tests::world::{PATIENCE, TEAM};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// Between a redemption and the next offer, in seconds. The whole tour is in real time.
const NEXT_OFFER_AFTER: u64 = 4;

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir().unwrap();
    let chain = make_chain(PASS_TYPE, TEAM).unwrap();
    let files = chain.write(directory.path()).unwrap();
    let apns = StandIn::start(StandInOptions {
        certificates_dir: directory.path().join("apns"),
        client_roots_pem: std::fs::read(&files.root).unwrap(),
        listen: ([127, 0, 0, 1], 0).into(),
        clock: Arc::new(jiff::Timestamp::now),
    })
    .await
    .unwrap();
    let pem = |file: &Path| String::from_utf8(std::fs::read(file).unwrap()).unwrap();
    let given = json!({
        "apnsEndpoint": apns.endpoint(), "apnsCaFile": apns.ca_path(),
        "identity": { "certificate": pem(&files.certificate), "key": pem(&files.key), "intermediates": [pem(&files.wwdr)] },
    });
    println!("{given}");

    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let there: Value = serde_json::from_str(&line).expect("one line of JSON: baseUrl, merchantKey");
    let tour = Tour::new(&there, apns, &files.root);
    let (mut phone, pass) = tour.first_pass().await;
    tour.redemption(&mut phone, &pass).await;
    tour.desk(&mut phone, &pass).await;
    tour.records(&pass).await;
    tour.batch().await;
    tour.enrolment().await;
    tour.end(phone, &pass).await;
    println!("Everything held.");
    // The service reads the stand-in's certificate for as long as it runs: until whoever started this has done with it.
    std::io::stdin().read_line(&mut line).unwrap();
}

struct Tour {
    http: Client,
    base: String,
    office: BackOffice,
    till: Till,
    apns: StandIn,
    root: std::path::PathBuf,
}

impl Tour {
    fn new(there: &Value, apns: StandIn, root: &Path) -> Tour {
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let (base, key) = (there["baseUrl"].as_str().unwrap(), there["merchantKey"].as_str().unwrap());
        Tour {
            office: BackOffice::new(&http, base, key),
            till: Till::new(&http, base, key, "till 1"),
            base: base.to_owned(),
            root: root.to_owned(),
            http,
            apns,
        }
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Answer {
        Answer::to(self.office.request(method, path).json(body)).await
    }

    async fn get(&self, path: &str) -> Value {
        Answer::to(self.office.request(Method::GET, path)).await.expect(200).json()
    }

    fn iphone(&self) -> IPhone {
        IPhone::new(&self.http, &Clock::system(), &self.root)
    }

    async fn customer(&self, campaign: &str) -> (IPhone, Issued) {
        let pass = self.office.issue_of(campaign, "Ada").await;
        let mut phone = self.iphone();
        let package = Answer::to(self.http.get(&pass.download_url)).await.expect(200);
        assert_eq!(phone.add(&package.body).await, 201, "the phone registers");
        (phone, pass)
    }

    /// Template, campaign, preview, issue, landing page, download, registration, list, log.
    async fn first_pass(&self) -> (IPhone, Issued) {
        let document =
            Answer::to(self.http.get(format!("{}/merchant/v1/openapi.json", self.base))).await.expect(200).json();
        assert!(
            document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")),
            "{}",
            document["openapi"]
        );
        // First of all: from then on every door that changes a pass has something to tell.
        self.webhooks().await;
        self.office.put_template(CAMPAIGN, &TemplateFolder::coupon()).await.expect(201);
        let mut campaign = two_offers();
        campaign["nextOfferAfterSeconds"] = json!(NEXT_OFFER_AFTER);
        self.office.put_campaign(CAMPAIGN, &campaign).await.expect(201);
        let states = json!({ "from": { "state": "redeemable" }, "to": { "state": "redeemed" } });
        self.call(Method::POST, &format!("/campaigns/{CAMPAIGN}/preview"), &states).await.expect(200);

        let (mut phone, pass) = self.customer(CAMPAIGN).await;
        let page = Answer::to(self.http.get(&pass.landing_url)).await.expect(200);
        assert!(page.text().contains("<html"), "a landing page");
        phone.nothing_new(PASS_TYPE).await;
        phone.pull_to_refresh(&pass.serial).await;
        assert_eq!(self.office.get(&pass).await["devices"], 1);
        let log =
            json!({ "logs": ["[2026-01-01 10:00:00 +0100] Web service error for pass.example.x: nothing at all"] });
        let service = WebService::new(&self.http, &self.base);
        service.log("application/json", log.to_string().into_bytes()).await.expect(200);
        (phone, pass)
    }

    /// A webhook at an address that may not be called: there is no other server here. Everything but the delivery is
    /// seen, and the worker has its intents.
    async fn webhooks(&self) {
        let order = json!({ "url": "https://localhost/hook", "events": ["pass.redeemed"] });
        let made = self.call(Method::PUT, "/webhooks/shop", &order).await.expect(201).json();
        assert!(made["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{made}");
        let tried = self.call(Method::POST, "/webhooks/shop/test", &json!({})).await.expect(200).json();
        assert_eq!(tried["delivered"], false, "{tried}");
        self.call(Method::POST, "/webhooks/shop/rotate", &json!({})).await.expect(200);
        self.call(Method::POST, "/webhooks/shop/replay", &json!({})).await.expect(200);
        assert_eq!(self.get("/webhooks").await["webhooks"].as_array().map(Vec::len), Some(1));
        for path in ["/webhooks/shop", "/webhooks/shop/deliveries"] {
            self.get(path).await;
        }
        let order = json!({ "url": "https://localhost/other" });
        self.call(Method::PUT, "/webhooks/other", &order).await.expect(201);
        self.call(Method::DELETE, "/webhooks/other", &json!({})).await.expect(204);
    }

    /// Used at once on the phone; the next offer later and never earlier; counted once.
    async fn redemption(&self, phone: &mut IPhone, pass: &Issued) {
        let before = Instant::now();
        let redemption = self.till.redeem(&pass.barcode).await.expect(201).json();
        assert_eq!(phone.hear(&self.apns).await, [pass.serial.as_str()]);
        assert_eq!(phone.pass(&pass.serial).barcode(), None, "the used pass has no barcode");
        println!("used on the phone after {:?}", before.elapsed());
        self.till.redeem(&pass.barcode).await.problem(409, "already_redeemed");

        assert_eq!(phone.hear(&self.apns).await, [pass.serial.as_str()]);
        let waited = before.elapsed();
        assert!(waited >= Duration::from_secs(NEXT_OFFER_AFTER), "the next offer came early: {waited:?}");
        println!("next offer on the phone after {waited:?}");
        let next = phone.pass(&pass.serial).barcode().expect("the next offer's barcode").to_owned();
        assert_ne!(next, pass.barcode);

        let id = redemption["redemptionId"].as_str().unwrap();
        assert_eq!(self.get(&format!("/redemptions/{id}")).await["redemptionId"], id);
        self.call(Method::POST, &format!("/redemptions/{id}/reverse"), &json!({ "reason": "wrong till" }))
            .await
            .expect(200);
        assert_eq!(phone.hear(&self.apns).await, [pass.serial.as_str()]);
        let again = phone.pass(&pass.serial).barcode().expect("the first offer's new barcode").to_owned();
        assert!(again != next && again != pass.barcode, "every offer has its own barcode");
        self.get(&format!("/campaigns/{CAMPAIGN}/report")).await;
    }

    /// A changed holder, history, mail, links, bundles, scheduled updates, a changed campaign.
    async fn desk(&self, phone: &mut IPhone, pass: &Issued) {
        self.office.patch_holder(pass, json!({ "name": "Ada Lovelace" })).await.expect(200);
        assert_eq!(phone.hear(&self.apns).await, [pass.serial.as_str()]);
        let history = self.office.history(pass).await;
        for told in ["issued", "registered", "pushed", "fetched", "redeemed", "offer", "updated"] {
            assert!(history.iter().any(|event| event == told), "{told} is not in {history:?}");
        }
        self.office.mail(pass, "", "en").await.expect(200);
        let bundle = Answer::to(self.office.bundle(&[pass])).await.expect(200);
        assert_eq!(bundle.header("content-type"), Some("application/vnd.apple.pkpasses"));
        let renewed = self.office.renew_link(pass, &json!({})).await;
        assert!((200..300).contains(&renewed.status), "{}", renewed.text());
        self.office.revoke_link(pass).await;

        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
        let overlay = json!({ "fields": { "news": { "value": "20 %", "changeMessage": "%@" } } });
        let target = json!({ "passTypeIdentifier": pass.pass_type, "serialNumber": pass.serial });
        let update = json!({ "target": target, "at": at, "overlay": overlay });
        let update = self.call(Method::POST, "/updates", &update).await.expect(201).json();
        assert_eq!(phone.hear(&self.apns).await, [pass.serial.as_str()]);
        assert_eq!(phone.pass(&pass.serial).value("news"), "20 %");
        assert_eq!(self.get("/updates").await["updates"].as_array().map(Vec::len), Some(1));
        let path = format!("/updates/{}", update["updateId"].as_str().unwrap());
        self.until("the update is done", || self.get(&path), |update| update["state"] != "scheduled").await;

        let later = json!({ "target": { "campaignId": CAMPAIGN }, "at": at + jiff::SignedDuration::from_hours(1), "overlay": {
            "fields": { "news": { "value": "30 %" } } } });
        let later = self.call(Method::POST, "/updates", &later).await.expect(201).json();
        self.call(Method::DELETE, &format!("/updates/{}", later["updateId"].as_str().unwrap()), &json!({}))
            .await
            .expect(200);

        let mut campaign = two_offers();
        campaign["nextOfferAfterSeconds"] = json!(NEXT_OFFER_AFTER);
        campaign["offers"][0]["overlay"] = json!({ "fields": { "status": { "value": "Twice as good" } } });
        self.office.put_campaign(CAMPAIGN, &campaign).await.expect(200);
        assert_eq!(phone.hear(&self.apns).await, [pass.serial.as_str()]);
        assert_eq!(phone.pass(&pass.serial).value("status"), "Twice as good");
    }

    /// Keys, and everything read back.
    async fn records(&self, pass: &Issued) {
        let key =
            self.call(Method::POST, "/keys", &json!({ "role": "redeem", "name": "till 2" })).await.expect(201).json();
        let till = BackOffice::new(&self.http, &self.base, key["secret"].as_str().unwrap());
        assert_eq!(till.get(pass).await["serialNumber"], pass.serial.as_str());
        assert_eq!(self.get("/keys").await["keys"].as_array().map(Vec::len), Some(2));
        let path = format!("/keys/{}", key["keyId"].as_str().unwrap());
        self.call(Method::DELETE, &path, &json!({})).await.expect(204);
        for path in ["/templates", "/campaigns"] {
            self.get(path).await;
            self.get(&format!("{path}/{CAMPAIGN}")).await;
        }
        let passes = self.get(&format!("/passes?campaignId={CAMPAIGN}")).await;
        assert_eq!(passes["passes"].as_array().map(Vec::len), Some(1));
    }

    /// Many at once: rows in the call, rows uploaded, one of them from another system, one batch cancelled.
    async fn batch(&self) {
        let query = format!("?campaignId={CAMPAIGN}");
        let (over, answers) =
            self.office.whole_batch(&self.http, &query, CSV, "holder.name\nAda\nGrace\n".to_owned()).await;
        assert_eq!((&over["state"], answers.len()), (&json!("finished"), 2), "{answers:?}");
        let rows =
            lines(&[json!({ "serialNumber": "OLD-1", "authenticationToken": "vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc" })]);
        let order = self.office.announce_batch("tour", &query, "jsonl", rows.len()).await.expect(201).json();
        let put = self.http.put(order["upload"]["url"].as_str().unwrap()).header("Content-Type", JSON_LINES);
        Answer::to(put.body(rows)).await.expect(200);
        let id = order["batchId"].as_str().unwrap();
        self.office.start_batch(id).await.expect(202);
        assert_eq!(self.office.batch_over(id).await["imported"], 1);
        let order = self.office.announce_batch("tour 2", "", "csv", 10).await.expect(201).json();
        self.office.cancel_batch(order["batchId"].as_str().unwrap()).await.expect(200);
    }

    /// Rewards enrolment.
    async fn enrolment(&self) {
        let sheet =
            json!({ "description": "Join", "requiredPersonalizationFields": ["PKPassPersonalizationFieldName"] });
        let template = TemplateFolder::coupon()
            .edit(|pass| {
                pass["nfc"] = json!({ "message": "{{ pass.barcode }}", "encryptionPublicKey": "MDkwEwYHKoZIzj0CAQ==" })
            })
            .with("personalization.json", sheet.to_string())
            .with("personalizationLogo@2x.png", plain_png(300, 80, [0, 0, 0]));
        self.office.put_template("rewards", &template).await.expect(201);
        let mut campaign = two_offers();
        campaign["templateId"] = json!("rewards");
        self.office.put_campaign("rewards", &campaign).await.expect(201);
        let (mut phone, pass) = self.customer("rewards").await;
        let facts = json!({ "fullName": "Ada Lovelace", "givenName": "Ada", "familyName": "Lovelace" });
        phone.personalize(&pass.serial, "token", &facts).await.expect(200);
        assert_eq!(self.office.get(&pass).await["holder"]["personalization"]["givenName"], "Ada");
        phone.was_content();
    }

    /// One is voided, seen so and deleted, the other erased, seen void and forgotten; and paths that are none.
    async fn end(&self, mut phone: IPhone, pass: &Issued) {
        let (mut other, voided) = self.customer(CAMPAIGN).await;
        self.office.void(&voided).await.expect(200);
        assert_eq!(other.hear(&self.apns).await, [voided.serial.as_str()]);
        assert_eq!(other.pass(&voided.serial).barcode(), None);
        other.was_content();
        other.delete(&voided.serial).await;
        assert_eq!(self.office.get(&voided).await["devices"], 0);

        let path = format!("/passes/{}/{}", pass.pass_type, pass.serial);
        self.call(Method::DELETE, &path, &json!({})).await.expect(204);
        self.call(Method::GET, &path, &json!({})).await.problem(404, "unknown_pass");
        assert_eq!(phone.hear(&self.apns).await, [pass.serial.as_str()]);
        assert_eq!(phone.pass(&pass.serial).pass["voided"], true);
        phone.was_content();
        let report = || async { self.get(&format!("/campaigns/{CAMPAIGN}/report")).await };
        // A minute is waited for in any case (docs/decisions/0016).
        let begun = Instant::now();
        while report().await["erased"] != 1 {
            assert!(begun.elapsed() < PATIENCE * 6, "it is not forgotten");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }

        Answer::to(self.http.get(format!("{}/nowhere", self.base))).await.problem(404, "not_found");
        let slashes = format!("{}//v1//passes/{}/{}", self.base, pass.pass_type, pass.serial);
        Answer::to(self.http.get(slashes)).await.expect(401);
    }

    async fn until<F: Future<Output = Value>>(
        &self,
        what: &str,
        mut ask: impl FnMut() -> F,
        right: impl Fn(&Value) -> bool,
    ) {
        let begun = Instant::now();
        while !right(&ask().await) {
            assert!(begun.elapsed() < PATIENCE, "never came: {what}");
        }
    }
}
