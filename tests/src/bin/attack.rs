//! Sends twisted requests to a service of its own: `cargo run -p passloop-tests --bin attack -- --requests 100000 --seed 7`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command of the tests")]

use std::process::ExitCode;
use std::time::Instant;

use passloop_tests::hostile::{Target, attack};
use passloop_tests::world::World;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |name: &str, otherwise: u64| {
        let value = arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
        value.map_or(Some(otherwise), |value| value.parse().ok())
    };
    let (Some(requests), Some(seed)) = (given("--requests", 10_000), given("--seed", 1)) else {
        eprintln!("usage: attack [--requests N] [--seed N]");
        return ExitCode::from(2);
    };
    let world = World::new().await;
    let target = Target::of(&world).await;
    let begun = Instant::now();
    let outcome = attack(&target, requests, seed).await;
    world.end().await;
    match outcome {
        Ok(statuses) => {
            println!(
                "{requests} requests of seed {seed} in {:.0?}; statuses (0: hung up): {statuses:?}",
                begun.elapsed()
            );
            ExitCode::SUCCESS
        }
        Err(bad) => {
            println!("{bad}");
            ExitCode::FAILURE
        }
    }
}
