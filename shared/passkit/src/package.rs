//! The package: `pass.json`, `manifest.json`, signature and files in one archive (reference 3).
//!
//! What a look's passes share is hashed, compressed and laid out once; per pass only `pass.json`, the translations with
//! placeholders, the manifest and the signature are added, stored as they are (`docs/decisions/0019`). Everything is
//! constant: entries sorted, time stamps fixed, so equal passes have equal bytes up to the signature.

pub(crate) mod canonical;
mod tail;

use std::{
    collections::BTreeMap,
    fmt,
    io::{Cursor, Write},
    sync::Arc,
};

use sha1::Digest;
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::{strings, template::TemplateFile};
use tail::{Beginning, Entry};

/// The archive could not be written. Memory is the only medium, so this means that it broke a limit of the format.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// `zip` refused.
    #[error("the package cannot be assembled")]
    Refused(#[from] zip::result::ZipError),
    /// The shared files were laid out, but not as they should be.
    #[error("the package's shared files are not laid out")]
    Unfinished,
    /// More than 4 GB, or 65,535 files, or a path that long.
    #[error("the package breaks a limit of the zip format")]
    TooLarge,
}

/// The files that all passes of a look share, ready to be copied.
pub(crate) struct SharedFiles {
    beginning: Beginning,
    /// Path to the lower-case hexadecimal SHA-1.
    hashes: BTreeMap<String, String>,
    /// The manifest in pieces: before, between and after the hashes of each pass's own files.
    manifest: Vec<String>,
    /// Which hash stands between which pieces: 0 is that of `pass.json`, 1 that of the first translation.
    own: Vec<usize>,
    /// The translations without placeholders, by path, to be read again.
    strings: BTreeMap<String, Arc<[u8]>>,
}

impl SharedFiles {
    /// Lays the files out. PNGs are stored: deflating them costs milliseconds and saves a thousandth (performance.md).
    /// `open` are the paths of the translations that each pass has of its own.
    pub(crate) fn prepare(files: &BTreeMap<String, TemplateFile>, open: &[&str]) -> Result<Self, PackageError> {
        // Room for headers and directory.
        let size = files.iter().map(|(path, file)| file.bytes.len() + 2 * path.len() + 128).sum();
        let mut writer = ZipWriter::new(Cursor::new(Vec::with_capacity(size)));
        let mut hashes = BTreeMap::new();
        let mut strings = BTreeMap::new();
        for (path, file) in files {
            let method = if path.ends_with(".png") { CompressionMethod::Stored } else { CompressionMethod::Deflated };
            add(&mut writer, path, &file.bytes, method)?;
            hashes.insert(path.clone(), hex::encode(file.sha1));
            if path.to_ascii_lowercase().ends_with(".strings") {
                strings.insert(path.clone(), Arc::clone(&file.bytes));
            }
        }
        let beginning = Beginning::of(&writer.finish()?.into_inner())?;
        let (manifest, own) = manifest_pieces(&hashes, open);
        Ok(Self { beginning, hashes, manifest, own, strings })
    }

    /// Path to SHA-1 of every file.
    pub(crate) fn hashes(&self) -> &BTreeMap<String, String> {
        &self.hashes
    }

    fn manifest(&self, own: &[String]) -> Vec<u8> {
        let length = self.manifest.iter().map(String::len).sum::<usize>() + 40 * own.len();
        let mut out = String::with_capacity(length);
        for (place, piece) in self.manifest.iter().enumerate() {
            out.push_str(piece);
            if let Some(hash) = self.own.get(place).and_then(|which| own.get(*which)) {
                out.push_str(hash);
            }
        }
        out.into_bytes()
    }
}

/// Canonical JSON, as [`canonical`] writes it, cut where a pass's own hashes go.
fn manifest_pieces(hashes: &BTreeMap<String, String>, open: &[&str]) -> (Vec<String>, Vec<usize>) {
    let shared = hashes.iter().map(|(path, hash)| (path.as_str(), Ok(hash)));
    let own = ["pass.json"].iter().chain(open).enumerate().map(|(which, path)| (*path, Err(which)));
    let entries: BTreeMap<&str, Result<&String, usize>> = shared.chain(own).collect();
    let (mut pieces, mut cuts) = (vec!["{".to_owned()], Vec::new());
    for (place, (path, hash)) in entries.into_iter().enumerate() {
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(if place == 0 { "" } else { "," });
            canonical::write_string(path, piece);
            piece.push_str(":\"");
            piece.push_str(hash.map_or("", String::as_str));
        }
        if let Err(which) = hash {
            cuts.push(which);
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push('"');
        }
    }
    if let Some(piece) = pieces.last_mut() {
        piece.push('}');
    }
    (pieces, cuts)
}

impl fmt::Debug for SharedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.hashes).finish()
    }
}

/// A pass that only lacks its signature.
pub struct Rendered {
    shared: Arc<SharedFiles>,
    pass_json: Vec<u8>,
    /// Translations with placeholders: path and content.
    strings: Vec<(Arc<str>, Vec<u8>)>,
    manifest: Vec<u8>,
}

impl Rendered {
    pub(crate) fn new(shared: Arc<SharedFiles>, pass_json: Vec<u8>, strings: Vec<(Arc<str>, Vec<u8>)>) -> Self {
        let own = std::iter::once(&pass_json).chain(strings.iter().map(|(_, bytes)| bytes));
        let own: Vec<String> = own.map(|bytes| hex::encode(sha1::Sha1::digest(bytes))).collect();
        let manifest = shared.manifest(&own);
        Self { shared, pass_json, strings, manifest }
    }

    /// `manifest.json`, byte for byte as it stands in the package: what is signed.
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// `pass.json`, byte for byte as it stands in the package.
    pub fn pass_json(&self) -> &[u8] {
        &self.pass_json
    }

    /// The translations that a phone in this language uses: those of `de-AT.lproj` for `de-AT`, else those of
    /// `de.lproj`; empty if the package has neither.
    pub fn translations(&self, language: &str) -> BTreeMap<String, String> {
        let mut language = language;
        loop {
            let wanted = format!("{language}.lproj/pass.strings");
            if let Some(bytes) = self.file(&wanted) {
                // We wrote the file ourselves.
                return strings::parse(&bytes).map(|strings| strings.entries).unwrap_or_default();
            }
            match language.rsplit_once('-') {
                Some((broader, _)) => language = broader,
                None => return BTreeMap::new(),
            }
        }
    }

    /// A translation of the template's or with its placeholders filled, whatever the case of its path.
    fn file(&self, wanted: &str) -> Option<Vec<u8>> {
        if let Some((_, bytes)) = self.strings.iter().find(|(path, _)| path.eq_ignore_ascii_case(wanted)) {
            return Some(bytes.clone());
        }
        let mut fixed = self.shared.strings.iter();
        fixed.find(|(path, _)| path.eq_ignore_ascii_case(wanted)).map(|(_, bytes)| bytes.to_vec())
    }

    /// The `.pkpass` archive with this signature over [`Rendered::manifest`].
    pub fn package(&self, signature: &[u8]) -> Result<Vec<u8>, PackageError> {
        let strings = self.strings.iter().map(|(path, bytes)| Entry { path, bytes });
        let others = [
            Entry { path: "pass.json", bytes: &self.pass_json },
            Entry { path: "manifest.json", bytes: &self.manifest },
            Entry { path: "signature", bytes: signature },
        ];
        self.shared.beginning.finish(&strings.chain(others).collect::<Vec<_>>())
    }
}

impl fmt::Debug for Rendered {
    /// The files' names: `pass.json` holds the authentication token and holder data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered").field("shared", &self.shared).finish_non_exhaustive()
    }
}

fn add(
    writer: &mut ZipWriter<Cursor<Vec<u8>>>,
    path: &str,
    bytes: &[u8],
    method: CompressionMethod,
) -> Result<(), PackageError> {
    let options = SimpleFileOptions::default()
        .compression_method(method)
        // 1980-01-01, the first time a zip can say: the same bytes on every day.
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(0o644);
    writer.start_file(path, options)?;
    writer.write_all(bytes).map_err(zip::result::ZipError::from)?;
    Ok(())
}
