//! What must hold of everything that a template, an overlay and a holder make together.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};

use passkit::look::{Inputs, Look, LookPlan, Redeemability};
use passkit::overlay::Overlay;
use passkit::personalization::Personalization;
use passkit::problem::Problem;
use passkit::secrets::{AuthenticationToken, Barcode};
use passkit::template::Template;
use serde_json::{Map, Value};

const TOKEN: &str = "token-of-32-characters-0123456789";
const BARCODE: &str = "barcode-that-nobody-may-guess";
const URL: &str = "https://passes.example";

/// What somebody is told stays something to read, however much was wrong.
pub(super) fn readable(problems: &[Problem]) {
    for Problem { path, message } in problems {
        assert!(
            !message.is_empty() && message.len() <= 4100 && path.len() <= 2052,
            "{}, {}",
            path.len(),
            message.len()
        );
    }
}

/// Prepares and renders the pass in each state.
pub(super) fn every_look(template: &Template, overlay: &Overlay, holder: &Value, offer: &Value) {
    for redeemability in [Redeemability::Open, Redeemability::Used, Redeemability::Voided] {
        let overlays = [("/overlay", overlay)];
        let plan = LookPlan { overlays: &overlays, redeemability, offer, expires_at: None, places: &[] };
        match Look::prepare(template, &plan) {
            Ok(look) => rendered(&look, holder, redeemability),
            Err(problems) => {
                assert!(!problems.is_empty());
                readable(&problems);
            }
        }
    }
}

fn rendered(look: &Look, holder: &Value, redeemability: Redeemability) {
    let (pass_type, team) = ("pass.example.a".parse().unwrap(), "TEAM123456".parse().unwrap());
    let serial = "serial-1".parse().unwrap();
    let (token, barcode) = (AuthenticationToken::new(TOKEN), Barcode::new(BARCODE));
    let inputs = Inputs {
        pass_type_identifier: &pass_type,
        team_identifier: &team,
        serial_number: &serial,
        authentication_token: &token,
        web_service_url: URL,
        barcode: (redeemability == Redeemability::Open).then_some(&barcode),
        holder,
        remaining: Some(3),
        redemptions: 1,
        personalization: Personalization::Offered,
    };
    if let Err(problems) = look.check(&inputs) {
        readable(&problems);
    }
    let pass = look.render(&inputs);
    let json: Map<String, Value> = serde_json::from_slice(pass.pass_json()).expect("pass.json is JSON");
    let service = [
        ("serialNumber", "serial-1"),
        ("authenticationToken", TOKEN),
        ("webServiceURL", URL),
        ("passTypeIdentifier", "pass.example.a"),
        ("teamIdentifier", "TEAM123456"),
    ];
    for (key, expected) in service {
        assert_eq!(json[key], expected, "{key} is the service's to set");
    }
    assert_eq!(look.render(&inputs).manifest(), pass.manifest(), "the same inputs, another manifest");
    let archive = pass.package(b"signature").expect("a package");
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).expect("a zip");
    let manifest: BTreeMap<String, String> = serde_json::from_slice(pass.manifest()).expect("a manifest");
    assert_eq!(archive.len(), manifest.len() + 2, "manifest and archive differ");
    for path in manifest.keys() {
        let mut content = Vec::new();
        archive.by_name(path).expect("listed, so there").read_to_end(&mut content).expect("readable");
        if path.ends_with("pass.strings") {
            passkit::strings::parse(&content).expect("a strings file that we wrote");
        }
    }
}
