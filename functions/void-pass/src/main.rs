//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(void_pass::FUNCTION)
}
