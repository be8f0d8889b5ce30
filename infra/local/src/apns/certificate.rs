//! The stand-in's own certificate, from a throw-away CA whose key is forgotten at once: nothing else can ever be signed
//! with what the tests trust.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameRef};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Ten years: it is made once per data directory.
const VALID_DAYS: u32 = 3_650;

/// Made anew when less than this is left.
const RENEWED_DAYS: u32 = 30;

/// What the server shows, and where its CA is.
pub(super) struct ServerCertificate {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) ca_path: PathBuf,
}

/// The certificate kept in `directory`, or a new one where there is none that still works.
pub(super) fn kept_in(directory: &Path) -> anyhow::Result<ServerCertificate> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let ca_path = directory.join("apns-ca.pem");
    let certificate_path = directory.join("apns-server.pem");
    let key_path = directory.join("apns-server-key.pem");

    let (certificate, key) = match read(&ca_path, &certificate_path, &key_path) {
        Some(kept) => kept,
        None => {
            let made = make().context("cannot make a certificate for the APNs stand-in")?;
            write(&key_path, &made.key.private_key_to_pem_pkcs8()?, 0o600)?;
            write(&certificate_path, &made.certificate.to_pem()?, 0o644)?;
            write(&ca_path, &made.ca.to_pem()?, 0o644)?;
            (made.certificate, made.key)
        }
    };
    Ok(ServerCertificate {
        certificate: CertificateDer::from(certificate.to_der()?),
        key: PrivatePkcs8KeyDer::from(key.private_key_to_pkcs8()?).into(),
        ca_path,
    })
}

/// `None` when a file is missing or unreadable, the three do not belong together, or the end is near.
fn read(ca: &Path, certificate: &Path, key: &Path) -> Option<(X509, PKey<Private>)> {
    let ca = X509::from_pem(&fs::read(ca).ok()?).ok()?;
    let certificate = X509::from_pem(&fs::read(certificate).ok()?).ok()?;
    let key = PKey::private_key_from_pem(&fs::read(key).ok()?).ok()?;
    let renewal = Asn1Time::days_from_now(RENEWED_DAYS).ok()?;
    let belongs =
        certificate.public_key().ok()?.public_eq(&key) && certificate.verify(ca.public_key().ok()?.as_ref()).ok()?;
    (belongs && *certificate.not_after() > *renewal).then_some((certificate, key))
}

/// Written beside and renamed, so that no one ever reads half a file.
fn write(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let written = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        file.write_all(content)?;
        fs::rename(&beside, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

struct Made {
    ca: X509,
    certificate: X509,
    key: PKey<Private>,
}

fn make() -> Result<Made, ErrorStack> {
    let ca_key = new_key()?;
    let ca_name = name("Passloop throw-away APNs CA")?;
    let mut builder = begin(&ca_name, &ca_name, &ca_key)?;
    builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().build()?)?;
    builder.sign(&ca_key, MessageDigest::sha256())?;
    let ca = builder.build();

    let key = new_key()?;
    let server_name = name("Passloop APNs stand-in")?;
    let mut builder = begin(&server_name, &ca_name, &key)?;
    builder.append_extension(BasicConstraints::new().critical().build()?)?;
    builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    let names = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .ip("::1")
        .dns("localhost")
        .build(&builder.x509v3_context(Some(&ca), None))?;
    builder.append_extension(names)?;
    builder.sign(&ca_key, MessageDigest::sha256())?;
    Ok(Made { ca, certificate: builder.build(), key })
}

fn new_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

fn name(common_name: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
    Ok(name.build())
}

fn begin(subject: &X509NameRef, issuer: &X509NameRef, key: &PKey<Private>) -> Result<X509Builder, ErrorStack> {
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509::builder()?;
    // 2 stands for version 3.
    builder.set_version(2)?;
    builder.set_serial_number(Asn1Integer::from_bn(&serial)?.as_ref())?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    builder.set_not_after(Asn1Time::days_from_now(VALID_DAYS)?.as_ref())?;
    builder.set_pubkey(key)?;
    Ok(builder)
}
