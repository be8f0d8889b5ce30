//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(mend_path::FUNCTION)
}
