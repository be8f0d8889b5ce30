//! Reading certificates and keys, and saying in one go what is wrong with them.

use std::{cmp::Ordering, fmt};

use openssl::{
    error::ErrorStack,
    nid::Nid,
    pkcs12::Pkcs12,
    pkey::{Id, PKey, Private},
    stack::Stack,
    x509::{X509, X509NameRef, X509Ref},
};
use sha2::Digest;

use super::{
    SigningIdentity,
    certificate::{certificates, is_pem, readable, validity},
    extensions::{self, CLIENT_AUTHENTICATION, PASS_SIGNING},
    wwdr::Download,
};
use crate::identifiers::{PassTypeIdentifier, TeamIdentifier};

/// Everything that is wrong with a signing identity.
#[derive(Debug)]
pub struct IdentityError {
    /// At least one.
    pub problems: Vec<IdentityProblem>,
}

impl std::error::Error for IdentityError {}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signing identity cannot be used: ")?;
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl From<IdentityProblem> for IdentityError {
    fn from(problem: IdentityProblem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// One thing that is wrong, and what to do. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityProblem {
    /// No certificate in the file.
    #[error("the pass certificate cannot be read: give it as PEM or DER (Apple's pass.cer is DER)")]
    UnreadableCertificate,
    /// No key in the file.
    #[error("the private key cannot be read: give it as PEM (PKCS#8 or traditional) or DER")]
    UnreadableKey,
    /// The key is encrypted and no passphrase was given.
    #[error("the private key is encrypted: give its passphrase")]
    PassphraseMissing,
    /// The key is encrypted under another passphrase.
    #[error("the private key's passphrase is wrong, or the key is damaged")]
    PassphraseWrong,
    /// An intermediate cannot be read.
    #[error("intermediate certificate {0} (counted from 1) cannot be read: give it as PEM or DER")]
    UnreadableIntermediate(usize),
    /// Not PKCS#12.
    #[error("the PKCS#12 file cannot be read: export certificate and key again as .p12")]
    UnreadablePkcs12,
    /// The password does not open it.
    #[error("the PKCS#12 file's password is wrong")]
    Pkcs12PasswordWrong,
    /// Encrypted by RC2 or 3DES, which current OpenSSL leaves out.
    #[error(
        "the PKCS#12 file is encrypted in an outdated way (RC2 or 3DES); convert it: openssl pkcs12 -legacy -in old.p12 -nodes -out identity.pem, then openssl pkcs12 -export -in identity.pem -out new.p12"
    )]
    Pkcs12Outdated,
    /// There is no certificate or no key in it.
    #[error("the PKCS#12 file holds no {0}: export certificate and private key together")]
    Pkcs12Lacks(&'static str),
    /// A kind of key Apple issues no certificates for.
    #[error(
        "the key is neither RSA of at least 2048 bits nor on the curve P-256: make a new request with an RSA-2048 key"
    )]
    UnusableKey,
    /// The key belongs to another certificate.
    #[error("the private key does not fit the pass certificate: take the key the certificate was requested with")]
    KeyMismatch,
    /// The subject has no UID.
    #[error(
        "the certificate's subject has no UID, so it is no Pass Type ID certificate: create one at developer.apple.com under Identifiers, Pass Type IDs"
    )]
    NoPassType,
    /// The UID is no pass type identifier.
    #[error("the certificate's UID is {0:?}, which is no pass type identifier: use a Pass Type ID certificate")]
    BadPassType(String),
    /// Apple's extension says otherwise.
    #[error(
        "the certificate's UID is {uid:?} but its pass type extension says {extension:?}: request a new certificate"
    )]
    PassTypeExtension {
        /// The subject's UID.
        uid: String,
        /// Extension 1.2.840.113635.100.6.1.16.
        extension: String,
    },
    /// The subject's OU is no team.
    #[error("the certificate's OU is {0:?}, not a team identifier of ten upper-case letters and digits")]
    BadTeam(String),
    /// The extended key usage lacks something.
    #[error("the certificate may not be used for {0}: use a Pass Type ID certificate issued by Apple")]
    UsageMissing(&'static str),
    /// None of the intermediates issued the certificate.
    #[error(
        "no intermediate certificate fits: the pass certificate was issued by {issuer} (key identifier {key_identifier}); {}",
        Download { issuer }
    )]
    NoIntermediate {
        /// The leaf's issuer, with the OU that names the generation (`G4`).
        issuer: String,
        /// The leaf's authority key identifier in hexadecimal, or `none given`.
        key_identifier: String,
    },
    /// The names fit but the signature does not.
    #[error("the pass certificate is not signed by the given intermediate {0}: take the one its issuer offers today")]
    NotSignedByIntermediate(String),
    /// Its time has not come.
    #[error("the {which} is not valid before {from}: check this machine's clock")]
    NotYetValid {
        /// Which certificate.
        which: Which,
        /// Start of validity.
        from: jiff::Timestamp,
    },
    /// Its time is over.
    #[error("the {which} expired on {on}: {}", .which.renewal())]
    Expired {
        /// Which certificate.
        which: Which,
        /// End of validity.
        on: jiff::Timestamp,
    },
}

/// A certificate of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The Pass Type ID certificate.
    Pass,
    /// Apple's Worldwide Developer Relations certificate.
    Intermediate,
}

impl Which {
    fn renewal(self) -> &'static str {
        match self {
            Self::Pass => "create a new one for the same Pass Type ID at developer.apple.com",
            Self::Intermediate => "download the current one from apple.com/certificateauthority",
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass certificate",
            Self::Intermediate => "intermediate certificate",
        })
    }
}

pub(super) fn from_parts(
    leaf: &[u8],
    key: &[u8],
    passphrase: Option<&str>,
    intermediates: &[Vec<u8>],
    now: jiff::Timestamp,
) -> Result<SigningIdentity, IdentityError> {
    let mut problems = Vec::new();
    let mut leaves = certificates(leaf).unwrap_or_default().into_iter();
    let leaf = leaves.next();
    if leaf.is_none() {
        problems.push(IdentityProblem::UnreadableCertificate);
    }
    let key = read_key(key, passphrase).map_err(|problem| problems.push(problem)).ok();
    // A PEM bundle may hold the chain behind the certificate.
    let candidates = read_intermediates(intermediates, leaves.collect(), &mut problems);
    match (leaf, key) {
        (Some(leaf), Some(key)) => assemble(leaf, key, &candidates, now, problems),
        _ => Err(IdentityError { problems }),
    }
}

pub(super) fn from_pkcs12(
    p12: &[u8],
    password: &str,
    intermediates: &[Vec<u8>],
    now: jiff::Timestamp,
) -> Result<SigningIdentity, IdentityError> {
    let archive = Pkcs12::from_der(p12).map_err(|_| IdentityProblem::UnreadablePkcs12)?;
    // OpenSSL takes the password as a C string.
    if password.contains('\0') {
        return Err(IdentityProblem::Pkcs12PasswordWrong.into());
    }
    let parsed = archive.parse2(password).map_err(|error| why_pkcs12(&error))?;
    let mut problems = Vec::new();
    let own = parsed.ca.map(|stack| stack.into_iter().collect()).unwrap_or_default();
    let candidates = read_intermediates(intermediates, own, &mut problems);
    if parsed.cert.is_none() {
        problems.push(IdentityProblem::Pkcs12Lacks("certificate that fits its key"));
    }
    if parsed.pkey.is_none() {
        problems.push(IdentityProblem::Pkcs12Lacks("private key"));
    }
    match (parsed.cert, parsed.pkey) {
        (Some(leaf), Some(key)) => assemble(leaf, key, &candidates, now, problems),
        _ => Err(IdentityError { problems }),
    }
}

fn why_pkcs12(error: &ErrorStack) -> IdentityProblem {
    let says =
        |word: &str| error.errors().iter().any(|error| error.reason().is_some_and(|reason| reason.contains(word)));
    if says("mac verify failure") {
        IdentityProblem::Pkcs12PasswordWrong
    } else if says("unsupported") || says("unknown pbe algorithm") || says("cipher") {
        IdentityProblem::Pkcs12Outdated
    } else {
        IdentityProblem::UnreadablePkcs12
    }
}

fn read_intermediates(files: &[Vec<u8>], own: Vec<X509>, problems: &mut Vec<IdentityProblem>) -> Vec<X509> {
    let mut candidates = own;
    for (index, file) in files.iter().enumerate() {
        match certificates(file) {
            Some(certificates) => candidates.extend(certificates),
            None => problems.push(IdentityProblem::UnreadableIntermediate(index + 1)),
        }
    }
    candidates
}

fn read_key(bytes: &[u8], passphrase: Option<&str>) -> Result<PKey<Private>, IdentityProblem> {
    if !is_pem(bytes) {
        return match passphrase {
            Some(passphrase) => PKey::private_key_from_pkcs8_passphrase(bytes, passphrase.as_bytes())
                .or_else(|_| PKey::private_key_from_der(bytes)),
            None => PKey::private_key_from_der(bytes),
        }
        .map_err(|_| IdentityProblem::UnreadableKey);
    }
    let mut asked = false;
    // Without a callback OpenSSL would ask at the terminal.
    let key = PKey::private_key_from_pem_callback(bytes, |buffer| {
        asked = true;
        let passphrase = passphrase.unwrap_or_default().as_bytes();
        let room = buffer.get_mut(..passphrase.len()).ok_or_else(ErrorStack::get)?;
        room.copy_from_slice(passphrase);
        Ok(passphrase.len())
    });
    key.map_err(|_| match (asked, passphrase) {
        (true, None) => IdentityProblem::PassphraseMissing,
        (true, Some(_)) => IdentityProblem::PassphraseWrong,
        (false, _) => IdentityProblem::UnreadableKey,
    })
}

fn assemble(
    leaf: X509,
    key: PKey<Private>,
    candidates: &[X509],
    now: jiff::Timestamp,
    mut problems: Vec<IdentityProblem>,
) -> Result<SigningIdentity, IdentityError> {
    let leaf_der = leaf.to_der().map_err(|_| IdentityProblem::UnreadableCertificate)?;
    let extensions = extensions::read(&leaf_der);
    check_key(&leaf, &key, &mut problems);
    let pass_type_identifier = pass_type(&leaf, extensions.pass_type, &mut problems);
    let team_identifier = team(&leaf, &mut problems);
    for (usage, name) in [(CLIENT_AUTHENTICATION, "TLS client authentication"), (PASS_SIGNING, "signing passes")] {
        if !extensions.usages.iter().any(|found| found == usage) {
            problems.push(IdentityProblem::UsageMissing(name));
        }
    }
    let (mut valid_from, mut valid_until) = check_dates(&leaf, Which::Pass, now, &mut problems);
    let intermediate = choose(&leaf, candidates, &mut problems);
    if let Some(intermediate) = &intermediate {
        let (from, until) = check_dates(intermediate, Which::Intermediate, now, &mut problems);
        (valid_from, valid_until) = (valid_from.max(from), valid_until.min(until));
    }
    match (pass_type_identifier, team_identifier, intermediate) {
        (Some(pass_type_identifier), Some(team_identifier), Some(intermediate)) if problems.is_empty() => {
            let unreadable = |_| IdentityProblem::UnreadableIntermediate(1);
            let mut extra = Stack::new().map_err(unreadable)?;
            extra.push(intermediate.clone()).map_err(unreadable)?;
            Ok(SigningIdentity {
                fingerprint: sha2::Sha256::digest(&leaf_der).into(),
                intermediate_der: intermediate.to_der().map_err(unreadable)?,
                pattern: std::sync::OnceLock::new(),
                leaf,
                key,
                intermediate,
                extra,
                pass_type_identifier,
                team_identifier,
                valid_from,
                valid_until,
                leaf_der,
            })
        }
        _ => Err(IdentityError { problems }),
    }
}

fn check_key(leaf: &X509Ref, key: &PKey<Private>, problems: &mut Vec<IdentityProblem>) {
    let is_usable = match key.id() {
        Id::RSA => key.bits() >= 2048,
        Id::EC => key.ec_key().is_ok_and(|key| key.group().curve_name() == Some(Nid::X9_62_PRIME256V1)),
        _ => false,
    };
    if !is_usable {
        problems.push(IdentityProblem::UnusableKey);
    }
    if !leaf.public_key().is_ok_and(|public| public.public_eq(key)) {
        problems.push(IdentityProblem::KeyMismatch);
    }
}

fn subject_part(name: &X509NameRef, part: Nid) -> Option<String> {
    let entry = name.entries_by_nid(part).next()?;
    entry.data().to_string().ok()
}

fn pass_type(
    leaf: &X509Ref,
    extension: Option<String>,
    problems: &mut Vec<IdentityProblem>,
) -> Option<PassTypeIdentifier> {
    let Some(uid) = subject_part(leaf.subject_name(), Nid::USERID) else {
        problems.push(IdentityProblem::NoPassType);
        return None;
    };
    if let Some(extension) = extension.filter(|extension| *extension != uid) {
        problems.push(IdentityProblem::PassTypeExtension { uid: uid.clone(), extension });
    }
    uid.parse().map_err(|_| problems.push(IdentityProblem::BadPassType(uid))).ok()
}

fn team(leaf: &X509Ref, problems: &mut Vec<IdentityProblem>) -> Option<TeamIdentifier> {
    let unit = subject_part(leaf.subject_name(), Nid::ORGANIZATIONALUNITNAME).unwrap_or_default();
    unit.parse().map_err(|_| problems.push(IdentityProblem::BadTeam(unit))).ok()
}

/// The candidate that issued the leaf: by name, by key identifier, by signature. Hard-coding G4 would fail with the
/// next generation (reference 3.4).
fn choose(leaf: &X509Ref, candidates: &[X509], problems: &mut Vec<IdentityProblem>) -> Option<X509> {
    let wanted = leaf.authority_key_id().map(|id| id.as_slice());
    let fits = |candidate: &&X509| {
        let same_name =
            candidate.subject_name().try_cmp(leaf.issuer_name()).is_ok_and(|order| order == Ordering::Equal);
        same_name && (wanted.is_none() || candidate.subject_key_id().map(|id| id.as_slice()) == wanted)
    };
    let fitting: Vec<&X509> = candidates.iter().filter(fits).collect();
    let signs = |candidate: &&&X509| candidate.public_key().is_ok_and(|key| leaf.verify(&key).unwrap_or_default());
    match (fitting.iter().find(signs), fitting.first()) {
        (Some(intermediate), _) => Some((**intermediate).clone()),
        (None, Some(candidate)) => {
            problems.push(IdentityProblem::NotSignedByIntermediate(readable(candidate.subject_name())));
            None
        }
        (None, None) => {
            problems.push(IdentityProblem::NoIntermediate {
                issuer: readable(leaf.issuer_name()),
                key_identifier: wanted.map_or_else(|| "none given".to_owned(), hex::encode),
            });
            None
        }
    }
}

fn check_dates(
    certificate: &X509Ref,
    which: Which,
    now: jiff::Timestamp,
    problems: &mut Vec<IdentityProblem>,
) -> (jiff::Timestamp, jiff::Timestamp) {
    let (from, until) = validity(certificate);
    if now < from {
        problems.push(IdentityProblem::NotYetValid { which, from });
    }
    if now > until {
        problems.push(IdentityProblem::Expired { which, on: until });
    }
    (from, until)
}
