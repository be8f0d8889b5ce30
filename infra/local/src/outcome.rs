//! What the commands beside serving have to say.

/// What a command has to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// For stdout: what was asked for.
    pub(crate) result: String,
    /// For stderr: what goes with it.
    pub(crate) notes: String,
    /// Whether all is well.
    pub(crate) verdict: Verdict,
}

/// Whether all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything can be used.
    Good,
    /// Something cannot.
    Bad,
}
