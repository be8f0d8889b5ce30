//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(rotate_webhook_secret::FUNCTION)
}
