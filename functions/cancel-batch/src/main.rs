//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(cancel_batch::FUNCTION)
}
