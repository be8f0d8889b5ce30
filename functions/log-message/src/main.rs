//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(log_message::FUNCTION)
}
