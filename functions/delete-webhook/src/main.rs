//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(delete_webhook::FUNCTION)
}
