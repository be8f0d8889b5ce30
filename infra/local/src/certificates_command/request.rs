//! `passloop certificates request`: a key, and what Apple's portal asks for.

use std::path::PathBuf;

use openssl::hash::MessageDigest;
use openssl::symm::Cipher;
use openssl::x509::X509ReqBuilder;
use passkit::identifiers::{PassTypeIdentifier, TeamIdentifier};

use super::CertificatesError;
use super::files::{self, Draft, PRIVATE, PUBLIC};
use crate::certificates::{name, new_key};
use crate::outcome::{Outcome, Verdict};

/// The upper bound of a common name (RFC 5280, appendix A).
const LONGEST_NAME: usize = 64;
/// The ending that a Mac's Keychain Access gives a request, and Apple's portal expects.
const REQUEST_FILE: &str = "request.certSigningRequest";

/// A request to be made.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct Request {
    /// The pass type identifier, as registered in Apple's portal
    #[arg(long, value_name = "pass.…")]
    pass_type: PassTypeIdentifier,
    /// The team identifier: ten letters and digits
    #[arg(long, value_name = "TEAMID1234")]
    team: TeamIdentifier,
    /// The name in the request; Apple puts its own into the certificate [default: Pass Type ID: <pass type>]
    #[arg(long)]
    name: Option<String>,
    /// Where the folder with key and request goes: the directory of SIGNING_IDENTITIES will do
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
    /// Encrypts the key under the passphrase in this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Request {
    pub(super) fn run(&self) -> Result<Outcome, CertificatesError> {
        let folder = self.out.join(format!("{}.request", self.pass_type));
        // The folder comes into being by a rename, which never replaces one with files in it; this is the better answer.
        if folder.exists() {
            return Err(CertificatesError::KeyExists(folder));
        }
        let common_name = self.common_name()?;
        let passphrase = self.passphrase_file.as_deref().map(files::read_line).transpose()?;
        let key = new_key()?;
        let key_pem = match &passphrase {
            Some(passphrase) => {
                key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), passphrase.as_bytes())?
            }
            None => key.private_key_to_pem_pkcs8()?,
        };
        let subject = name(&[("UID", self.pass_type.as_str()), ("CN", &common_name), ("OU", self.team.as_str())])?;
        let mut request = X509ReqBuilder::new()?;
        request.set_version(0)?;
        request.set_subject_name(&subject)?;
        request.set_pubkey(&key)?;
        request.sign(&key, MessageDigest::sha256())?;

        let draft = Draft::within(&self.out)?;
        draft.write("key.pem", &key_pem, PRIVATE)?;
        draft.write(REQUEST_FILE, &request.build().to_pem()?, PUBLIC)?;
        draft.place(&folder).map_err(files::at(&folder))?;
        Ok(Outcome { result: self.next_steps(&folder), notes: String::new(), verdict: Verdict::Good })
    }

    fn common_name(&self) -> Result<String, CertificatesError> {
        match &self.name {
            Some(name) if (1..=LONGEST_NAME).contains(&name.chars().count()) => Ok(name.clone()),
            Some(_) => Err(CertificatesError::Name),
            None => {
                let name = format!("Pass Type ID: {}", self.pass_type);
                Ok(if name.len() <= LONGEST_NAME { name } else { "Pass Type ID".to_owned() })
            }
        }
    }

    fn next_steps(&self, folder: &std::path::Path) -> String {
        let passphrase = self.passphrase_file.as_deref();
        let passphrase = passphrase.map(|file| format!(" --passphrase-file {}", file.display())).unwrap_or_default();
        format!(
            "The private key is {key}: keep it, nobody else has it.\n\
             The request is {request}.\n\
             \n\
             What comes next:\n\
             1. Sign in to developer.apple.com/account with a role in the team {team} that may make certificates.\n\
             2. Under Identifiers, Pass Type IDs, register {pass_type} if it is not there yet.\n\
             3. Under Certificates, add a Pass Type ID Certificate for {pass_type} and upload the request.\n\
             4. Download pass.cer, and the intermediate certificate \"Worldwide Developer Relations - G4\" from\n   \
                apple.com/certificateauthority.\n\
             5. passloop certificates import --out {out} --cer pass.cer --key {key}{passphrase} --intermediate AppleWWDRCAG4.cer\n\
             6. Remove {folder}: the key has been copied, and a renewal needs the place.\n",
            folder = folder.display(),
            key = folder.join("key.pem").display(),
            request = folder.join(REQUEST_FILE).display(),
            team = self.team,
            pass_type = self.pass_type,
            out = self.out.display(),
        )
    }
}
