//! A template: an ordinary unsigned `.pass` folder, zipped (contract, section 4, Templates), read with distrust.

mod archive;
mod examine;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};
use sha1::Digest;

use crate::{
    images::ImageName,
    pass_json::{Style, styles},
    problem::Problems,
};

/// One file of a template, hashed once however many passes hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFile {
    /// The content.
    pub bytes: Arc<[u8]>,
    /// SHA-1 of the content, as the manifest wants it (reference 3.2).
    pub sha1: [u8; 20],
}

/// A template that was examined and found right.
#[derive(Debug, Clone)]
pub struct Template {
    /// `pass.json` without the service's keys.
    pass_json: Map<String, Value>,
    /// Every file that was kept, by path, `pass.json` as it was sent.
    files: BTreeMap<String, TemplateFile>,
    /// The parsed `pass.strings`, by directory (`de.lproj`).
    strings: BTreeMap<String, BTreeMap<String, String>>,
    style: Style,
}

impl Template {
    /// The largest archive: 4 MiB. A Lambda's answer holds 6 MB, and Base64 makes a package a third larger: 4 MiB
    /// become 5.6 MB.
    pub const MAX_ARCHIVE_BYTES: usize = 4 << 20;

    /// The most entries, junk and directories included: 11 image slots and a few spare ones at 3 scales in the root and
    /// a dozen languages stay well below.
    pub const MAX_FILES: usize = 1000;

    /// The most bytes after unpacking: 4.25 MiB. Packages store images as they are, and 6 MiB of a Lambda's answer less a
    /// quarter for Base64 are 4.5 MiB; the rest is for `pass.json`, translations and the archive's own tables.
    pub const MAX_UNPACKED_BYTES: usize = (4 << 20) + (256 << 10);

    /// The largest `pass.json`, `pass.strings` or `personalization.json`: 256 KiB. Real ones have a few.
    pub const MAX_TEXT_BYTES: usize = 256 << 10;

    /// Reads and examines an archive. Answers the template and warnings, or every problem found.
    ///
    /// One enclosing directory is tolerated; what finders and archivers leave behind is passed over; an old manifest
    /// and signature are made anew.
    pub fn from_zip(archive: &[u8]) -> Result<(Self, Problems), Problems> {
        let mut warnings = Problems::new();
        let files = archive::unpack(archive, &mut warnings)?;
        examine::examine(files, warnings)
    }

    /// SHA-256 over path, length and content of every file that counts, sorted by path: the same content zipped again
    /// has the same digest.
    pub fn content_digest(&self) -> [u8; 32] {
        let mut digest = sha2::Sha256::new();
        for (path, file) in &self.files {
            digest.update((path.len() as u64).to_be_bytes());
            digest.update(path.as_bytes());
            digest.update((file.bytes.len() as u64).to_be_bytes());
            digest.update(&file.bytes);
        }
        digest.finalize().into()
    }

    /// The style; of a `posterGeneric` with a fallback, the fallback.
    pub fn style(&self) -> Style {
        self.style
    }

    /// `pass.json` with its placeholders, without the keys the service sets.
    pub fn pass_json(&self) -> &Map<String, Value> {
        &self.pass_json
    }

    /// Every file, by path.
    pub fn files(&self) -> &BTreeMap<String, TemplateFile> {
        &self.files
    }

    /// The translations, by directory (`de.lproj`): key to text.
    pub fn strings(&self) -> &BTreeMap<String, BTreeMap<String, String>> {
        &self.strings
    }

    /// Whether there is an image of that name (no scale, no `.png`), in the root or a language.
    pub fn has_image(&self, stem: &str) -> bool {
        self.files.keys().any(|path| ImageName::parse(split(path).1).is_some_and(|image| image.stem == stem))
    }
}

impl TemplateFile {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let sha1 = sha1::Sha1::digest(&bytes).into();
        Self { bytes: bytes.into(), sha1 }
    }
}

/// A path's directory (empty: the root) and file name.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
pub(crate) mod tests;
