//! A `.pass` folder in memory, as a designer's tool would leave it on disk (contract, Templates).

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

/// The files of a template, by their path in the folder.
#[derive(Debug, Clone)]
pub struct TemplateFolder {
    files: BTreeMap<String, Vec<u8>>,
}

impl TemplateFolder {
    /// A complete coupon: every image Apple asks for in its right size, a strip for used passes,
    /// placeholders for holder, offer and barcode, and a back field for the lock screen.
    pub fn coupon() -> TemplateFolder {
        let pass = json!({
            "formatVersion": 1,
            "organizationName": "Maison Levain",
            "description": "Coupon of the bakery Maison Levain",
            "foregroundColor": "rgb(255, 248, 240)",
            "backgroundColor": "rgb(110, 60, 20)",
            "labelColor": "rgb(240, 210, 170)",
            "barcodes": [{
                "format": "PKBarcodeFormatQR",
                "message": "{{ pass.barcode }}",
                "messageEncoding": "iso-8859-1"
            }],
            "coupon": {
                "primaryFields": [
                    { "key": "offer", "label": "Offer", "value": "{{ offer.title }}" }
                ],
                "secondaryFields": [
                    { "key": "holder", "label": "For", "value": "{{ holder.name }}" }
                ],
                "auxiliaryFields": [
                    { "key": "status", "label": "Status", "value": "Ready" }
                ],
                "backFields": [
                    { "key": "serial", "label": "Pass", "value": "{{ pass.serialNumber }}" },
                    { "key": "news", "label": "News", "value": "Welcome" }
                ]
            }
        });
        let mut folder = TemplateFolder { files: BTreeMap::new() };
        folder.set_pass(&pass);
        // Points per reference 3.9, at each scale.
        let images = [
            ("icon", 29, 29, [200, 120, 40]),
            ("logo", 50, 50, [255, 248, 240]),
            ("strip", 375, 144, [180, 110, 50]),
            ("used-strip", 375, 144, [120, 120, 120]),
        ];
        for (name, width, height, colour) in images {
            for (scale, suffix) in [(1, ""), (2, "@2x"), (3, "@3x")] {
                let image = plain_png(width * scale, height * scale, colour);
                folder.files.insert(format!("{name}{suffix}.png"), image);
            }
        }
        folder
    }

    fn set_pass(&mut self, pass: &Value) {
        let text = serde_json::to_vec_pretty(pass).unwrap();
        self.files.insert("pass.json".to_owned(), text);
    }

    /// The folder with one file added or replaced.
    pub fn with(mut self, path: &str, content: impl Into<Vec<u8>>) -> TemplateFolder {
        self.files.insert(path.to_owned(), content.into());
        self
    }

    /// The folder without the files whose path begins so.
    pub fn without(mut self, prefix: &str) -> TemplateFolder {
        self.files.retain(|path, _| !path.starts_with(prefix));
        self
    }

    /// The folder with its pass.json changed.
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> TemplateFolder {
        let mut pass = serde_json::from_slice(&self.files["pass.json"]).unwrap();
        change(&mut pass);
        self.set_pass(&pass);
        self
    }

    /// One file's bytes.
    pub fn file(&self, path: &str) -> &[u8] {
        &self.files[path]
    }

    /// The zip of the folder's contents: files at the root.
    pub fn zip(&self) -> Vec<u8> {
        self.zip_under("")
    }

    /// The zip as `zip -r` of the folder itself makes it: everything below one directory.
    pub fn zip_under(&self, directory: &str) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        for (path, content) in &self.files {
            let path = format!("{directory}{path}");
            archive.start_file(path, options).unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }
}

/// A real PNG of one colour.
pub fn plain_png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    png_of(width, height, &colour.repeat((width * height) as usize))
}

/// A real PNG that nothing compresses, the same every time: each point is 3 bytes of the file.
pub fn noisy_png(width: u32, height: u32) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    let pixels: Vec<u8> = (0..width * height * 3).map(|_| noise()).collect();
    png_of(width, height, &pixels)
}

fn png_of(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(pixels).unwrap();
    writer.finish().unwrap();
    file
}
