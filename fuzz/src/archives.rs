//! Template archives: bombs, traversal, duplicate names, images that lie.

use std::io::{Cursor, Write as _};

use passkit::overlay::Overlay;
use passkit::template::Template;
use serde_json::json;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::shown;

/// Names that matter to the reader: good ones, and every kind of bad one.
const NAMES: [&str; 24] = [
    "pass.json",
    "icon.png",
    "icon@2x.png",
    "logo.png",
    "strip.png",
    "used-strip@3x.png",
    "thumbnail.png",
    "personalization.json",
    "personalizationLogo@2x.png",
    "de.lproj/pass.strings",
    "zh-Hans.lproj/pass.strings",
    "de.lproj/logo.png",
    "manifest.json",
    "signature",
    "x.pass/pass.json",
    "x.pass/icon.png",
    "__MACOSX/._icon.png",
    ".DS_Store",
    "../pass.json",
    "/pass.json",
    "a//b.png",
    "c:\\icon.png",
    "de.lproj/",
    "PASS.JSON",
];
/// Entries of an archive that is made here.
const ENTRIES: usize = 40;

/// The first byte says whether the rest is an archive (0), or a recipe for one.
pub fn template(bytes: &[u8]) {
    match bytes.split_first() {
        None => {}
        Some((0, archive)) => examine(archive),
        Some((_, recipe)) => examine(&made(recipe)),
    }
}

fn examine(archive: &[u8]) {
    match Template::from_zip(archive) {
        Ok((template, warnings)) => {
            shown::readable(&warnings);
            let files = template.files();
            let unpacked: usize = files.values().map(|file| file.bytes.len()).sum();
            assert!(unpacked <= Template::MAX_UNPACKED_BYTES && files.len() <= Template::MAX_FILES);
            for path in files.keys() {
                let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
                assert!(inside && !path.contains(['\\', ':', '\0']), "{path:?}");
            }
            let (again, _) = Template::from_zip(archive).expect("accepted a moment ago");
            assert_eq!(again.content_digest(), template.content_digest());
            shown::every_look(&template, &Overlay::default(), &json!({ "name": "Ada" }), &json!({ "title": "Cake" }));
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused, and nobody knows why");
            shown::readable(&problems);
        }
    }
}

/// An archive with right checksums: for each entry a name, a kind of content, two bytes of length, the content.
fn made(recipe: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut rest = recipe;
    for _ in 0..ENTRIES {
        let Some((&[name, kind, high, low], after)) = rest.split_first_chunk::<4>() else { break };
        let (content, after) = after.split_at(after.len().min(usize::from(u16::from_be_bytes([high, low]))));
        rest = after;
        let (name, content) = match NAMES.get(usize::from(name)) {
            Some(name) => ((*name).to_owned(), content),
            None => {
                let (name, content) = content.split_at(content.len().min(usize::from(name) - NAMES.len()));
                (String::from_utf8_lossy(name).into_owned(), content)
            }
        };
        let content = match kind % 4 {
            0 | 1 => content.to_vec(),
            2 => image(content),
            // Compresses a thousandfold: a bomb, if nobody looks.
            _ => content.repeat(1 + 4096 / content.len().max(1)),
        };
        let method = if kind >= 128 { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        // The writer refuses names it has written already.
        if archive.start_file(name, SimpleFileOptions::default().compression_method(method)).is_ok() {
            archive.write_all(&content).expect("memory takes everything");
        }
    }
    archive.finish().expect("memory takes everything").into_inner()
}

/// A PNG whose header says what the bytes say, with a right checksum and nothing behind it.
fn image(content: &[u8]) -> Vec<u8> {
    let mut header = [0, 0, 0, 29, 0, 0, 0, 29, 8, 2, 0, 0, 0];
    header.iter_mut().zip(content).for_each(|(byte, given)| *byte = *given);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let rest = content.get(header.len()..).unwrap_or_default();
    for (kind, data) in [(b"IHDR", &header[..]), (b"IDAT", rest), (b"IEND", &[])] {
        file.extend(u32::try_from(data.len()).expect("a short chunk").to_be_bytes());
        file.extend(kind);
        file.extend(data);
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(kind);
        checksum.update(data);
        file.extend(checksum.finalize().to_be_bytes());
    }
    file
}
