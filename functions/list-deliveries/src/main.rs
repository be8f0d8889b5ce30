//! The Lambda binary.

fn main() -> std::process::ExitCode {
    platform::serve(list_deliveries::FUNCTION)
}
