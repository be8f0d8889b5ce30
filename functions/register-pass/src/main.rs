//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(register_pass::FUNCTION)
}
