//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(work_batch::FUNCTION)
}
