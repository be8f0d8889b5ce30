//! Clients that join with a slash too many (contract 3: `//v1/…` works; reference 1.2).

use passloop_tests::answer::Answer;
use passloop_tests::back_office::PASS_TYPE;
use passloop_tests::web_service::{Registration, WebService};
use passloop_tests::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_works_below_a_double_slash() {
    let world = World::new().await;
    let (pass, phone) = world.customer("Ada").await;
    let service = WebService::new(world.http(), &format!("{}/", world.base()));
    let authorization = phone.authorization(&pass.serial);
    let of = Registration { device: "kde", pass_type: PASS_TYPE, serial: &pass.serial };
    service.register(of, Some(&authorization), &"ab".repeat(32)).await.expect(201);
    service.list("kde", PASS_TYPE, None).await.expect(200);
    service.pass(PASS_TYPE, &pass.serial, Some(&authorization), None).await.expect(200);
    service.head(PASS_TYPE, &pass.serial, Some(&authorization), None).await.expect(200);
    service.unregister(of, Some(&authorization)).await.expect(200);
    service.log("application/json", br#"{"logs":["x"]}"#.to_vec()).await.expect(200);
    service.list("kde", PASS_TYPE, None).await.expect(204);
    phone.was_content();
    world.end().await;
}

/// Contract 4: errors are problem+json; API Gateway's own are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_none_is_told_so() {
    let world = World::new().await;
    for path in ["/", "/merchant/v1/nothing", "//nothing", "/v2/passes"] {
        let answer = Answer::to(world.http().get(format!("{}{path}", world.base()))).await;
        answer.problem(404, "not_found");
    }
    let other_method = world.http().delete(format!("{}/merchant/v1/openapi.json", world.base()));
    Answer::to(other_method).await.problem(404, "not_found");
    world.end().await;
}
