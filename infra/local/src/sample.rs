//! The sample campaign, loaded the way a merchant would: through the service's own HTTP API.

use std::io::{Cursor, Write as _};

use anyhow::Context as _;
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde_json::Value;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// The sample campaign's id, and its template's.
pub(crate) const CAMPAIGN: &str = "croissant";

/// Passes of earlier starts that were used up before a usable one is found. Each costs two requests to this machine at
/// start (about 10 ms together), and they are forgotten after the 30 days an idempotency key is kept.
const MAX_USED_UP: u32 = 200;

const CAMPAIGN_JSON: &str = include_str!("../sample/campaign.json");

macro_rules! pass_folder {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../sample/croissant.pass/", $path)))),*]
    };
}

/// The files of `sample/croissant.pass`. A test compares the list with the folder.
const PASS_FOLDER: &[(&str, &[u8])] = pass_folder![
    "coffee-strip.png",
    "coffee-strip@2x.png",
    "coffee-strip@3x.png",
    "de.lproj/pass.strings",
    "en.lproj/pass.strings",
    "icon.png",
    "icon@2x.png",
    "icon@3x.png",
    "logo.png",
    "logo@2x.png",
    "logo@3x.png",
    "pass.json",
    "strip.png",
    "strip@2x.png",
    "strip@3x.png",
    "used-strip.png",
    "used-strip@2x.png",
    "used-strip@3x.png",
];

/// The sample pass, as the service describes it (contract, section 4, Passes).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SamplePass {
    /// Its pass type identifier.
    pub pass_type_identifier: String,
    /// Its serial number.
    pub serial_number: String,
    /// `redeemable`, `redeemed`, …
    pub state: String,
    /// The page to open on a phone.
    pub landing_url: String,
    /// The package itself.
    pub download_url: String,
}

/// What an earlier start left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum There {
    /// Nothing yet.
    Nothing,
    /// The campaign, perhaps changed since: it is the merchant's now.
    Campaign,
}

/// Loads template and campaign unless they are there, and issues a pass. A restart gives the same pass again while there is something left
/// to redeem on it.
///
/// # Errors
/// When the service refuses; the message carries its answer.
pub(crate) async fn load(base_url: &str, key: &str, pass_type: &str, there: There) -> anyhow::Result<SamplePass> {
    // The service is on this machine, whatever proxy the environment names.
    let client = Client::builder().no_proxy().build()?;
    let merchant = Merchant { client, base: format!("{base_url}/merchant/v1"), key };
    if there == There::Nothing {
        let template = merchant.put(&format!("templates/{CAMPAIGN}")).header("content-type", "application/zip");
        send(template.body(template_archive()?)).await.context("the sample template")?;
        let mut campaign: Value = serde_json::from_str(CAMPAIGN_JSON).context("sample/campaign.json")?;
        campaign["passTypeIdentifier"] = pass_type.into();
        send(merchant.put(&format!("campaigns/{CAMPAIGN}")).json(&campaign)).await.context("the sample campaign")?;
    }
    let issue = serde_json::json!({"campaignId": CAMPAIGN, "holder": {"name": "Alex Example"}});
    let mut latest = None;
    for attempt in 0..MAX_USED_UP {
        let once = format!("passloop-sample-pass-{attempt}");
        let issued = merchant.post("passes").header("idempotency-key", once).json(&issue);
        let issued: SamplePass = serde_json::from_value(send(issued).await.context("the sample pass")?)?;
        // A replayed answer is as old as the pass; its links may name an earlier address.
        let path = format!("passes/{}/{}", issued.pass_type_identifier, issued.serial_number);
        let pass: SamplePass = serde_json::from_value(send(merchant.get(&path)).await.context("the sample pass")?)?;
        if ["redeemable", "redeemed"].contains(&pass.state.as_str()) {
            return Ok(pass);
        }
        latest = Some(pass);
    }
    latest.context("no sample pass was issued")
}

struct Merchant<'a> {
    client: Client,
    base: String,
    key: &'a str,
}

impl Merchant<'_> {
    fn put(&self, path: &str) -> RequestBuilder {
        self.client.put(format!("{}/{path}", self.base)).bearer_auth(self.key)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}/{path}", self.base)).bearer_auth(self.key)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}/{path}", self.base)).bearer_auth(self.key)
    }
}

async fn send(request: RequestBuilder) -> anyhow::Result<Value> {
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    if !status.is_success() {
        anyhow::bail!("the service answered {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("the service answered no JSON: {text}"))
}

/// The `.pass` folder as the zip a merchant uploads.
fn template_archive() -> anyhow::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in PASS_FOLDER {
        archive.start_file(*path, SimpleFileOptions::default())?;
        archive.write_all(content)?;
    }
    Ok(archive.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn files(directory: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                files(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_sample_folder_is_built_in() {
        let mut found = BTreeSet::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/croissant.pass"), "", &mut found);
        assert_eq!(found, PASS_FOLDER.iter().map(|(path, _)| (*path).to_owned()).collect());
    }

    #[test]
    fn the_archive_has_the_folders_files_at_its_root() {
        let mut archive = zip::ZipArchive::new(Cursor::new(template_archive().unwrap())).unwrap();
        assert_eq!(archive.len(), PASS_FOLDER.len());
        assert!(archive.by_name("pass.json").is_ok() && archive.by_name("en.lproj/pass.strings").is_ok());
    }
}
