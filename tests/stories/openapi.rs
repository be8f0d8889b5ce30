//! `GET /merchant/v1/openapi.json` (contract 4, Errors): OpenAPI 3.1, no key needed.

use passloop_tests::answer::Answer;
use passloop_tests::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_describes_every_merchant_call() {
    let world = World::empty().await;
    let url = format!("{}/merchant/v1/openapi.json", world.base());
    let description = Answer::to(world.http().get(url)).await.expect(200).json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"), "{description}");
    let paths = description["paths"].as_object().unwrap();
    for (path, method) in [
        ("/templates/{templateId}", "put"),
        ("/campaigns/{campaignId}", "put"),
        ("/passes", "post"),
        ("/passes/{passTypeIdentifier}/{serialNumber}", "get"),
        ("/passes/{passTypeIdentifier}/{serialNumber}", "patch"),
        ("/passes/{passTypeIdentifier}/{serialNumber}/void", "post"),
        ("/passes/{passTypeIdentifier}/{serialNumber}/history", "get"),
        ("/redemptions", "post"),
    ] {
        // The prefix may stand in the paths or in `servers`.
        let whole = format!("/merchant/v1{path}");
        let found = paths.get(&whole).or_else(|| paths.get(path));
        assert!(found.is_some_and(|of| of.get(method).is_some()), "{method} {path} is not described");
    }
    world.end().await;
}
