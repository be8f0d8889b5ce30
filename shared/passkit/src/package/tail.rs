//! The end of an archive whose beginning is laid out already: the entries of one pass, the directory, the end record
//! (PKWARE, APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16). What `zip` would write, without reading the beginning again.

use super::PackageError;

/// A fixed part: everything before the entries' names.
const LOCAL_HEADER: usize = 30;
const DIRECTORY_HEADER: usize = 46;
const END: usize = 22;

/// 1980-01-01, the first time a zip can say: the same bytes on every day.
const DATE: u16 = 0x0021;
/// 2.0, made on Unix: what `zip` writes for the shared files.
const MADE_BY: u16 = 3 << 8 | 20;
const NEEDED: u16 = 20;
/// Names are UTF-8.
const UTF_8: u16 = 1 << 11;
/// A regular file that its owner may write and everyone read.
const ATTRIBUTES: u32 = 0o100_644 << 16;

/// An archive's beginning: its entries, and what its directory says of them.
pub(super) struct Beginning {
    entries: Box<[u8]>,
    directory: Box<[u8]>,
    count: u16,
}

/// One more entry, stored as it is.
pub(super) struct Entry<'a> {
    pub(super) path: &'a str,
    pub(super) bytes: &'a [u8],
}

impl Beginning {
    /// Of an archive without a comment, as we write them.
    pub(super) fn of(archive: &[u8]) -> Result<Self, PackageError> {
        let cut = || {
            let end = archive.get(archive.len().checked_sub(END)?..)?;
            let number = |at: usize| Some(u32::from_le_bytes(end.get(at..at + 4)?.try_into().ok()?));
            let count = u16::from_le_bytes(end.get(10..12)?.try_into().ok()?);
            let (length, start) = (number(12)? as usize, number(16)? as usize);
            let directory = archive.get(start..start.checked_add(length)?)?;
            Some(Self { entries: archive.get(..start)?.into(), directory: directory.into(), count })
        };
        cut().ok_or(PackageError::Unfinished)
    }

    /// The whole archive, with these entries behind the first ones.
    pub(super) fn finish(&self, more: &[Entry<'_>]) -> Result<Vec<u8>, PackageError> {
        let paths: usize = more.iter().map(|entry| entry.path.len()).sum();
        let bytes: usize = more.iter().map(|entry| entry.bytes.len()).sum();
        let headers = more.len() * (LOCAL_HEADER + DIRECTORY_HEADER) + 2 * paths;
        let mut out = Vec::with_capacity(self.entries.len() + self.directory.len() + headers + bytes + END);
        out.extend_from_slice(&self.entries);
        let mut directory = Vec::with_capacity(more.len() * DIRECTORY_HEADER + paths);
        for Entry { path, bytes } in more {
            let (at, size) = (length(out.len())?, length(bytes.len())?);
            let name_length = u16::try_from(path.len()).map_err(|_| PackageError::TooLarge)?;
            let crc = crc32fast::hash(bytes);
            out.extend(b"PK\x03\x04");
            description(&mut out, crc, size, name_length);
            out.extend(path.as_bytes());
            out.extend_from_slice(bytes);
            directory.extend(b"PK\x01\x02");
            directory.extend(MADE_BY.to_le_bytes());
            description(&mut directory, crc, size, name_length);
            // No comment, first disk, no internal attributes.
            directory.extend([0; 6]);
            directory.extend(ATTRIBUTES.to_le_bytes());
            directory.extend(at.to_le_bytes());
            directory.extend(path.as_bytes());
        }
        let start = length(out.len())?;
        let count = usize::from(self.count) + more.len();
        let count = u16::try_from(count).map_err(|_| PackageError::TooLarge)?;
        out.extend_from_slice(&self.directory);
        out.extend_from_slice(&directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend(count.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(length(self.directory.len() + directory.len())?.to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend([0; 2]);
        Ok(out)
    }
}

/// What both headers of a stored entry say, up to the length of the extra field.
fn description(out: &mut Vec<u8>, crc: u32, size: u32, name_length: u16) {
    for number in [NEEDED, UTF_8, 0, 0, DATE] {
        out.extend(number.to_le_bytes());
    }
    for number in [crc, size, size] {
        out.extend(number.to_le_bytes());
    }
    out.extend(name_length.to_le_bytes());
    out.extend([0; 2]);
}

fn length(length: usize) -> Result<u32, PackageError> {
    u32::try_from(length).map_err(|_| PackageError::TooLarge)
}
