//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(redeem_pass::FUNCTION)
}
