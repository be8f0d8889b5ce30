//! How long the service keeps identities, and which one it takes (`platform::identities`): tested here, where
//! certificates can be made.

use jiff::SignedDuration;
use passkit::identifiers::PassTypeIdentifier;
use platform::identities::{Identities, READ_AGAIN_AFTER, TRY_AGAIN_AFTER};

use super::*;

fn pass_type() -> PassTypeIdentifier {
    PASS_TYPE.parse().unwrap()
}

/// The certificate that signs at this time, if any.
async fn signer(identities: &Identities, at: Timestamp) -> Option<Vec<u8>> {
    let identity = identities.of(&pass_type(), at).await.unwrap();
    identity.map(|identity| identity.certificate().to_pem().unwrap())
}

fn pem(certificate: &PassCertificate) -> Option<Vec<u8>> {
    Some(certificate.certificate_pem().unwrap())
}

/// Lays a certificate into a folder of any name.
fn lay(directory: &Path, folder: &str, certificate: &PassCertificate) {
    let elsewhere = TempDir::new().unwrap();
    let files = certificate.write(elsewhere.path(), &CHAIN.wwdr).unwrap();
    fs::create_dir_all(directory.join(folder)).unwrap();
    for file in [&files.wwdr, &files.key, &files.certificate] {
        fs::copy(file, directory.join(folder).join(file.file_name().unwrap())).unwrap();
    }
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

const INSTANT: SignedDuration = SignedDuration::from_millis(1);

#[tokio::test]
async fn a_renewed_certificate_takes_effect_after_a_quarter_of_an_hour() {
    let directory = TempDir::new().unwrap();
    lay(directory.path(), "first", &CHAIN.pass);
    let identities = Identities::in_directory(directory.path().to_owned());
    let now = Timestamp::now();
    assert_eq!(signer(&identities, now).await, pem(&CHAIN.pass));
    lay(directory.path(), "second", &RENEWED);
    assert_eq!(signer(&identities, now + READ_AGAIN_AFTER - INSTANT).await, pem(&CHAIN.pass));
    assert_eq!(signer(&identities, now + READ_AGAIN_AFTER).await, pem(&RENEWED));
    // One that is taken away is forgotten as soon.
    fs::remove_dir_all(directory.path().join("second")).unwrap();
    assert_eq!(signer(&identities, now + READ_AGAIN_AFTER + READ_AGAIN_AFTER).await, pem(&CHAIN.pass));
}

#[tokio::test]
async fn of_several_certificates_the_one_valid_longest_signs_once_its_time_has_come() {
    let directory = TempDir::new().unwrap();
    lay(directory.path(), "a", &RENEWED);
    lay(directory.path(), "b", &CHAIN.pass);
    let later = issue(PASS_TYPE, 10, 400);
    lay(directory.path(), "c", &later);
    let identities = Identities::in_directory(directory.path().to_owned());
    let now = Timestamp::now();
    assert_eq!(signer(&identities, now).await, pem(&RENEWED));
    assert_eq!(signer(&identities, now + days(9)).await, pem(&RENEWED));
    assert_eq!(signer(&identities, now + days(11)).await, pem(&later));
}

#[tokio::test]
async fn what_cannot_be_read_again_leaves_the_earlier_identity_in_place_until_it_expires() {
    let directory = TempDir::new().unwrap();
    lay(directory.path(), "one", &CHAIN.pass);
    lay(directory.path(), "two", &issue("pass.example.other", -1, 500));
    let identities = Identities::in_directory(directory.path().to_owned());
    let now = Timestamp::now();
    assert_eq!(signer(&identities, now).await, pem(&CHAIN.pass));
    // One is damaged: the others are read, and it stays what it was.
    fs::write(directory.path().join("one/key.pem"), "nothing").unwrap();
    let then = now + READ_AGAIN_AFTER;
    assert_eq!(signer(&identities, then).await, pem(&CHAIN.pass));
    // All are gone: everything stays what it was, and is tried again soon.
    fs::rename(directory.path().join("one"), directory.path().join(".one")).unwrap();
    fs::rename(directory.path().join("two"), directory.path().join(".two")).unwrap();
    let then = then + READ_AGAIN_AFTER;
    assert_eq!(signer(&identities, then).await, pem(&CHAIN.pass));
    lay(directory.path(), "three", &RENEWED);
    assert_eq!(signer(&identities, then + TRY_AGAIN_AFTER - INSTANT).await, pem(&CHAIN.pass));
    assert_eq!(signer(&identities, then + TRY_AGAIN_AFTER).await, pem(&RENEWED));
    // Nothing signs with a certificate that has expired.
    assert_eq!(signer(&identities, now + days(379)).await, pem(&RENEWED));
    assert_eq!(signer(&identities, now + days(381)).await, None);
}

#[tokio::test]
async fn a_first_reading_that_fails_is_forgotten() {
    let directory = TempDir::new().unwrap();
    let identities = Identities::in_directory(directory.path().to_owned());
    let now = Timestamp::now();
    assert!(identities.of(&pass_type(), now).await.is_err());
    lay(directory.path(), "first", &CHAIN.pass);
    assert_eq!(signer(&identities, now).await, pem(&CHAIN.pass));
}

#[tokio::test]
async fn one_bad_identity_does_not_stop_the_others() {
    let directory = TempDir::new().unwrap();
    lay(directory.path(), "good", &CHAIN.pass);
    lay(directory.path(), "bad", &RENEWED);
    fs::remove_file(directory.path().join("bad/key.pem")).unwrap();
    // An import in progress is no identity yet.
    lay(directory.path(), ".draft", &RENEWED);
    let identities = Identities::in_directory(directory.path().to_owned());
    assert_eq!(signer(&identities, Timestamp::now()).await, pem(&CHAIN.pass));
}
