//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(erase_pass::FUNCTION)
}
