//! The real program, killed under load (contract 1: SIGKILL loses nothing that was answered). A few kills, since every
//! start takes a second; `cargo run -p passloop-tests --bin kills -- --kills 100` does as many as one likes.

use passloop_tests::kills::{Plan, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_kills_lose_nothing() {
    let program = env!("CARGO_BIN_EXE_kills").into();
    let report = run(Plan { program, arguments: vec!["passloop".to_owned()], kills: 5, seed: 1 }).await;
    assert!(report.broken.is_empty(), "{report:#?}");
    // The load was one.
    assert!(report.counts["sales answered 201"] > 3, "{report:#?}");
}
