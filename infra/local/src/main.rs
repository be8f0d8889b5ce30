//! `passloop`: the whole service on this machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Variables that are not Unicode cannot be any of ours.
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    passloop_local::cli::run(std::env::args_os(), variables.collect())
}
