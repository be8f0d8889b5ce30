//! The same version has the same manifest, byte for byte (contract 5).

use passloop_tests::back_office::PASS_TYPE;
use passloop_tests::package::Package;
use passloop_tests::world::{World, root_certificate};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_and_however_often_the_manifest_is_the_same() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let manifest = phone.pass(&pass.serial).manifest.clone();
    let authorization = phone.authorization(&pass.serial);
    for hours in [0, 1, 24] {
        // Time alone changes nothing.
        world.advance(std::time::Duration::from_secs(hours * 3600));
        let link = world.download(&pass).await;
        let fetched = world.web_service().pass(PASS_TYPE, &pass.serial, Some(&authorization), None).await;
        for answer in [link, fetched.expect(200)] {
            let package = Package::open(&answer.body, &root_certificate()).unwrap();
            assert_eq!(package.manifest, manifest);
        }
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_service_makes_the_same_manifest() {
    let world = World::on_disk().await;
    let (pass, phone) = world.customer("Ada").await;
    let manifest = phone.pass(&pass.serial).manifest.clone();
    let authorization = phone.authorization(&pass.serial);
    let held = phone.last_modified(&pass.serial).to_owned();
    let world = world.restart().await;
    let service = world.web_service();
    service.pass(PASS_TYPE, &pass.serial, Some(&authorization), Some(&held)).await.expect(304);
    let fetched = service.pass(PASS_TYPE, &pass.serial, Some(&authorization), None).await.expect(200);
    let package = Package::open(&fetched.body, &root_certificate()).unwrap();
    assert_eq!(package.manifest, manifest);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_byte_of_a_package_changed_is_noticed_by_the_reader() {
    // The reader itself must be able to say no.
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    let package = world.download(&pass).await.body;
    assert!(Package::open(&package, &root_certificate()).is_ok());
    let other_root = tempfile_with(b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n");
    assert!(Package::open(&package, other_root.path()).is_err());
    let mut damaged = package.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    assert!(Package::open(&damaged, &root_certificate()).is_err());
    world.end().await;
}

fn tempfile_with(content: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}
