//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(preview_campaign::FUNCTION)
}
