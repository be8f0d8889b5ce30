//! Apple's half of the service (reference 1.3) as bare calls: what a phone, or a stranger, sends.

use reqwest::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, IF_MODIFIED_SINCE};
use serde_json::json;

use crate::answer::Answer;

/// The address of one registration: who, and which pass.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// `deviceLibraryIdentifier`.
    pub device: &'a str,
    /// `passTypeIdentifier`.
    pub pass_type: &'a str,
    /// `serialNumber`.
    pub serial: &'a str,
}

/// One `webServiceURL`.
#[derive(Debug, Clone)]
pub struct WebService {
    http: Client,
    base: String,
}

impl WebService {
    /// `base` is the `webServiceURL` as pass.json has it.
    pub fn new(http: &Client, base: &str) -> WebService {
        WebService { http: http.clone(), base: base.to_owned() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn registration_url(&self, of: Registration<'_>) -> String {
        self.url(&format!("/v1/devices/{}/registrations/{}/{}", of.device, of.pass_type, of.serial))
    }

    fn pass_url(&self, pass_type: &str, serial: &str) -> String {
        self.url(&format!("/v1/passes/{pass_type}/{serial}"))
    }

    /// R: register, with the body Apple's documentation shows.
    pub async fn register(&self, of: Registration<'_>, authorization: Option<&str>, push_token: &str) -> Answer {
        let body = json!({ "pushToken": push_token }).to_string();
        self.register_raw(of, authorization, "application/json", body).await
    }

    /// R with any body and content type.
    pub async fn register_raw(
        &self,
        of: Registration<'_>,
        authorization: Option<&str>,
        content_type: &str,
        body: String,
    ) -> Answer {
        let mut request = self.http.post(self.registration_url(of)).header(CONTENT_TYPE, content_type).body(body);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        Answer::to(request).await
    }

    /// U: unregister.
    pub async fn unregister(&self, of: Registration<'_>, authorization: Option<&str>) -> Answer {
        let mut request = self.http.delete(self.registration_url(of));
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        Answer::to(request).await
    }

    /// L: list. No Authorization, ever (reference 1.3); no parameter when there is no tag.
    pub async fn list(&self, device: &str, pass_type: &str, tag: Option<&str>) -> Answer {
        let mut url = self.url(&format!("/v1/devices/{device}/registrations/{pass_type}"));
        if let Some(tag) = tag {
            url.push_str("?passesUpdatedSince=");
            url.push_str(tag);
        }
        Answer::to(self.http.get(url)).await
    }

    /// G: the pass, with `If-Modified-Since` when given.
    pub async fn pass(
        &self,
        pass_type: &str,
        serial: &str,
        authorization: Option<&str>,
        if_modified_since: Option<&str>,
    ) -> Answer {
        let request = self.http.get(self.pass_url(pass_type, serial));
        Answer::to(conditional(request, authorization, if_modified_since)).await
    }

    /// HEAD of the pass (peers a1.6: seen from phones).
    pub async fn head(
        &self,
        pass_type: &str,
        serial: &str,
        authorization: Option<&str>,
        if_modified_since: Option<&str>,
    ) -> Answer {
        let request = self.http.head(self.pass_url(pass_type, serial));
        Answer::to(conditional(request, authorization, if_modified_since)).await
    }

    /// P: personalize, with any body.
    pub async fn personalize(
        &self,
        pass_type: &str,
        serial: &str,
        authorization: Option<&str>,
        body: String,
    ) -> Answer {
        let url = format!("{}/personalize", self.pass_url(pass_type, serial));
        let request = self.http.post(url).header(CONTENT_TYPE, "application/json").body(body);
        Answer::to(conditional(request, authorization, None)).await
    }

    /// E: log, with any body and content type.
    pub async fn log(&self, content_type: &str, body: Vec<u8>) -> Answer {
        let request = self.http.post(self.url("/v1/log")).header(CONTENT_TYPE, content_type).body(body);
        Answer::to(request).await
    }
}

fn conditional(
    mut request: reqwest::RequestBuilder,
    authorization: Option<&str>,
    if_modified_since: Option<&str>,
) -> reqwest::RequestBuilder {
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    if let Some(value) = if_modified_since {
        request = request.header(IF_MODIFIED_SINCE, value);
    }
    request
}
