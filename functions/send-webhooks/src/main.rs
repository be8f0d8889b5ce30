//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(send_webhooks::FUNCTION)
}
