//! Any bytes at every door (contract 4, Errors: whatever is wrong is told, by status and code). More of the same:
//! `cargo run -p passloop-tests --bin attack -- --requests 100000`.

use passloop_tests::hostile::{Target, attack};
use passloop_tests::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_answered_with_our_fault_or_not_at_all() {
    let world = World::new().await;
    let target = Target::of(&world).await;
    let statuses = attack(&target, 1500, 1).await.unwrap_or_else(|bad| panic!("{bad}"));
    // They come behind the first door, and are refused for every kind of reason.
    for status in [200, 400, 401, 404, 422] {
        assert!(statuses.contains_key(&status), "{statuses:?}");
    }
    // Still there, and as it was.
    world.back_office().issue("Bob").await;
    world.end().await;
}
