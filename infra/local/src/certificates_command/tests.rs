mod identities;
mod import;
mod secrets_manager;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use clap::Parser as _;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use tempfile::TempDir;

use super::*;
use crate::certificates::{Authority, Chain, PassCertificate, Validity, make_chain};
use crate::outcome::Verdict;

const PASS_TYPE: &str = "pass.example.bakery";
const TEAM: &str = "TEAMID1234";

/// One chain for all: RSA keys are slow to make.
static CHAIN: LazyLock<Chain> = LazyLock::new(|| make_chain(PASS_TYPE, TEAM).unwrap());
/// What a renewal gives: the same pass type, valid longer.
static RENEWED: LazyLock<PassCertificate> = LazyLock::new(|| issue(PASS_TYPE, -1, 380));

fn issue(pass_type: &str, from_days: i64, to_days: i64) -> PassCertificate {
    CHAIN.wwdr.issue(pass_type, TEAM, Validity { from_days, to_days }).unwrap()
}

#[derive(clap::Parser)]
struct Line {
    #[command(subcommand)]
    command: CertificatesCommand,
}

/// Runs a command line; words are separated by blanks. An hour from now: however long ago the certificates were made
/// in this process, their last day has begun.
async fn run_with(variables: &BTreeMap<String, String>, line: &str) -> Result<Outcome, CertificatesError> {
    let line = Line::try_parse_from(["certificates"].into_iter().chain(line.split_whitespace())).unwrap();
    run(&line.command, variables, Timestamp::now() + jiff::SignedDuration::from_hours(1)).await
}

async fn run_line(line: &str) -> Result<Outcome, CertificatesError> {
    run_with(&BTreeMap::new(), line).await
}

/// A directory with what a person has after the portal: the certificate (DER), its key, the intermediate.
struct Desk {
    directory: TempDir,
}

impl Desk {
    fn with(certificate: &PassCertificate) -> Self {
        let desk = Self { directory: TempDir::new().unwrap() };
        desk.put("pass.cer", &certificate.certificate().to_der().unwrap());
        desk.put("pass.key", &certificate.key().private_key_to_pem_pkcs8().unwrap());
        desk.put("wwdr.cer", &CHAIN.wwdr.certificate_pem().unwrap());
        desk
    }

    fn put(&self, name: &str, content: &[u8]) {
        fs::write(self.directory.path().join(name), content).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// The import as the portal's files suggest it.
    fn import(&self) -> String {
        let [cer, key, wwdr] = ["pass.cer", "pass.key", "wwdr.cer"].map(|name| self.path(name));
        format!("import --cer {cer} --key {key} --intermediate {wwdr}")
    }
}

fn archive(certificate: &PassCertificate, password: &str) -> Vec<u8> {
    let mut builder = Pkcs12::builder();
    builder.pkey(certificate.key()).cert(certificate.certificate());
    builder.build2(password).unwrap().to_der().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_request_is_what_the_portal_asks_for_and_says_what_comes_next() {
    let out = TempDir::new().unwrap();
    let directory = out.path().display();
    let made = run_line(&format!("request --pass-type {PASS_TYPE} --team {TEAM} --out {directory}")).await.unwrap();
    let folder = out.path().join("pass.example.bakery.request");
    assert_eq!(names(out.path()), ["pass.example.bakery.request"]);
    let request = folder.join("request.certSigningRequest");

    // An outside opinion: the request is signed by its own key, RSA-2048, SHA-256.
    let said = Command::new("openssl")
        .args(["req", "-verify", "-noout", "-text", "-nameopt", "RFC2253", "-in"])
        .arg(&request)
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8_lossy(&said.stdout);
    for expected in
        ["2048 bit", "sha256WithRSAEncryption", "UID=pass.example.bakery", "CN=Pass Type ID: pass.example.bakery"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let key = fs::read(folder.join("key.pem")).unwrap();
    assert_eq!(mode(&folder.join("key.pem")), 0o600);
    assert_eq!(PKey::private_key_from_pem(&key).unwrap().bits(), 2048);
    for step in ["upload the request", "AppleWWDRCAG4.cer", "certificates import --out", "key.pem"] {
        assert!(made.result.contains(step), "{step}: {}", made.result);
    }
}

#[tokio::test]
async fn a_key_is_never_overwritten() {
    let out = TempDir::new().unwrap();
    let line = format!("request --pass-type {PASS_TYPE} --team {TEAM} --out {}", out.path().display());
    run_line(&line).await.unwrap();
    let key = out.path().join("pass.example.bakery.request/key.pem");
    let first = fs::read(&key).unwrap();
    assert!(matches!(run_line(&line).await, Err(CertificatesError::KeyExists(_))));
    assert_eq!(fs::read(&key).unwrap(), first);
    assert_eq!(names(out.path()), ["pass.example.bakery.request"]);
}

#[tokio::test]
async fn a_requests_key_is_encrypted_when_a_passphrase_is_given() {
    let out = TempDir::new().unwrap();
    let passphrase = out.path().join("passphrase");
    fs::write(&passphrase, "open sesame\n").unwrap();
    let [directory, file] = [out.path(), &passphrase].map(Path::display);
    let line = format!("request --pass-type {PASS_TYPE} --team {TEAM} --out {directory} --passphrase-file {file}");
    let made = run_line(&line).await.unwrap();
    let key = fs::read(out.path().join("pass.example.bakery.request/key.pem")).unwrap();
    assert!(PKey::private_key_from_pem_passphrase(&key, b"wrong").is_err());
    assert!(PKey::private_key_from_pem_passphrase(&key, b"open sesame").is_ok());
    assert!(made.result.contains(&format!("--passphrase-file {file}")), "{}", made.result);
    assert!(!made.result.contains("sesame"));
}

#[test]
fn a_command_line_that_names_half_an_identity_is_refused() {
    for line in [
        "import --out x",
        "import --out x --cer c",
        "import --out x --key k",
        "import --cer c --key k",
        "import --out x --p12 p --cer c --key k",
        "import --out x --p12 p --passphrase-file f",
        "import --out x --cer c --key k --password-file f",
        "request --pass-type example.bakery --team TEAMID1234 --out x",
        "request --pass-type pass.example.bakery --team team --out x",
        "check",
    ] {
        assert!(Line::try_parse_from(["certificates"].into_iter().chain(line.split(' '))).is_err(), "{line}");
    }
    assert!(Line::try_parse_from(["certificates", "import", "--secret", "--p12", "p"]).is_ok());
}

#[tokio::test]
async fn a_check_tells_the_days_left_and_warns_in_time() {
    let directory = TempDir::new().unwrap();
    CHAIN.pass.write(directory.path(), &CHAIN.wwdr).unwrap();
    let check = format!("check {}", directory.path().display());
    let good = run_line(&check).await.unwrap();
    assert_eq!(good.verdict, Verdict::Good, "{}", good.result);
    for told in ["usable, signs and pushes", "364 days left", "3649 days left", "not Apple: for tests only"] {
        assert!(good.result.contains(told), "{told}: {}", good.result);
    }
    assert!(!good.result.contains("expires on"), "{}", good.result);

    issue("pass.example.soon", -300, 29).write(directory.path(), &CHAIN.wwdr).unwrap();
    let key = directory.path().join(PASS_TYPE).join("key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let soon = run_line(&check).await.unwrap();
    assert_eq!(soon.verdict, Verdict::Good, "{}", soon.result);
    for told in ["28 days left", "request a new one for pass.example.soon now", "chmod 600"] {
        assert!(soon.result.contains(told), "{told}: {}", soon.result);
    }
}

#[tokio::test]
async fn a_check_names_everything_that_cannot_be_used() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    CHAIN.pass.write(path, &CHAIN.wwdr).unwrap();
    CHAIN.wwdr.issue("pass.example.expired", TEAM, Validity::EXPIRED).unwrap().write(path, &CHAIN.wwdr).unwrap();
    let other = issue("pass.example.other", -1, 100);
    let files = other.write(path, &CHAIN.wwdr).unwrap();
    fs::write(&files.key, CHAIN.pass.key().private_key_to_pem_pkcs8().unwrap()).unwrap();
    let files = issue("pass.example.bare", -1, 100).write(path, &CHAIN.wwdr).unwrap();
    fs::remove_file(&files.key).unwrap();

    let checked = run_line(&format!("check {}", path.display())).await.unwrap();
    assert_eq!(checked.verdict, Verdict::Bad);
    let blocks: Vec<&str> = checked.result.split("\npass.").collect();
    let [bakery, bare, expired, other] = blocks.as_slice() else { panic!("{}", checked.result) };
    assert!(bakery.contains("usable, signs"), "{bakery}");
    assert!(bare.contains("there is no key.pem beside"), "{bare}");
    assert!(expired.contains("expired on") && expired.contains("create a new one"), "{expired}");
    assert!(other.contains("the private key does not fit"), "{other}");

    let nowhere = run_line(&format!("check {}/nowhere", path.display())).await;
    assert!(matches!(nowhere, Err(CertificatesError::Source(_))));
    let empty = TempDir::new().unwrap();
    let empty = run_line(&format!("check {}", empty.path().display())).await.unwrap();
    assert_eq!(empty.verdict, Verdict::Bad);
}

#[tokio::test]
async fn a_check_opens_a_p12_file_with_its_password_and_the_intermediate_beside_it() {
    let desk = Desk::with(&CHAIN.pass);
    desk.put("identity.p12", &archive(&CHAIN.pass, "sesame"));
    desk.put("password", b"sesame\n");
    let [p12, password] = ["identity.p12", "password"].map(|name| desk.path(name));
    let good = run_line(&format!("check {p12} --password-file {password}")).await.unwrap();
    assert_eq!(good.verdict, Verdict::Good, "{}", good.result);
    let wrong = run_line(&format!("check {p12}")).await.unwrap();
    assert_eq!(wrong.verdict, Verdict::Bad);
    assert!(wrong.result.contains("password is wrong"), "{}", wrong.result);
}

#[tokio::test]
async fn of_two_certificates_of_a_pass_type_the_check_says_which_one_signs() {
    let directory = TempDir::new().unwrap();
    for certificate in [&CHAIN.pass, &*RENEWED] {
        let desk = Desk::with(certificate);
        run_line(&format!("{} --out {}", desk.import(), directory.path().display())).await.unwrap();
    }
    let checked = run_line(&format!("check {}", directory.path().display())).await.unwrap();
    assert_eq!(checked.verdict, Verdict::Good, "{}", checked.result);
    let standings: Vec<_> = checked.result.lines().filter(|line| line.contains(": usable")).collect();
    let [renewed, earlier] = standings.as_slice() else { panic!("{}", checked.result) };
    assert_eq!(*renewed, "pass.example.bakery: usable, signs and pushes");
    assert!(earlier.ends_with("usable, not needed: another of its pass type is valid longer"), "{earlier}");
}
