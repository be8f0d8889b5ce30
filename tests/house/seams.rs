//! What exists for the simulation is used by nothing else.

use crate::sources;

/// Protects production's randomness: nothing but the simulation replaces it (docs/decisions/0011).
#[test]
fn only_the_simulation_replaces_randomness_and_the_way_to_apns() {
    for folder in ["shared", "functions", "infra"] {
        for (path, source) in sources::below(folder) {
            if !path.ends_with("platform/src/random.rs") {
                assert!(!source.contains("replace_on_this_thread"), "{path} replaces the randomness");
            }
            if !path.contains("platform/src/apns") {
                assert!(!source.contains("Apns::over"), "{path} goes to APNs by a way of its own");
            }
        }
    }
}
