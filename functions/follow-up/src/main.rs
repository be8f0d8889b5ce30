//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(follow_up::FUNCTION)
}
