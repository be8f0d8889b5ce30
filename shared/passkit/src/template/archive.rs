//! Unpacking: names, sizes and kinds of entries are taken from a stranger, so none is believed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Read},
};

use zip::{CompressionMethod, ZipArchive, read::ZipFile};

use super::Template;
use crate::problem::{Problem, Problems};

/// The longest path of an entry; the longest real one is about forty characters.
const MAX_PATH_BYTES: usize = 200;

/// The files by path, junk left out, one enclosing directory removed.
pub(super) fn unpack(archive: &[u8], warnings: &mut Problems) -> Result<BTreeMap<String, Vec<u8>>, Problems> {
    let whole = |message: String| vec![Problem::new("", message)];
    if archive.len() > Template::MAX_ARCHIVE_BYTES {
        return Err(whole(format!(
            "the archive has {} bytes; at most {} are allowed",
            archive.len(),
            Template::MAX_ARCHIVE_BYTES
        )));
    }
    let mut zip = ZipArchive::new(Cursor::new(archive)).map_err(|_| {
        whole("is no zip archive, or a broken one; zip the contents of the .pass folder again".to_owned())
    })?;
    if zip.len() > Template::MAX_FILES {
        return Err(whole(format!("holds {} entries; at most {} are allowed", zip.len(), Template::MAX_FILES)));
    }
    if zip.has_duplicate_names() {
        return Err(whole("holds two entries of the same name; zip the folder again".to_owned()));
    }
    if zip.has_overlapping_entries().unwrap_or(true) {
        return Err(whole("holds entries that overlap; zip the folder again".to_owned()));
    }

    let mut files = BTreeMap::new();
    let mut problems = Problems::new();
    // One byte more than allowed: what uses it up is too much.
    let mut room = Template::MAX_UNPACKED_BYTES + 1;
    for index in 0..zip.len() {
        match read_entry(&mut zip, index, &mut room) {
            Ok(Some((path, bytes))) => {
                files.insert(path, bytes);
            }
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
        if room == 0 {
            problems.push(Problem::new(
                "",
                format!("unpacks to more than {} bytes; make the images smaller", Template::MAX_UNPACKED_BYTES),
            ));
            break;
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(without_enclosing_directory(files, warnings))
}

/// One entry's path and bytes; `None` for directories and junk. `room` is what may still be unpacked; 0 afterwards
/// means that there was more.
fn read_entry(
    zip: &mut ZipArchive<Cursor<&[u8]>>,
    index: usize,
    room: &mut usize,
) -> Result<Option<(String, Vec<u8>)>, Problem> {
    let broken = |path: &str| Problem::new(path, "cannot be unpacked; zip the folder again");
    let entry = zip.by_index_raw(index).map_err(|_| broken(""))?;
    let path = match std::str::from_utf8(entry.name_raw()) {
        Ok(path) => path.to_owned(),
        Err(_) => return Err(Problem::new("", "holds a name that is not UTF-8")),
    };
    let at = format!("/{path}");
    if let Some(message) = what_is_wrong_with(&path) {
        return Err(Problem::new(at, message));
    }
    if entry.is_dir() || is_junk(&path) {
        return Ok(None);
    }
    if let Some(message) = what_is_wrong_inside(&entry) {
        return Err(Problem::new(at, message));
    }
    drop(entry);

    let mut bytes = Vec::new();
    let file = zip.by_index(index).map_err(|_| broken(&at))?;
    file.take(*room as u64).read_to_end(&mut bytes).map_err(|_| broken(&at))?;
    *room -= bytes.len();
    Ok(Some((path, bytes)))
}

fn what_is_wrong_inside<R: Read>(entry: &ZipFile<'_, R>) -> Option<&'static str> {
    if entry.encrypted() {
        Some("is encrypted; zip the folder without a password")
    } else if entry.is_symlink() || !entry.is_file() {
        Some("is a link; put the file itself into the archive")
    } else if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        Some("is packed by an unusual method; use stored or deflate")
    } else {
        None
    }
}

fn what_is_wrong_with(path: &str) -> Option<&'static str> {
    let relative = path.strip_suffix('/').unwrap_or(path);
    if path.len() > MAX_PATH_BYTES {
        Some("has too long a name")
    } else if path.contains('\\') {
        Some("has a backslash in its name; paths are written with /")
    } else if path.chars().any(char::is_control) {
        Some("has a control character in its name")
    } else if path.starts_with('/') || path.contains(':') {
        Some("has an absolute path; paths begin at the pass's folder")
    } else if relative.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        Some("has an empty, . or .. part in its path; paths stay within the pass's folder")
    } else {
        None
    }
}

/// What finders and archivers leave behind (reference 3.1: no other metadata).
fn is_junk(path: &str) -> bool {
    path.split('/').any(|segment| {
        matches!(segment, "__MACOSX" | ".DS_Store" | "Thumbs.db" | "desktop.ini") || segment.starts_with("._")
    })
}

fn without_enclosing_directory(files: BTreeMap<String, Vec<u8>>, warnings: &mut Problems) -> BTreeMap<String, Vec<u8>> {
    let directories: BTreeSet<Option<&str>> =
        files.keys().map(|path| path.split_once('/').map(|(directory, _)| directory)).collect();
    let enclosing = match directories.into_iter().collect::<Vec<_>>().as_slice() {
        [Some(directory)] if files.contains_key(&format!("{directory}/pass.json")) => format!("{directory}/"),
        _ => return files,
    };
    warnings.push(Problem::new(
        format!("/{}", enclosing.trim_end_matches('/')),
        "encloses the files; it was removed (zip the contents of the folder, not the folder)",
    ));
    let strip = |path: String| path.strip_prefix(&enclosing).map(str::to_owned).unwrap_or(path);
    files.into_iter().map(|(path, bytes)| (strip(path), bytes)).collect()
}
