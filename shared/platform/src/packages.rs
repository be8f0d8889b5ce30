//! Packages: from a pass and its campaign to signed bytes, with S3 as cache.
//!
//! A package is kept under a name of everything that went into it, so what is found under a name is right for ever, and
//! a change of anything is another name. Each object carries the CRC-32 of its bytes: one that was cut short or changed
//! is built anew, never served.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use aws_sdk_s3::{Client, primitives::ByteStream};
use aws_types::SdkConfig;
use bytes::Bytes;
use domain::{Campaign, Pass, campaign::TemplateVersion};
use jiff::Timestamp;
use passkit::{
    identifiers::PassIdentity,
    look::{Inputs, Look},
    package::Rendered,
    problem::Problems,
    signing::SigningIdentity,
    template::Template,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{App, Config, Fault, app, config::AwsVariables, language::Language};

/// Templates and looks kept in memory by one process. A look of a campaign with large images is under a megabyte, and a
/// function has 256: beyond this the memory starts anew.
const REMEMBERED: usize = 64;
/// How long the cache is waited for, to be read and to be written: a phone has twenty seconds with the whole of it.
const CACHE_TIMEOUT: Duration = Duration::from_secs(2);
/// The user metadata of an object that holds its CRC-32, eight hexadecimal digits.
const CRC_METADATA: &str = "crc32";

/// Templates and packages.
pub struct Packages {
    sdk: SdkConfig,
    aws: AwsVariables,
    client: OnceLock<Client>,
    bucket: String,
    templates: Mutex<HashMap<String, Arc<Template>>>,
    looks: Mutex<HashMap<String, Arc<Look>>>,
}

/// A call of the cache, which nobody waits for long.
async fn in_time<T>(call: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let answered = tokio::time::timeout(CACHE_TIMEOUT, call).await;
    answered.unwrap_or_else(|elapsed| Err(Fault::new("waiting for the package cache", elapsed)))
}

impl Packages {
    /// Over the bucket that the environment names. Its client is made at the first call.
    pub fn new(sdk: &SdkConfig, config: &Config) -> Packages {
        Packages {
            sdk: sdk.clone(),
            aws: config.aws.clone(),
            client: OnceLock::new(),
            bucket: config.bucket_name.clone(),
            templates: Mutex::default(),
            looks: Mutex::default(),
        }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| app::s3(&self.sdk, &self.aws))
    }

    /// Keeps a template's archive, under a name of its content.
    pub async fn put_template(&self, merchant_id: &str, digest: &str, archive: &[u8]) -> Result<(), Fault> {
        self.put(&template_object(merchant_id, digest), "application/zip", Bytes::copy_from_slice(archive)).await
    }

    /// A template's version, opened.
    pub async fn template(&self, merchant_id: &str, version: &TemplateVersion) -> Result<Arc<Template>, Fault> {
        let name = template_object(merchant_id, &version.digest);
        if let Some(template) = lock(&self.templates).get(&name) {
            return Ok(Arc::clone(template));
        }
        let archive =
            self.get(&name).await?.ok_or_else(|| Fault::contradiction(format!("{name} is not in the bucket")))?;
        let opened = Template::from_zip(&archive);
        let (template, _) = opened.map_err(|problems| Fault::contradiction(told("a stored template", &problems)))?;
        let template = Arc::new(template);
        remember(&self.templates, name, &template);
        Ok(template)
    }

    /// The look of a pass, prepared.
    pub async fn look(&self, pass: &Pass, campaign: &Campaign) -> Result<Arc<Look>, Fault> {
        let key = pass.look_key();
        // The digest names everything a look is made of, save what only this pass has.
        let digest = campaign.looks.get(&key).map(|look| look.digest.clone());
        let digest = digest.ok_or_else(|| Fault::contradiction(format!("the campaign has no look {key}")))?;
        let name = digest + &own_updates(pass, campaign);
        if let Some(look) = lock(&self.looks).get(&name) {
            return Ok(Arc::clone(look));
        }
        let template = self.template(&campaign.merchant_id, &campaign.template).await?;
        let look = campaign.prepare_fitting(&key, &template, &pass.active);
        let look = Arc::new(look.map_err(|problems| Fault::contradiction(told("a stored look", &problems)))?);
        remember(&self.looks, name, &look);
        Ok(look)
    }

    /// The signed package of a pass as it is now.
    pub async fn package(&self, app: &App, pass: &Pass, campaign: &Campaign, now: Timestamp) -> Result<Vec<u8>, Fault> {
        let identity = signing_identity(app, pass, now).await?;
        let name = package_object(app, pass, campaign, &identity);
        // Without its cache the service is slower, not wrong.
        match in_time(self.get(&name)).await {
            Ok(Some(package)) => return Ok(package),
            Ok(None) => {}
            Err(fault) => tracing::warn!(fault = fault.chain(), "the package cache did not answer"),
        }
        let look = self.look(pass, campaign).await?;
        let rendered = look.render(&inputs(app, pass, campaign, &identity)?);
        let signature =
            identity.sign(rendered.manifest(), now).map_err(|error| Fault::new("signing a package", error))?;
        let package = rendered.package(&signature).map_err(|error| Fault::new("writing a package", error))?;
        // Shared with the request, and ours alone again after it: nothing is copied.
        let package = Bytes::from(package);
        if let Err(fault) = in_time(self.put(&name, "application/vnd.apple.pkpass", package.clone())).await {
            tracing::warn!(fault = fault.chain(), "a package was not cached");
        }
        Ok(package.into())
    }

    /// Whether two states of one pass, in one look, are the same to a phone: it compares manifests.
    pub async fn look_alike(
        &self,
        app: &App,
        one: &Pass,
        other: &Pass,
        campaign: &Campaign,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        if one.look_key() != other.look_key() || one.active != other.active {
            return Ok(false);
        }
        let identity = signing_identity(app, one, now).await?;
        let look = self.look(one, campaign).await?;
        let rendered = look.render(&inputs(app, one, campaign, &identity)?);
        Ok(rendered.manifest() == look.render(&inputs(app, other, campaign, &identity)?).manifest())
    }

    /// The files of a pass as it is now, unsigned.
    pub async fn rendered(
        &self,
        app: &App,
        pass: &Pass,
        campaign: &Campaign,
        now: Timestamp,
    ) -> Result<Rendered, Fault> {
        let identity = signing_identity(app, pass, now).await?;
        let look = self.look(pass, campaign).await?;
        Ok(look.render(&inputs(app, pass, campaign, &identity)?))
    }

    /// The `pass.json` of a pass as it is now.
    pub async fn pass_json(&self, app: &App, pass: &Pass, campaign: &Campaign, now: Timestamp) -> Result<Value, Fault> {
        read_pass_json(&self.rendered(app, pass, campaign, now).await?)
    }

    /// What a reader of this language sees of a pass as it is now.
    pub async fn shown(
        &self,
        app: &App,
        pass: &Pass,
        campaign: &Campaign,
        language: Language,
        now: Timestamp,
    ) -> Result<Shown, Fault> {
        let rendered = self.rendered(app, pass, campaign, now).await?;
        Ok(Shown { pass: read_pass_json(&rendered)?, translations: rendered.translations(language.tag()) })
    }

    /// What a holder's data makes of a pass, checked: problems name their path in `pass.json`.
    pub async fn check(&self, app: &App, pass: &Pass, campaign: &Campaign, now: Timestamp) -> Result<Problems, Fault> {
        let identity = signing_identity(app, pass, now).await?;
        let look = self.look(pass, campaign).await?;
        Ok(look.check(&inputs(app, pass, campaign, &identity)?).err().unwrap_or_default())
    }

    async fn put(&self, name: &str, media_type: &str, bytes: Bytes) -> Result<(), Fault> {
        let crc = format!("{:08x}", crc32fast::hash(&bytes));
        let request = self.client().put_object().bucket(&self.bucket).key(name).content_type(media_type);
        let request = request.metadata(CRC_METADATA, crc).body(ByteStream::from(bytes));
        request.send().await.map_err(|error| Fault::new(format!("writing {name} (S3)"), error)).map(|_| ())
    }

    /// Deletes every cached package of a pass.
    pub async fn forget(&self, identity: &PassIdentity) -> Result<(), Fault> {
        let prefix = packages_of(identity);
        loop {
            let request = self.client().list_objects_v2().bucket(&self.bucket).prefix(&prefix);
            let found = request.send().await.map_err(|error| Fault::new("listing a pass's packages (S3)", error))?;
            let names: Vec<String> = found.contents().iter().filter_map(|object| object.key.clone()).collect();
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                let request = self.client().delete_object().bucket(&self.bucket).key(name);
                request.send().await.map_err(|error| Fault::new("deleting a package (S3)", error))?;
            }
        }
    }

    /// An object, whole and as it was written; `None` when it is not there or not whole.
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Fault> {
        let answer = match self.client().get_object().bucket(&self.bucket).key(name).send().await {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => return Ok(None),
            Err(error) => return Err(Fault::new(format!("reading {name} (S3)"), error)),
        };
        let written = answer.metadata.as_ref().and_then(|metadata| metadata.get(CRC_METADATA)).cloned();
        let bytes = answer.body.collect().await.map_err(|error| Fault::new(format!("reading {name} (S3)"), error))?;
        let bytes = bytes.into_bytes();
        // Some stores show an object a moment before its metadata: then it is not there yet.
        let Some(written) = written else { return Ok(None) };
        if written != format!("{:08x}", crc32fast::hash(&bytes)) {
            tracing::error!(object = name, "an object in the bucket is not as it was written");
            return Ok(None);
        }
        Ok(Some(bytes.into()))
    }
}

async fn signing_identity(app: &App, pass: &Pass, now: Timestamp) -> Result<Arc<SigningIdentity>, Fault> {
    let pass_type = &pass.identity.pass_type_identifier;
    let identity = app.identities.of(pass_type, now).await?;
    identity.ok_or_else(|| Fault::contradiction(format!("no signing identity for {pass_type}")))
}

fn read_pass_json(rendered: &Rendered) -> Result<Value, Fault> {
    serde_json::from_slice(rendered.pass_json()).map_err(|error| Fault::new("reading our own pass.json", error))
}

/// A pass in one language.
pub struct Shown {
    pass: Value,
    translations: BTreeMap<String, String>,
}

impl Shown {
    /// A text of `pass.json` as it is written there: a colour, say.
    pub fn raw(&self, key: &str) -> Option<&str> {
        self.pass.get(key).and_then(Value::as_str)
    }

    /// A text of `pass.json`, translated; empty if there is none.
    pub fn text(&self, key: &str) -> &str {
        self.raw(key).map(|text| self.translated(text)).unwrap_or_default()
    }

    /// A text in the reader's language, if the template translates it.
    pub fn translated<'a>(&'a self, text: &'a str) -> &'a str {
        self.translations.get(text).map_or(text, String::as_str)
    }
}

/// The per-pass data of a package.
fn inputs<'a>(
    app: &'a App,
    pass: &'a Pass,
    campaign: &Campaign,
    identity: &'a SigningIdentity,
) -> Result<Inputs<'a>, Fault> {
    Ok(Inputs {
        pass_type_identifier: &pass.identity.pass_type_identifier,
        team_identifier: identity.team_identifier(),
        serial_number: &pass.identity.serial_number,
        authentication_token: &pass.authentication_token,
        web_service_url: &app.config.public_url,
        barcode: pass.shown_barcode(),
        holder: &pass.holder,
        remaining: Some(pass.remaining(campaign)?),
        redemptions: pass.redemptions,
        personalization: pass.personalization,
    })
}

/// The scheduled updates of one pass alone, as part of a name, with what they lie upon: they may show what the look does
/// not. Empty without any.
fn own_updates(pass: &Pass, campaign: &Campaign) -> String {
    if pass.active.is_empty() {
        return String::new();
    }
    let offer = campaign.offer(&pass.offer_id);
    json!([pass.active, campaign.template.digest, pass.look_key().to_string(), offer]).to_string()
}

fn template_object(merchant_id: &str, digest: &str) -> String {
    format!("templates/{merchant_id}/{digest}.zip")
}

/// The name of a package: the pass for the eye, and a digest of all that went in. The identity and the public URL are
/// part of it although the version does not change with them, so a renewed certificate signs anew.
fn package_object(app: &App, pass: &Pass, campaign: &Campaign, identity: &SigningIdentity) -> String {
    let key = pass.look_key();
    let version = pass.effective_version(campaign);
    let look = campaign.looks.get(&key).map(|look| look.digest.as_str()).unwrap_or_default();
    let mut digest = Sha256::new();
    for part in [
        // Raise with any change of how a package is made.
        "package 3",
        look,
        &app.config.public_url,
        pass.authentication_token.expose(),
        pass.barcode.expose(),
        &pass.holder.to_string(),
        &pass.redemptions.to_string(),
        &json!(pass.personalization).to_string(),
        &own_updates(pass, campaign),
        &pass.remaining(campaign).map_or_else(|_| String::new(), |remaining| remaining.to_string()),
    ] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.update(identity.fingerprint());
    let directory = packages_of(&pass.identity);
    let digest = hex::encode(&digest.finalize()[..16]);
    format!("{directory}{}-{}-{digest}.pkpass", version.version, version.revision)
}

/// What the names of all packages of a pass begin with.
fn packages_of(identity: &PassIdentity) -> String {
    format!("packages/{}/{}/", identity.pass_type_identifier, identity.serial_number)
}

fn told(what: &str, problems: &Problems) -> String {
    let each: Vec<_> = problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
    format!("{what} is no longer valid: {}", each.join("; "))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember<T>(memory: &Mutex<HashMap<String, Arc<T>>>, name: String, value: &Arc<T>) {
    let mut memory = lock(memory);
    if memory.len() >= REMEMBERED {
        memory.clear();
    }
    memory.insert(name, Arc::clone(value));
}
