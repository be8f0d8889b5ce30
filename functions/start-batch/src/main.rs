//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(start_batch::FUNCTION)
}
