//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(unregister_pass::FUNCTION)
}
