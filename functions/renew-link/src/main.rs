//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(renew_link::FUNCTION)
}
