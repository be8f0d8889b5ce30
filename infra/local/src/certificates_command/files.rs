//! Files and folders: whole or not at all, keys for their owner only.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use passkit::signing::Certificate;
use tempfile::TempDir;

use super::CertificatesError;

/// For everyone to read.
pub(super) const PUBLIC: u32 = 0o644;
/// For its owner only.
pub(super) const PRIVATE: u32 = 0o600;

/// A folder in the making, beside where it will be. Gone unless it is placed.
pub(super) struct Draft(TempDir);

impl Draft {
    /// In this directory, which is made if need be. The leading dot hides it from `SIGNING_IDENTITIES`.
    pub(super) fn within(directory: &Path) -> Result<Self, CertificatesError> {
        fs::create_dir_all(directory).map_err(at(directory))?;
        let folder = tempfile::Builder::new().prefix(".draft-").tempdir_in(directory);
        folder.map(Self).map_err(at(directory))
    }

    /// Writes a new file of this mode, through to the disk.
    pub(super) fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<(), CertificatesError> {
        let path = self.path(name);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        file.and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all())).map_err(at(&path))
    }

    /// Where a file of the draft is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Becomes the folder of this name, which must be free.
    pub(super) fn place(self, folder: &Path) -> io::Result<()> {
        fs::rename(self.0.path(), folder)?;
        // There is nothing left to clean up.
        let _placed = self.0.keep();
        Ok(())
    }
}

/// What an operating system's error is about.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> CertificatesError {
    let path = path.to_owned();
    move |source| CertificatesError::File { path, source }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, CertificatesError> {
    fs::read(path).map_err(at(path))
}

/// A password, from a file that holds nothing else: the line break that editors add is not part of it.
pub(super) fn read_line(path: &Path) -> Result<String, CertificatesError> {
    let text = fs::read_to_string(path).map_err(at(path))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Every certificate in a directory and its identities' folders, as far as it can be read: what may hold the right
/// intermediate.
pub(super) fn certificates_below(directory: &Path) -> Result<Vec<Vec<u8>>, CertificatesError> {
    let mut found = certificates_in(directory)?;
    for path in entries(directory)?.into_iter().filter(|path| path.is_dir()) {
        found.extend(certificates_in(&path)?);
    }
    Ok(found)
}

/// Every certificate in a directory, as far as it can be read.
pub(super) fn certificates_in(directory: &Path) -> Result<Vec<Vec<u8>>, CertificatesError> {
    let is_one = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| ["pem", "cer", "crt"].contains(&extension)) && path.is_file()
    };
    let files = entries(directory)?.into_iter().filter(is_one).map(|path| read(&path));
    let readable = |file: &Result<Vec<u8>, _>| match file {
        Ok(content) => !Certificate::read(content).is_empty(),
        // A key that only another user may read is no certificate to us.
        Err(_) => false,
    };
    files.filter(readable).collect()
}

/// The paths in a directory, sorted; none where there is no directory.
pub(super) fn entries(directory: &Path) -> Result<Vec<PathBuf>, CertificatesError> {
    let read = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(at(directory))?,
    };
    let paths: io::Result<Vec<_>> = read.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(at(directory))?;
    paths.sort();
    Ok(paths)
}
