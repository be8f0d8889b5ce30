use std::sync::LazyLock;

use openssl::pkey::{PKey, Private};
use serde_json::json;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::certificates::{self, Chain};

static CHAIN: LazyLock<Chain> = LazyLock::new(|| certificates::make_chain("pass.example.demo", "TEAM123456").unwrap());

fn root() -> X509 {
    X509::from_pem(&CHAIN.root.certificate_pem().unwrap()).unwrap()
}

fn manifest(files: &Files) -> Vec<u8> {
    let digests: BTreeMap<_, _> =
        files.iter().map(|(name, content)| (name, hex(&openssl::sha::sha1(content)))).collect();
    serde_json::to_vec(&digests).unwrap()
}

/// A signature as Apple asks for, but for `flags`.
fn sign(manifest: &[u8], flags: CMSOptions) -> Vec<u8> {
    let mut inside = Stack::new().unwrap();
    inside.push(X509::from_pem(&CHAIN.wwdr.certificate_pem().unwrap()).unwrap()).unwrap();
    let key: PKey<Private> = CHAIN.pass.key().to_owned();
    let flags = CMSOptions::BINARY | flags;
    let signed = CmsContentInfo::sign(Some(CHAIN.pass.certificate()), Some(&key), Some(&inside), Some(manifest), flags);
    signed.unwrap().to_der().unwrap()
}

/// The files of a good pass, unsigned.
fn files() -> Files {
    let pass = json!({"passTypeIdentifier": "pass.example.demo", "teamIdentifier": "TEAM123456", "serialNumber": "1"});
    Files::from([
        ("pass.json".to_owned(), pass.to_string().into_bytes()),
        ("icon@2x.png".to_owned(), b"icon".to_vec()),
        (STRINGS.to_owned(), "\"Used\" = \"Eingelöst\";".as_bytes().to_vec()),
    ])
}

fn signed(mut files: Files) -> Files {
    let manifest = manifest(&files);
    files.insert("signature".to_owned(), sign(&manifest, CMSOptions::DETACHED));
    files.insert("manifest.json".to_owned(), manifest);
    files
}

fn open(files: &Files) -> Result<Package, String> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut archive, content).unwrap();
    }
    let bytes = archive.finish().unwrap().into_inner();
    Package::open(&bytes, &root()).map_err(|error| format!("{error:#}"))
}

#[track_caller]
fn refused(files: &Files, why: &str) {
    let error = open(files).unwrap_err();
    assert!(error.contains(why), "{error}");
}

#[test]
fn a_package_as_apple_asks_for_is_opened() {
    let package = open(&signed(files())).unwrap();
    assert_eq!(package.text("serialNumber").unwrap(), "1");
    assert_eq!(package.signer, "Pass Type ID: pass.example.demo");
    assert_eq!(package.files, 3);
    assert_eq!(package.strings["Used"], "Eingelöst");
}

#[test]
fn a_file_changed_added_or_lost_after_signing_is_refused() {
    let mut changed = signed(files());
    changed.insert("icon@2x.png".to_owned(), b"another".to_vec());
    refused(&changed, "its SHA-1 is");
    let mut added = signed(files());
    added.insert("strip.png".to_owned(), b"strip".to_vec());
    refused(&added, "strip.png is not in the manifest");
    let mut lost = signed(files());
    lost.remove(STRINGS);
    refused(&lost, "which is not there");
}

#[test]
fn a_signature_over_another_manifest_is_refused() {
    let mut forged = signed(files());
    forged.insert("pass.json".to_owned(), b"{}".to_vec());
    forged.remove("manifest.json");
    let signature = forged.remove("signature").unwrap();
    forged.insert("manifest.json".to_owned(), manifest(&forged));
    forged.insert("signature".to_owned(), signature);
    refused(&forged, "the signature does not hold");
}

#[test]
fn a_chain_to_another_root_is_refused() {
    let stranger = certificates::make_chain("pass.example.demo", "TEAM123456").unwrap();
    let stranger = X509::from_pem(&stranger.root.certificate_pem().unwrap()).unwrap();
    let manifest = b"{}";
    let error = check_signature(&sign(manifest, CMSOptions::DETACHED), manifest, &stranger).unwrap_err();
    assert!(format!("{error:#}").contains("the signature does not hold"), "{error:#}");
}

#[test]
fn a_signature_that_carries_its_content_is_refused() {
    let manifest = b"{}";
    let error = check_signature(&sign(manifest, CMSOptions::empty()), manifest, &root()).unwrap_err();
    assert_eq!(error.to_string(), "the signature is not detached");
}

#[test]
fn a_signature_without_signing_time_is_refused() {
    let manifest = b"{}";
    let flags = CMSOptions::DETACHED | CMSOptions::NOATTR;
    let error = check_signature(&sign(manifest, flags), manifest, &root()).unwrap_err();
    assert_eq!(error.to_string(), "the signature has no signing time");
}

#[test]
fn a_signature_without_the_intermediate_is_refused() {
    let manifest = b"{}";
    let key: PKey<Private> = CHAIN.pass.key().to_owned();
    let flags = CMSOptions::BINARY | CMSOptions::DETACHED;
    let alone = CmsContentInfo::sign(Some(CHAIN.pass.certificate()), Some(&key), None, Some(manifest), flags).unwrap();
    assert!(check_signature(&alone.to_der().unwrap(), manifest, &root()).is_err());
}

#[test]
fn a_pass_of_another_type_or_team_than_its_certificate_is_refused() {
    for (key, value) in [("passTypeIdentifier", "pass.example.other"), ("teamIdentifier", "OTHER12345")] {
        let mut files = files();
        let mut pass: Value = serde_json::from_slice(&files["pass.json"]).unwrap();
        pass[key] = value.into();
        files.insert("pass.json".to_owned(), pass.to_string().into_bytes());
        refused(&signed(files), key);
    }
}

#[test]
fn what_is_missing_is_named() {
    let mut files = files();
    files.remove("icon@2x.png");
    refused(&signed(files), "no icon");
    refused(&Files::new(), "no manifest.json");
    assert!(Package::open(b"no zip", &root()).is_err());
}
