//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(reverse_redemption::FUNCTION)
}
