//! A pass type's certificate is renewed while passes are in use (issue "Certificates in the cloud"; reference 2.5: a
//! renewed certificate for the same pass type continues seamlessly).

use std::path::Path;
use std::time::Duration;

use passloop_local::certificates::Validity;
use passloop_tests::back_office::PASS_TYPE;
use passloop_tests::package::Package;
use passloop_tests::world::{TEAM, World, chain, root_certificate};
use tempfile::TempDir;

const MINUTE: Duration = Duration::from_secs(60);

/// Lays a renewed certificate beside the one that is there, and gives back its DER.
fn renew(identities: &Path, validity: Validity) -> Vec<u8> {
    let renewed = chain().wwdr.issue(PASS_TYPE, TEAM, validity).unwrap();
    let elsewhere = TempDir::new().unwrap();
    let files = renewed.write(elsewhere.path(), &chain().wwdr).unwrap();
    // As a careful operator does: under a hidden name first, so that it is there at once.
    let hidden = identities.join(".renewed");
    std::fs::create_dir(&hidden).unwrap();
    for file in [&files.certificate, &files.key, &files.wwdr] {
        std::fs::copy(file, hidden.join(file.file_name().unwrap())).unwrap();
    }
    std::fs::rename(hidden, identities.join("renewed")).unwrap();
    renewed.certificate().to_der().unwrap()
}

fn is_in(needle: &[u8], haystack: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_signs_anew_without_a_push_and_without_a_new_manifest() {
    let identities = TempDir::new().unwrap();
    chain().write(identities.path()).unwrap();
    let world = World::over(identities.path()).await;
    let (pass, mut phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let held = phone.last_modified(&pass.serial).to_owned();
    let fetch = async || {
        let package = world.web_service().pass(PASS_TYPE, &pass.serial, Some(&authorization), None).await.expect(200);
        Package::open(&package.body, &root_certificate()).unwrap()
    };
    let before = fetch().await;
    let old = chain().pass.certificate().to_der().unwrap();
    assert!(is_in(&old, &before.files["signature"]));

    let new = renew(identities.path(), Validity { from_days: -1, to_days: 900 });
    // Until the process reads its identities again, the older one serves: this very package, from the cache.
    world.advance(14 * MINUTE);
    assert_eq!(fetch().await.files["signature"], before.files["signature"]);
    world.advance(MINUTE);
    let after = fetch().await;
    assert!(is_in(&new, &after.files["signature"]) && !is_in(&old, &after.files["signature"]));
    assert_eq!(after.manifest, before.manifest);
    // Phones are told nothing and have nothing to fetch.
    assert!(world.apns().pushes().is_empty());
    world.web_service().pass(PASS_TYPE, &pass.serial, Some(&authorization), Some(&held)).await.expect(304);

    // The renewed one pushes, too.
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    assert_eq!(phone.pass(&pass.serial).barcode(), None);
    phone.was_content();
    world.end().await;
}
