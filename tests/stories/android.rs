//! Android clients speak the protocol but have no APNs (reference 7; peers part d).

use std::time::Duration;

use passloop_tests::answer::Answer;
use passloop_tests::back_office::PASS_TYPE;
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
