use serde_json::json;

use super::*;

fn english(entries: &[(&str, &str)]) -> Strings {
    entries.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
}

fn coupon(news: &str) -> Value {
    json!({
        "organizationName": "Maison Levain",
        "coupon": {
            "headerFields": [{"key": "status", "label": "Status", "value": "Valid"}],
            "primaryFields": [{"key": "offer", "label": "free", "value": "Croissant", "changeMessage": "Now: %@"}],
            "secondaryFields": [{"key": "uses", "label": "Uses", "value": 3}],
            "auxiliaryFields": [{"key": "where", "value": "Paris"}],
            "backFields": [{"key": "news", "value": news, "changeMessage": "%@"}]
        },
        "barcodes": [{"format": "PKBarcodeFormatQR", "message": "one", "messageEncoding": "iso-8859-1"}]
    })
}

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn said(old: &Value, new: &Value) -> Option<String> {
    lock_screen(old, new, &Strings::new(), now())
}

#[test]
fn one_changed_field_says_its_message_with_the_new_value() {
    assert_eq!(said(&coupon("hello"), &coupon("used")), Some("used".to_owned()));
    let mut new = coupon("hello");
    new["coupon"]["primaryFields"][0]["value"] = "Coffee".into();
    assert_eq!(said(&coupon("hello"), &new), Some("Now: Coffee".to_owned()));
}

#[test]
fn several_changed_fields_say_one_general_text() {
    let mut new = coupon("used");
    new["coupon"]["primaryFields"][0]["value"] = "Coffee".into();
    assert_eq!(said(&coupon("hello"), &new), Some("Coupon changed".to_owned()));
}

#[test]
fn a_message_without_the_placeholder_is_the_general_text() {
    let mut new = coupon("used");
    new["coupon"]["backFields"][0]["changeMessage"] = "There is news".into();
    assert_eq!(said(&coupon("hello"), &new), Some("Coupon changed".to_owned()));
}

#[test]
fn only_the_new_passs_change_message_counts() {
    let mut silent = coupon("used");
    silent["coupon"]["backFields"][0]["changeMessage"] = Value::Null;
    assert_eq!(said(&coupon("hello"), &silent), None);
    assert_eq!(said(&silent, &coupon("news")), Some("news".to_owned()));
}

#[test]
fn labels_barcodes_and_colours_say_nothing() {
    let mut new = coupon("hello");
    new["coupon"]["backFields"][0]["label"] = "News".into();
    new["barcodes"][0]["message"] = "two".into();
    new["backgroundColor"] = "rgb(1, 2, 3)".into();
    assert_eq!(said(&coupon("hello"), &new), None);
}

#[test]
fn a_new_field_says_nothing() {
    let mut old = coupon("hello");
    old["coupon"]["backFields"] = json!([]);
    assert_eq!(said(&old, &coupon("hello")), None);
}

#[test]
fn a_voided_or_expired_pass_says_nothing() {
    let mut voided = coupon("used");
    voided["voided"] = true.into();
    assert_eq!(said(&coupon("hello"), &voided), None);
    let mut expiring = coupon("used");
    expiring["expirationDate"] = "2026-06-01T14:00:00+02:00".into();
    assert_eq!(said(&coupon("hello"), &expiring), None);
    expiring["expirationDate"] = "2026-06-01T14:00:01+02:00".into();
    assert_eq!(said(&coupon("hello"), &expiring), Some("used".to_owned()));
}

#[test]
fn the_lock_screen_speaks_the_phones_language() {
    let mut new = coupon("used");
    new["coupon"]["backFields"][0]["changeMessage"] = "news: %@".into();
    let strings = english(&[("used", "eingelöst"), ("news: %@", "Neu: %@")]);
    assert_eq!(lock_screen(&coupon("hello"), &new, &strings, now()), Some("Neu: eingelöst".to_owned()));
}

#[test]
fn the_front_is_translated_where_there_is_a_translation() {
    let front = front(&coupon("hello"), &english(&[("Status", "Zustand"), ("Croissant", "Hörnchen")]));
    let field = |label: &str, value: &str| Field { label: label.to_owned(), value: value.to_owned() };
    assert_eq!(front.header, [field("Zustand", "Valid")]);
    assert_eq!(front.primary, [field("free", "Hörnchen")]);
    assert_eq!(front.secondary, [field("Uses", "3"), field("", "Paris")]);
    assert_eq!(front.organization, "Maison Levain");
}

#[test]
fn the_first_barcode_in_a_known_format_is_drawn() {
    let message = |pass: &Value| front(pass, &Strings::new()).barcode.map(|barcode| barcode.message);
    let mut pass = coupon("hello");
    assert_eq!(message(&pass), Some("one".to_owned()));
    pass["barcodes"] = json!([
        {"format": "PKBarcodeFormatOfTomorrow", "message": "new"},
        {"format": "PKBarcodeFormatAztec", "message": "classic"}
    ]);
    assert_eq!(message(&pass), Some("classic".to_owned()));
    pass["barcodes"] = json!([]);
    assert_eq!(message(&pass), None);
    pass["barcode"] = json!({"format": "PKBarcodeFormatPDF417", "message": "before iOS 9"});
    assert_eq!(message(&pass), Some("before iOS 9".to_owned()));
}

#[test]
fn colours_are_the_passs_own() {
    let mut pass = coupon("hello");
    pass["backgroundColor"] = "rgb(94, 45,22)".into();
    pass["labelColor"] = "rgb(1, 2)".into();
    let front = front(&pass, &Strings::new());
    assert_eq!(front.background, Rgb(94, 45, 22));
    assert_eq!(front.label, Rgb::WHITE, "what is no colour is as good as none");
}
