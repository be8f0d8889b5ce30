//! Throw-away signing certificates with the shape of Apple's.
//!
//! Apple's chain is root CA -> WWDR intermediate -> Pass Type ID certificate (reference 3.4, 9.1). The one made here
//! differs only in who is trusted: its organisation is plainly not Apple, and no phone accepts it. Everything else that
//! our own code, `openssl cms -verify` and the public validators look at is present: subject UID and OU, both key
//! purposes, Apple's marker extensions and matching key identifiers.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use openssl::asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Extension, X509Name, X509NameBuilder, X509Ref};

/// The pass type identifier of the sample campaign.
pub const SAMPLE_PASS_TYPE: &str = "pass.example.passloop";
/// The team identifier of the throw-away certificates.
pub const SAMPLE_TEAM: &str = "PASSLOOP01";

/// What the subjects say instead of `Apple Inc.`, so that nobody mistakes the one for the other.
const ORGANIZATION: &str = "Passloop throw-away certificates";
/// Apple issues RSA-2048 Pass Type ID certificates.
const KEY_BITS: u32 = 2048;
/// Serial numbers are 159 random bits: positive, and within RFC 5280's 20 octets.
const SERIAL_BITS: i32 = 159;

/// Apple's marker of a WWDR intermediate.
const WWDR_INTERMEDIATE: &str = "1.2.840.113635.100.6.2.1";
/// Apple's key purpose for signing passes, beside `clientAuth` for APNs.
const PASS_SIGNING_PURPOSE: &str = "1.2.840.113635.100.4.14";
/// Apple's marker of a certificate that authenticates to production APNs.
const APNS_PRODUCTION: &str = "1.2.840.113635.100.6.3.2";
/// Apple's extension that repeats the pass type identifier.
const PASS_TYPE_EXTENSION: &str = "1.2.840.113635.100.6.1.16";
/// DER of an ASN.1 NULL, the content of Apple's marker extensions.
const DER_NULL: &[u8] = &[0x05, 0x00];

/// Why certificates could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// OpenSSL refused.
    #[error("cannot make throw-away certificates: {0}")]
    OpenSsl(#[from] ErrorStack),
    /// A file could not be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A pass type identifier cannot be a certificate's name.
    #[error(
        "the pass type identifier {0:?} must be 1 to 50 ASCII letters, digits, dots and hyphens, and not start with a dot"
    )]
    PassType(String),
}

/// Days before and after now in which a certificate is valid; negative is the past.
#[derive(Debug, Clone, Copy)]
pub struct Validity {
    /// First day, counted from today.
    pub from_days: i64,
    /// Last day, counted from today.
    pub to_days: i64,
}

impl Validity {
    /// A pass certificate's year; from yesterday, so that a clock slightly behind still accepts it.
    pub const LEAF: Self = Self { from_days: -1, to_days: 365 };
    /// The intermediate outlives every leaf.
    pub const INTERMEDIATE: Self = Self { from_days: -1, to_days: 3650 };
    /// The root outlives the intermediate.
    pub const ROOT: Self = Self { from_days: -1, to_days: 7300 };
    /// A certificate that ran out yesterday, for tests.
    pub const EXPIRED: Self = Self { from_days: -366, to_days: -1 };
}

/// A certificate that signs others, with its key.
#[derive(Clone)]
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("subject", &self.certificate.subject_name()).finish_non_exhaustive()
    }
}

/// A pass certificate with its key: what a merchant exports from Apple's portal.
#[derive(Clone)]
pub struct PassCertificate {
    certificate: X509,
    key: PKey<Private>,
    pass_type: String,
}

impl std::fmt::Debug for PassCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PassCertificate").field("pass_type", &self.pass_type).finish_non_exhaustive()
    }
}

/// Root, intermediate and one pass certificate.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Stands for Apple Root CA.
    pub root: Authority,
    /// Stands for the WWDR G4 intermediate.
    pub wwdr: Authority,
    /// The Pass Type ID certificate.
    pub pass: PassCertificate,
}

/// Makes a whole new chain for one pass type, valid for a year from now.
///
/// More pass types under the same root: `chain.wwdr.issue(...)`.
///
/// # Errors
/// When OpenSSL fails or `pass_type` cannot be a pass type identifier.
pub fn make_chain(pass_type: &str, team: &str) -> Result<Chain, CertificateError> {
    let root = Authority::root(Validity::ROOT)?;
    let wwdr = root.intermediate(Validity::INTERMEDIATE)?;
    let pass = wwdr.issue(pass_type, team, Validity::LEAF)?;
    Ok(Chain { root, wwdr, pass })
}

impl Authority {
    /// A new self-signed root.
    ///
    /// # Errors
    /// When OpenSSL fails.
    pub fn root(validity: Validity) -> Result<Self, CertificateError> {
        let key = new_key()?;
        let subject = name(&[("CN", "Passloop Throw-away Root CA"), ("O", ORGANIZATION), ("C", "DE")])?;
        let mut builder = start(&subject, &key, validity)?;
        builder.set_issuer_name(&subject)?;
        append_authority_extensions(&mut builder, None)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self { certificate: builder.build(), key })
    }

    /// A new intermediate under this authority, shaped like WWDR G4.
    ///
    /// # Errors
    /// When OpenSSL fails.
    pub fn intermediate(&self, validity: Validity) -> Result<Self, CertificateError> {
        let subject = [
            ("CN", "Throw-away Worldwide Developer Relations Certification Authority"),
            ("OU", "G4"),
            ("O", ORGANIZATION),
            ("C", "DE"),
        ];
        self.intermediate_named(&subject, validity)
    }

    /// The same under another name.
    ///
    /// # Errors
    /// When OpenSSL fails.
    pub(crate) fn intermediate_named(
        &self,
        subject: &[(&str, &str)],
        validity: Validity,
    ) -> Result<Self, CertificateError> {
        let key = new_key()?;
        let mut builder = start(&name(subject)?, &key, validity)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        append_authority_extensions(&mut builder, Some(&self.certificate))?;
        append_der(&mut builder, WWDR_INTERMEDIATE, DER_NULL)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok(Self { certificate: builder.build(), key })
    }

    /// A new Pass Type ID certificate under this authority.
    ///
    /// Deliberately wrong ones for tests: `Validity::EXPIRED`, or an authority of another chain.
    ///
    /// # Errors
    /// When OpenSSL fails or `pass_type` cannot be a pass type identifier.
    pub fn issue(&self, pass_type: &str, team: &str, validity: Validity) -> Result<PassCertificate, CertificateError> {
        // 64 is the upper bound of a UID or CN in an X.509 name (RFC 5280, appendix A), less the prefix Apple adds.
        let fits = (1..=64 - "Pass Type ID: ".len()).contains(&pass_type.len());
        // It also names a directory, so it may not be `..` or hidden.
        if !fits
            || pass_type.starts_with('.')
            || !pass_type.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
        {
            return Err(CertificateError::PassType(pass_type.to_owned()));
        }
        let key = new_key()?;
        let common_name = format!("Pass Type ID: {pass_type}");
        let subject =
            name(&[("UID", pass_type), ("CN", &common_name), ("OU", team), ("O", ORGANIZATION), ("C", "DE")])?;
        let mut builder = start(&subject, &key, validity)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
        builder.append_extension(ExtendedKeyUsage::new().client_auth().other(PASS_SIGNING_PURPOSE).build()?)?;
        append_key_identifiers(&mut builder, Some(&self.certificate))?;
        append_der(&mut builder, APNS_PRODUCTION, DER_NULL)?;
        // UTF8String (tag 0x0C); the length was checked above to fit DER's short form.
        let length = u8::try_from(pass_type.len()).unwrap_or(u8::MAX);
        let der = [&[0x0C, length], pass_type.as_bytes()].concat();
        append_der(&mut builder, PASS_TYPE_EXTENSION, &der)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok(PassCertificate { certificate: builder.build(), key, pass_type: pass_type.to_owned() })
    }

    /// The certificate, as PEM.
    ///
    /// # Errors
    /// When OpenSSL fails.
    pub fn certificate_pem(&self) -> Result<Vec<u8>, CertificateError> {
        Ok(self.certificate.to_pem()?)
    }
}

impl PassCertificate {
    /// The certificate itself.
    #[must_use]
    pub fn certificate(&self) -> &X509Ref {
        &self.certificate
    }

    /// The certificate, as PEM.
    ///
    /// # Errors
    /// When OpenSSL fails.
    pub fn certificate_pem(&self) -> Result<Vec<u8>, CertificateError> {
        Ok(self.certificate.to_pem()?)
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> &PKeyRef<Private> {
        &self.key
    }

    /// Writes `certificate.pem`, `key.pem` (mode 0600) and `wwdr.pem` into `<directory>/<pass type>/`: one identity of
    /// `SIGNING_IDENTITIES=file:<directory>`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path, wwdr: &Authority) -> Result<IdentityFiles, CertificateError> {
        let files = IdentityFiles::of(directory, &self.pass_type);
        fs::create_dir_all(&files.directory).map_err(at(&files.directory))?;
        write(&files.wwdr, &wwdr.certificate.to_pem()?, 0o644)?;
        write(&files.key, &self.key.private_key_to_pem_pkcs8()?, 0o600)?;
        // Written last: an identity without it is an unfinished one, and made anew.
        write(&files.certificate, &self.certificate.to_pem()?, 0o644)?;
        Ok(files)
    }
}

/// Where one identity's files are.
#[derive(Debug, Clone)]
pub struct IdentityFiles {
    /// `<certificates>/<pass type>`.
    pub directory: PathBuf,
    /// The trust anchor, `<certificates>/root.pem`.
    pub root: PathBuf,
    /// The intermediate.
    pub wwdr: PathBuf,
    /// The pass certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl IdentityFiles {
    fn of(certificates: &Path, pass_type: &str) -> Self {
        let directory = certificates.join(pass_type);
        Self {
            root: certificates.join("root.pem"),
            wwdr: directory.join("wwdr.pem"),
            certificate: directory.join("certificate.pem"),
            key: directory.join("key.pem"),
            directory,
        }
    }
}

impl Chain {
    /// Writes `root.pem` and the pass certificate's identity into `directory`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<IdentityFiles, CertificateError> {
        fs::create_dir_all(directory).map_err(at(directory))?;
        let files = self.pass.write(directory, &self.wwdr)?;
        write(&files.root, &self.root.certificate.to_pem()?, 0o644)?;
        Ok(files)
    }
}

/// The sample identity in `directory`: kept from an earlier start, or made anew when it is missing, unreadable or has
/// less than a day left.
///
/// The authorities' keys are not kept, so a new leaf comes with a new root.
///
/// # Errors
/// When OpenSSL fails or a file cannot be written.
pub fn ensure(directory: &Path) -> Result<IdentityFiles, CertificateError> {
    let files = IdentityFiles::of(directory, SAMPLE_PASS_TYPE);
    if is_usable(&files)? {
        return Ok(files);
    }
    make_chain(SAMPLE_PASS_TYPE, SAMPLE_TEAM)?.write(directory)
}

fn is_usable(files: &IdentityFiles) -> Result<bool, CertificateError> {
    let (Ok(leaf), Ok(key), Ok(root), Ok(wwdr)) =
        (fs::read(&files.certificate), fs::read(&files.key), fs::read(&files.root), fs::read(&files.wwdr))
    else {
        return Ok(false);
    };
    let (Ok(leaf), Ok(key), Ok(root), Ok(wwdr)) =
        (X509::from_pem(&leaf), PKey::private_key_from_pem(&key), X509::from_pem(&root), X509::from_pem(&wwdr))
    else {
        return Ok(false);
    };
    let tomorrow = Asn1Time::days_from_now(1)?;
    Ok(leaf.not_after() > tomorrow
        && leaf.public_key()?.public_eq(&key)
        && leaf.verify(wwdr.public_key()?.as_ref())?
        && wwdr.verify(root.public_key()?.as_ref())?)
}

/// An RSA key of the size Apple issues certificates for.
pub(crate) fn new_key() -> Result<PKey<Private>, ErrorStack> {
    PKey::from_rsa(Rsa::generate(KEY_BITS)?)
}

/// A name of these parts, by their short names (`CN`, `UID`, …).
pub(crate) fn name(entries: &[(&str, &str)]) -> Result<X509Name, ErrorStack> {
    let mut builder = X509NameBuilder::new()?;
    for (key, value) in entries {
        builder.append_entry_by_text(key, value)?;
    }
    Ok(builder.build())
}

fn start(subject: &X509Name, key: &PKey<Private>, validity: Validity) -> Result<X509Builder, ErrorStack> {
    let mut serial = BigNum::new()?;
    serial.rand(SERIAL_BITS, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    builder.set_subject_name(subject)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*days_from_now(validity.from_days)?)?;
    builder.set_not_after(&*days_from_now(validity.to_days)?)?;
    Ok(builder)
}

/// Certificates are compared with the machine's own clock (by openssl and by TLS), whatever the service's clock says.
fn days_from_now(days: i64) -> Result<Asn1Time, ErrorStack> {
    let now = jiff::Timestamp::now().as_second();
    Asn1Time::from_unix(now + days * 86_400)
}

fn append_authority_extensions(builder: &mut X509Builder, issuer: Option<&X509Ref>) -> Result<(), ErrorStack> {
    let mut constraints = BasicConstraints::new();
    constraints.critical().ca();
    if issuer.is_some() {
        // As Apple's intermediates: leaves below it, no further authority.
        constraints.pathlen(0);
    }
    builder.append_extension(constraints.build()?)?;
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    append_key_identifiers(builder, issuer)
}

fn append_key_identifiers(builder: &mut X509Builder, issuer: Option<&X509Ref>) -> Result<(), ErrorStack> {
    let subject = SubjectKeyIdentifier::new().build(&builder.x509v3_context(issuer.map(AsRef::as_ref), None))?;
    builder.append_extension(subject)?;
    if issuer.is_some() {
        let authority = AuthorityKeyIdentifier::new()
            .keyid(true)
            .build(&builder.x509v3_context(issuer.map(AsRef::as_ref), None))?;
        builder.append_extension(authority)?;
    }
    Ok(())
}

fn append_der(builder: &mut X509Builder, oid: &str, der: &[u8]) -> Result<(), ErrorStack> {
    let oid = Asn1Object::from_str(oid)?;
    let content = Asn1OctetString::new_from_bytes(der)?;
    builder.append_extension(X509Extension::new_from_der(&oid, false, &content)?)
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), CertificateError> {
    // A file left by an interrupted start may have another mode; a new one always has the one asked for.
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(at(path)(source)),
        Ok(()) | Err(_) => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(at(path))?;
    file.write_all(content).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CertificateError {
    let path = path.to_owned();
    move |source| CertificateError::File { path, source }
}

#[cfg(test)]
mod tests;
