//! The data directory: who may use it, and the files that are the local service's own.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::description::LocalJson;
use crate::start::{Persistence, StartError};

const DESCRIPTION: &str = "local.json";
const LOCK: &str = "lock";
const MERCHANT_KEY: &str = "merchant-key";
/// Secrets are their owner's only.
const OWNER_ONLY: u32 = 0o600;
const OWNER_ONLY_DIRECTORY: u32 = 0o700;
/// The lock file may vanish between opening and locking it, when an ephemeral service ends just then.
const LOCK_ATTEMPTS: u32 = 10;

/// A data directory that no other process uses.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    /// Holds the state instead of `root`, and disappears with this value.
    temporary: Option<TempDir>,
    /// The lock ends when the file is closed, however the process ends.
    lock: File,
}

impl DataDir {
    /// Makes the directory where it is missing, and locks it.
    ///
    /// # Errors
    /// When it cannot be written, or another service uses it.
    pub(crate) fn open(directory: &Path, persistence: Persistence) -> Result<Self, StartError> {
        let unusable = |source| StartError::DataDir { directory: directory.to_owned(), source };
        // Push tokens and authentication tokens are in there.
        fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY_DIRECTORY).create(directory).map_err(unusable)?;
        let root = directory.canonicalize().map_err(unusable)?;
        let lock = lock(&root.join(LOCK)).map_err(unusable)?;
        let lock = lock.ok_or_else(|| StartError::InUse { directory: root.clone() })?;
        // A killed service left it; nobody is ready now.
        remove(&root.join(DESCRIPTION)).map_err(unusable)?;
        let temporary = match persistence {
            Persistence::OnDisk => None,
            Persistence::Ephemeral => Some(TempDir::with_prefix("passloop-").map_err(unusable)?),
        };
        Ok(Self { root, temporary, lock })
    }

    /// Where state is kept: the directory itself, or a temporary one.
    pub(crate) fn state(&self) -> &Path {
        self.temporary.as_ref().map_or(&self.root, TempDir::path)
    }

    /// Where the merchant key is.
    pub(crate) fn merchant_key_file(&self) -> PathBuf {
        self.state().join(MERCHANT_KEY)
    }

    /// The merchant key of an earlier start, if there is one.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub(crate) fn merchant_key(&self) -> Result<Option<String>, StartError> {
        match fs::read_to_string(self.merchant_key_file()) {
            Ok(key) => Ok(Some(key.trim().to_owned()).filter(|key| !key.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.unusable(source)),
        }
    }

    /// Keeps the merchant key for the next start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn keep_merchant_key(&self, key: &str) -> Result<(), StartError> {
        replace(&self.merchant_key_file(), key.as_bytes()).map_err(|source| self.unusable(source))
    }

    /// Writes `local.json`, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn announce(&self, description: &LocalJson) -> Result<(), StartError> {
        let text = serde_json::to_vec_pretty(description).map_err(|error| self.unusable(error.into()))?;
        replace(&self.root.join(DESCRIPTION), &text).map_err(|source| self.unusable(source))
    }

    /// Removes `local.json`: from now on nobody should come.
    pub(crate) fn withdraw(&self) {
        if let Err(error) = remove(&self.root.join(DESCRIPTION)) {
            tracing::warn!(%error, "cannot remove local.json");
        }
    }

    fn unusable(&self, source: io::Error) -> StartError {
        StartError::DataDir { directory: self.root.clone(), source }
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        self.withdraw();
        if self.temporary.is_some()
            && let Err(error) = remove(&self.root.join(LOCK))
        {
            tracing::warn!(%error, "cannot remove the lock file");
        }
        // Said aloud, since a child process just being started may hold a copy of the file for a moment.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "cannot unlock the data directory");
        }
    }
}

/// Locks `path`; none when another process holds it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    for _ in 0..LOCK_ATTEMPTS {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // A file removed in between is no longer the one that others will lock.
        if fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|mine| mine.ino() == now.ino())) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    remove(&unfinished)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&unfinished)?;
    file.write_all(content)?;
    fs::rename(&unfinished, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_service_is_refused_until_the_first_has_gone() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDir::open(directory.path(), Persistence::OnDisk).unwrap();
        let second = DataDir::open(directory.path(), Persistence::Ephemeral);
        let error = second.unwrap_err().to_string();
        assert!(error.contains("another passloop") && !error.contains('\n'), "{error}");
        drop(first);
        DataDir::open(directory.path(), Persistence::OnDisk).unwrap();
    }

    #[test]
    fn an_ephemeral_service_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path(), Persistence::Ephemeral).unwrap();
        data.keep_merchant_key("key").unwrap();
        let state = data.state().to_owned();
        assert!(state.join("merchant-key").is_file());
        drop(data);
        assert!(!state.exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_merchant_key_survives_and_is_its_owners_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path(), Persistence::OnDisk).unwrap();
        assert_eq!(data.merchant_key().unwrap(), None);
        data.keep_merchant_key("key").unwrap();
        assert_eq!(fs::metadata(data.merchant_key_file()).unwrap().permissions().mode() & 0o777, 0o600);
        drop(data);
        let again = DataDir::open(directory.path(), Persistence::OnDisk).unwrap();
        assert_eq!(again.merchant_key().unwrap().as_deref(), Some("key"));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_one_clear_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = DataDir::open(&file.join("data"), Persistence::OnDisk).unwrap_err().to_string();
        assert!(error.contains("file/data") && error.contains("--data-dir") && !error.contains('\n'), "{error}");
    }
}
