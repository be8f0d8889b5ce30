//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(issue_pass::FUNCTION)
}
