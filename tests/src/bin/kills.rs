//! Kills the service under load, again and again, and audits it: `cargo run -p passloop-tests --bin kills -- --kills 100`.
//!
//! `--seed N` chooses who does what; `--passloop PATH` names the program to kill. Without it this program kills itself: its
//! first argument `passloop` makes it the very `main` of `passloop`. Exit code 0 when every promise was kept.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command of the tests")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use passloop_tests::kills::{Plan, run};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == "passloop") {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        return passloop_local::cli::run(arguments, variables.collect());
    }
    match plan(arguments.filter_map(|argument| argument.into_string().ok())) {
        Some(plan) => killed(plan),
        None => {
            eprintln!("usage: kills [--kills N] [--seed N] [--passloop PATH]");
            ExitCode::from(2)
        }
    }
}

fn plan(mut arguments: impl Iterator<Item = String>) -> Option<Plan> {
    let (mut kills, mut seed, mut passloop) = (5, 1, None);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--kills" => kills = value.parse().ok()?,
            "--seed" => seed = value.parse().ok()?,
            "--passloop" => passloop = Some(PathBuf::from(value)),
            _ => return None,
        }
    }
    let (program, arguments) = match passloop {
        Some(program) => (program, Vec::new()),
        None => (std::env::current_exe().ok()?, vec!["passloop".to_owned()]),
    };
    Some(Plan { program, arguments, kills, seed })
}

#[tokio::main]
async fn killed(plan: Plan) -> ExitCode {
    println!("seed {}, {} kills", plan.seed, plan.kills);
    let begun = Instant::now();
    let report = run(plan).await;
    for (what, count) in &report.counts {
        println!("{count:>8} {what}");
    }
    println!("slowest start {:.1?}, in all {:.0?}", report.slowest_start, begun.elapsed());
    for promise in &report.broken {
        println!("BROKEN: {promise}");
    }
    if report.broken.is_empty() {
        println!("Nothing was lost.");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
