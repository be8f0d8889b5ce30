//! Several passes in one file (reference 6: `.pkpasses`, "zip with several complete .pkpass files at root", at most 10).

use std::io::{Cursor, Read};

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, CAMPAIGN, Issued, PASS_TYPE, two_offers};
use passloop_tests::package::Package;
use passloop_tests::template_folder::{TemplateFolder, noisy_png};
use passloop_tests::world::{World, root_certificate};
use platform::keys::Role;
use reqwest::Method;
use serde_json::json;

async fn family(office: &BackOffice, size: usize) -> Vec<Issued> {
    let mut passes = Vec::new();
    for _ in 0..size {
        passes.push(office.issue("Ada").await);
    }
    passes
}

/// Serial numbers in the order of the archive; every package is opened as a phone would.
fn serials(bundle: &Answer) -> Vec<String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(&bundle.body[..])).unwrap();
    let mut serials = Vec::new();
    for place in 0..archive.len() {
        let mut file = archive.by_index(place).unwrap();
        let name = file.name().unwrap().into_owned();
        assert!(name.ends_with(".pkpass") && !name.contains('/'), "{name}");
        let mut package = Vec::new();
        file.read_to_end(&mut package).unwrap();
        let package = Package::open(&package, &root_certificate()).unwrap();
        serials.push(package.text("serialNumber").to_owned());
    }
    serials
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_passes_come_as_complete_packages_in_the_order_asked() {
    let world = World::new().await;
    let office = world.back_office();
    let passes = family(&office, 10).await;
    let bundle = Answer::to(office.bundle(&passes.iter().collect::<Vec<_>>())).await.expect(200);
    assert_eq!(bundle.header("content-type"), Some("application/vnd.apple.pkpasses"));
    assert_eq!(bundle.header("content-disposition"), Some("attachment; filename=\"passes.pkpasses\""));
    assert_eq!(bundle.header("cache-control"), Some("no-store"));
    assert_eq!(serials(&bundle), passes.iter().map(|pass| pass.serial.clone()).collect::<Vec<_>>());
    // What is in a bundle is no download of a link.
    assert_eq!(office.get(&passes[0]).await["downloads"], 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_out_of_a_bundle_is_a_pass_like_any_other() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let bundle = Answer::to(office.bundle(&[&pass])).await.expect(200);
    let mut package = Vec::new();
    let mut archive = zip::ZipArchive::new(Cursor::new(&bundle.body[..])).unwrap();
    archive.by_index(0).unwrap().read_to_end(&mut package).unwrap();
    let mut phone = world.iphone();
    phone.add(&package).await;
    office.void(&pass).await.expect(200);
    assert_eq!(phone.hear(world.apns()).await, [pass.serial.as_str()]);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_is_answered_again_and_another_one_refused() {
    let world = World::new().await;
    let office = world.back_office();
    let passes = family(&office, 2).await;
    let ask = |passes: &[&Issued]| Answer::to(office.bundle(passes).header("Idempotency-Key", "family 1"));
    let first = ask(&[&passes[0], &passes[1]]).await.expect(200);
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = ask(&[&passes[0], &passes[1]]).await.expect(200);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    // While nothing changes, signed packages come from the cache, so the bundle is the same to the byte.
    assert_eq!(again.body, first.body);
    ask(&[&passes[0]]).await.problem(422, "idempotency_key_reused");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pass_that_is_not_the_merchants_is_named() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let ghost = |serial: &str| Issued { serial: serial.to_owned(), ..pass.clone() };
    let refused = Answer::to(office.bundle(&[&ghost("gone"), &pass, &ghost("lost")])).await;
    refused.problem(404, "unknown_pass");
    assert_eq!(refused.problem_paths(), ["/passes/0", "/passes/2"]);
    let other = world.back_office_with(&world.key_of_another_merchant().await);
    let refused = Answer::to(other.bundle(&[&pass])).await;
    refused.problem(404, "unknown_pass");
    assert_eq!(refused.problem_paths(), ["/passes/0"]);
    let till = world.back_office_with(&world.key_with_role(Role::Redeem).await);
    Answer::to(till.bundle(&[&pass])).await.problem(403, "forbidden");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_make_no_bundle_are_refused() {
    let world = World::new().await;
    let office = world.back_office();
    let named = |serial: &str| json!({ "passTypeIdentifier": PASS_TYPE, "serialNumber": serial });
    let eleven: Vec<_> = (0..11).map(|number| named(&number.to_string())).collect();
    for (body, paths) in [
        (json!({}), vec!["/passes"]),
        (json!({ "passes": [] }), vec!["/passes"]),
        (json!({ "passes": eleven }), vec!["/passes"]),
        (json!({ "passes": [named("a"), named("b"), named("a")] }), vec!["/passes/2/serialNumber"]),
        (
            json!({ "passes": [named("a"), null, {}] }),
            vec!["/passes/1", "/passes/2/passTypeIdentifier", "/passes/2/serialNumber"],
        ),
        (json!({ "passes": [{ "passTypeIdentifier": PASS_TYPE, "serialNumber": "a", "x": 1 }] }), vec!["/passes/0/x"]),
    ] {
        let refused = Answer::to(office.request(Method::POST, "/bundles").json(&body)).await;
        refused.problem(422, "invalid");
        assert_eq!(refused.problem_paths(), paths, "{body}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_that_no_answer_can_carry_is_refused_with_a_way_out() {
    let world = World::empty().await;
    let office = world.back_office();
    // A strip of 1125 x 432 noisy points is about 1.4 MB, and no zip makes it smaller.
    let folder = TemplateFolder::coupon().with("strip@3x.png", noisy_png(1125, 432));
    office.put_template(CAMPAIGN, &folder).await.expect(201);
    office.put_campaign(CAMPAIGN, &two_offers()).await.expect(201);
    let passes = family(&office, 4).await;
    let refused = Answer::to(office.bundle(&passes.iter().collect::<Vec<_>>())).await;
    refused.problem(413, "bundle_too_large");
    let fewer = Answer::to(office.bundle(&[&passes[0], &passes[1]])).await.expect(200);
    assert_eq!(serials(&fewer).len(), 2);
    world.end().await;
}
