//! A mail that hands out a pass (reference 6: badge rules, QR).

use std::time::Duration;

use passloop_tests::answer::Answer;
use passloop_tests::world::World;
use platform::keys::Role;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mail_leads_to_the_landing_page_and_shows_its_qr_code() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let answer = office.mail(&pass, "", "").await.expect(200);
    assert_eq!(answer.header("content-language"), Some("en"));
    let mail = answer.json();
    let (html, text) = (mail["html"].as_str().unwrap(), mail["text"].as_str().unwrap());
    assert!(html.contains(&format!("<a href=\"{}\"", pass.landing_url)), "{html}");
    assert!(html.contains("Add to Apple Wallet</a>"), "{html}");
    assert!(html.contains("Free croissant") && html.contains("Maison Levain"), "{html}");
    assert_eq!(mail["subject"], "Maison Levain: Free croissant for Apple Wallet");
    assert!(text.lines().any(|line| line == pass.landing_url), "{text}");
    // All that is loaded is the QR code, and it is there.
    let source = html.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(html.matches("src=").count(), 1, "{html}");
    let picture = Answer::to(world.http().get(source)).await.expect(200);
    assert_eq!(picture.header("content-type"), Some("image/png"));
    // Whoever reads the mail adds the pass; what redeems is not in it.
    assert!(!html.contains(&pass.barcode) && !text.contains(&pass.barcode));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_are_written_to_in_their_language() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let answer = office.mail(&pass, "", "fr, de-AT;q=0.8, en;q=0.5").await.expect(200);
    assert_eq!(answer.header("content-language"), Some("de"));
    let mail = answer.json();
    assert!(mail["html"].as_str().unwrap().contains("Zu Apple Wallet hinzufügen"), "{mail}");
    assert!(mail["text"].as_str().unwrap().contains("Zu Apple Wallet hinzufügen"), "{mail}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apples_badge_is_the_operators_own_copy_over_https() {
    let world = World::new().await;
    let office = world.back_office();
    let pass = office.issue("Ada").await;
    let query = "?badgeUrl=https%3A%2F%2Fcdn.example.com%2Fbadge.png";
    let mail = office.mail(&pass, query, "en").await.expect(200).json();
    let html = mail["html"].as_str().unwrap();
    assert!(html.contains("src=\"https://cdn.example.com/badge.png\" alt=\"Add to Apple Wallet\""), "{html}");
    assert_eq!(html.matches("<a ").count(), 1, "one button per layout: {html}");
    for bad in ["http://cdn.example.com/b.png", "javascript:alert(1)", "//cdn.example.com/b.png", ""] {
        let refused = office.mail(&pass, &format!("?badgeUrl={bad}"), "en").await;
        refused.problem(422, "invalid");
        assert_eq!(refused.problem_paths(), ["/badgeUrl"]);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_sent_a_pass_they_cannot_add_or_use() {
    let world = World::new().await;
    let office = world.back_office();
    let revoked = office.issue("Ada").await;
    office.revoke_link(&revoked).await.expect(200);
    office.mail(&revoked, "", "en").await.problem(409, "no_link");
    let expires_at = format!("{:.3}", world.now() + Duration::from_secs(60));
    office.renew_link(&revoked, &json!({ "linkExpiresAt": expires_at })).await.expect(201);
    office.mail(&revoked, "", "en").await.expect(200);
    world.advance(Duration::from_secs(60));
    office.mail(&revoked, "", "en").await.problem(409, "no_link");
    let used_up = office.issue("Ada").await;
    let fresh = office.renew_link(&used_up, &json!({ "downloadLimit": 1 })).await.expect(201).json();
    world.download(&passloop_tests::back_office::Issued::read(&fresh)).await;
    office.mail(&used_up, "", "en").await.problem(409, "no_link");
    let voided = office.issue("Ada").await;
    office.void(&voided).await.expect(200);
    office.mail(&voided, "", "en").await.problem(409, "voided");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_is_the_business_of_the_merchants_issuing_keys() {
    let world = World::new().await;
    let pass = world.back_office().issue("Ada").await;
    let till = world.back_office_with(&world.key_with_role(Role::Redeem).await);
    till.mail(&pass, "", "en").await.problem(403, "forbidden");
    let other = world.back_office_with(&world.key_of_another_merchant().await);
    other.mail(&pass, "", "en").await.problem(404, "unknown_pass");
    world.end().await;
}
