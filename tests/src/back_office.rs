//! The merchant's back office: templates, campaigns, passes (contract section 4).

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::template_folder::TemplateFolder;

/// The pass type every world starts with (contract section 1).
pub const PASS_TYPE: &str = "pass.example.passloop";
/// The campaign and the template of most stories.
pub const CAMPAIGN: &str = "croissant";

/// A campaign of two offers, 15 seconds apart, then the end (the contract's own example), whose
/// every change of state announces itself through exactly one field (reference 5, rule 3).
pub fn two_offers() -> Value {
    json!({
        "passTypeIdentifier": PASS_TYPE,
        "templateId": CAMPAIGN,
        "offers": [
            { "offerId": "free-croissant", "title": "Free croissant" },
            { "offerId": "half-price-coffee", "title": "Half-price coffee",
              "overlay": { "fields": {
                  "news": { "value": "New: half-price coffee", "changeMessage": "%@" } } } }
        ],
        "redeemedOverlay": {
            "fields": {
                "status": { "value": "Used" },
                "news": { "value": "Used. Enjoy!", "changeMessage": "%@" } },
            "images": { "strip": "used-strip" }
        },
        "voidedOverlay": { "fields": { "status": { "value": "Void" } } },
        "nextOfferAfterSeconds": 15,
        "afterLastOffer": "stop"
    })
}

/// A pass as the back office sees it after issuing.
#[derive(Debug, Clone)]
pub struct Issued {
    /// `passTypeIdentifier`.
    pub pass_type: String,
    /// `serialNumber`.
    pub serial: String,
    /// The first offer's barcode.
    pub barcode: String,
    /// Landing page.
    pub landing_url: String,
    /// The package itself.
    pub download_url: String,
}

impl Issued {
    /// Reads the pass object of the contract.
    #[track_caller]
    pub fn read(pass: &Value) -> Issued {
        let text = |key: &str| match pass[key].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("no {key} in {pass}"),
        };
        Issued {
            pass_type: text("passTypeIdentifier"),
            serial: text("serialNumber"),
            barcode: text("barcode"),
            landing_url: text("landingUrl"),
            download_url: text("downloadUrl"),
        }
    }
}

/// Someone with a merchant key at a desk.
#[derive(Debug, Clone)]
pub struct BackOffice {
    http: Client,
    base: String,
    merchant_key: String,
}

impl BackOffice {
    /// `base` is the service's public URL.
    pub fn new(http: &Client, base: &str, merchant_key: &str) -> BackOffice {
        BackOffice { http: http.clone(), base: base.to_owned(), merchant_key: merchant_key.to_owned() }
    }

    /// A request below `/merchant/v1`, with this office's key.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/merchant/v1{path}", self.base)).bearer_auth(&self.merchant_key)
    }

    /// Uploads a template folder.
    pub async fn put_template(&self, id: &str, folder: &TemplateFolder) -> Answer {
        self.put_archive(id, folder.zip()).await
    }

    /// Uploads any bytes as a template's zip.
    pub async fn put_archive(&self, id: &str, archive: Vec<u8>) -> Answer {
        let request = self
            .request(Method::PUT, &format!("/templates/{id}"))
            .header("Content-Type", "application/zip")
            .body(archive);
        Answer::to(request).await
    }

    /// Makes a key.
    pub async fn make_key(&self, order: &Value) -> Answer {
        Answer::to(self.request(Method::POST, "/keys").json(order)).await
    }

    /// The merchant's keys, as the list tells them.
    pub async fn keys(&self) -> Vec<Value> {
        let listed = Answer::to(self.request(Method::GET, "/keys")).await.expect(200).json();
        listed["keys"].as_array().expect("keys").clone()
    }

    /// Revokes a key.
    pub async fn revoke_key(&self, key_id: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, &format!("/keys/{key_id}"))).await
    }

    /// Creates or replaces a campaign.
    pub async fn put_campaign(&self, id: &str, campaign: &Value) -> Answer {
        let request = self.request(Method::PUT, &format!("/campaigns/{id}"));
        Answer::to(request.json(campaign)).await
    }

    /// Issues with any body.
    pub async fn post_pass(&self, body: &Value) -> Answer {
        Answer::to(self.request(Method::POST, "/passes").json(body)).await
    }

    /// Issues a pass of a campaign to somebody.
    pub async fn issue_of(&self, campaign: &str, holder: &str) -> Issued {
        let body = json!({ "campaignId": campaign, "holder": { "name": holder } });
        Issued::read(&self.post_pass(&body).await.expect(201).json())
    }

    /// Issues a pass of the usual campaign.
    pub async fn issue(&self, holder: &str) -> Issued {
        self.issue_of(CAMPAIGN, holder).await
    }

    fn pass_path(pass: &Issued) -> String {
        format!("/passes/{}/{}", pass.pass_type, pass.serial)
    }

    /// The pass object as it is now.
    pub async fn get(&self, pass: &Issued) -> Value {
        let request = self.request(Method::GET, &Self::pass_path(pass));
        Answer::to(request).await.expect(200).json()
    }

    /// Changes the holder by a merge patch.
    pub async fn patch_holder(&self, pass: &Issued, patch: Value) -> Answer {
        let request = self.request(Method::PATCH, &Self::pass_path(pass));
        Answer::to(request.json(&json!({ "holder": patch }))).await
    }

    /// Voids the pass.
    pub async fn void(&self, pass: &Issued) -> Answer {
        let path = format!("{}/void", Self::pass_path(pass));
        Answer::to(self.request(Method::POST, &path).json(&json!({}))).await
    }

    /// A redemption, as it is told afterwards.
    pub async fn redemption(&self, redemption_id: &str) -> Answer {
        Answer::to(self.request(Method::GET, &format!("/redemptions/{redemption_id}"))).await
    }

    /// Takes a redemption back.
    pub async fn reverse(&self, redemption_id: &str) -> Answer {
        let body = json!({ "reason": "wrong pass" });
        Answer::to(self.reversal(redemption_id).json(&body)).await
    }

    /// The call that takes a redemption back, with neither body nor key.
    pub fn reversal(&self, redemption_id: &str) -> reqwest::RequestBuilder {
        self.request(Method::POST, &format!("/redemptions/{redemption_id}/reverse"))
    }

    /// A campaign's report; `query` begins with `?` or is empty.
    pub fn report(&self, campaign: &str, query: &str) -> reqwest::RequestBuilder {
        self.request(Method::GET, &format!("/campaigns/{campaign}/report{query}"))
    }

    /// Makes a fresh link under these terms.
    pub async fn renew_link(&self, pass: &Issued, terms: &Value) -> Answer {
        let path = format!("{}/link", Self::pass_path(pass));
        Answer::to(self.request(Method::POST, &path).json(terms)).await
    }

    /// Revokes the link.
    pub async fn revoke_link(&self, pass: &Issued) -> Answer {
        let path = format!("{}/link", Self::pass_path(pass));
        Answer::to(self.request(Method::DELETE, &path)).await
    }

    /// The mail that hands out the pass; `query` begins with `?` or is empty.
    pub async fn mail(&self, pass: &Issued, query: &str, language: &str) -> Answer {
        let path = format!("{}/mail{query}", Self::pass_path(pass));
        Answer::to(self.request(Method::GET, &path).header("Accept-Language", language)).await
    }

    /// Asks for a bundle of these passes.
    pub fn bundle(&self, passes: &[&Issued]) -> reqwest::RequestBuilder {
        let named = |pass: &&Issued| json!({ "passTypeIdentifier": pass.pass_type, "serialNumber": pass.serial });
        let named: Vec<Value> = passes.iter().map(named).collect();
        self.request(Method::POST, "/bundles").json(&json!({ "passes": named }))
    }

    /// The types of the pass's events, in order.
    pub async fn history(&self, pass: &Issued) -> Vec<String> {
        let events = self.events(pass).await;
        events.iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
    }

    /// The pass's events, in order.
    pub async fn events(&self, pass: &Issued) -> Vec<Value> {
        let path = format!("{}/history", Self::pass_path(pass));
        let history = Answer::to(self.request(Method::GET, &path)).await;
        let history = history.expect(200).json();
        match history["events"].as_array() {
            Some(events) => events.clone(),
            None => panic!("no events in {history}"),
        }
    }
}
