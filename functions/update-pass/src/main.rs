//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(update_pass::FUNCTION)
}
