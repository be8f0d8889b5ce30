//! Templates (contract 4, Templates; reference 3 and 4).

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{CAMPAIGN, two_offers};
use passloop_tests::template_folder::{TemplateFolder, noisy_png, plain_png};
use passloop_tests::world::World;
use platform::store::{CampaignPut, Content, StoredTemplate};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_immutable_and_the_same_content_is_the_same_version() {
    let world = World::empty().await;
    let office = world.back_office();
    let folder = TemplateFolder::coupon();
    let first = office.put_template("t", &folder).await.expect(201).json();
    assert_eq!(first["templateId"], "t");
    assert_eq!(first["warnings"], json!([]));
    let sha = first["sha256"].as_str().unwrap();
    assert!(sha.len() == 64 && sha.bytes().all(|byte| byte.is_ascii_hexdigit()), "{sha}");
    let again = office.put_template("t", &folder).await.expect(200).json();
    assert_eq!(again["version"], first["version"]);
    assert_eq!(again["sha256"], first["sha256"]);
    let changed = folder.edit(|pass| pass["description"] = json!("Another coupon"));
    let second = office.put_template("t", &changed).await.expect(201).json();
    assert_ne!(second["version"], first["version"]);
    assert_ne!(second["sha256"], first["sha256"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zip_of_the_folder_itself_works_too() {
    // `zip -r croissant.zip croissant.pass`, what a person does with "the zip of a .pass folder".
    let world = World::empty().await;
    let folder = TemplateFolder::coupon();
    let office = world.back_office();
    office.put_archive("t", folder.zip_under("croissant.pass/")).await.expect(201);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_problem_of_a_template_is_named() {
    let world = World::empty().await;
    let folder = TemplateFolder::coupon().without("icon").edit(|pass| {
        pass.as_object_mut().unwrap().remove("description");
        pass["backgroundColor"] = json!("chestnut");
        pass["barcodes"][0]["format"] = json!("PKBarcodeFormatMorse");
        pass["coupon"]["auxiliaryFields"][0]["key"] = json!("news");
        pass["coupon"]["primaryFields"][0]["value"] = json!({});
    });
    let answer = world.back_office().put_template("t", &folder).await;
    answer.any_problem(&[422]);
    let paths = answer.problem_paths();
    for word in ["icon", "description", "backgroundColor", "barcodes/0/format", "primaryFields/0/value"] {
        assert!(paths.iter().any(|path| path.contains(word)), "{word} is not in {paths:?}");
    }
    // The key `news` is in two fields: either may be named.
    assert!(paths.iter().any(|path| path.ends_with("/key")), "{paths:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_has_exactly_one_style_and_a_pass_json() {
    let world = World::empty().await;
    let office = world.back_office();
    let none = TemplateFolder::coupon().edit(|pass| {
        pass.as_object_mut().unwrap().remove("coupon");
    });
    office.put_template("t", &none).await.any_problem(&[422]);
    let two = TemplateFolder::coupon().edit(|pass| pass["storeCard"] = json!({}));
    office.put_template("t", &two).await.any_problem(&[422]);
    office.put_template("t", &TemplateFolder::coupon().without("pass.json")).await.any_problem(&[422]);
    let broken = TemplateFolder::coupon().with("pass.json", "{");
    office.put_template("t", &broken).await.any_problem(&[422]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_classic_style_makes_a_pass_a_phone_takes() {
    let world = World::empty().await;
    let office = world.back_office();
    for style in ["boardingPass", "coupon", "eventTicket", "generic", "storeCard"] {
        let folder = TemplateFolder::coupon().without("strip").without("used-strip").edit(|pass| {
            let mut fields = pass.as_object_mut().unwrap().remove("coupon").unwrap();
            if style == "boardingPass" {
                fields["transitType"] = json!("PKTransitTypeTrain");
            }
            pass[style] = fields;
        });
        office.put_template(style, &folder).await.expect(201);
        let mut campaign = two_offers();
        campaign["templateId"] = json!(style);
        campaign["redeemedOverlay"].as_object_mut().unwrap().remove("images");
        office.put_campaign(style, &campaign).await.expect(201);
        let pass = office.issue_of(style, "Ada").await;
        let mut phone = world.iphone();
        phone.add(&world.download(&pass).await.body).await;
        assert!(phone.pass(&pass.serial).pass[style].is_object());
        phone.was_content();
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_phone_can_live_with_is_a_warning() {
    // Reference 9.2: a missing icon scale is a warning, not an error.
    let world = World::empty().await;
    let folder = TemplateFolder::coupon().without("icon@3x");
    let answer = world.back_office().put_template("t", &folder).await.expect(201).json();
    let warnings = answer["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|warning| warning["path"].as_str().unwrap().contains("icon")), "{answer}");
    assert!(warnings.iter().all(|warning| !warning["message"].as_str().unwrap().is_empty()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liar_of_an_image_is_refused() {
    let world = World::empty().await;
    let office = world.back_office();
    let folder = TemplateFolder::coupon().with("logo.png", "not a picture");
    let answer = office.put_template("t", &folder).await;
    answer.any_problem(&[422]);
    assert!(answer.problem_paths().iter().any(|path| path.contains("logo.png")), "{}", answer.text());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_that_leave_the_folder_are_refused() {
    let world = World::empty().await;
    for path in ["../evil.png", "/evil.png", "a/../../evil.png"] {
        let folder = TemplateFolder::coupon().with(path, plain_png(1, 1, [0, 0, 0]));
        world.back_office().put_template("t", &folder).await.any_problem(&[400, 422]);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn languages_travel_with_the_pass() {
    let world = World::empty().await;
    let office = world.back_office();
    let strings = |offer: &str| format!("\"Offer\" = \"{offer}\";\n\"Status\" = \"Stand\";\n");
    let folder = TemplateFolder::coupon()
        .with("de.lproj/pass.strings", strings("Angebot"))
        .with("fr.lproj/pass.strings", strings("Offre"));
    office.put_template(CAMPAIGN, &folder).await.expect(201);
    office.put_campaign(CAMPAIGN, &two_offers()).await.expect(201);
    let pass = office.issue("Ada").await;
    let mut phone = world.iphone();
    phone.add(&world.download(&pass).await.body).await;
    let files = &phone.pass(&pass.serial).files;
    for language in ["de", "fr"] {
        assert!(files.contains_key(&format!("{language}.lproj/pass.strings")), "{:?}", files.keys());
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_cannot_write_into_the_pass_json() {
    // B18's cousin: text that looks like JSON or a placeholder stays text.
    let world = World::new().await;
    let name = r#"Ada", "evil": "{{ pass.barcode }} \u0000 <a href="x">é🥐"#;
    let pass = world.back_office().issue(name).await;
    let mut phone = world.iphone();
    let package = world.download(&pass).await.body;
    let opened = passloop_tests::package::Package::open(&package, &passloop_tests::world::root_certificate());
    // The reader complains about a placeholder left in pass.json, which here is the holder's text.
    match opened {
        Ok(package) => assert!(package.pass.get("evil").is_none()),
        Err(problems) => assert_eq!(problems, ["a placeholder was left in pass.json"]),
    }
    let harmless = r#"Ada", "evil": "<a href='x'>é🥐 \ / "#;
    let pass = world.back_office().issue(harmless).await;
    phone.add(&world.download(&pass).await.body).await;
    assert_eq!(phone.pass(&pass.serial).value("holder"), harmless);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_sets_the_template_cannot() {
    // Contract 4: serialNumber and its companions are the service's to set.
    let world = World::empty().await;
    let office = world.back_office();
    let folder = TemplateFolder::coupon().edit(|pass| {
        pass["serialNumber"] = json!("mine");
        pass["authenticationToken"] = json!("0123456789abcdef");
        pass["webServiceURL"] = json!("https://example.com/");
        pass["passTypeIdentifier"] = json!("pass.example.mine");
        pass["teamIdentifier"] = json!("MINE000000");
    });
    let answer = office.put_template(CAMPAIGN, &folder).await;
    if answer.status == 201 {
        office.put_campaign(CAMPAIGN, &two_offers()).await.expect(201);
        let pass = office.issue("Ada").await;
        let mut phone = world.iphone();
        phone.add(&world.download(&pass).await.body).await;
        let shown = phone.pass(&pass.serial);
        assert_eq!(shown.text("serialNumber"), pass.serial);
        assert_eq!(shown.text("webServiceURL"), world.base());
        assert_ne!(shown.text("authenticationToken"), "0123456789abcdef");
        phone.was_content();
    } else {
        answer.any_problem(&[422]);
        let paths = answer.problem_paths();
        assert!(paths.iter().any(|path| path.contains("serialNumber")), "{paths:?}");
    }
    world.end().await;
}

/// Two writers at once: the new version must not leave a campaign behind that it has not seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_did_not_see_a_new_campaign_is_not_written() {
    let world = World::new().await;
    let store = &world.local().app().store;
    let office = world.back_office();
    office.put_template("t", &TemplateFolder::coupon()).await.expect(201);
    let merchant_id = "local";
    let template_id = "t".parse().unwrap();
    let read = store.template(merchant_id, &template_id).await.unwrap().unwrap();
    let mut campaign = two_offers();
    campaign["templateId"] = json!("t");
    office.put_campaign("late", &campaign).await.expect(201);
    let content = Content { digest: "0".repeat(64), sha256: "0".repeat(64), warnings: Vec::new() };
    let next = StoredTemplate::after(Some(&read), merchant_id, &template_id, content, world.now());
    assert_eq!(store.put_template(Some(&read), &next, &[]).await.unwrap(), CampaignPut::Changed);
    // Whoever looks again sees it, and takes it along.
    let changed = TemplateFolder::coupon().edit(|pass| pass["description"] = json!("Another coupon"));
    office.put_template("t", &changed).await.expect(201);
    let told = Answer::to(office.request(Method::GET, "/campaigns/late")).await.expect(200).json();
    assert_eq!(told["templateVersion"], 2);
    world.end().await;
}

/// One image in every place that an overlay can put it is as many times its bytes: no phone would be sent that, and no function hold it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_in_many_places_counts_in_each() {
    let world = World::new().await;
    let office = world.back_office();
    // 1.7 MB, which nothing compresses.
    let large = noisy_png(750, 750);
    let template = TemplateFolder::coupon().with("large.png", large);
    office.put_template("large", &template).await.expect(201);
    let mut campaign = two_offers();
    campaign["templateId"] = json!("large");
    campaign["redeemedOverlay"]["images"] = json!({ "strip": "large", "logo": "large" });
    office.put_campaign("two-places", &campaign).await.expect(201);
    campaign["redeemedOverlay"]["images"] = json!({ "strip": "large", "logo": "large", "icon": "large" });
    office.put_campaign("three-places", &campaign).await.problem(422, "invalid");
    world.end().await;
}
