//! Signing identities: read once per process, chosen by pass type.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_config::SdkConfig;
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use passkit::{identifiers::PassTypeIdentifier, signing::SigningIdentity};
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::{Config, Fault, config::SigningIdentitiesSource};

/// The certificates and keys of one stack.
pub struct Identities {
    source: SigningIdentitiesSource,
    secrets: aws_sdk_secretsmanager::Client,
    loaded: OnceCell<HashMap<PassTypeIdentifier, Vec<Arc<SigningIdentity>>>>,
}

/// A secret of Secrets Manager that holds one identity: PEM texts, or a PKCS#12 archive in base64.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    certificate: Option<String>,
    key: Option<String>,
    passphrase: Option<String>,
    p12: Option<String>,
    password: Option<String>,
    #[serde(default)]
    intermediates: Vec<String>,
}

/// The raw parts of an identity, wherever they came from.
enum Parts {
    Separate { certificate: Vec<u8>, key: Vec<u8>, passphrase: Option<String> },
    Archive { p12: Vec<u8>, password: String },
}

impl Identities {
    /// Over the source that the environment names; nothing is read yet.
    pub fn new(config: &Config, sdk: &SdkConfig) -> Identities {
        let mut builder = aws_sdk_secretsmanager::config::Builder::from(sdk);
        builder.set_endpoint_url(config.aws.secrets_manager_endpoint.clone());
        Identities {
            source: config.signing_identities.clone(),
            secrets: aws_sdk_secretsmanager::Client::from_conf(builder.build()),
            loaded: OnceCell::new(),
        }
    }

    /// The identity that signs and pushes passes of this type: of several, the one valid longest.
    pub async fn of(
        &self,
        pass_type: &PassTypeIdentifier,
        now: Timestamp,
    ) -> Result<Option<Arc<SigningIdentity>>, Fault> {
        let all = self.all(now).await?;
        Ok(all.get(pass_type).and_then(|identities| identities.first()).cloned())
    }

    /// Every identity, by pass type, the one valid longest first.
    pub async fn all(&self, now: Timestamp) -> Result<&HashMap<PassTypeIdentifier, Vec<Arc<SigningIdentity>>>, Fault> {
        self.loaded.get_or_try_init(|| self.load(now)).await
    }

    async fn load(&self, now: Timestamp) -> Result<HashMap<PassTypeIdentifier, Vec<Arc<SigningIdentity>>>, Fault> {
        let found = match &self.source {
            SigningIdentitiesSource::Directory(directory) => in_directory(directory)?,
            SigningIdentitiesSource::SecretsManager(prefix) => self.in_secrets_manager(prefix).await?,
        };
        let mut identities: HashMap<PassTypeIdentifier, Vec<Arc<SigningIdentity>>> = HashMap::new();
        let mut unusable = Vec::new();
        for (name, parts, intermediates) in found {
            let identity = match parts {
                Parts::Separate { certificate, key, passphrase } => {
                    SigningIdentity::from_parts(&certificate, &key, passphrase.as_deref(), &intermediates, now)
                }
                Parts::Archive { p12, password } => SigningIdentity::from_pkcs12(&p12, &password, &intermediates, now),
            };
            match identity {
                Ok(identity) => {
                    tracing::info!(identity = %name, pass_type = %identity.pass_type_identifier(), days_left = identity.days_left(now), "certificate");
                    identities.entry(identity.pass_type_identifier().clone()).or_default().push(Arc::new(identity));
                }
                // One bad certificate must not stop the others' passes.
                Err(error) => {
                    tracing::error!(identity = %name, %error, "certificate");
                    unusable.push(format!("{name}: {error}"));
                }
            }
        }
        if identities.is_empty() {
            let why = if unusable.is_empty() { "none was found".to_owned() } else { unusable.join("; ") };
            return Err(Fault::contradiction(format!("SIGNING_IDENTITIES: no usable identity: {why}")));
        }
        for of_type in identities.values_mut() {
            of_type.sort_by_key(|identity| std::cmp::Reverse(identity.valid_until()));
        }
        Ok(identities)
    }

    async fn in_secrets_manager(&self, prefix: &str) -> Result<Vec<Found>, Fault> {
        use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};
        let failed =
            |error: Box<dyn std::error::Error + Send + Sync>| Fault::new("reading identities (Secrets Manager)", error);
        let filter = Filter::builder().key(FilterNameStringType::Name).values(prefix).build();
        let mut pages = self.secrets.list_secrets().filters(filter).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed(error.into()))?;
            for name in page.secret_list.unwrap_or_default().into_iter().filter_map(|secret| secret.name) {
                // The filter matches words anywhere in the name.
                if !name.starts_with(prefix) {
                    continue;
                }
                let value = self.secrets.get_secret_value().secret_id(&name).send().await;
                let value = value.map_err(|error| failed(error.into()))?;
                let secret: Secret = serde_json::from_str(value.secret_string().unwrap_or_default())
                    .map_err(|_| Fault::contradiction(format!("secret {name} is not an identity in JSON")))?;
                let intermediates = secret.intermediates.into_iter().map(String::into_bytes).collect();
                let parts = match (secret.certificate, secret.key, secret.p12) {
                    (Some(certificate), Some(key), None) => Parts::Separate {
                        certificate: certificate.into_bytes(),
                        key: key.into_bytes(),
                        passphrase: secret.passphrase,
                    },
                    (None, None, Some(p12)) => Parts::Archive {
                        p12: STANDARD.decode(p12.trim()).map_err(|error| failed(error.into()))?,
                        password: secret.password.unwrap_or_default(),
                    },
                    _ => {
                        let problem = format!("secret {name} must have certificate and key, or p12");
                        return Err(Fault::contradiction(problem));
                    }
                };
                found.push((name, parts, intermediates));
            }
        }
        Ok(found)
    }
}

type Found = (String, Parts, Vec<Vec<u8>>);

/// Reads a directory whose sub-directories are identities: `identity.p12` and `password.txt`, or `certificate.pem`
/// (`.cer`) and `key.pem` and perhaps `passphrase.txt`. Other certificates there, and beside them, are intermediates.
fn in_directory(directory: &Path) -> Result<Vec<Found>, Fault> {
    let failed = |error| Fault::new(format!("reading SIGNING_IDENTITIES directory {}", directory.display()), error);
    let shared = intermediates_in(directory).map_err(failed)?;
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    entries.sort();
    let mut found = Vec::new();
    for folder in entries.into_iter().filter(|path| path.is_dir()) {
        let parts = if folder.join("identity.p12").is_file() {
            Parts::Archive {
                p12: std::fs::read(folder.join("identity.p12")).map_err(failed)?,
                password: line_of(&folder.join("password.txt")).map_err(failed)?.unwrap_or_default(),
            }
        } else {
            let certificates = ["certificate.pem", "certificate.cer"].map(|name| folder.join(name));
            let Some(certificate) = certificates.into_iter().find(|path| path.is_file()) else { continue };
            Parts::Separate {
                certificate: std::fs::read(certificate).map_err(failed)?,
                key: std::fs::read(folder.join("key.pem")).map_err(failed)?,
                passphrase: line_of(&folder.join("passphrase.txt")).map_err(failed)?,
            }
        };
        let mut intermediates = intermediates_in(&folder).map_err(failed)?;
        intermediates.extend(shared.iter().cloned());
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        found.push((name, parts, intermediates));
    }
    Ok(found)
}

/// Certificates in a directory, apart from an identity's own.
fn intermediates_in(directory: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_certificate = path.extension().is_some_and(|extension| extension == "pem" || extension == "cer");
        let own = path.file_stem().is_some_and(|stem| stem == "certificate" || stem == "key");
        if is_certificate && !own && path.is_file() {
            all.push(std::fs::read(path)?);
        }
    }
    Ok(all)
}

fn line_of(file: &Path) -> std::io::Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
