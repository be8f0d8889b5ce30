//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(test_webhook::FUNCTION)
}
