//! What a phone makes of the bytes of a pass: a package whose every file is what its manifest says (reference 3).

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};

use serde_json::Value;
use sha1::{Digest as _, Sha1};

/// A package that is whole.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// `pass.json`.
    pub(crate) pass: Value,
    /// `manifest.json`, byte for byte.
    pub(crate) manifest: Vec<u8>,
}

impl Package {
    /// Opens it, or says what a phone calls "invalid pass data". The signature is checked by the stories, with openssl.
    pub(crate) fn open(bytes: &[u8]) -> Result<Package, String> {
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("no zip: {error}"))?;
        let mut files = BTreeMap::new();
        for place in 0..archive.len() {
            let mut file = archive.by_index(place).map_err(|error| error.to_string())?;
            let name = file.name().map_err(|error| error.to_string())?.into_owned();
            let mut content = Vec::new();
            file.read_to_end(&mut content).map_err(|error| format!("{name}: {error}"))?;
            files.insert(name, content);
        }
        let manifest = files.remove("manifest.json").ok_or("no manifest.json")?;
        files.remove("signature").filter(|signature| !signature.is_empty()).ok_or("no signature")?;
        let hashes: BTreeMap<String, String> = serde_json::from_slice(&manifest).map_err(|error| error.to_string())?;
        let computed: BTreeMap<String, String> =
            files.iter().map(|(name, content)| (name.clone(), hex::encode(Sha1::digest(content)))).collect();
        if hashes != computed {
            return Err("the manifest is not that of the files".to_owned());
        }
        let pass = files.get("pass.json").ok_or("no pass.json")?;
        Ok(Package { pass: serde_json::from_slice(pass).map_err(|error| error.to_string())?, manifest })
    }

    /// A text of `pass.json`.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.pass[key].as_str().unwrap_or_default()
    }

    /// What a till would scan.
    pub(crate) fn barcode(&self) -> Option<&str> {
        self.pass["barcodes"][0]["message"].as_str()
    }

    /// A field of the pass.
    pub(crate) fn field(&self, key: &str) -> Option<&Value> {
        let groups = self.pass["coupon"].as_object()?.values().filter_map(Value::as_array);
        groups.flatten().find(|field| field["key"] == key)
    }

    /// The value of a field.
    pub(crate) fn value(&self, key: &str) -> String {
        self.field(key).and_then(|field| field["value"].as_str()).unwrap_or_default().to_owned()
    }
}
