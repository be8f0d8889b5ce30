//! Whatever a merchant or a holder writes: it cannot break the JSON, leave its string, or reach another pass's data.

use proptest::prelude::*;
use serde_json::json;

use super::{
    tests::{Bench, prepare},
    *,
};
use crate::template::tests::{coupon, template};

/// Texts that have broken other people's templates, and any other.
fn text() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "\"}],\"authenticationToken\":\"x",
        "{{ pass.barcode }}",
        "{{ holder.name }}",
        "{{",
        "}}",
        "\\u0022",
        "\u{202e}\u{0}\n",
        "<a href=\"https://example.com\">",
        "%@",
    ]);
    prop_oneof![
        nasty.prop_map(str::to_owned),
        any::<String>(),
        (any::<String>(), any::<String>()).prop_map(|(a, b)| format!("{a}{{{{ {b}"))
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// What no input may change: the keys of the service, the barcode, and which fields there are.
fn untouched(pass: &Value, bench: &Bench) -> Result<(), TestCaseError> {
    prop_assert_eq!(&pass["passTypeIdentifier"], bench.pass_type_identifier.as_str());
    prop_assert_eq!(&pass["teamIdentifier"], bench.team_identifier.as_str());
    prop_assert_eq!(&pass["serialNumber"], bench.serial_number.as_str());
    prop_assert_eq!(&pass["authenticationToken"], bench.authentication_token.expose());
    prop_assert_eq!(&pass["webServiceURL"], "https://passes.example.com");
    prop_assert_eq!(pass.to_string().matches(bench.authentication_token.expose()).count(), 1);
    Ok(())
}

proptest! {
    #[test]
    fn holder_data_stays_in_its_strings(holder in any_json(), name in text()) {
        let mut holder = holder;
        if let Value::Object(members) = &mut holder {
            members.insert("name".to_owned(), name.clone().into());
        }
        let bench = Bench::new();
        let look = prepare(&template(&coupon()), json!({})).unwrap();
        let rendered = look.render(&bench.inputs(&holder));
        let pass: Value = serde_json::from_slice(rendered.pass_json()).unwrap();
        untouched(&pass, &bench)?;
        prop_assert_eq!(&pass["barcodes"][0]["message"], bench.barcode.expose());
        if holder.is_object() && name.chars().count() < 1000 {
            // What is put in is never read again: braces in a name are a name.
            prop_assert_eq!(&pass["description"], &json!(format!("A coupon for {name}")));
        }
        let again = look.render(&bench.inputs(&holder));
        prop_assert_eq!(rendered.manifest(), again.manifest());
    }

    #[test]
    fn an_overlay_is_refused_by_path_or_stays_in_its_place(value in any_json(), label in text(), key in text()) {
        let overlay = json!({
            "set": { "userInfo": value, key: label },
            "fields": { "offer": { "label": label } },
        });
        match prepare(&template(&coupon()), overlay) {
            Err(problems) => prop_assert!(!problems.is_empty()),
            Ok(look) => {
                let bench = Bench::new();
                let holder = json!({ "name": "Ada" });
                let pass = look.render(&bench.inputs(&holder));
                untouched(&serde_json::from_slice(pass.pass_json()).unwrap(), &bench)?;
            }
        }
    }

    /// A skeleton is a short cut: whatever is filled in, it makes what putting together, examining and mending makes.
    #[test]
    fn a_skeleton_makes_what_mending_makes(
        holder in any_json(),
        name in text(),
        barcode in prop::option::of(text()),
        remaining in prop::option::of(any::<u32>()),
        set in open_members(),
    ) {
        let mut holder = holder;
        if let Value::Object(members) = &mut holder {
            members.insert("name".to_owned(), name.into());
        }
        let overlay = json!({
            "set": set,
            "fields": { "offer": { "label": "{{ holder.name }}", "value": "{{ holder.0 }}", "changeMessage": "{{ holder.name }}" } },
        });
        if let Ok(look) = prepare(&template(&coupon()), overlay) {
            let bench = Bench::new();
            let barcode = barcode.map(Barcode::new);
            let inputs = Inputs { barcode: barcode.as_ref(), remaining, ..bench.inputs(&holder) };
            let rendered = look.render(&inputs);
            prop_assert_eq!(rendered.pass_json(), look.mended(&inputs));
        }
    }
}

/// Members with placeholders, some where any text may stand, some where not.
fn open_members() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({}),
        json!({ "logoText": "{{ holder.name }}" }),
        json!({ "organizationName": "{{ holder.name }}", "description": " {{ holder.a }}" }),
        json!({ "barcodes": [{ "format": "PKBarcodeFormatQR", "message": "{{ holder.name }}", "messageEncoding": "iso-8859-1",
            "altText": "{{ holder.name }}" }] }),
        json!({ "barcodes": [{ "format": "{{ holder.name }}", "message": "{{ pass.barcode }}", "messageEncoding": "utf-8" }] }),
        json!({ "expirationDate": "{{ holder.name }}" }),
        json!({ "backgroundColor": "{{ holder.name }}" }),
        json!({ "userInfo": { "a": "{{ holder.name }}" } }),
        json!({ "coupon": { "auxiliaryFields": [
            { "key": "a", "label": "A", "value": "{{ holder.name }}", "numberStyle": "PKNumberStyleDecimal" },
            { "key": "b", "attributedValue": "<b>{{ holder.name }}</b>", "value": "{{ pass.remaining }}" },
            { "key": "c", "value": "{{ offer.redemptions }}" },
            { "key": "{{ holder.name }}", "value": "c" }] } }),
        json!({ "coupon": { "backFields": [
            { "key": "b", "attributedValue": "<b>{{ holder.name }}</b>", "value": "{{ pass.remaining }}" },
            { "key": "c", "value": "{{ offer.redemptions }}", "label": "{{ pass.serialNumber }}" }] } }),
    ])
}
