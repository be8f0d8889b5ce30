use serde_json::{Value, json};

use super::*;

/// The smallest valid coupon.
fn coupon() -> Value {
    json!({
        "formatVersion": 1,
        "organizationName": "Maison Levain",
        "description": "A coupon",
        "coupon": {"primaryFields": [{"key": "offer", "value": "Free croissant"}]},
    })
}

fn report(pass: &Value, stage: Stage) -> Report {
    examine(pass.as_object().unwrap(), stage, "")
}

fn paths(problems: &[crate::problem::Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.path.as_str()).collect()
}

/// The paths of the errors of `pass` with `value` at `at`.
fn errors_with(mut pass: Value, at: &str, value: Value) -> Vec<String> {
    let (parent, key) = at.rsplit_once('/').unwrap();
    pass.pointer_mut(parent).unwrap()[key] = value;
    report(&pass, Stage::Finished).errors.into_iter().map(|problem| problem.path).collect()
}

#[test]
fn the_smallest_pass_of_every_style_is_right() {
    for style in Style::ALL {
        let mut pass = coupon();
        let mut content = pass.as_object_mut().unwrap().remove("coupon").unwrap();
        if style == Style::BoardingPass {
            content["transitType"] = json!("PKTransitTypeTrain");
        }
        pass[style.key()] = content;
        assert_eq!(report(&pass, Stage::Finished).errors, [], "{}", style.key());
    }
}

#[test]
fn every_missing_required_key_is_reported_at_once() {
    // Reference 4.1: formatVersion, organizationName, description, exactly one style.
    let errors = report(&json!({}), Stage::Template).errors;
    assert_eq!(paths(&errors), ["/formatVersion", "/organizationName", "/description", ""]);
}

#[test]
fn required_texts_must_say_something_and_be_texts() {
    assert_eq!(errors_with(coupon(), "/description", json!("  ")), ["/description"]);
    assert_eq!(errors_with(coupon(), "/organizationName", json!(7)), ["/organizationName"]);
    assert_eq!(errors_with(coupon(), "/formatVersion", json!("1")), ["/formatVersion"]);
    assert_eq!(errors_with(coupon(), "/formatVersion", json!(2)), ["/formatVersion"]);
}

#[test]
fn there_is_exactly_one_style_save_a_poster_with_its_fallback() {
    assert_eq!(errors_with(coupon(), "/generic", json!({})), ["/generic"]);
    assert_eq!(errors_with(coupon(), "/posterGeneric", json!({})), [""; 0]);
    assert_eq!(errors_with(coupon(), "/coupon", json!([])), ["/coupon"]);
}

#[test]
fn transit_type_belongs_to_boarding_passes_and_to_them_only() {
    assert_eq!(errors_with(coupon(), "/coupon/transitType", json!("PKTransitTypeAir")), ["/coupon/transitType"]);
    let mut pass = coupon();
    pass.as_object_mut().unwrap().remove("coupon");
    assert_eq!(errors_with(pass.clone(), "/boardingPass", json!({})), ["/boardingPass/transitType"]);
    let wrong = json!({"transitType": "PKTransitTypeRocket"});
    assert_eq!(errors_with(pass, "/boardingPass", wrong), ["/boardingPass/transitType"]);
}

#[test]
fn field_keys_are_unique_in_the_whole_style() {
    let mut pass = coupon();
    pass["coupon"]["backFields"] = json!([{"key": "offer", "value": ""}, {"value": ""}, {"key": "terms"}, 1]);
    let errors = report(&pass, Stage::Finished).errors;
    assert_eq!(
        paths(&errors),
        ["/coupon/backFields/0/key", "/coupon/backFields/1/key", "/coupon/backFields/2/value", "/coupon/backFields/3"]
    );
    assert!(errors[0].message.contains("/coupon/primaryFields/0"), "{}", errors[0].message);
}

#[test]
fn members_of_a_field_have_their_types_and_values() {
    let at = |key: &str| format!("/coupon/primaryFields/0/{key}");
    for (key, wrong) in [
        ("value", json!(true)),
        ("value", json!(null)),
        ("label", json!(1)),
        ("attributedValue", json!([])),
        ("changeMessage", json!(1)),
        ("textAlignment", json!("PKTextAlignmentMiddle")),
        ("dataDetectorTypes", json!("PKDataDetectorTypeLink")),
        ("ignoresTimeZone", json!("true")),
        ("isRelative", json!(1)),
        ("row", json!(2)),
        ("row", json!("1")),
        ("semantics", json!("seat")),
    ] {
        assert_eq!(errors_with(coupon(), &at(key), wrong.clone()), [at(key)], "{key}: {wrong}");
    }
    let detector = errors_with(coupon(), &at("dataDetectorTypes"), json!(["PKDataDetectorTypeEmail"]));
    assert_eq!(detector, [at("dataDetectorTypes/0")]);
}

#[test]
fn formatted_values_are_dates_or_numbers() {
    let field = |field: Value| errors_with(coupon(), "/coupon/backFields", json!([field]));
    let at = |key: &str| vec![format!("/coupon/backFields/0{key}")];
    let date = |value: &str| {
        field(json!({"key": "a", "value": value, "dateStyle": "PKDateStyleShort", "timeStyle": "PKDateStyleNone"}))
    };
    // Reference 4, "General": date, T, hours and minutes, optional seconds, zone required.
    for good in ["2026-11-23T18:30Z", "2026-11-23T18:30:00Z", "2026-11-23T18:30+01:00", "2026-11-23T18:30:00.5-05:00"] {
        assert_eq!(date(good), [""; 0], "{good}");
    }
    for bad in ["2026-11-23", "2026-11-23T18:30:00", "2026-11-23 18:30Z", "23.11.2026", "", "2026-13-01T00:00Z"] {
        assert_eq!(date(bad), at("/value"), "{bad}");
    }
    assert_eq!(field(json!({"key": "a", "value": "7", "currencyCode": "EUR"})), at("/value"));
    assert_eq!(field(json!({"key": "a", "value": 7, "currencyCode": "EUR"})), [""; 0]);
    assert_eq!(field(json!({"key": "a", "value": 7, "currencyCode": "euro"})), at("/currencyCode"));
    assert_eq!(field(json!({"key": "a", "value": 7, "numberStyle": "PKNumberStyleRoman"})), at("/numberStyle"));
    let both = json!({"key": "a", "value": 7, "numberStyle": "PKNumberStyleDecimal", "dateStyle": "PKDateStyleShort"});
    assert_eq!(field(both), at(""));
}

#[test]
fn colours_are_rgb() {
    for good in ["rgb(0, 0, 0)", "rgb(255,255,255)", "#1a2B3c", "#fff"] {
        assert_eq!(errors_with(coupon(), "/backgroundColor", json!(good)), [""; 0], "{good}");
    }
    for bad in
        [json!("rgb(256, 0, 0)"), json!("rgb(1, 2)"), json!("red"), json!("#12345"), json!("rgb(+1,0,0)"), json!(0)]
    {
        assert_eq!(errors_with(coupon(), "/backgroundColor", bad.clone()), ["/backgroundColor"], "{bad}");
    }
}

#[test]
fn barcodes_need_format_message_and_encoding() {
    let good = json!({"format": "PKBarcodeFormatQR", "message": "1", "messageEncoding": "iso-8859-1"});
    assert_eq!(errors_with(coupon(), "/barcodes", json!([good])), [""; 0]);
    assert_eq!(
        errors_with(coupon(), "/barcodes", json!([{"format": "QR", "message": ""}])),
        ["/barcodes/0/format", "/barcodes/0/message", "/barcodes/0/messageEncoding"]
    );
    assert_eq!(
        errors_with(coupon(), "/barcode", json!({"altText": 1})),
        ["/barcode/format", "/barcode/message", "/barcode/messageEncoding", "/barcode/altText"]
    );
    let unencodable = json!([{"format": "PKBarcodeFormatQR", "message": "→", "messageEncoding": "iso-8859-1"}]);
    assert_eq!(errors_with(coupon(), "/barcodes", unencodable), ["/barcodes/0/message"]);
}

#[test]
fn nfc_holds_at_most_64_bytes_and_a_key() {
    let nfc = |message: String, key: &str| {
        errors_with(coupon(), "/nfc", json!({"message": message, "encryptionPublicKey": key}))
    };
    assert_eq!(nfc("x".repeat(64), "AAAA"), [""; 0]);
    assert_eq!(nfc("x".repeat(65), "AAAA"), ["/nfc/message"]);
    assert_eq!(nfc("x".into(), "-----BEGIN"), ["/nfc/encryptionPublicKey"]);
}

#[test]
fn locations_beacons_and_dates_follow_reference_4_6() {
    let place = json!({"latitude": 48.1, "longitude": 11.5});
    assert_eq!(errors_with(coupon(), "/locations", json!(vec![place.clone(); 10])), [""; 0]);
    assert_eq!(errors_with(coupon(), "/locations", json!(vec![place; 11])), ["/locations"]);
    assert_eq!(
        errors_with(coupon(), "/locations", json!([{"latitude": "48"}, {"latitude": 91, "longitude": 0}])),
        ["/locations/0/latitude", "/locations/0/longitude", "/locations/1/latitude"]
    );
    assert_eq!(errors_with(coupon(), "/maxDistance", json!("500")), ["/maxDistance"]);
    assert_eq!(
        errors_with(coupon(), "/beacons", json!([{"major": 65536}, {"proximityUUID": "x"}])),
        ["/beacons/0/proximityUUID", "/beacons/0/major", "/beacons/1/proximityUUID"]
    );
    assert_eq!(errors_with(coupon(), "/expirationDate", json!("tomorrow")), ["/expirationDate"]);
    let dates = json!([
        {"startDate": "2026-11-23T18:00Z", "endDate": "2026-11-23T17:00Z"}, {"startDate": "2026-11-23T18:00Z"}, {},
        {"date": "2026-11-23T18:00Z"},
    ]);
    assert_eq!(
        errors_with(coupon(), "/relevantDates", dates),
        ["/relevantDates/0/endDate", "/relevantDates/1/endDate", "/relevantDates/2"]
    );
}

#[test]
fn keys_that_need_company_say_so() {
    assert_eq!(errors_with(coupon(), "/appLaunchURL", json!("levain:pass")), ["/appLaunchURL"]);
    assert_eq!(errors_with(coupon(), "/groupingIdentifier", json!("a")), ["/groupingIdentifier"]);
    assert_eq!(
        errors_with(coupon(), "/preferredStyleSchemes", json!(["posterEventTicket"])),
        ["/preferredStyleSchemes/0"]
    );
}

#[test]
fn newer_keys_are_checked_where_the_reference_gives_rules() {
    assert_eq!(
        errors_with(
            coupon(),
            "/semantics",
            json!({"eventStartDate": "soon", "duration": "1", "seats": [1], "venueLocation": {}})
        ),
        [
            "/semantics/duration",
            "/semantics/eventStartDate",
            "/semantics/seats/0",
            "/semantics/venueLocation/latitude",
            "/semantics/venueLocation/longitude"
        ]
    );
    assert_eq!(
        errors_with(coupon(), "/upcomingPassInformation", json!([{"identifier": "a", "name": "A", "type": "concert"}])),
        ["/upcomingPassInformation/0/type"]
    );
    assert_eq!(
        errors_with(coupon(), "/featuredActions", json!([{"identifier": "a", "type": "dance"}])),
        ["/featuredActions/0/type"]
    );
    assert_eq!(errors_with(coupon(), "/transferURL", json!("example.com/transfer me")), ["/transferURL"]);
    assert_eq!(errors_with(coupon(), "/someKeyOfTomorrow", json!({"any": ["thing"]})), [""; 0]);
}

#[test]
fn advice_is_no_error() {
    let mut pass = coupon();
    let field = |key: &str| json!({"key": key, "value": ""});
    pass["coupon"]["headerFields"] = json!([field("a"), field("b"), field("c"), field("d")]);
    pass["coupon"]["auxiliaryFields"] = json!([{"key": "e", "value": "", "changeMessage": "changed"}]);
    let report = report(&pass, Stage::Finished);
    assert_eq!(report.errors, []);
    assert_eq!(paths(&report.warnings), ["/coupon/auxiliaryFields/0/changeMessage", "/coupon/headerFields"]);
}

#[test]
fn a_placeholder_counts_as_whatever_it_must_be_until_the_pass_is_finished() {
    let mut pass = coupon();
    pass["expirationDate"] = json!("{{ holder.until }}");
    pass["backgroundColor"] = json!("{{ holder.colour }}");
    pass["coupon"]["backFields"] = json!([{"key": "n", "value": "{{ holder.n }}", "currencyCode": "EUR"}]);
    assert_eq!(report(&pass, Stage::Template).errors, []);
    let finished = report(&pass, Stage::Finished).errors;
    assert_eq!(paths(&finished), ["/backgroundColor", "/expirationDate", "/coupon/backFields/0/value"]);
}
