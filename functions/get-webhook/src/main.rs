//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(get_webhook::FUNCTION)
}
