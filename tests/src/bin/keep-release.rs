//! Keeps what the present release stores, for every later one to go on from: `cargo run -p passloop-tests --bin
//! keep-release -- tests/kept/0002.json`. Needed when a stored shape changes (`tests/stories/older_releases.rs` says so).
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's tool")]

use passloop_tests::kept;
use passloop_tests::world::World;

#[tokio::main]
async fn main() {
    let file = std::env::args().nth(1).expect("where to write: tests/kept/<number>.json");
    assert!(!std::fs::exists(&file).unwrap(), "{file} is there already: what was kept is not changed");
    let world = World::empty().await;
    let kept = kept::play(&world).await;
    std::fs::write(&file, serde_json::to_string_pretty(&kept).unwrap() + "\n").unwrap();
    world.end().await;
}
