//! The pass that everything is measured with: a coupon like a shop's, 239 KB, most of it nine images.

use std::{
    io::{Cursor, Write},
    path::Path,
};

use passkit::{
    identifiers::SerialNumber,
    look::{Inputs, Look, LookPlan, Redeemability},
    package::Rendered,
    personalization::Personalization,
    secrets::{AuthenticationToken, Barcode},
    signing::SigningIdentity,
    template::Template,
};
use serde_json::{Value, json};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Of the certificate and of every pass.
pub const PASS_TYPE: &str = "pass.com.example.test";
/// Of the certificate and of every pass.
pub const TEAM: &str = "TEAMID1234";

/// Name, size in points, and of how many pixels one has noise: together with the gradients 236 KB.
const IMAGES: [(&str, u32, u32, u32); 3] = [("icon", 29, 29, 4), ("logo", 160, 50, 7), ("strip", 375, 123, 9)];

/// The `.pass` folder, zipped as a merchant uploads it.
pub fn template_zip() -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (path, bytes) in files(&pass_json()) {
        writer.start_file(path, options).unwrap();
        writer.write_all(&bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The same as a folder, with what the service would have filled in: for builders that know no placeholders.
pub fn write_folder(folder: &Path) {
    let mut pass = pass_json();
    for (key, value) in [
        ("passTypeIdentifier", PASS_TYPE),
        ("teamIdentifier", TEAM),
        ("serialNumber", "pass-0"),
        ("authenticationToken", TOKEN),
        ("webServiceURL", "https://passes.example.com"),
    ] {
        pass[key] = value.into();
    }
    let filled = pass.to_string().replace("{{ pass.barcode }}", BARCODE).replace("{{ holder.name }}", HOLDER);
    let filled = filled.replace("{{ offer.title }}", OFFER).replace("{{ pass.serialNumber }}", "pass-0");
    for (path, bytes) in files(&serde_json::from_str(&filled).unwrap()) {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

fn files(pass: &Value) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![
        ("pass.json".to_owned(), pass.to_string().into_bytes()),
        ("en.lproj/pass.strings".to_owned(), STRINGS.as_bytes().to_vec()),
    ];
    for (name, width, height, noise) in IMAGES {
        for (scale, suffix) in [(1, ""), (2, "@2x"), (3, "@3x")] {
            files.push((format!("{name}{suffix}.png"), image(width * scale, height * scale, noise)));
        }
    }
    files
}

const TOKEN: &str = "vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFd";
const BARCODE: &str = "u7ZDq8QmPz3vC1xW";
const HOLDER: &str = "Ada Lovelace";
const OFFER: &str = "A loaf of bread";

const STRINGS: &str = concat!(
    "\"offer_label\" = \"Your offer\";\n\"holder_label\" = \"For\";\n\"status_label\" = \"Status\";\n",
    "\"where_label\" = \"Where\";\n\"terms_label\" = \"Terms and conditions\";\n\"news_label\" = \"News from us\";\n",
    "\"site_label\" = \"On the web\";\n"
);

fn pass_json() -> Value {
    let terms = "One for each guest and visit, while stocks last. Not to be exchanged for cash, nor combined with other \
                 offers. Show the code at the till; once it is scanned this pass says so, and the next offer appears here by \
                 itself. Whoever gives a pass away gives away what it is worth. We keep your name only to print it here, and \
                 forget it when you remove the pass. Questions: ask at any till, or write to us at the address below.";
    json!({
        "formatVersion": 1,
        "organizationName": "Example Bakery",
        "description": "Coupon of the Example Bakery",
        "logoText": "Example Bakery",
        "foregroundColor": "rgb(255, 248, 240)",
        "backgroundColor": "rgb(110, 60, 20)",
        "labelColor": "rgb(240, 210, 170)",
        "maxDistance": 200,
        "relevantDate": "2026-12-01T10:00:00-08:00",
        "locations": [
            { "latitude": 52.5163, "longitude": 13.3777, "relevantText": "The shop at the gate is open" },
            { "latitude": 52.5219, "longitude": 13.4132, "relevantText": "The shop at the tower is open" } ],
        "barcodes": [{ "format": "PKBarcodeFormatQR", "message": "{{ pass.barcode }}", "messageEncoding": "iso-8859-1" }],
        "coupon": {
            "headerFields": [{ "key": "status", "label": "status_label", "value": "Valid" }],
            "primaryFields": [{ "key": "offer", "label": "offer_label", "value": "{{ offer.title }}" }],
            "secondaryFields": [{ "key": "holder", "label": "holder_label", "value": "{{ holder.name }}" }],
            "auxiliaryFields": [{ "key": "where", "label": "where_label", "value": "Every shop of ours" }],
            "backFields": [
                { "key": "news", "label": "news_label", "value": "Welcome!", "changeMessage": "%@" },
                { "key": "terms", "label": "terms_label", "value": terms },
                { "key": "site", "label": "site_label", "value": "https://bakery.example" },
                { "key": "number", "label": "No.", "value": "{{ pass.serialNumber }}", "dataDetectorTypes": [] } ] } })
}

/// A gradient, with noise in one of `every` pixels.
fn image(width: u32, height: u32, every: u32) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32 ^ width.rotate_left(16) ^ height;
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            // Xorshift: the same image on every machine.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let noise = if state.is_multiple_of(every) { (state >> 8) & 7 } else { 0 };
            let part = |of: u32, whole: u32, colour: u32| (colour * of / whole) as u8;
            pixels.extend([part(x, width, 200) | noise as u8, part(y, height, 180), part(x + y, width + height, 150)]);
        }
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    out
}

/// The template's look, as a campaign without overlays has it.
pub fn look(template: &Template) -> Look {
    let offer = json!({ "offerId": "free-bread", "title": OFFER });
    let plan =
        LookPlan { overlays: &[], redeemability: Redeemability::Open, offer: &offer, expires_at: None, places: &[] };
    Look::prepare(template, &plan).unwrap()
}

/// A template from its archive.
pub fn template(archive: &[u8]) -> Template {
    Template::from_zip(archive).unwrap().0
}

/// Builds signed passes with the public API of `passkit`, each with a serial number of its own.
pub struct Builder {
    look: Look,
    identity: SigningIdentity,
    token: AuthenticationToken,
    barcode: Barcode,
    holder: Value,
    made: u64,
}

impl Builder {
    /// Over a prepared look.
    pub fn new(look: Look, identity: SigningIdentity) -> Builder {
        Builder {
            look,
            identity,
            token: AuthenticationToken::new(TOKEN),
            barcode: Barcode::new(BARCODE),
            holder: json!({ "name": HOLDER }),
            made: 0,
        }
    }

    /// The signed package of one more pass.
    pub fn build(&mut self) -> Vec<u8> {
        let rendered = self.render();
        let signature = self.identity.sign(rendered.manifest(), jiff::Timestamp::now()).unwrap();
        rendered.package(&signature).unwrap()
    }

    /// The same but for the signature: as many bytes of nothing.
    pub fn build_unsigned(&mut self) -> Vec<u8> {
        const SIGNATURE: [u8; 2751] = [0; 2751];
        self.render().package(&SIGNATURE).unwrap()
    }

    /// The signature of a manifest.
    pub fn sign(&self) -> Vec<u8> {
        self.identity.sign(&[b'x'; 700], jiff::Timestamp::now()).unwrap()
    }

    fn render(&mut self) -> Rendered {
        self.made += 1;
        let serial: SerialNumber = format!("pass-{:010}", self.made).parse().unwrap();
        self.look.render(&Inputs {
            pass_type_identifier: self.identity.pass_type_identifier(),
            team_identifier: self.identity.team_identifier(),
            serial_number: &serial,
            authentication_token: &self.token,
            web_service_url: "https://passes.example.com",
            barcode: Some(&self.barcode),
            holder: &self.holder,
            remaining: Some(1),
            redemptions: 0,
            personalization: Personalization::Done,
        })
    }
}
