//! Opens a `.pkpass` as a phone does, and takes nothing on trust (Apple, "Building a Pass"; contract, section 5).
//!
//! Read with `zip` and `openssl` alone: what wrote the package has no part in judging it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Cursor, Read as _};

use anyhow::{Context as _, bail, ensure};
use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::nid::Nid;
use openssl::pkcs7::{Pkcs7, Pkcs7Flags};
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::{X509, X509PurposeId, X509Ref};
use serde_json::Value;
use zip::ZipArchive;

use super::wallet::Strings;

/// What a phone reads texts from when its language is English.
const STRINGS: &str = "en.lproj/pass.strings";
/// `signingTime`, 1.2.840.113549.1.9.5 (RFC 5652, section 11.3), as DER.
const SIGNING_TIME: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x05];

/// A package that passed every check.
#[derive(Debug)]
pub(super) struct Package {
    /// `pass.json`.
    pub(super) pass: Value,
    /// The English `pass.strings`; empty without one.
    pub(super) strings: Strings,
    /// `manifest.json`, byte for byte: two packages are the same version of a pass when it is the same.
    pub(super) manifest: Vec<u8>,
    /// How many files the manifest lists.
    pub(super) files: usize,
    /// The common name of the certificate that signed it.
    pub(super) signer: String,
}

impl Package {
    /// Reads and checks everything; `root` is the certificate the chain must end in.
    ///
    /// # Errors
    /// The first thing that is wrong, as one sentence: what a phone calls "invalid pass data".
    pub(super) fn open(bytes: &[u8], root: &X509) -> anyhow::Result<Self> {
        let files = unzip(bytes)?;
        let file = |name: &str| files.get(name).with_context(|| format!("the package has no {name}"));
        let manifest = file("manifest.json")?;
        let listed = check_manifest(manifest, &files)?;
        ensure!(listed.contains("icon.png") || listed.contains("icon@2x.png"), "the package has no icon");
        let pass: Value = serde_json::from_slice(file("pass.json")?).context("pass.json is not JSON")?;
        let signer = check_signature(file("signature")?, manifest, root)?;
        for (attribute, key) in [(Nid::USERID, "passTypeIdentifier"), (Nid::ORGANIZATIONALUNITNAME, "teamIdentifier")] {
            let (certified, said) = (subject(&signer, attribute)?, pass[key].as_str());
            ensure!(said == Some(certified.as_str()), "{key} is {said:?}, the certificate says {certified:?}");
        }
        let strings = match files.get(STRINGS) {
            Some(strings) => passkit::strings::parse(strings).context(STRINGS)?.entries,
            None => Strings::new(),
        };
        Ok(Self {
            pass,
            strings,
            manifest: manifest.clone(),
            files: listed.len(),
            signer: subject(&signer, Nid::COMMONNAME)?,
        })
    }

    /// A string at the top of `pass.json`.
    ///
    /// # Errors
    /// When it is missing or empty.
    pub(super) fn text(&self, key: &str) -> anyhow::Result<&str> {
        let text = self.pass[key].as_str().filter(|text| !text.is_empty());
        text.with_context(|| format!("pass.json has no {key}"))
    }
}

type Files = BTreeMap<String, Vec<u8>>;

fn unzip(bytes: &[u8]) -> anyhow::Result<Files> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).context("the package is not a zip")?;
    let mut files = Files::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).context("the zip is damaged")?;
        let name = entry.name().context("a file name in the zip is not text")?.into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).with_context(|| format!("{name} is damaged"))?;
        files.insert(name, content);
    }
    Ok(files)
}

/// Every file listed and no other, each with the SHA-1 of its content in lower-case hexadecimal. Gives what is listed.
fn check_manifest(manifest: &[u8], files: &Files) -> anyhow::Result<BTreeSet<String>> {
    let manifest: BTreeMap<String, String> =
        serde_json::from_slice(manifest).context("manifest.json does not map paths to digests")?;
    let is_listed = |name: &&String| !["manifest.json", "signature"].contains(&name.as_str());
    if let Some(unlisted) = files.keys().filter(is_listed).find(|name| !manifest.contains_key(*name)) {
        bail!("{unlisted} is not in the manifest");
    }
    for (name, digest) in &manifest {
        let content = files.get(name).with_context(|| format!("the manifest lists {name}, which is not there"))?;
        let found = hex(&openssl::sha::sha1(content));
        ensure!(*digest == found, "the manifest says {digest} for {name}, its SHA-1 is {found}");
    }
    Ok(manifest.into_keys().collect())
}

/// A detached CMS over the manifest, with signing time, signer and intermediate inside, up to the root. Gives the
/// signer's certificate.
fn check_signature(signature: &[u8], manifest: &[u8], root: &X509) -> anyhow::Result<X509> {
    let mut cms = CmsContentInfo::from_der(signature).context("the signature is not DER-encoded CMS")?;
    cms.verify(None, Some(&*trust(root)?), Some(manifest), None, CMSOptions::BINARY)
        .context("the signature does not hold")?;
    // A signature with its own content inside would verify without the manifest.
    let attached = cms.verify(None, Some(&*trust(root)?), None, None, CMSOptions::BINARY);
    ensure!(attached.is_err(), "the signature is not detached");
    // OpenSSL verifies without it, a phone refuses.
    ensure!(signature.windows(SIGNING_TIME.len()).any(|at| at == SIGNING_TIME), "the signature has no signing time");
    let pkcs7 = Pkcs7::from_der(signature).context("the signature is not PKCS #7")?;
    let inside = pkcs7.signed().and_then(|signed| signed.certificates()).map_or(0, |inside| inside.len());
    ensure!(inside == 2, "{inside} certificates in the signature, not signer and intermediate");
    let signers = pkcs7.signers(&*Stack::new()?, Pkcs7Flags::empty()).context("the signature names no signer")?;
    let mut signers = signers.into_iter();
    match (signers.next(), signers.next()) {
        (Some(signer), None) => Ok(signer),
        (None, _) | (_, Some(_)) => bail!("the signature has not one signer"),
    }
}

/// Trust in this root alone. Pass certificates are not made for e-mail, which CMS asks for by default.
fn trust(root: &X509) -> anyhow::Result<X509Store> {
    let mut store = X509StoreBuilder::new()?;
    store.set_purpose(X509PurposeId::ANY)?;
    store.add_cert(root.clone())?;
    Ok(store.build())
}

fn subject(certificate: &X509Ref, attribute: Nid) -> anyhow::Result<String> {
    let entry = certificate.subject_name().entries_by_nid(attribute).next();
    let entry =
        entry.with_context(|| format!("the certificate has no {}", attribute.short_name().unwrap_or("name")))?;
    Ok(entry.data().to_string()?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
