//! The top level: required keys, colours, barcodes, NFC, URLs, what newer systems added (reference 4.1, 4.4, 4.5, 4.8).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use serde_json::{Map, Value};

use super::{Style, check::Check, fields, relevance, semantics, styles};
use crate::problem::pointer;

/// The barcode formats of all systems; the last four since iOS 27.
const BARCODE_FORMATS: [&str; 8] = [
    "PKBarcodeFormatQR",
    "PKBarcodeFormatPDF417",
    "PKBarcodeFormatAztec",
    "PKBarcodeFormatCode128",
    "PKBarcodeFormatCode39",
    "PKBarcodeFormatCodabar",
    "PKBarcodeFormatEAN13",
    "PKBarcodeFormatI2of5",
];

/// Formats every system and the watch can show.
const CLASSIC_FORMATS: [&str; 3] = ["PKBarcodeFormatQR", "PKBarcodeFormatPDF417", "PKBarcodeFormatAztec"];

const COLOURS: [&str; 5] = ["backgroundColor", "foregroundColor", "labelColor", "stripColor", "footerBackgroundColor"];

const BOOLEANS: [&str; 5] =
    ["voided", "sharingProhibited", "suppressStripShine", "suppressHeaderDarkening", "useAutomaticColors"];

const TEXTS: [&str; 5] = ["logoText", "eventLogoText", "logoSymbolName", "groupingIdentifier", "appLaunchURL"];

/// Event guide and boarding pass links (reference 4.1).
const URLS: [&str; 24] = [
    "accessibilityURL",
    "addOnURL",
    "bagPolicyURL",
    "contactVenueWebsite",
    "directionsInformationURL",
    "merchandiseURL",
    "orderFoodURL",
    "parkingInformationURL",
    "purchaseParkingURL",
    "sellURL",
    "transferURL",
    "transitInformationURL",
    "changeSeatURL",
    "entertainmentURL",
    "managementURL",
    "purchaseAdditionalBaggageURL",
    "purchaseLoungeAccessURL",
    "purchaseWifiURL",
    "registerServiceAnimalURL",
    "reportLostBagURL",
    "requestWheelchairURL",
    "trackBagsURL",
    "upgradeURL",
    "transitProviderWebsiteURL",
];

const CONTACTS: [&str; 4] =
    ["contactVenueEmail", "contactVenuePhoneNumber", "transitProviderEmail", "transitProviderPhoneNumber"];

const ACTION_TYPES: [&str; 14] = [
    "viewSchedule",
    "watchTrailer",
    "listenToMusic",
    "call",
    "place",
    "addToBalance",
    "order",
    "shop",
    "membershipBenefits",
    "bookAppointment",
    "bookCar",
    "bookFlight",
    "bookStay",
    "viewOffersRewards",
];

/// NFC messages are cut after this many bytes (reference 4.5).
const NFC_MESSAGE_BYTES: usize = 64;

pub(super) fn examine(check: &mut Check, pass: &Map<String, Value>, prefix: &str) {
    examine_format_version(check, pass, prefix);
    check.required_string(prefix, pass, "organizationName");
    check.required_string(prefix, pass, "description");
    examine_styles(check, pass, prefix);

    for (key, value) in pass {
        let path = pointer(prefix, key);
        match key.as_str() {
            "barcodes" => examine_barcodes(check, value, &path),
            "barcode" => examine_barcode(check, &path, value),
            "nfc" => examine_nfc(check, value, &path),
            "semantics" => semantics::examine(check, value, &path),
            "associatedStoreIdentifiers" | "auxiliaryStoreIdentifiers" => {
                check.each(&path, value, |check, path, item| {
                    if !item.is_u64() {
                        check.error(path, "must be an App Store id: a whole number without quotes");
                    }
                });
            }
            "upcomingPassInformation" => examine_upcoming(check, value, &path),
            "featuredActions" => examine_actions(check, value, &path),
            "preferredStyleSchemes" => examine_schemes(check, pass, value, &path),
            key if COLOURS.contains(&key) => check.colour(&path, value),
            key if BOOLEANS.contains(&key) => {
                check.boolean(&path, value);
            }
            key if URLS.contains(&key) => check.url(&path, value),
            key if TEXTS.contains(&key) || CONTACTS.contains(&key) => {
                check.string(&path, value);
            }
            _ => {}
        }
    }
    relevance::examine(check, pass, prefix);

    let any = |keys: &[Style]| styles(pass).any(|style| keys.contains(&style));
    if pass.contains_key("groupingIdentifier") && !any(&[Style::EventTicket, Style::BoardingPass]) {
        check.error(
            &pointer(prefix, "groupingIdentifier"),
            "belongs to an eventTicket or a boardingPass only; remove it",
        );
    }
    if pass.contains_key("appLaunchURL") && !pass.contains_key("associatedStoreIdentifiers") {
        check.error(&pointer(prefix, "appLaunchURL"), "needs associatedStoreIdentifiers beside it");
    }
    if pass.contains_key("eventLogoText") && !any(&[Style::EventTicket]) {
        check.warn(&pointer(prefix, "eventLogoText"), "has an effect on an eventTicket only");
    }
}

fn examine_format_version(check: &mut Check, pass: &Map<String, Value>, prefix: &str) {
    let path = pointer(prefix, "formatVersion");
    match pass.get("formatVersion") {
        None => check.error(&path, "is missing; write 1"),
        Some(version) if version.as_u64() != Some(1) => check.error(&path, "must be the number 1"),
        Some(_) => {}
    }
}

/// Exactly one style; `posterGeneric` may have one other beside it as fallback.
fn examine_styles(check: &mut Check, pass: &Map<String, Value>, prefix: &str) {
    let (posters, classic): (Vec<Style>, Vec<Style>) = styles(pass).partition(|style| *style == Style::PosterGeneric);
    match (classic.as_slice(), posters.is_empty()) {
        ([], true) => {
            check.error(prefix, "has no style; add one of boardingPass, coupon, eventTicket, generic, storeCard");
        }
        ([], false) => check.warn(
            prefix,
            "systems before iOS 27 do not know posterGeneric; ship coupon, eventTicket, generic or storeCard beside it",
        ),
        ([Style::BoardingPass], false) => {
            check.error(&pointer(prefix, "boardingPass"), "is no fallback of posterGeneric; use another style");
        }
        ([_], _) => {}
        ([first, others @ ..], _) => {
            for other in others {
                check.error(
                    &pointer(prefix, other.key()),
                    format!("is a second style beside {}; a pass has exactly one", first.key()),
                );
            }
        }
    }
}

fn examine_barcodes(check: &mut Check, value: &Value, path: &str) {
    check.each(path, value, examine_barcode);
    let formats = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_classic = |barcode: &Value| {
        let format = barcode.get("format").and_then(Value::as_str);
        format.is_some_and(|format| check.is_open(format) || CLASSIC_FORMATS.contains(&format))
    };
    if !formats.is_empty() && !formats.iter().any(is_classic) {
        check.warn(path, "add a QR, PDF417 or Aztec barcode as last entry: the watch and older systems show no other");
    }
}

fn examine_barcode(check: &mut Check, path: &str, value: &Value) {
    let Some(barcode) = check.object(path, value) else { return };
    match barcode.get("format") {
        Some(format) => check.one_of(&pointer(path, "format"), format, &BARCODE_FORMATS),
        None => {
            check.error(&pointer(path, "format"), format!("is missing; write one of {}", BARCODE_FORMATS.join(", ")))
        }
    }
    check.required_string(path, barcode, "message");
    check.required_string(path, barcode, "messageEncoding");
    if let Some(text) = barcode.get("altText") {
        check.string(&pointer(path, "altText"), text);
    }
    let text = |key: &str| barcode.get(key).and_then(Value::as_str).unwrap_or_default();
    let (message, encoding) = (text("message"), text("messageEncoding"));
    if encoding.eq_ignore_ascii_case("iso-8859-1") && message.chars().any(|character| u32::from(character) > 0xFF) {
        check.error(&pointer(path, "message"), "holds characters that iso-8859-1 does not have; use utf-8");
    }
}

fn examine_nfc(check: &mut Check, value: &Value, path: &str) {
    let Some(nfc) = check.object(path, value) else { return };
    check.required_string(path, nfc, "message");
    if let Some(message) = nfc.get("message").and_then(Value::as_str)
        && !check.is_open(message)
        && message.len() > NFC_MESSAGE_BYTES
    {
        check.error(
            &pointer(path, "message"),
            format!("has {} bytes; the phone cuts it after {NFC_MESSAGE_BYTES}", message.len()),
        );
    }
    let key_path = pointer(path, "encryptionPublicKey");
    match nfc.get("encryptionPublicKey") {
        None => check.error(&key_path, "is missing"),
        Some(key) => {
            if let Some(key) = check.closed_string(&key_path, key)
                && base64::engine::general_purpose::STANDARD.decode(key).is_err()
            {
                check.error(&key_path, "must be the Base64 of a DER public key, without the lines of a PEM file");
            }
        }
    }
    if let Some(flag) = nfc.get("requiresAuthentication") {
        check.boolean(&pointer(path, "requiresAuthentication"), flag);
    }
}

/// Reference 4.8: poster event tickets (iOS 18) and semantic boarding passes (iOS 26). What is missing makes Wallet
/// fall back to the classic layout, so it is advice.
fn examine_schemes(check: &mut Check, pass: &Map<String, Value>, value: &Value, path: &str) {
    const SCHEMES: [(&str, Style); 4] = [
        ("posterEventTicket", Style::EventTicket),
        ("eventTicket", Style::EventTicket),
        ("semanticBoardingPass", Style::BoardingPass),
        ("boardingPass", Style::BoardingPass),
    ];
    const POSTER_TAGS: [&str; 4] = ["eventName", "venueName", "venueRegionName", "venueRoom"];
    const BOARDING_TAGS: [&str; 12] = [
        "airlineCode",
        "flightNumber",
        "departureAirportCode",
        "departureCityName",
        "departureLocationTimeZone",
        "destinationAirportCode",
        "destinationCityName",
        "destinationLocationTimeZone",
        "originalBoardingDate",
        "originalDepartureDate",
        "originalArrivalDate",
        "passengerName",
    ];
    let mut chosen = BTreeSet::new();
    for (index, scheme) in check.array(path, value).unwrap_or_default().iter().enumerate() {
        let path = pointer(path, index);
        let Some(name) = check.closed_string(&path, scheme) else { continue };
        match SCHEMES.iter().find(|(known, _)| *known == name) {
            None => check.warn(&path, format!("{name:?} is unknown; Wallet passes over it")),
            Some((_, style)) if !pass.contains_key(style.key()) => {
                check.error(&path, format!("{name} needs the style {}", style.key()));
            }
            Some(_) => {
                chosen.insert(name);
            }
        }
    }
    let missing = |tags: &[&'static str]| -> Vec<&'static str> {
        tags.iter().copied().filter(|tag| !semantics::is_given(pass, tag)).collect()
    };
    if chosen.contains("posterEventTicket") {
        let tags = missing(&POSTER_TAGS);
        if !tags.is_empty() {
            check.warn(path, format!("a posterEventTicket also needs the semantic tags {}", tags.join(", ")));
        }
        if !pass.contains_key("nfc") {
            check.warn(path, "a posterEventTicket needs nfc; without it Wallet shows the classic ticket");
        }
    }
    if chosen.contains("semanticBoardingPass") {
        let tags = missing(&BOARDING_TAGS);
        if !tags.is_empty() {
            check.warn(path, format!("a semanticBoardingPass also needs the semantic tags {}", tags.join(", ")));
        }
        let transit = pass.get("boardingPass").and_then(|style| style.get("transitType")).and_then(Value::as_str);
        if transit != Some("PKTransitTypeAir") {
            check.warn(path, "a semanticBoardingPass is for flights: its transitType is PKTransitTypeAir");
        }
    }
}

/// iOS 26: `identifier` (unique), `name` and `type: "event"` are required.
fn examine_upcoming(check: &mut Check, value: &Value, path: &str) {
    let mut identifiers = BTreeSet::new();
    for (index, entry) in check.array(path, value).unwrap_or_default().iter().enumerate() {
        let path = pointer(path, index);
        let Some(entry) = check.object(&path, entry) else { continue };
        check.required_string(&path, entry, "identifier");
        check.required_string(&path, entry, "name");
        match entry.get("type") {
            Some(kind) => check.one_of(&pointer(&path, "type"), kind, &["event"]),
            None => check.error(&pointer(&path, "type"), "is missing; write event"),
        }
        if let Some(identifier) = entry.get("identifier").and_then(Value::as_str)
            && !identifiers.insert(identifier)
        {
            check.error(&pointer(&path, "identifier"), format!("{identifier:?} stands twice; identifiers are unique"));
        }
        if let Some(active) = entry.get("isActive") {
            check.boolean(&pointer(&path, "isActive"), active);
        }
        if let Some(tags) = entry.get("semantics") {
            semantics::examine(check, tags, &pointer(&path, "semantics"));
        }
        let mut keys = BTreeMap::new();
        for group in ["additionalInfoFields", "backFields"] {
            if let Some(content) = entry.get(group) {
                fields::examine_group(check, group, Style::EventTicket, content, &pointer(&path, group), &mut keys);
            }
        }
        let links = pointer(&path, "URLs");
        if let Some(urls) = entry.get("URLs").and_then(|urls| check.object(&links, urls)) {
            for (key, url) in urls {
                if CONTACTS.contains(&key.as_str()) {
                    check.string(&pointer(&links, key), url);
                } else {
                    check.url(&pointer(&links, key), url);
                }
            }
        }
    }
}

/// iOS 27.
fn examine_actions(check: &mut Check, value: &Value, path: &str) {
    check.each(path, value, |check, path, action| {
        let Some(action) = check.object(path, action) else { return };
        check.required_string(path, action, "identifier");
        match action.get("type") {
            Some(kind) => check.one_of(&pointer(path, "type"), kind, &ACTION_TYPES),
            None => check.error(&pointer(path, "type"), "is missing"),
        }
        if let Some(url) = action.get("url") {
            check.url(&pointer(path, "url"), url);
        }
    });
    if value.as_array().is_some_and(|actions| actions.len() > 2) {
        check.warn(path, "at most two actions are shown");
    }
}
