//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(put_webhook::FUNCTION)
}
