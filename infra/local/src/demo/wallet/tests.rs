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
