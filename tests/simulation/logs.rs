//! Every log line of a run, held against every secret of it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

/// The lines of one thread's run.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

/// A line begins here.
pub(crate) struct Line(Logs);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.clone())
    }
}

impl Logs {
    /// Collects what this thread logs from now on, as production would write it, until the guard is dropped.
    pub(crate) fn collect(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_max_level(Level::INFO)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// A line that holds one of these, with the secret's name.
    pub(crate) fn leak(&self, secrets: &[(String, String)]) -> Option<(String, String)> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = String::from_utf8_lossy(&lines);
        let leaked = secrets.iter().find_map(|(name, secret)| lines.find(secret).map(|place| (name, place)))?;
        let (begin, end) = (lines[..leaked.1].rfind('\n').map_or(0, |end| end + 1), lines[leaked.1..].find('\n'));
        let line = &lines[begin..end.map_or(lines.len(), |end| leaked.1 + end)];
        Some((leaked.0.clone(), line.to_owned()))
    }
}
