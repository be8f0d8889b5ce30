//! The package: `pass.json`, `manifest.json`, signature and files in one archive (reference 3).
//!
//! What a look's passes share is hashed, compressed and laid out once; per pass only `pass.json`, the translations with
//! placeholders, the manifest and the signature are added. Everything is constant: entries sorted, time stamps fixed,
//! so equal passes have equal bytes up to the signature.

pub(crate) mod canonical;

use std::{
    collections::BTreeMap,
    fmt,
    io::{Cursor, Read, Write},
    sync::Arc,
};

use sha1::Digest;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::{strings, template::TemplateFile};

/// The archive could not be written. Memory is the only medium, so this means that it broke a limit of the format.
#[derive(Debug, thiserror::Error)]
#[error("the package cannot be assembled")]
pub struct PackageError(#[from] zip::result::ZipError);

/// The files that all passes of a look share, ready to be copied.
pub(crate) struct SharedFiles {
    archive: ZipArchive<Cursor<Arc<[u8]>>>,
    /// Bytes of `archive`, to allocate once.
    length: usize,
    /// Path to the lower-case hexadecimal SHA-1.
    hashes: BTreeMap<String, String>,
}

impl SharedFiles {
    /// Lays the files out. PNGs are stored: deflating them costs milliseconds and saves a thousandth (performance.md).
    pub(crate) fn prepare(files: &BTreeMap<String, TemplateFile>) -> Result<Self, PackageError> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let mut hashes = BTreeMap::new();
        for (path, file) in files {
            let method = if path.ends_with(".png") { CompressionMethod::Stored } else { CompressionMethod::Deflated };
            add(&mut writer, path, &file.bytes, method)?;
            hashes.insert(path.clone(), hex::encode(file.sha1));
        }
        let bytes: Arc<[u8]> = writer.finish()?.into_inner().into();
        let length = bytes.len();
        Ok(Self { archive: ZipArchive::new(Cursor::new(bytes))?, length, hashes })
    }

    /// Path to SHA-1 of every file.
    pub(crate) fn hashes(&self) -> &BTreeMap<String, String> {
        &self.hashes
    }
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
        let mut hashes: BTreeMap<&str, String> =
            shared.hashes.iter().map(|(path, hash)| (path.as_str(), hash.clone())).collect();
        let sha1 = |bytes: &[u8]| hex::encode(sha1::Sha1::digest(bytes));
        hashes.insert("pass.json", sha1(&pass_json));
        for (path, bytes) in &strings {
            hashes.insert(path, sha1(bytes));
        }
        let manifest = canonical::flat_object(&hashes);
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

    /// A file of the template's or with its placeholders filled, whatever the case of its path.
    fn file(&self, wanted: &str) -> Option<Vec<u8>> {
        if let Some((_, bytes)) = self.strings.iter().find(|(path, _)| path.eq_ignore_ascii_case(wanted)) {
            return Some(bytes.clone());
        }
        let path = self.shared.hashes.keys().find(|path| path.eq_ignore_ascii_case(wanted))?;
        let mut archive = self.shared.archive.clone();
        let mut bytes = Vec::new();
        archive.by_name(path).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// The `.pkpass` archive with this signature over [`Rendered::manifest`].
    pub fn package(&self, signature: &[u8]) -> Result<Vec<u8>, PackageError> {
        const TABLES: usize = 4 << 10;
        let size = self.shared.length + self.pass_json.len() + self.manifest.len() + signature.len() + TABLES;
        let mut writer = ZipWriter::new(Cursor::new(Vec::with_capacity(size)));
        // The clone shares the bytes.
        writer.merge_archive(self.shared.archive.clone())?;
        for (path, bytes) in &self.strings {
            add(&mut writer, path, bytes, CompressionMethod::Deflated)?;
        }
        add(&mut writer, "pass.json", &self.pass_json, CompressionMethod::Deflated)?;
        add(&mut writer, "manifest.json", &self.manifest, CompressionMethod::Deflated)?;
        add(&mut writer, "signature", signature, CompressionMethod::Stored)?;
        Ok(writer.finish()?.into_inner())
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
