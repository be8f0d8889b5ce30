//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(open_link::FUNCTION)
}
