//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(sweep::FUNCTION)
}
