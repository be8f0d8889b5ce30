//! Landing page and download (contract 4, Links; reference 6).

use passloop_tests::answer::Answer;
use passloop_tests::world::World;

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 \
    (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";
const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 \
    (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36";

async fn visit(world: &World, url: &str, user_agent: &str) -> Answer {
    Answer::to(world.http().get(url).header("User-Agent", user_agent)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_iphone_is_offered_to_add_to_apple_wallet() {
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    let page = visit(&world, &pass.landing_url, IPHONE).await.expect(200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    let text = page.text();
    assert!(text.contains("Add to Apple Wallet"), "{text}");
    assert!(text.contains(".pkpass"), "{text}");
    assert!(text.contains("Free croissant"), "{text}");
    // The page is public; what redeems is not on it.
    assert!(!text.contains(&pass.barcode));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elsewhere_there_is_a_qr_code_of_the_link() {
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    let page = visit(&world, &pass.landing_url, WINDOWS).await.expect(200);
    let text = page.text();
    assert!(text.contains("<svg") || text.contains("image/svg+xml"), "{text}");
    assert!(!text.contains(&pass.barcode));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_download_has_the_headers_safari_wants() {
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    let answer = visit(&world, &pass.download_url, IPHONE).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/vnd.apple.pkpass"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let disposition = answer.header("content-disposition").unwrap();
    let name = disposition.strip_prefix("attachment; filename=\"").and_then(|rest| rest.strip_suffix('"'));
    let name = name.unwrap_or_else(|| panic!("{disposition}"));
    assert!(name.ends_with(".pkpass") && name.is_ascii(), "{name}");
    let length = answer.body.len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_leads_nowhere_says_so() {
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    let unknown = format!("{}/p/AAAAAAAAAAAAAAAAAAAAAAAA", world.base());
    let mistyped = format!("{}x", pass.landing_url);
    for url in [unknown.clone(), format!("{unknown}.pkpass"), mistyped, format!("{}/p/.pkpass", world.base())] {
        let page = visit(&world, &url, IPHONE).await.expect(404);
        assert!(page.header("content-type").unwrap_or_default().starts_with("text/html"), "{url}");
        assert!(page.text().contains("<html"), "{}", page.text());
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_cannot_be_guessed_from_one_another() {
    let world = World::new().await;
    let office = world.back_office();
    let first = office.issue("Ada").await;
    let second = office.issue("Ada").await;
    assert_ne!(first.landing_url, second.landing_url);
    for pass in [&first, &second] {
        let link = pass.landing_url.rsplit('/').next().unwrap();
        assert!(link.len() >= 16, "{link} is too short to be unguessable");
        assert!(!link.contains(&pass.serial));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_a_holder_with_markup_in_the_name_stays_harmless() {
    let world = World::empty().await;
    let office = world.back_office();
    let folder = passloop_tests::template_folder::TemplateFolder::coupon().edit(|pass| {
        pass["organizationName"] = serde_json::json!("<script>alert(1)</script>");
        pass["description"] = serde_json::json!("\"><img src=x>");
    });
    office.put_template("croissant", &folder).await.expect(201);
    let campaign = passloop_tests::back_office::two_offers();
    office.put_campaign("croissant", &campaign).await.expect(201);
    let pass = office.issue("Ada").await;
    for device in [IPHONE, WINDOWS] {
        let text = visit(&world, &pass.landing_url, device).await.expect(200).text();
        assert!(!text.contains("<script>alert"), "{text}");
        assert!(!text.contains("<img src=x>"), "{text}");
    }
    world.end().await;
}
