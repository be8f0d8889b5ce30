//! One phone: what Wallet asks the service, and when (Apple, "Adding a Web Service to Update Passes").

use std::time::Instant;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use openssl::x509::X509;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, IF_MODIFIED_SINCE, LAST_MODIFIED, USER_AGENT};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::package::Package;
use crate::apns::StandIn;

/// Both are the phone's own choice; this service knows no other phone.
const DEVICE: &str = "demo-phone";
const PUSH_TOKEN: &str = "d3306f0ed3306f0ed3306f0ed3306f0ed3306f0ed3306f0ed3306f0ed3306f0e";
/// The landing page offers the pass itself to Apple's devices only.
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/18.5 Mobile/15E148 Safari/604.1";

/// A phone with one pass in its Wallet.
pub(super) struct Phone {
    http: Client,
    root: X509,
    installed: Package,
    /// Of the last fetch, kept as it came.
    last_modified: Option<String>,
    /// `lastUpdated` of the last list, kept as it came.
    tag: Option<String>,
    /// How many pushes it has reacted to.
    heard: usize,
}

/// An update that a push brought.
pub(super) struct Update {
    /// What it replaced.
    pub(super) old: Package,
    /// When the phone had the push.
    pub(super) pushed: Instant,
    /// The same by the calendar, to compare with the service's words.
    pub(super) pushed_at: Timestamp,
    /// When the new pass was checked and installed.
    pub(super) installed: Instant,
}

/// What a fetch brought.
pub(super) enum Fetched {
    /// 304.
    Unchanged,
    /// 200; the package it replaced.
    Replaced(Box<Package>),
}

/// The list's answer ("Get the List of Updatable Passes").
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Updatable {
    serial_numbers: Vec<String>,
    last_updated: String,
}

impl Phone {
    /// Opens the landing page and follows its link to the package.
    ///
    /// # Errors
    /// When the page offers no pass, or the package is none.
    pub(super) async fn add(http: &Client, root: &X509, landing_url: &str) -> anyhow::Result<Self> {
        let page = send(http.get(landing_url).header(USER_AGENT, SAFARI)).await?;
        ensure!(page.status() == StatusCode::OK, "the landing page answered {}", page.status());
        let page = page.text().await?;
        let link = package_link(&page).context("the landing page offers an iPhone no .pkpass")?;
        let package = send(http.get(link)).await?;
        ensure!(package.status() == StatusCode::OK, "the link to the package answered {}", package.status());
        let installed = read_package(package, root).await?;
        Ok(Self { http: http.clone(), root: root.clone(), installed, last_modified: None, tag: None, heard: 0 })
    }

    /// The pass in its Wallet.
    pub(super) fn installed(&self) -> &Package {
        &self.installed
    }

    /// Registers, lists and fetches, as Wallet does with a pass just added.
    ///
    /// # Errors
    /// When an answer is not the one Apple's reference has for a new pass.
    pub(super) async fn register(&mut self) -> anyhow::Result<()> {
        let url = format!("{}/{}", self.registrations()?, self.installed.text("serialNumber")?);
        let request = self.authorized(self.http.post(url))?.json(&json!({ "pushToken": PUSH_TOKEN }));
        let status = send(request).await?.status();
        ensure!(status == StatusCode::CREATED, "a new registration is answered 201, not {status}");
        ensure!(self.list().await?, "the pass is not in the list that follows its registration");
        let Fetched::Replaced(downloaded) = self.fetch().await? else {
            anyhow::bail!("a first fetch is answered 200, not 304");
        };
        ensure!(
            downloaded.manifest == self.installed.manifest,
            "the download and the first fetch are the same version with two manifests"
        );
        Ok(())
    }

    /// Waits for a push that brings a new version, at most until `deadline`; then lists with the tag and fetches.
    /// A push may come twice, so one without news is waited over.
    ///
    /// # Errors
    /// When a push or an answer is not as Apple has it.
    pub(super) async fn await_update(&mut self, apns: &StandIn, deadline: Instant) -> anyhow::Result<Option<Update>> {
        loop {
            let limit = deadline.saturating_duration_since(Instant::now());
            let pushes = apns.wait_for(PUSH_TOKEN, self.heard + 1, limit).await;
            let pushed = Instant::now();
            let Some(push) = pushes.get(self.heard) else { return Ok(None) };
            let pushed_at = push.at;
            let pass_type = self.installed.text("passTypeIdentifier")?;
            ensure!(push.topic == pass_type, "the push's topic is {}, not {pass_type}", push.topic);
            ensure!(push.status == Some(200), "APNs answered the push {:?}", push.status);
            self.heard = pushes.len();
            if self.list().await?
                && let Fetched::Replaced(old) = self.fetch().await?
            {
                ensure!(old.manifest != self.installed.manifest, "the pass was listed as changed and is not");
                return Ok(Some(Update { old: *old, pushed, pushed_at, installed: Instant::now() }));
            }
        }
    }

    /// Gets the pass, unless it is still the version of the last fetch.
    ///
    /// # Errors
    /// When the answer is neither 304 nor this very pass.
    pub(super) async fn fetch(&mut self) -> anyhow::Result<Fetched> {
        let (pass_type, serial) = (self.installed.text("passTypeIdentifier")?, self.installed.text("serialNumber")?);
        let url = format!("{}/v1/passes/{pass_type}/{serial}", self.service()?);
        let mut request = self.authorized(self.http.get(url))?;
        if let Some(last_modified) = &self.last_modified {
            request = request.header(IF_MODIFIED_SINCE, last_modified);
        }
        let answer = send(request).await?;
        match answer.status() {
            StatusCode::NOT_MODIFIED => return Ok(Fetched::Unchanged),
            StatusCode::OK => {}
            other => anyhow::bail!("a fetch is answered 200 or 304, not {other}"),
        }
        let last_modified = header(&answer, LAST_MODIFIED).map(str::to_owned);
        let last_modified = last_modified.context("the service sent a pass without Last-Modified")?;
        let package = read_package(answer, &self.root).await?;
        for key in ["passTypeIdentifier", "serialNumber"] {
            let (asked, got) = (self.installed.text(key)?, package.text(key)?);
            ensure!(asked == got, "asked for {key} {asked}, got {got}");
        }
        self.last_modified = Some(last_modified);
        Ok(Fetched::Replaced(Box::new(std::mem::replace(&mut self.installed, package))))
    }

    /// Whether the service lists this pass as changed since the tag. Keeps the new tag.
    async fn list(&mut self) -> anyhow::Result<bool> {
        let mut url = self.registrations()?;
        if let Some(tag) = &self.tag {
            url = format!("{url}?passesUpdatedSince={tag}");
        }
        let answer = send(self.http.get(url)).await?;
        match answer.status() {
            StatusCode::NO_CONTENT => return Ok(false),
            StatusCode::OK => {}
            other => anyhow::bail!("a list is answered 200 or 204, not {other}"),
        }
        let updatable: Updatable = answer.json().await.context("the list is not as Apple has it")?;
        ensure!(self.tag.as_ref() != Some(&updatable.last_updated), "the list names changes, its tag stayed the same");
        self.tag = Some(updatable.last_updated);
        let serial = self.installed.text("serialNumber")?;
        Ok(updatable.serial_numbers.iter().any(|listed| listed == serial))
    }

    fn service(&self) -> anyhow::Result<&str> {
        self.installed.text("webServiceURL")
    }

    /// This device's registrations of this pass type.
    fn registrations(&self) -> anyhow::Result<String> {
        let pass_type = self.installed.text("passTypeIdentifier")?;
        Ok(format!("{}/v1/devices/{DEVICE}/registrations/{pass_type}", self.service()?))
    }

    fn authorized(&self, request: RequestBuilder) -> anyhow::Result<RequestBuilder> {
        let token = self.installed.text("authenticationToken")?;
        Ok(request.header(AUTHORIZATION, format!("ApplePass {token}")))
    }
}

async fn send(request: RequestBuilder) -> anyhow::Result<Response> {
    request.send().await.context("the service does not answer the phone")
}

async fn read_package(answer: Response, root: &X509) -> anyhow::Result<Package> {
    let content_type = header(&answer, CONTENT_TYPE);
    ensure!(
        content_type == Some("application/vnd.apple.pkpass"),
        "the package's content type is {content_type:?}, not application/vnd.apple.pkpass"
    );
    Package::open(&answer.bytes().await?, root)
}

fn header(answer: &Response, name: reqwest::header::HeaderName) -> Option<&str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The page's link to a package.
fn package_link(page: &str) -> Option<&str> {
    let mut links = page.split("href=\"").skip(1).filter_map(|after| after.split('"').next());
    links.find(|link| link.ends_with(".pkpass"))
}

#[cfg(test)]
mod tests {
    use super::package_link;

    #[test]
    fn the_link_to_the_package_is_found_among_others() {
        let page = r#"<link href="/style.css"><a class="add" href="http://127.0.0.1:1/p/x.pkpass">Add</a>"#;
        assert_eq!(package_link(page), Some("http://127.0.0.1:1/p/x.pkpass"));
        assert_eq!(package_link(r#"<a href="/p/x">pass</a> x.pkpass"#), None);
    }
}
