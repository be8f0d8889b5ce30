//! `passloop certificates`: from a request for Apple's portal to an identity that signs, and what is wrong with those
//! that are there.
//!
//! Signing identities lie as `SIGNING_IDENTITIES` reads them: one folder each below a directory, or one secret each in
//! Secrets Manager (`platform::identities`).

mod check;
mod files;
mod import;
mod request;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use passkit::signing::{IdentityError, IdentityProblem, SigningError};
use platform::Fault;

use crate::outcome::Outcome;

/// What to do about certificates.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub(crate) enum CertificatesCommand {
    /// Makes a key, and a request for Apple's portal
    Request(request::Request),
    /// Takes over a certificate and its key, with the intermediate that fits
    Import(import::Import),
    /// Says what is wrong with certificates, and how many days they have left
    Check(check::Check),
}

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificatesError {
    /// A file or directory cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A request was made before, and perhaps a certificate with it.
    #[error(
        "{} is there already, and a key is never overwritten: Apple may have issued a certificate for it; move it away to make another",
        .0.display()
    )]
    KeyExists(PathBuf),
    /// A name does not fit into a request.
    #[error("the name must have 1 to 64 characters (RFC 5280, appendix A)")]
    Name,
    /// The identity does not do.
    #[error("{}{}", .0, hint(.0))]
    Identity(#[from] IdentityError),
    /// The intermediate fits, and is none of Apple's.
    #[error(
        "the intermediate certificate calls itself Apple's G4, but its SHA-256 is {0}: no phone accepts it; download AppleWWDRCAG4.cer from apple.com/certificateauthority"
    )]
    CounterfeitG4(String),
    /// The folder of the identity is taken by something else.
    #[error("{} holds no certificate.pem: rename that folder, any name will do, and import again", .0.display())]
    Taken(PathBuf),
    /// The source cannot be read.
    #[error("{}", .0.chain())]
    Source(Fault),
    /// OpenSSL refused.
    #[error("OpenSSL cannot write it: {0}")]
    OpenSsl(#[from] openssl::error::ErrorStack),
    /// The same, further down.
    #[error("OpenSSL cannot write it: {0}")]
    Signing(#[from] SigningError),
    /// The secret cannot be written as JSON.
    #[error("the secret cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// What the library cannot know: where to put what is missing.
fn hint(error: &IdentityError) -> &'static str {
    let missing = |problem: &IdentityProblem| matches!(problem, IdentityProblem::NoIntermediate { .. });
    if error.problems.iter().any(missing) {
        "; then give it by --intermediate, or lay it into the directory"
    } else {
        ""
    }
}

/// Carries a command out. `variables`: the environment, for Secrets Manager.
///
/// # Errors
/// Nothing was changed.
pub(crate) async fn run(
    command: &CertificatesCommand,
    variables: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Outcome, CertificatesError> {
    match command {
        CertificatesCommand::Request(request) => request.run(),
        CertificatesCommand::Import(import) => import.run(now),
        CertificatesCommand::Check(check) => check.run(variables, now).await,
    }
}

/// The first eight digits of a fingerprint: enough to tell a pass type's certificates apart.
fn short(fingerprint: [u8; 32]) -> String {
    fingerprint.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// A fingerprint as reports show it: upper-case hexadecimal.
fn long(fingerprint: [u8; 32]) -> String {
    fingerprint.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The day of an instant, in UTC.
fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests;
