//! Overlays, merge patches and placeholders over a template: nothing a merchant writes may leave its place.

use std::io::{Cursor, Write as _};

use passkit::overlay::Overlay;
use passkit::template::Template;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use super::shown;

/// `{"pass": …, "overlay": …, "holder": …, "offer": …, "strings": "…"}`, each optional.
pub fn look(bytes: &[u8]) {
    let Ok(Value::Object(mut given)) = serde_json::from_slice(bytes) else { return };
    let overlay = given.remove("overlay").unwrap_or_else(|| json!({}));
    let Ok(overlay) = serde_json::from_value::<Overlay>(overlay) else { return };
    let mut pass = json!({
        "organizationName": "Bakery", "description": "Coupon",
        "barcodes": [{ "format": "PKBarcodeFormatQR", "message": "{{ pass.barcode }}", "messageEncoding": "iso-8859-1" }],
        "coupon": { "primaryFields": [{ "key": "offer", "value": "{{ offer.title }}" }],
                    "backFields": [{ "key": "name", "attributedValue": "<b>{{ holder.name }}</b>", "value": "{{ holder.name }}" }] },
    });
    if let (Value::Object(pass), Some(Value::Object(more))) = (&mut pass, given.remove("pass")) {
        pass.extend(more);
    }
    let holder = given.remove("holder").unwrap_or_else(|| json!({ "name": "Ada" }));
    let offer = given.remove("offer").unwrap_or_else(|| json!({ "title": "Cake" }));
    let strings = given.remove("strings").and_then(|text| text.as_str().map(str::to_owned));
    if let Ok((template, _)) = Template::from_zip(&folder(&pass, strings.as_deref())) {
        shown::every_look(&template, &overlay, &holder, &offer);
    }
}

fn folder(pass: &Value, strings: Option<&str>) -> Vec<u8> {
    const ICON: &[u8] = include_bytes!("icon.png");
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let pass = pass.to_string();
    let files = [
        ("pass.json", Some(pass.as_bytes())),
        ("icon.png", Some(ICON)),
        ("de.lproj/pass.strings", strings.map(str::as_bytes)),
    ];
    for (path, content) in files {
        let Some(content) = content else { continue };
        archive.start_file(path, SimpleFileOptions::default()).expect("a new name");
        archive.write_all(content).expect("memory takes everything");
    }
    archive.finish().expect("memory takes everything").into_inner()
}
