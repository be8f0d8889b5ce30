//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(make_batch::FUNCTION)
}
