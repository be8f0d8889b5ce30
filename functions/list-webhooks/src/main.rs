//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(list_webhooks::FUNCTION)
}
