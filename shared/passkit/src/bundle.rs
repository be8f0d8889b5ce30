//! The bundle: several packages in one `.pkpasses` archive that Wallet adds together (Apple, "Distributing and Updating
//! a Pass"; reference 6).

use std::io::{Cursor, Write};

use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::{identifiers::SerialNumber, package::PackageError};

/// The media type of a bundle.
pub const MEDIA_TYPE: &str = "application/vnd.apple.pkpasses";
/// Passes in one bundle (reference 6).
pub const MAXIMUM_PASSES: usize = 10;

/// Packs complete, signed packages, in this order. Equal packages make equal bundles, byte for byte.
///
/// Names inside are free (reference 6): place and serial number, which no two share.
///
/// # Errors
/// When the archive breaks a limit of the zip format.
pub fn bundle(packages: &[(SerialNumber, Vec<u8>)]) -> Result<Vec<u8>, PackageError> {
    // A package is an archive already: deflating it again costs time and saves nothing.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(0o644);
    let size = packages.iter().map(|(_, package)| package.len() + 256).sum();
    let mut writer = ZipWriter::new(Cursor::new(Vec::with_capacity(size)));
    for (place, (serial_number, package)) in (1..).zip(packages) {
        writer.start_file(format!("{place:02}-{serial_number}.pkpass"), options)?;
        writer.write_all(package).map_err(zip::result::ZipError::from)?;
    }
    Ok(writer.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use zip::ZipArchive;

    use super::*;

    fn packages() -> Vec<(SerialNumber, Vec<u8>)> {
        ["b", "a", "a"].into_iter().map(|serial| (serial.parse().unwrap(), serial.repeat(3).into_bytes())).collect()
    }

    #[test]
    fn packages_lie_at_the_root_whole_and_in_order() {
        // Reference 6: "zip with several complete .pkpass files at root".
        let mut archive = ZipArchive::new(Cursor::new(bundle(&packages()).unwrap())).unwrap();
        let mut found = Vec::new();
        for place in 0..archive.len() {
            let mut file = archive.by_index(place).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            found.push((file.name().unwrap().into_owned(), String::from_utf8(bytes).unwrap()));
        }
        let expected = [("01-b.pkpass", "bbb"), ("02-a.pkpass", "aaa"), ("03-a.pkpass", "aaa")];
        assert_eq!(found, expected.map(|(name, bytes)| (name.to_owned(), bytes.to_owned())));
    }

    #[test]
    fn equal_packages_make_equal_bundles() {
        assert_eq!(bundle(&packages()).unwrap(), bundle(&packages()).unwrap());
    }
}
