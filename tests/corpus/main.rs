//! Whatever a fuzzer found of interest, and every seed, tried again without the fuzzer: `fuzz/corpus`, by target.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken promise ends the test")]
#![allow(unreachable_pub, missing_docs, reason = "a library of its own in fuzz/")]

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// One input may take so long in a debug build on a busy machine. In the fuzzer's build it is a thousandth.
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn everything_that_was_found_keeps_its_promise() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let folder = corpus.join(name);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut tried = 0;
        for entry in entries {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let begun = Instant::now();
            // A panic names the promise; the name of the file comes from here.
            let kept = std::panic::catch_unwind(|| target(&bytes));
            assert!(kept.is_ok(), "{}", path.display());
            assert!(begun.elapsed() < LIMIT, "{}: {:?}", path.display(), begun.elapsed());
            tried += 1;
        }
        assert!(tried > 3, "{name} has no corpus");
    }
}
