//! `passloop certificates check`: everything that can be wrong with identities, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use passkit::signing::wwdr::Origin;
use passkit::signing::{Certificate, SigningIdentity};
use platform::config::{AwsVariables, SigningIdentitiesSource};
use platform::identities::{Examined, Identities, Unusable};

use super::files::{self, at};
use super::{CertificatesError, day, long};
use crate::outcome::{Outcome, Verdict};

/// Fewer days than this are worth a warning: time enough to renew without haste.
const FEW_DAYS: i64 = 30;

/// Identities to be checked.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct Check {
    /// A directory of identities, a .p12 file, or secretsmanager:<prefix>
    #[arg(value_name = "DIRECTORY|FILE.p12|secretsmanager:PREFIX")]
    identities: String,
    /// Holds the password of the .p12 file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// One identity, and what there is to say about it.
struct Block {
    name: String,
    identity: Result<SigningIdentity, Unusable>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Check {
    pub(super) async fn run(
        &self,
        variables: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<Outcome, CertificatesError> {
        let directory = Path::new(self.identities.strip_prefix("file:").unwrap_or(&self.identities));
        let (examined, directory) = if let Some(prefix) = self.identities.strip_prefix("secretsmanager:") {
            let aws = AwsVariables::from_variables(|name| variables.get(name).cloned());
            let source = SigningIdentitiesSource::SecretsManager(prefix.to_owned());
            (examine(&Identities::new(source, &aws, &crate::aws::sdk_config(&aws).await), now).await?, None)
        } else if directory.is_file() {
            (vec![self.archive(directory, now)?], None)
        } else {
            (examine(&Identities::in_directory(directory.to_owned()), now).await?, Some(directory))
        };
        let mut blocks = Vec::new();
        for examined in examined {
            let mut block = Block::of(examined, now)?;
            if let Some(directory) = directory {
                block.warnings.extend(readable_key(&directory.join(&block.name))?);
            }
            blocks.push(block);
        }
        Ok(report(&blocks, now))
    }

    fn archive(&self, file: &Path, now: Timestamp) -> Result<Examined, CertificatesError> {
        let password = self.password_file.as_deref().map(files::read_line).transpose()?.unwrap_or_default();
        let beside = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let intermediates = files::certificates_in(beside)?;
        let identity = SigningIdentity::from_pkcs12(&files::read(file)?, &password, &intermediates, now);
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Examined { name, identity: identity.map_err(Unusable::Refused) })
    }
}

async fn examine(identities: &Identities, now: Timestamp) -> Result<Vec<Examined>, CertificatesError> {
    identities.examine(now).await.map_err(CertificatesError::Source)
}

impl Block {
    fn of(examined: Examined, now: Timestamp) -> Result<Self, CertificatesError> {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        match &examined.identity {
            Ok(identity) => {
                warnings = self::warnings(identity, now)?;
                let intermediate = identity.intermediate();
                if Origin::of(&intermediate)? == Origin::CounterfeitG4 {
                    let fingerprint = long(intermediate.fingerprint()?);
                    problems.push(CertificatesError::CounterfeitG4(fingerprint).to_string());
                }
            }
            Err(Unusable::Refused(refused)) => problems.extend(refused.problems.iter().map(ToString::to_string)),
            Err(problem @ (Unusable::Incomplete(_) | Unusable::Unread(_))) => problems.push(problem.to_string()),
        }
        Ok(Self { name: examined.name, identity: examined.identity, problems, warnings })
    }

    /// The identity, if nothing is wrong with it.
    fn usable(&self) -> Option<&SigningIdentity> {
        self.identity.as_ref().ok().filter(|_| self.problems.is_empty())
    }
}

/// What is not wrong yet.
pub(super) fn warnings(identity: &SigningIdentity, now: Timestamp) -> Result<Vec<String>, CertificatesError> {
    let mut warnings = Vec::new();
    let (pass, intermediate) = (identity.certificate(), identity.intermediate());
    if pass.days_left(now) < FEW_DAYS {
        let pass_type = identity.pass_type_identifier();
        warnings.push(format!(
            "the pass certificate expires on {}: request a new one for {pass_type} now (passloop certificates request)",
            day(pass.valid_until())
        ));
    }
    if intermediate.days_left(now) < FEW_DAYS {
        warnings.push(format!(
            "the intermediate certificate expires on {}: a new pass certificate will come from its successor",
            day(intermediate.valid_until())
        ));
    }
    if Origin::of(&intermediate)? == Origin::Elsewhere {
        let issuer = intermediate.subject();
        warnings.push(format!("issued by {issuer}, which is not Apple: for tests only, no phone accepts it"));
    }
    Ok(warnings)
}

/// A key that others may read.
fn readable_key(folder: &Path) -> Result<Option<String>, CertificatesError> {
    for name in ["key.pem", "identity.p12"] {
        let file = folder.join(name);
        if !file.is_file() {
            continue;
        }
        let mode = file.metadata().map_err(at(&file))?.permissions().mode();
        if mode & 0o077 != 0 {
            let file = file.display();
            return Ok(Some(format!("{file} can be read by others than its owner: chmod 600 {file}")));
        }
    }
    Ok(None)
}

fn report(blocks: &[Block], now: Timestamp) -> Outcome {
    let mut text = String::new();
    for block in blocks {
        let standing = match block.usable() {
            Some(identity) if signs(identity, blocks) => "usable, signs and pushes",
            Some(_) => "usable, not needed: another of its pass type is valid longer",
            None => "cannot be used",
        };
        text += &format!("{}: {standing}\n", block.name);
        if let Ok(identity) = &block.identity {
            text += &format!("  {} of team {}\n", identity.pass_type_identifier(), identity.team_identifier());
            text += &line("pass certificate", &identity.certificate(), now);
            text += &line("intermediate certificate", &identity.intermediate(), now);
        }
        for problem in &block.problems {
            text += &format!("  problem: {problem}\n");
        }
        for warning in &block.warnings {
            text += &format!("  warning: {warning}\n");
        }
    }
    let teams: BTreeSet<_> = blocks
        .iter()
        .filter_map(Block::usable)
        .map(|identity| (identity.pass_type_identifier(), identity.team_identifier()))
        .collect();
    let pass_types: BTreeSet<_> = teams.iter().map(|(pass_type, _)| pass_type).collect();
    let one_team_each = teams.len() == pass_types.len();
    if !one_team_each {
        text += "problem: certificates of one pass type name different teams: remove those of the wrong one\n";
    }
    if blocks.is_empty() {
        text += "no identity found: each is a folder with certificate.pem and key.pem, or identity.p12, or a secret\n";
    }
    let all_usable = !blocks.is_empty() && one_team_each && blocks.iter().all(|block| block.usable().is_some());
    let verdict = if all_usable { Verdict::Good } else { Verdict::Bad };
    Outcome { result: text, notes: String::new(), verdict }
}

/// Whether this is the one of its pass type that the service takes.
fn signs(identity: &SigningIdentity, blocks: &[Block]) -> bool {
    let rivals = blocks.iter().filter_map(Block::usable);
    rivals
        .filter(|rival| rival.pass_type_identifier() == identity.pass_type_identifier())
        .all(|rival| rival.precedence() <= identity.precedence())
}

fn line(what: &str, certificate: &Certificate, now: Timestamp) -> String {
    let (days, until) = (certificate.days_left(now), day(certificate.valid_until()));
    format!("  {what}: {days} days left, until {until} ({})\n", certificate.subject())
}
