//! What the local service tells and trusts about signing identities it did not make.

use std::fs;
use std::path::{Path, PathBuf};

use openssl::nid::Nid;
use openssl::x509::X509;

use crate::certificates::{IdentityFiles, SAMPLE_PASS_TYPE, SAMPLE_TEAM};

/// The identity that signs the sample campaign, and where its certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pass_type: String,
    pub(crate) team: String,
    pub(crate) root: Option<PathBuf>,
    pub(crate) wwdr: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
}

impl Identity {
    /// The throw-away identity in these files.
    pub(crate) fn throw_away(files: IdentityFiles) -> Self {
        Self {
            pass_type: SAMPLE_PASS_TYPE.to_owned(),
            team: SAMPLE_TEAM.to_owned(),
            root: Some(files.root),
            wwdr: Some(files.wwdr),
            certificate: Some(files.certificate),
        }
    }

    /// The sample's identity among those of a `SIGNING_IDENTITIES=file:` directory, else the first.
    pub(crate) fn find(directory: &Path) -> Option<Self> {
        let found: Vec<_> = sub_directories(directory).iter().filter_map(|each| Self::read(directory, each)).collect();
        let sample = found.iter().find(|identity| identity.pass_type == SAMPLE_PASS_TYPE);
        sample.or(found.first()).cloned()
    }

    fn read(parent: &Path, directory: &Path) -> Option<Self> {
        let certificates = certificates_in(directory);
        let (certificate, leaf) = certificates.iter().find(|(_, each)| entry(each, Nid::USERID).is_some())?;
        let issued_by = |issuer: &X509, issued: &X509| {
            issuer.subject_name().try_cmp(issued.issuer_name()).is_ok_and(std::cmp::Ordering::is_eq)
        };
        let beside: Vec<_> = certificates.iter().cloned().chain(certificates_in(parent)).collect();
        let wwdr = beside.iter().find(|(_, each)| issued_by(each, leaf));
        let root = wwdr.and_then(|(_, wwdr)| {
            let mut roots = beside.iter().filter(|(_, each)| issued_by(each, each));
            roots.find(|(_, each)| issued_by(each, wwdr))
        });
        let path = |found: &(PathBuf, X509)| found.0.canonicalize().ok();
        Some(Self {
            pass_type: entry(leaf, Nid::USERID)?,
            team: entry(leaf, Nid::ORGANIZATIONALUNITNAME)?,
            root: root.and_then(path),
            wwdr: wwdr.and_then(path),
            certificate: certificate.canonicalize().ok(),
        })
    }
}

/// PEM of every certificate in a `SIGNING_IDENTITIES=file:` directory: what the embedded APNs trusts. Identities often
/// come without their root, so each certificate that is there is an anchor; one that issued nothing does no harm.
pub(crate) fn trust_anchors(directory: &Path) -> Vec<u8> {
    let directories = std::iter::once(directory.to_owned()).chain(sub_directories(directory));
    let certificates = directories.flat_map(|each| certificates_in(&each));
    certificates.filter_map(|(_, certificate)| certificate.to_pem().ok()).flatten().collect()
}

fn sub_directories(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = paths_in(directory).into_iter().filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn certificates_in(directory: &Path) -> Vec<(PathBuf, X509)> {
    let mut paths = paths_in(directory);
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if !["pem", "cer", "crt"].contains(&extension) {
            continue;
        }
        let Ok(content) = fs::read(&path) else { continue };
        let certificate = X509::from_pem(&content).or_else(|_| X509::from_der(&content));
        found.extend(certificate.ok().map(|certificate| (path, certificate)));
    }
    found
}

fn paths_in(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn entry(certificate: &X509, name: Nid) -> Option<String> {
    let entry = certificate.subject_name().entries_by_nid(name).next()?;
    entry.data().to_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::{Validity, make_chain};

    #[test]
    fn finds_the_samples_identity_or_the_first_with_its_chain() {
        let directory = tempfile::tempdir().unwrap();
        let chain = make_chain("pass.example.first", "TEAM000001").unwrap();
        let files = chain.write(directory.path()).unwrap();
        let first = Identity::find(directory.path()).unwrap();
        assert_eq!((first.pass_type.as_str(), first.team.as_str()), ("pass.example.first", "TEAM000001"));
        assert_eq!(first.certificate.unwrap(), files.certificate.canonicalize().unwrap());
        assert_eq!(first.wwdr.unwrap(), files.wwdr.canonicalize().unwrap());
        assert_eq!(first.root.unwrap(), files.root.canonicalize().unwrap());

        let sample = chain.wwdr.issue(SAMPLE_PASS_TYPE, SAMPLE_TEAM, Validity::LEAF).unwrap();
        sample.write(directory.path(), &chain.wwdr).unwrap();
        assert_eq!(Identity::find(directory.path()).unwrap().pass_type, SAMPLE_PASS_TYPE);
        // The root, and leaf and intermediate of each identity.
        let anchors = X509::stack_from_pem(&trust_anchors(directory.path())).unwrap();
        assert_eq!(anchors.len(), 5);
    }

    #[test]
    fn an_empty_directory_has_no_identity() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Identity::find(directory.path()), None);
        assert!(trust_anchors(directory.path()).is_empty());
    }
}
