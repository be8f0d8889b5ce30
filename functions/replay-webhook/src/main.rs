//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(replay_webhook::FUNCTION)
}
