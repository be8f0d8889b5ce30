//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(push_updates::FUNCTION)
}
