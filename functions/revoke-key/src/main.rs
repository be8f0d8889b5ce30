//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(revoke_key::FUNCTION)
}
