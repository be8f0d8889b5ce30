//! One run of one function: where it is to die, and whether anything around it failed.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

tokio::task_local! {
    /// The run that this task is in the midst of.
    pub(crate) static CURRENT: std::sync::Arc<Invocation>;
}

/// On which side of a call's effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// Which code a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// This one.
    Present,
    /// The one after it, half deployed: it does the same, and writes down more than this one knows of.
    Next,
}

/// One run of one function.
pub(crate) struct Invocation {
    /// Counts from 1 in a seed.
    pub(crate) number: u64,
    /// Whose.
    pub(crate) function: &'static str,
    pub(crate) release: Release,
    /// Which call it dies at, if it does.
    crash_at: Option<(u32, Side)>,
    calls: AtomicU32,
    crashed: Notify,
    disturbed: AtomicBool,
    /// Calls that failed at once: throttled, in conflict, on a connection that broke.
    failed_calls: AtomicU32,
    write_failed: AtomicBool,
}

impl Invocation {
    pub(crate) fn new(
        number: u64,
        function: &'static str,
        release: Release,
        crash_at: Option<(u32, Side)>,
    ) -> Invocation {
        Invocation {
            number,
            function,
            release,
            crash_at,
            calls: AtomicU32::new(0),
            crashed: Notify::new(),
            disturbed: AtomicBool::new(false),
            failed_calls: AtomicU32::new(0),
            write_failed: AtomicBool::new(false),
        }
    }

    /// A call begins: its number, from 1.
    pub(crate) fn begin_call(&self) -> u32 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether the run dies here. If so, whoever asks must never come back.
    pub(crate) fn dies(&self, call: u32, side: Side) -> bool {
        let dies = self.crash_at == Some((call, side));
        if dies {
            self.disturb();
            self.crashed.notify_one();
        }
        dies
    }

    /// Comes back when the run is dead.
    pub(crate) async fn death(&self) {
        self.crashed.notified().await;
    }

    /// Something around it failed: from now on it may fail too.
    pub(crate) fn disturb(&self) {
        self.disturbed.store(true, Ordering::Relaxed);
    }

    /// One of its calls failed at once, and may be made again.
    pub(crate) fn call_failed(&self) {
        self.failed_calls.fetch_add(1, Ordering::Relaxed);
    }

    /// A transaction of it did not go well.
    pub(crate) fn write_failed(&self) {
        self.write_failed.store(true, Ordering::Relaxed);
    }

    /// Whether what it writes beside its answer may be missing.
    pub(crate) fn is_write_missing(&self) -> bool {
        self.write_failed.load(Ordering::Relaxed)
    }

    pub(crate) fn is_disturbed(&self) -> bool {
        self.disturbed.load(Ordering::Relaxed) || self.failed_calls.load(Ordering::Relaxed) > 0
    }

    /// Whether it has a reason to fail. A call is made four times (`platform::app::sdk_config`), so as few failures as that of
    /// all calls together are none.
    pub(crate) fn may_fail(&self) -> bool {
        const TRIES: u32 = 4;
        self.disturbed.load(Ordering::Relaxed) || self.failed_calls.load(Ordering::Relaxed) >= TRIES
    }
}
