//! What is tried with bytes from outside: each function takes any bytes and panics when a promise is broken.
//!
//! `fuzz/run` lets LLVM's fuzzer search for such bytes; what it found of interest is kept in `fuzz/corpus`, and `cargo test`
//! (`tests/corpus`) tries all of that on every run, without the fuzzer.
#![forbid(unsafe_code)]

mod archives;
mod identities;
mod looks;
mod phones;
mod shown;
mod texts;

pub use archives::template;
pub use identities::identity;
pub use looks::look;
pub use phones::phone;
pub use texts::texts;

/// Takes any bytes; panics when a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Target); 5] =
    [("template", template), ("phone", phone), ("look", look), ("texts", texts), ("identity", identity)];
