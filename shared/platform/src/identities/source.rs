//! Where identities lie: directories and secrets, read and not yet examined.

use std::path::{Path, PathBuf};

use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use passkit::signing::{IdentityError, SigningIdentity};
use serde::Deserialize;

use super::Unusable;
use crate::Fault;

/// One identity as it lies in the source.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) parts: Result<Parts, Unusable>,
}

/// The raw parts of an identity, wherever they came from.
pub(super) struct Parts {
    own: Own,
    intermediates: Vec<Vec<u8>>,
}

enum Own {
    Separate { certificate: Vec<u8>, key: Vec<u8>, passphrase: Option<String> },
    Archive { p12: Vec<u8>, password: String },
}

impl Parts {
    pub(super) fn examine(&self, now: Timestamp) -> Result<SigningIdentity, IdentityError> {
        match &self.own {
            Own::Separate { certificate, key, passphrase } => {
                SigningIdentity::from_parts(certificate, key, passphrase.as_deref(), &self.intermediates, now)
            }
            Own::Archive { p12, password } => SigningIdentity::from_pkcs12(p12, password, &self.intermediates, now),
        }
    }
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

impl Secret {
    fn parts(self) -> Result<Parts, Unusable> {
        let own = match (self.certificate, self.key, self.p12) {
            (Some(certificate), Some(key), None) => Own::Separate {
                certificate: certificate.into_bytes(),
                key: key.into_bytes(),
                passphrase: self.passphrase,
            },
            (None, None, Some(p12)) => Own::Archive {
                // As `base64` prints it, in lines.
                p12: STANDARD
                    .decode(p12.split_ascii_whitespace().collect::<String>())
                    .map_err(|_| Unusable::Incomplete("p12 is not base64".to_owned()))?,
                password: self.password.unwrap_or_default(),
            },
            _ => {
                let problem = "the secret must have certificate and key, or p12, and not both";
                return Err(Unusable::Incomplete(problem.to_owned()));
            }
        };
        let intermediates = self.intermediates.into_iter().map(String::into_bytes).collect();
        Ok(Parts { own, intermediates })
    }
}

/// Every secret whose name begins with the prefix.
pub(super) async fn in_secrets_manager(
    secrets: &aws_sdk_secretsmanager::Client,
    prefix: &str,
) -> Result<Vec<Found>, Fault> {
    let filter = Filter::builder().key(FilterNameStringType::Name).values(prefix).build();
    let mut pages = secrets.list_secrets().filters(filter).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| Fault::new("listing identities (Secrets Manager)", error))?;
        for name in page.secret_list.unwrap_or_default().into_iter().filter_map(|secret| secret.name) {
            // AWS's filter matches the beginning; stand-ins match words anywhere.
            if name.starts_with(prefix) {
                let parts = secret(secrets, &name).await;
                found.push(Found { name, parts });
            }
        }
    }
    Ok(found)
}

async fn secret(secrets: &aws_sdk_secretsmanager::Client, name: &str) -> Result<Parts, Unusable> {
    let value = secrets.get_secret_value().secret_id(name).send().await;
    let value = value.map_err(|error| Unusable::Unread(Fault::new("reading the secret (Secrets Manager)", error)))?;
    // serde's own words would quote the secret.
    let secret: Secret = serde_json::from_str(value.secret_string().unwrap_or_default()).map_err(|_| {
        let problem = "the secret is not an identity in JSON: make it with passloop certificates import --secret";
        Unusable::Incomplete(problem.to_owned())
    })?;
    secret.parts()
}

/// Reads a directory whose sub-directories are identities: `identity.p12` and `password.txt`, or `certificate.pem`
/// (`.cer`) and `key.pem` and perhaps `passphrase.txt`. Other certificates there, and beside them, are intermediates.
/// Names that begin with a dot are passed over: identities on their way in or out.
pub(super) fn in_directory(directory: &Path) -> Result<Vec<Found>, Fault> {
    let failed = |error| Fault::new(format!("reading SIGNING_IDENTITIES directory {}", directory.display()), error);
    let shared = intermediates_in(directory).map_err(failed)?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let folder = entry.map_err(failed)?.path();
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') || !folder.is_dir() {
            continue;
        }
        if let Some(parts) = in_folder(&folder, &shared).transpose() {
            found.push(Found { name, parts });
        }
    }
    Ok(found)
}

/// One identity's folder; `None`: it holds none.
fn in_folder(folder: &Path, shared: &[Vec<u8>]) -> Result<Option<Parts>, Unusable> {
    let unread = |path: &Path, error| Unusable::Unread(Fault::new(format!("reading {}", path.display()), error));
    let read = |path: PathBuf| std::fs::read(&path).map_err(|error| unread(&path, error));
    let line = |path: PathBuf| line_of(&path).map_err(|error| unread(&path, error));
    let certificates = ["certificate.pem", "certificate.cer"].map(|name| folder.join(name));
    let own = if folder.join("identity.p12").is_file() {
        let password = line(folder.join("password.txt"))?.unwrap_or_default();
        Own::Archive { p12: read(folder.join("identity.p12"))?, password }
    } else if let Some(certificate) = certificates.into_iter().find(|path| path.is_file()) {
        if !folder.join("key.pem").is_file() {
            let problem = format!("there is no key.pem beside {}", certificate.display());
            return Err(Unusable::Incomplete(problem));
        }
        let passphrase = line(folder.join("passphrase.txt"))?;
        Own::Separate { certificate: read(certificate)?, key: read(folder.join("key.pem"))?, passphrase }
    } else {
        return Ok(None);
    };
    let mut intermediates = intermediates_in(folder).map_err(|error| unread(folder, error))?;
    intermediates.extend(shared.iter().cloned());
    Ok(Some(Parts { own, intermediates }))
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
