//! Android clients speak the protocol but have no APNs (reference 7; peers part d).

use std::time::Duration;

use passloop_tests::answer::Answer;
use passloop_tests::back_office::PASS_TYPE;
use passloop_tests::receiver::{Receiver, Reply};
use passloop_tests::world::World;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_android_token_is_never_sent_to_apns() {
    let world = World::new().await;
    let (pass, mut phone) = world.customer("Ada").await;
    let mut android = world.iphone().as_android();
    assert_eq!(android.add(&world.download(&pass).await.body).await, 201);
    // Pass2U and Passworks name themselves in a header.
    let url = format!("{}/v1/devices/pass2u/registrations/{PASS_TYPE}/{}", world.base(), pass.serial);
    let token = "cd".repeat(32);
    let request = world
        .http()
        .post(url)
        .header("Authorization", phone.authorization(&pass.serial))
        .header("X-Pass-Client", "Passes")
        .json(&json!({ "pushToken": token }));
    Answer::to(request).await.expect(201);
    assert_eq!(world.back_office().get(&pass).await["devices"], 3);

    // Two rounds of pushes to the iPhone: the first round is over when the second arrives.
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    world.pass_time(Duration::from_secs(15)).await;
    phone.hear(world.apns()).await;
    let pushes = world.apns().pushes();
    assert!(pushes.iter().all(|push| push.token == phone.push_token()), "an Android token was sent to APNs");
    assert_eq!(world.back_office().get(&pass).await["devices"], 3);

    // It asks by itself, and gets the same.
    assert_eq!(android.pushed(PASS_TYPE).await, [pass.serial.as_str()]);
    assert_eq!(android.pass(&pass.serial).manifest, phone.pass(&pass.serial).manifest);
    phone.was_content();
    android.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_android_push_token_need_not_be_hex() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let token = phone.pass(&pass.serial).text("authenticationToken").to_owned();
    let authorization = format!("AndroidPass {token}");
    let of =
        passloop_tests::web_service::Registration { device: "android", pass_type: PASS_TYPE, serial: &pass.serial };
    let firebase = "dQw4w9WgXcQ:APA91bE-x_y9";
    world.web_service().register(of, Some(&authorization), firebase).await.expect(201);
    phone.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn walletpasses_is_pushed_through_its_own_endpoint_where_that_is_set() {
    let theirs = Receiver::start().await;
    let url = theirs.url("/api/v1/push");
    let world =
        World::with_variables(&[("WALLETPASSES_ENDPOINT", url.as_str()), ("WALLETPASSES_API_KEY", "key-1")]).await;
    let (pass, mut phone) = world.customer("Ada").await;
    let mut android = world.iphone().as_android();
    assert_eq!(android.add(&world.download(&pass).await.body).await, 201);
    let second = world.iphone().as_android();
    let of = passloop_tests::web_service::Registration {
        device: second.device(),
        pass_type: PASS_TYPE,
        serial: &pass.serial,
    };
    let authorization = phone.authorization(&pass.serial).replace("ApplePass", "AndroidPass");
    world.web_service().register(of, Some(&authorization), second.push_token()).await.expect(201);

    // Down: the iPhone knows at once, and Android when their server is back.
    theirs.answer(Reply::Status(503));
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    let received = theirs.wait_for(1).await;
    theirs.answer(Reply::Status(200));
    let ask = || async {
        world.pass_time(Duration::from_secs(2)).await;
        theirs.received().len()
    };
    world.until("they are told again", ask, |count| *count >= 2).await;
    // One call for both, as walletpasses.io/developer says.
    for each in [&received[0], &theirs.received()[1]] {
        assert_eq!((each.method.as_str(), each.path.as_str()), ("POST", "/api/v1/push"));
        assert_eq!((each.header("authorization"), each.header("content-type")), ("key-1", "application/json"));
        let body = each.json();
        assert_eq!(body["passTypeIdentifier"], PASS_TYPE);
        let mut tokens: Vec<&str> =
            body["pushTokens"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
        tokens.sort_unstable();
        let mut expected = [android.push_token(), second.push_token()];
        expected.sort_unstable();
        assert_eq!(tokens, expected);
    }
    assert_eq!(android.pushed(PASS_TYPE).await, [pass.serial.as_str()]);
    let pushes = world.apns().pushes();
    assert!(pushes.iter().all(|push| push.token == phone.push_token()), "an Android token was sent to APNs");
    // It says nothing of single tokens, so nobody was unregistered.
    assert_eq!(world.back_office().get(&pass).await["devices"], 3);
    let events = world.back_office().events(&pass).await;
    assert!(events.iter().any(|event| event["type"] == "pushed" && event["android"] == 2), "{events:?}");
    phone.was_content();
    android.was_content();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_of_androids_holds_back_no_iphone() {
    let theirs = Receiver::start().await;
    theirs.answer(Reply::Silence);
    let url = theirs.url("/push");
    let world = World::with_variables(&[("WALLETPASSES_ENDPOINT", url.as_str())]).await;
    let (pass, mut phone) = world.customer("Ada").await;
    let mut android = world.iphone().as_android();
    assert_eq!(android.add(&world.download(&pass).await.body).await, 201);
    let begun = std::time::Instant::now();
    world.till().redeem(&pass.barcode).await.expect(201);
    phone.hear(world.apns()).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "the iPhone waited {:?}", begun.elapsed());
    theirs.wait_for(1).await;
    phone.was_content();
    world.end().await;
}
