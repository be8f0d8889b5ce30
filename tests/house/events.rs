//! Events, and who is told of them.

use crate::sources;

/// Methods of the store that write an event which webhooks are told of.
const TOLD: [&str; 9] =
    ["begin_erasure", "carry_out", "change", "issue", "note_fetched", "redeem", "register", "reverse", "unregister"];
/// Doors whose changes are none of those: the link is not the pass.
const UNTOLD: [&str; 2] = ["functions/renew-link/", "functions/revoke-link/"];

/// Protects merchants from an event that no webhook is told of, because whoever wrote it did not think of them.
#[test]
fn whoever_changes_a_pass_tells_webhooks() {
    let mut found = 0;
    for (path, code) in sources::below("functions").into_iter().chain(sources::below("shared/platform/src")) {
        let line = sources::one_line(&code);
        let called = sources::calls(&line, "app.store.");
        if TOLD.iter().any(|method| called.contains(*method)) && !UNTOLD.iter().any(|door| path.starts_with(door)) {
            assert!(line.contains("webhooks::news("), "{path} writes an event and no webhook is told");
            found += 1;
        }
    }
    assert!(found > 8, "{found}");
}
