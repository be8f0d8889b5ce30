//! The Authorization header (reference 1.3; B9, B10).

use passloop_tests::back_office::PASS_TYPE;
use passloop_tests::web_service::Registration;
use passloop_tests::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apple_and_android_schemes_are_equal() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let token = phone.pass(&pass.serial).text("authenticationToken").to_owned();
    for scheme in ["ApplePass", "AndroidPass"] {
        let authorization = format!("{scheme} {token}");
        world.web_service().pass(PASS_TYPE, &pass.serial, Some(&authorization), None).await.expect(200);
    }
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_else_is_401() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let token = phone.pass(&pass.serial).text("authenticationToken").to_owned();
    let mut headers: Vec<Option<String>> = vec![None, Some(String::new()), Some(token.clone())];
    headers.push(Some("ApplePass".to_owned()));
    headers.push(Some("ApplePass ".to_owned()));
    headers.push(Some(format!("Bearer {token}")));
    headers.push(Some(format!("Basic {token}")));
    headers.push(Some(format!("ApplePass{token}")));
    headers.push(Some(format!("ApplePass {token}x")));
    headers.push(Some(format!("ApplePass {}", &token[..token.len() - 1])));
    headers.push(Some(format!("ApplePass {}", token.to_uppercase() + "A")));
    for header in headers {
        let service = world.web_service();
        let header = header.as_deref();
        service.pass(PASS_TYPE, &pass.serial, header, None).await.expect(401);
        let of = Registration { device: "stranger", pass_type: PASS_TYPE, serial: &pass.serial };
        service.register(of, header, &"ab".repeat(32)).await.expect(401);
        service.unregister(of, header).await.expect(401);
    }
    assert_eq!(world.back_office().get(&pass).await["devices"], 1);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_and_an_unknown_pass_look_the_same() {
    // Reference 1.3: the same 401, so that serial numbers cannot be probed.
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let service = world.web_service();
    let wrong = Some("ApplePass 0123456789abcdef0123456789abcdef");
    let known = service.pass(PASS_TYPE, &pass.serial, wrong, None).await.expect(401);
    for (pass_type, serial) in [(PASS_TYPE, "unknown"), ("pass.example.unknown", pass.serial.as_str())] {
        let unknown = service.pass(pass_type, serial, wrong, None).await.expect(401);
        assert_eq!(shape(&unknown), shape(&known));
    }
    let of = Registration { device: phone.device(), pass_type: PASS_TYPE, serial: "unknown" };
    let authorization = phone.authorization(&pass.serial);
    service.register(of, Some(&authorization), phone.push_token()).await.expect(401);
    phone.was_content();
    world.end().await;
}

/// The answer without what is different in every answer.
fn shape(answer: &passloop_tests::answer::Answer) -> (Option<String>, String) {
    let mut body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        body.remove("requestId");
    }
    (answer.header("content-type").map(str::to_owned), body.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_passes_token_opens_no_other_b9() {
    let world = World::new().await;
    let (ada, adas) = world.customer("Ada").await;
    let (bob, bobs) = world.customer("Bob").await;
    let authorization = adas.authorization(&ada.serial);
    let service = world.web_service();
    service.pass(PASS_TYPE, &bob.serial, Some(&authorization), None).await.expect(401);
    let of = Registration { device: bobs.device(), pass_type: PASS_TYPE, serial: &bob.serial };
    service.unregister(of, Some(&authorization)).await.expect(401);
    assert_eq!(world.back_office().get(&bob).await["devices"], 1);
    bobs.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_header_inherits_nothing_from_the_one_before_b10() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let service = world.web_service();
    for _ in 0..3 {
        // One kept connection, good and bad in turns.
        service.pass(PASS_TYPE, &pass.serial, Some(&authorization), None).await.expect(200);
        service.pass(PASS_TYPE, &pass.serial, None, None).await.expect(401);
    }
    phone.was_content();
    world.end().await;
}
