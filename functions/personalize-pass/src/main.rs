//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(personalize_pass::FUNCTION)
}
