//! `passloop certificates import`: a certificate and its key become a signing identity.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use openssl::pkey::PKey;
use passkit::signing::wwdr::Origin;
use passkit::signing::{Certificate, SigningIdentity};
use serde::Serialize;

use super::files::{self, Draft, PRIVATE, PUBLIC, at};
use super::{CertificatesError, check, day, long, short};
use crate::outcome::{Outcome, Verdict};

/// An identity to be taken over.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct Import {
    /// The directory of SIGNING_IDENTITIES; intermediates are looked for in it, too
    #[arg(long, value_name = "DIRECTORY", required_unless_present = "secret")]
    out: Option<PathBuf>,
    /// Certificate and key as Keychain Access exports them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cer", "key"], required_unless_present = "cer")]
    p12: Option<PathBuf>,
    /// Holds the password of the .p12 file
    #[arg(long, value_name = "FILE", requires = "p12", conflicts_with = "cer")]
    password_file: Option<PathBuf>,
    /// The certificate as Apple's portal gives it, or as PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cer: Option<PathBuf>,
    /// The key it was requested with
    #[arg(long, value_name = "FILE", requires = "cer")]
    key: Option<PathBuf>,
    /// Holds the passphrase of the key
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "p12")]
    passphrase_file: Option<PathBuf>,
    /// Apple's intermediates; the one that fits is taken
    #[arg(long = "intermediate", value_name = "FILE", num_args = 1..)]
    intermediates: Vec<PathBuf>,
    /// Writes no files, but prints the secret for Secrets Manager
    #[arg(long)]
    secret: bool,
}

/// The secret as `SIGNING_IDENTITIES=secretsmanager:` reads it.
#[derive(Serialize)]
struct Secret {
    certificate: String,
    key: String,
    intermediates: [String; 1],
}

/// The parts of an identity as they are written.
struct Parts {
    certificate: Vec<u8>,
    key: Vec<u8>,
    wwdr: Vec<u8>,
}

impl Import {
    pub(super) fn run(&self, now: Timestamp) -> Result<Outcome, CertificatesError> {
        let identity = self.identity(now)?;
        let intermediate = identity.intermediate();
        if Origin::of(&intermediate)? == Origin::CounterfeitG4 {
            return Err(CertificatesError::CounterfeitG4(long(intermediate.fingerprint()?)));
        }
        let warnings = check::warnings(&identity, now)?;
        let warnings: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
        let key = PKey::private_key_from_pkcs8(identity.tls_key_pkcs8()?.expose())?;
        let parts = Parts {
            certificate: identity.certificate().to_pem()?,
            key: key.private_key_to_pem_pkcs8()?,
            wwdr: intermediate.to_pem()?,
        };
        match &self.out {
            Some(out) if !self.secret => {
                let result = parts.write(out, &identity, now)?;
                Ok(Outcome { result, notes: warnings, verdict: Verdict::Good })
            }
            Some(_) | None => {
                let notes = warnings + &how_to_store(&identity);
                Ok(Outcome { result: parts.secret()?, notes, verdict: Verdict::Good })
            }
        }
    }

    fn identity(&self, now: Timestamp) -> Result<SigningIdentity, CertificatesError> {
        let given: Result<Vec<_>, _> = self.intermediates.iter().map(|path| files::read(path)).collect();
        // Those given come first, so that a problem's number counts them.
        let mut intermediates = given?;
        if let Some(out) = &self.out {
            intermediates.extend(files::certificates_below(out)?);
        }
        let line = |path: &Option<PathBuf>| path.as_deref().map(files::read_line).transpose();
        let content = |path: &Option<PathBuf>| path.as_deref().map(files::read).transpose();
        let identity = match content(&self.p12)? {
            Some(p12) => {
                let password = line(&self.password_file)?.unwrap_or_default();
                SigningIdentity::from_pkcs12(&p12, &password, &intermediates, now)
            }
            None => {
                // The command line insists on both.
                let (certificate, key) =
                    (content(&self.cer)?.unwrap_or_default(), content(&self.key)?.unwrap_or_default());
                let passphrase = line(&self.passphrase_file)?;
                SigningIdentity::from_parts(&certificate, &key, passphrase.as_deref(), &intermediates, now)
            }
        };
        Ok(identity?)
    }
}

impl Parts {
    /// Writes the identity's folder. At every moment a service that reads the directory finds the earlier identity of
    /// this pass type, the new one, or both.
    fn write(&self, out: &Path, identity: &SigningIdentity, now: Timestamp) -> Result<String, CertificatesError> {
        let folder = out.join(identity.pass_type_identifier().as_str());
        let draft = Draft::within(out)?;
        draft.write("certificate.pem", &self.certificate, PUBLIC)?;
        draft.write("key.pem", &self.key, PRIVATE)?;
        draft.write("wwdr.pem", &self.wwdr, PUBLIC)?;
        let mut told = format!(
            "{pass_type} of team {team}: valid until {until} ({days} days), in {folder}.\n\
             The key there has no passphrase; only its owner can read it.\n",
            pass_type = identity.pass_type_identifier(),
            team = identity.team_identifier(),
            folder = folder.display(),
            until = day(identity.valid_until()),
            days = identity.days_left(now),
        );
        if !folder.exists() {
            draft.place(&folder).map_err(at(&folder))?;
            return Ok(told);
        }
        let earlier = certificate_in(&folder)?;
        if earlier.fingerprint()? == identity.fingerprint() {
            // The same certificate and so the same key: any mixture of old and new files does.
            for name in ["key.pem", "wwdr.pem", "certificate.pem"] {
                let file = folder.join(name);
                fs::rename(draft.path(name), &file).map_err(at(&file))?;
            }
            return Ok(told);
        }
        // An expired one can do nothing more; the dot hides it from `SIGNING_IDENTITIES`.
        let expired = earlier.valid_until() < now;
        let dot = if expired { "." } else { "" };
        let aside = format!("{dot}{}.{}", identity.pass_type_identifier(), short(earlier.fingerprint()?));
        let aside = out.join(aside);
        fs::rename(&folder, &aside).map_err(at(&aside))?;
        if let Err(error) = draft.place(&folder) {
            fs::rename(&aside, &folder).map_err(at(&folder))?;
            return Err(at(&folder)(error));
        }
        let until = day(earlier.valid_until());
        told += &if expired {
            format!("The earlier one expired on {until} and is kept in {}, unused.\n", aside.display())
        } else {
            format!(
                "The earlier one is kept in {} until it expires on {until}; remove that folder then. The one valid longest signs.\n",
                aside.display()
            )
        };
        Ok(told)
    }

    fn secret(&self) -> Result<String, CertificatesError> {
        let text = |pem: &[u8]| String::from_utf8_lossy(pem).into_owned();
        let secret =
            Secret { certificate: text(&self.certificate), key: text(&self.key), intermediates: [text(&self.wwdr)] };
        Ok(serde_json::to_string(&secret)? + "\n")
    }
}

/// The certificate of an identity's folder.
fn certificate_in(folder: &Path) -> Result<Certificate, CertificatesError> {
    // A folder with identity.p12 is read by that alone; files beside it would change nothing.
    if !folder.join("identity.p12").exists() {
        for name in ["certificate.pem", "certificate.cer"] {
            let file = folder.join(name);
            if file.is_file()
                && let Some(certificate) = Certificate::read(&files::read(&file)?).into_iter().next()
            {
                return Ok(certificate);
            }
        }
    }
    Err(CertificatesError::Taken(folder.to_owned()))
}

/// Renewed certificates get names of their own, so that both are there while processes read again.
fn how_to_store(identity: &SigningIdentity) -> String {
    format!(
        "# Pipe this into (the name must begin with the prefix of SIGNING_IDENTITIES):\n\
         #   aws secretsmanager create-secret --name passloop/identities/{pass_type}-{short} --secret-string file:///dev/stdin\n",
        pass_type = identity.pass_type_identifier(),
        short = short(identity.fingerprint()),
    )
}
