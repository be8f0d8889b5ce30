//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(schedule_update::FUNCTION)
}
