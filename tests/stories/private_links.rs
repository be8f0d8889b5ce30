//! Links that end: expired, used up, revoked, replaced (contract 4, Links: "unguessable and revocable; unknown, expired
//! and used-up links answer 404 with a page that says so").

use std::time::Duration;

use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, CAMPAIGN, Issued};
use passloop_tests::package::Package;
use passloop_tests::world::{World, root_certificate};
use platform::keys::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Everything that is behind a link.
const SUFFIXES: [&str; 4] = ["", ".pkpass", ".svg", ".png"];

async fn issue_with(office: &BackOffice, terms: Value) -> Issued {
    let mut body = terms;
    body["campaignId"] = json!(CAMPAIGN);
    body["holder"] = json!({ "name": "Ada" });
    Issued::read(&office.post_pass(&body).await.expect(201).json())
}

async fn open(world: &World, method: Method, url: &str) -> Answer {
    Answer::to(world.http().request(method, url)).await
}

/// Every address of a dead link answers 404, and GET with the one page.
async fn is_dead(world: &World, landing_url: &str) {
    let mut pages = Vec::new();
    for suffix in SUFFIXES {
        let url = format!("{landing_url}{suffix}");
        open(world, Method::HEAD, &url).await.expect(404);
        let page = open(world, Method::GET, &url).await.expect(404);
        assert!(page.header("content-type").unwrap().starts_with("text/html"), "{url}");
        pages.push(page.text());
    }
    let unknown = format!("{}/p/AAAAAAAAAAAAAAAAAAAAAA", world.base());
    pages.push(open(world, Method::GET, &unknown).await.expect(404).text());
    assert!(pages.iter().all(|page| *page == pages[0]), "{pages:?}");
}

async fn is_alive(world: &World, landing_url: &str) {
    for suffix in SUFFIXES {
        open(world, Method::HEAD, &format!("{landing_url}{suffix}")).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_expires_to_the_second_and_the_installed_pass_goes_on() {
    let world = World::new().await;
    let office = world.back_office();
    let expires_at = format!("{:.3}", world.now() + Duration::from_secs(3600));
    let pass = issue_with(&office, json!({ "linkExpiresAt": expires_at })).await;
    assert_eq!(office.get(&pass).await["linkExpiresAt"], *expires_at);
    let mut phone = world.iphone();
    phone.add(&world.download(&pass).await.body).await;
    world.advance(Duration::from_secs(3599));
    is_alive(&world, &pass.landing_url).await;
    world.advance(Duration::from_secs(1));
    is_dead(&world, &pass.landing_url).await;
    office.patch_holder(&pass, json!({ "name": "Ada Lovelace" })).await.expect(200);
    assert_eq!(phone.hear(world.apns()).await, [pass.serial.as_str()]);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_counts_downloads_and_nothing_else() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = issue_with(&office, json!({ "downloadLimit": 2 })).await;
    for downloads in 0..2 {
        // The page, the QR codes and HEAD are no downloads.
        is_alive(&world, &pass.landing_url).await;
        for suffix in ["", ".svg", ".png"] {
            open(&world, Method::GET, &format!("{}{suffix}", pass.landing_url)).await.expect(200);
        }
        let view = office.get(&pass).await;
        assert_eq!((&view["downloads"], &view["downloadLimit"]), (&json!(downloads), &json!(2)));
        let package = world.download(&pass).await;
        Package::open(&package.body, &root_certificate()).unwrap();
    }
    is_dead(&world, &pass.landing_url).await;
    let view = office.get(&pass).await;
    assert_eq!((&view["downloads"], &view["version"]), (&json!(2), &json!(1)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_downloads_at_once_a_limit_of_three_answers_three() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = issue_with(&office, json!({ "downloadLimit": 3 })).await;
    let mut downloads = JoinSet::new();
    for _ in 0..100 {
        let request = world.http().get(&pass.download_url);
        downloads.spawn(async move { Answer::to(request).await.status });
    }
    let statuses = downloads.join_all().await;
    let answered = |status: u16| statuses.iter().filter(|answer| **answer == status).count();
    assert_eq!((answered(200), answered(404)), (3, 97), "{statuses:?}");
    assert_eq!(office.get(&pass).await["downloads"], 3);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_without_terms_gives_the_pass_again_and_again() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = issue_with(&office, json!({ "linkExpiresAt": null, "downloadLimit": null })).await;
    for _ in 0..5 {
        world.download(&pass).await;
    }
    world.advance(Duration::from_secs(365 * 86_400));
    is_alive(&world, &pass.landing_url).await;
    let view = office.get(&pass).await;
    assert_eq!((&view["linkExpiresAt"], &view["downloadLimit"]), (&Value::Null, &Value::Null));
    assert_eq!(view["downloads"], 5);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_link_is_dead_and_the_installed_pass_goes_on() {
    let world = World::new().await;
    let office = world.back_office();
    let (pass, mut phone) = world.customer("Ada").await;
    for _ in 0..2 {
        let view = office.revoke_link(&pass).await.expect(200).json();
        assert_eq!((&view["landingUrl"], &view["downloadUrl"]), (&Value::Null, &Value::Null));
        assert_eq!((&view["devices"], &view["version"]), (&json!(1), &json!(1)));
    }
    assert_eq!(office.get(&pass).await["landingUrl"], Value::Null);
    is_dead(&world, &pass.landing_url).await;
    // No phone is told, since none could see a difference.
    phone.nothing_new(&pass.pass_type).await;
    office.patch_holder(&pass, json!({ "name": "Ada Lovelace" })).await.expect(200);
    assert_eq!(phone.hear(world.apns()).await, [pass.serial.as_str()]);
    let history = office.history(&pass).await;
    assert_eq!(history.iter().filter(|kind| *kind == "linkRevoked").count(), 1, "{history:?}");
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_link_replaces_the_old_one_and_counts_anew() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = issue_with(&office, json!({ "downloadLimit": 1 })).await;
    world.download(&pass).await;
    is_dead(&world, &pass.landing_url).await;
    let fresh = office.renew_link(&pass, &json!({ "downloadLimit": 1 })).await.expect(201).json();
    assert_eq!((&fresh["downloads"], &fresh["version"]), (&json!(0), &json!(1)));
    let fresh = Issued::read(&fresh);
    assert_ne!(fresh.landing_url, pass.landing_url);
    is_dead(&world, &pass.landing_url).await;
    is_alive(&world, &fresh.landing_url).await;
    world.download(&fresh).await;
    is_dead(&world, &fresh.landing_url).await;
    // After a revocation too, and with no body: without an end.
    office.revoke_link(&pass).await.expect(200);
    let path = format!("/passes/{}/{}/link", pass.pass_type, pass.serial);
    let open_ended = Answer::to(office.request(Method::POST, &path)).await.expect(201).json();
    assert_eq!((&open_ended["linkExpiresAt"], &open_ended["downloadLimit"]), (&Value::Null, &Value::Null));
    is_alive(&world, open_ended["landingUrl"].as_str().unwrap()).await;
    let history = office.history(&pass).await;
    assert_eq!(history.iter().filter(|kind| *kind == "linkRenewed").count(), 2, "{history:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_makes_one_fresh_link_also_after_it_expired() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let path = format!("/passes/{}/{}/link", pass.pass_type, pass.serial);
    let expires_at = format!("{:.3}", world.now() + Duration::from_secs(60));
    let renew = || {
        let request = office.request(Method::POST, &path).header("Idempotency-Key", "link 1");
        Answer::to(request.json(&json!({ "linkExpiresAt": expires_at })))
    };
    let first = renew().await.expect(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    world.advance(Duration::from_secs(120));
    let again = renew().await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json(), first.json());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fresh_links_made_at_once_the_last_alone_lives() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let mut renewals = JoinSet::new();
    for _ in 0..6 {
        let (office, pass) = (office.clone(), pass.clone());
        renewals.spawn(async move { office.renew_link(&pass, &json!({})).await.expect(201).json() });
    }
    let made = renewals.join_all().await;
    let present = office.get(&pass).await["landingUrl"].as_str().unwrap().to_owned();
    is_alive(&world, &present).await;
    let dead: Vec<_> =
        made.iter().filter_map(|view| view["landingUrl"].as_str()).filter(|url| *url != present).collect();
    assert_eq!(dead.len(), 5);
    for url in dead {
        is_dead(&world, url).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_that_make_no_sense_are_named() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let past = format!("{:.3}", world.now());
    for (terms, paths) in [
        (json!({ "linkExpiresAt": past }), vec!["/linkExpiresAt"]),
        (json!({ "linkExpiresAt": "tomorrow", "downloadLimit": 0 }), vec!["/downloadLimit", "/linkExpiresAt"]),
        (json!({ "downloadLimit": 1_000_001 }), vec!["/downloadLimit"]),
        (json!({ "downloadLimit": "3" }), vec!["/downloadLimit"]),
        (json!({ "limit": 3 }), vec!["/limit"]),
    ] {
        let mut order = terms.clone();
        order["campaignId"] = json!(CAMPAIGN);
        for refused in [office.post_pass(&order).await, office.renew_link(&pass, &terms).await] {
            refused.problem(422, "invalid");
            let mut named = refused.problem_paths();
            named.sort();
            assert_eq!(named, paths, "{terms}");
        }
    }
    is_alive(&world, &pass.landing_url).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_the_business_of_their_own_merchants_issuing_keys() {
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    let till = world.back_office_with(&world.key_with_role(Role::Redeem).await);
    till.renew_link(&pass, &json!({})).await.problem(403, "forbidden");
    till.revoke_link(&pass).await.problem(403, "forbidden");
    let other = world.back_office_with(&world.key_of_another_merchant().await);
    other.renew_link(&pass, &json!({})).await.problem(404, "unknown_pass");
    other.revoke_link(&pass).await.problem(404, "unknown_pass");
    is_alive(&world, &pass.landing_url).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_comes_as_a_picture_for_print_and_mail() {
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    let picture = open(&world, Method::GET, &format!("{}.png", pass.landing_url)).await.expect(200);
    assert_eq!(picture.header("content-type"), Some("image/png"));
    let header = png::Decoder::new(std::io::Cursor::new(&picture.body[..])).read_info().unwrap();
    assert!(header.info().width >= 300 && header.info().width == header.info().height, "{:?}", header.info());
    let drawing = open(&world, Method::GET, &format!("{}.svg", pass.landing_url)).await.expect(200);
    assert_eq!(drawing.header("content-type"), Some("image/svg+xml"));
    assert!(drawing.text().starts_with("<svg"));
    world.end().await;
}
