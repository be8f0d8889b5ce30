use std::process::Command;

use super::*;

/// Runs the `openssl` program, as reference 9.1 does, and gives back what it printed.
fn openssl(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn verify(files: &IdentityFiles) -> (bool, String) {
    let [root, wwdr, leaf] = [&files.root, &files.wwdr, &files.certificate].map(|path| text_of(path));
    openssl(&["verify", "-purpose", "any", "-CAfile", root, "-untrusted", wwdr, leaf])
}

#[test]
fn openssl_accepts_the_chain_to_its_own_root_only() {
    let directory = tempfile::tempdir().unwrap();
    let files = make_chain(SAMPLE_PASS_TYPE, SAMPLE_TEAM).unwrap().write(directory.path()).unwrap();
    let (accepted, output) = verify(&files);
    assert!(accepted, "{output}");

    // A leaf of this intermediate beside another chain's root and intermediate is refused.
    let other = tempfile::tempdir().unwrap();
    let other = make_chain(SAMPLE_PASS_TYPE, SAMPLE_TEAM).unwrap().write(other.path()).map(|mut mixed| {
        mixed.certificate = files.certificate.clone();
        verify(&mixed)
    });
    assert!(!other.unwrap().0);
}

#[test]
fn the_leaf_says_what_apples_does() {
    let directory = tempfile::tempdir().unwrap();
    let files = make_chain(SAMPLE_PASS_TYPE, SAMPLE_TEAM).unwrap().write(directory.path()).unwrap();
    let leaf = text_of(&files.certificate);
    let (_, subject) = openssl(&["x509", "-in", leaf, "-noout", "-subject", "-nameopt", "RFC2253"]);
    // Reference 3.4 and 9.1: UID = pass type, CN = "Pass Type ID: <type>", OU = team.
    assert!(subject.contains("UID=pass.example.passloop"), "{subject}");
    assert!(subject.contains("CN=Pass Type ID: pass.example.passloop"), "{subject}");
    assert!(subject.contains("OU=PASSLOOP01"), "{subject}");
    assert!(!subject.contains("Apple"), "{subject}");

    let (_, text) = openssl(&["x509", "-in", leaf, "-noout", "-text"]);
    assert!(text.contains("TLS Web Client Authentication, 1.2.840.113635.100.4.14"), "{text}");
    assert!(text.contains("1.2.840.113635.100.6.3.2"), "{text}");
    assert!(text.contains("2048 bit"), "{text}");
    let extension = text.lines().skip_while(|line| !line.contains("1.2.840.113635.100.6.1.16")).nth(1).unwrap();
    assert!(extension.ends_with("pass.example.passloop"), "{extension}");

    let (_, wwdr) = openssl(&["x509", "-in", text_of(&files.wwdr), "-noout", "-text"]);
    assert!(wwdr.contains("1.2.840.113635.100.6.2.1") && wwdr.contains("OU = G4") || wwdr.contains("OU=G4"), "{wwdr}");
}

#[test]
fn the_leafs_authority_key_is_the_intermediates_subject_key() {
    let chain = make_chain(SAMPLE_PASS_TYPE, SAMPLE_TEAM).unwrap();
    let authority = chain.pass.certificate().authority_key_id().unwrap().as_slice();
    assert_eq!(authority, chain.wwdr.certificate.subject_key_id().unwrap().as_slice());
}

#[test]
fn several_pass_types_share_one_root_and_an_expired_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let chain = make_chain(SAMPLE_PASS_TYPE, SAMPLE_TEAM).unwrap();
    chain.write(directory.path()).unwrap();
    let second = chain.wwdr.issue("pass.example.second", "TEAM000002", Validity::LEAF).unwrap();
    let files = second.write(directory.path(), &chain.wwdr).unwrap();
    assert!(verify(&files).0);
    let expired = chain.wwdr.issue("pass.example.expired", "TEAM000002", Validity::EXPIRED).unwrap();
    let (accepted, output) = verify(&expired.write(directory.path(), &chain.wwdr).unwrap());
    assert!(!accepted && output.contains("expired"), "{output}");
}

#[test]
fn a_good_identity_is_kept_and_an_expired_or_broken_one_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let files = ensure(directory.path()).unwrap();
    let first = fs::read(&files.certificate).unwrap();
    ensure(directory.path()).unwrap();
    assert_eq!(fs::read(&files.certificate).unwrap(), first);

    let chain = make_chain(SAMPLE_PASS_TYPE, SAMPLE_TEAM).unwrap();
    let expired = chain.wwdr.issue(SAMPLE_PASS_TYPE, SAMPLE_TEAM, Validity::EXPIRED).unwrap();
    Chain { pass: expired, ..chain }.write(directory.path()).unwrap();
    ensure(directory.path()).unwrap();
    assert!(verify(&files).0);

    fs::write(&files.key, "not a key").unwrap();
    ensure(directory.path()).unwrap();
    assert!(verify(&files).0);
    assert_eq!(fs::read_to_string(&files.key).unwrap().lines().next(), Some("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn the_key_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let files = ensure(directory.path()).unwrap();
    assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_name_that_would_leave_its_directory_is_refused() {
    let wwdr = Authority::root(Validity::ROOT).unwrap();
    for wrong in ["", "..", "../escape", "pass type", &"x".repeat(51)] {
        let result = wwdr.issue(wrong, SAMPLE_TEAM, Validity::LEAF);
        assert!(matches!(result, Err(CertificateError::PassType(_))), "{wrong:?}");
    }
    assert!(wwdr.issue(&"x".repeat(50), SAMPLE_TEAM, Validity::LEAF).is_ok());
}
