use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::{
    images::tests::png_of,
    template::tests::{coupon, folder, template, zip_of},
};

/// What one test varies; the rest stands still.
pub(super) struct Bench {
    pub(super) pass_type_identifier: PassTypeIdentifier,
    pub(super) team_identifier: TeamIdentifier,
    pub(super) serial_number: SerialNumber,
    pub(super) authentication_token: AuthenticationToken,
    pub(super) barcode: Barcode,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            pass_type_identifier: "pass.example.passloop".parse().unwrap(),
            team_identifier: "PASSLOOP01".parse().unwrap(),
            serial_number: "S1".parse().unwrap(),
            authentication_token: AuthenticationToken::new("vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc"),
            barcode: Barcode::new("BARCODE-1"),
        }
    }

    pub(super) fn inputs<'a>(&'a self, holder: &'a Value) -> Inputs<'a> {
        Inputs {
            pass_type_identifier: &self.pass_type_identifier,
            team_identifier: &self.team_identifier,
            serial_number: &self.serial_number,
            authentication_token: &self.authentication_token,
            web_service_url: "https://passes.example.com",
            barcode: Some(&self.barcode),
            holder,
            remaining: Some(3),
            redemptions: 2,
            personalization: Personalization::Offered,
        }
    }
}

fn overlay(source: Value) -> Overlay {
    serde_json::from_value(source).unwrap()
}

fn prepare_as(
    template: &Template,
    redeemability: Redeemability,
    overlays: &[(&str, &Overlay)],
) -> Result<Look, Problems> {
    let offer = json!({"offerId": "free", "title": "Free croissant", "price": 2.5});
    Look::prepare(template, &LookPlan { overlays, redeemability, offer: &offer, expires_at: None, places: &[] })
}

pub(super) fn prepare(template: &Template, source: Value) -> Result<Look, Problems> {
    prepare_as(template, Redeemability::Open, &[("/overlay", &overlay(source))])
}

fn pass_of(look: &Look, holder: &Value) -> Value {
    serde_json::from_slice(look.render(&Bench::new().inputs(holder)).pass_json()).unwrap()
}

fn manifest_of(look: &Look) -> BTreeMap<String, String> {
    serde_json::from_slice(look.render(&Bench::new().inputs(&json!({}))).manifest()).unwrap()
}

fn problem_paths(result: Result<Look, Problems>) -> Vec<String> {
    result.unwrap_err().into_iter().map(|problem| problem.path).collect()
}

#[test]
fn a_pass_holds_the_template_the_offer_the_holder_and_the_keys_of_the_service() {
    let pass = pass_of(&prepare(&template(&coupon()), json!({})).unwrap(), &json!({"name": "Ada"}));
    let mut expected = coupon();
    expected["description"] = json!("A coupon for Ada");
    expected["coupon"]["primaryFields"][0]["value"] = json!("Free croissant");
    expected["barcodes"][0]["message"] = json!("BARCODE-1");
    expected["passTypeIdentifier"] = json!("pass.example.passloop");
    expected["teamIdentifier"] = json!("PASSLOOP01");
    expected["serialNumber"] = json!("S1");
    expected["authenticationToken"] = json!("vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc");
    expected["webServiceURL"] = json!("https://passes.example.com");
    assert_eq!(pass, expected);
}

#[test]
fn the_package_holds_what_belongs_into_it_and_nothing_else() {
    let mut files = folder(&coupon());
    files.insert("thumbnail.png".into(), png_of(90, 90));
    files.insert("fr.lproj/logo.png".into(), png_of(160, 50));
    let template = Template::from_zip(&zip_of(&files)).unwrap().0;
    let manifest = manifest_of(&prepare(&template, json!({})).unwrap());
    let names: Vec<&str> = manifest.keys().map(String::as_str).collect();
    // Reference 3.9: a coupon has icon, logo and strip; used-strip is no slot of Apple's.
    assert_eq!(
        names,
        [
            "de.lproj/pass.strings",
            "en.lproj/pass.strings",
            "fr.lproj/logo.png",
            "icon.png",
            "icon@2x.png",
            "icon@3x.png",
            "pass.json",
            "strip.png",
            "strip@2x.png",
            "strip@3x.png"
        ]
    );
    assert!(
        manifest
            .values()
            .all(|hash| hash.len() == 40 && hash.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()))
    );
}

#[test]
fn a_mapped_image_replaces_every_scale() {
    let template = template(&coupon());
    let plain = manifest_of(&prepare(&template, json!({})).unwrap());
    let used = manifest_of(&prepare(&template, json!({"images": {"strip": "used-strip"}})).unwrap());
    assert_eq!(plain.keys().collect::<Vec<_>>(), used.keys().collect::<Vec<_>>());
    for (path, scale) in [("strip.png", 1), ("strip@2x.png", 2), ("strip@3x.png", 3)] {
        let expected = hex::encode(openssl::sha::sha1(&png_of(375 * scale, 123 * scale)));
        assert_eq!(used[path], expected);
        assert_ne!(plain[path], expected);
    }
}

#[test]
fn equal_inputs_render_equal_bytes() {
    let template = template(&coupon());
    let bench = Bench::new();
    let holder = json!({"name": "Ada"});
    let render = || {
        let look = prepare(&template, json!({})).unwrap();
        let rendered = look.render(&bench.inputs(&holder));
        (rendered.manifest().to_vec(), rendered.package(b"signature").unwrap())
    };
    assert_eq!(render(), render());
}

#[test]
fn the_digest_changes_with_what_is_shown_and_with_nothing_else() {
    let template = template(&coupon());
    let digest = |overlay| prepare(&template, overlay).unwrap().digest();
    let plain = digest(json!({}));
    // What the template says already changes nothing.
    assert_eq!(digest(json!({"fields": {"status": {"value": "Ready"}}, "set": {"logoText": null}})), plain);
    let mut seen = BTreeSet::from([plain]);
    for different in [
        json!({"fields": {"status": {"value": "Used"}}}),
        json!({"fields": {"status": {"value": "{{ holder.name }}"}}}),
        json!({"fields": {"status": {"value": "{{ holder.nick }}"}}}),
        json!({"images": {"strip": "used-strip"}}),
        json!({"removeFields": ["terms"]}),
        json!({"set": {"logoText": "x"}}),
    ] {
        assert!(seen.insert(digest(different.clone())), "{different}");
    }
    let offer_text = |title: &str| {
        let offer = json!({"title": title});
        let plan = LookPlan {
            overlays: &[],
            redeemability: Redeemability::Open,
            offer: &offer,
            expires_at: None,
            places: &[],
        };
        Look::prepare(&template, &plan).unwrap().digest()
    };
    assert_ne!(offer_text("a"), offer_text("b"));
    assert_eq!(offer_text("a"), offer_text("a"));
}

#[test]
fn a_used_pass_has_no_barcode_unless_the_last_overlay_puts_one_back() {
    let mut source = coupon();
    source["barcode"] = source["barcodes"][0].clone();
    source["nfc"] = json!({"message": "m", "encryptionPublicKey": "AAAA"});
    let template = template(&source);
    let holder = json!({});
    let of_offer = overlay(json!({"set": {"barcodes": source["barcodes"], "logoText": "Offer"}}));
    let used = overlay(json!({"fields": {"status": {"value": "Used"}}}));
    let look = |redeemability, overlays: &[(&str, &Overlay)]| {
        pass_of(&prepare_as(&template, redeemability, overlays).unwrap(), &holder)
    };
    let pass = look(Redeemability::Used, &[("/offer", &of_offer), ("/used", &used)]);
    for key in ["barcode", "barcodes", "nfc", "voided"] {
        assert!(pass.get(key).is_none(), "{key}");
    }
    assert_eq!((&pass["logoText"], &pass["coupon"]["secondaryFields"][0]["value"]), (&json!("Offer"), &json!("Used")));
    assert!(look(Redeemability::Used, &[]).get("barcodes").is_none());
    assert!(look(Redeemability::Used, &[("/offer", &of_offer)]).get("barcodes").is_some());
    assert_eq!(look(Redeemability::Voided, &[("/voided", &used)])["voided"], true);
    assert!(look(Redeemability::Open, &[("/used", &used)]).get("barcode").is_some());
}

#[test]
fn an_expiry_is_set_unless_the_look_has_one() {
    let offer = json!({});
    let expiry = |overlay: &Overlay| {
        let plan = LookPlan {
            overlays: &[("/overlay", overlay)],
            redeemability: Redeemability::Open,
            offer: &offer,
            expires_at: Some("2026-12-24T18:00:00.25Z".parse().unwrap()),
            places: &[],
        };
        pass_of(&Look::prepare(&template(&coupon()), &plan).unwrap(), &json!({}))["expirationDate"].clone()
    };
    assert_eq!(expiry(&Overlay::default()), "2026-12-24T18:00:00Z");
    assert_eq!(expiry(&overlay(json!({"set": {"expirationDate": "2027-01-01T00:00Z"}}))), "2027-01-01T00:00Z");
}

#[test]
fn problems_name_the_overlay_they_come_from() {
    let template = template(&coupon());
    let paths = |source: Value| problem_paths(prepare(&template, source));
    assert_eq!(paths(json!({"fields": {"nobody": {"value": ""}}})), ["/overlay/fields/nobody"]);
    assert_eq!(paths(json!({"fields": {"status": {"value": null}}})), ["/overlay/fields/status/value"]);
    assert_eq!(paths(json!({"fields": {"status": {"value": "{{ x }}"}}})), ["/overlay/fields/status/value"]);
    assert_eq!(paths(json!({"fields": {"status": {"label": 7}}})), ["/overlay/fields/status/label"]);
    assert_eq!(paths(json!({"removeFields": ["terms", "nobody"]})), ["/overlay/removeFields/1"]);
    assert_eq!(paths(json!({"set": {"backgroundColor": "red"}})), ["/overlay/set/backgroundColor"]);
    assert_eq!(paths(json!({"set": {"description": null}})), ["/overlay/set/description"]);
    assert_eq!(paths(json!({"set": {"serialNumber": "1"}})), ["/overlay/set/serialNumber"]);
    assert_eq!(paths(json!({"set": {"generic": {}}})), ["/overlay/set/generic"]);
    assert_eq!(paths(json!({"set": {"coupon": null}})), ["/overlay/set/coupon"]);
    assert_eq!(
        paths(json!({"set": {"coupon": {"headerFields": [{"key": "a"}]}}})),
        ["/overlay/set/coupon/headerFields/0/value"]
    );
    assert_eq!(paths(json!({"images": {"strip": "no-strip"}})), ["/overlay/images/strip"]);
    assert_eq!(paths(json!({"images": {"banner": "used-strip"}})), ["/overlay/images/banner"]);
    assert_eq!(paths(json!({"images": {"logo": "used-strip"}})), ["/overlay/images/logo"]);
}

#[test]
fn holder_data_can_neither_leave_its_string_nor_call_on_other_data() {
    let look = prepare(&template(&coupon()), json!({})).unwrap();
    for evil in ["\", \"voided\": true, \"x\": \"", "{{ pass.barcode }}", "\\", "\u{0}\n\"}]", "%@"] {
        let pass = pass_of(&look, &json!({"name": evil}));
        assert_eq!(pass["description"], format!("A coupon for {evil}"));
        assert!(pass.get("voided").is_none());
    }
}

#[test]
fn translations_hold_placeholders_too() {
    let look = prepare(&template(&coupon()), json!({})).unwrap();
    let render = |name: &str| look.render(&Bench::new().inputs(&json!({"name": name}))).manifest().to_vec();
    let hash = |manifest: &[u8], path: &str| serde_json::from_slice::<Value>(manifest).unwrap()[path].clone();
    let (ada, evil) = (render("Ada"), render("\"; \"OFFER\" = \"free money"));
    let expected = |name: &str| {
        let file = strings::encode([("OFFER", format!("Für {name}"))]);
        json!(hex::encode(openssl::sha::sha1(&file)))
    };
    assert_eq!(hash(&ada, "de.lproj/pass.strings"), expected("Ada"));
    assert_eq!(hash(&evil, "de.lproj/pass.strings"), expected("\"; \"OFFER\" = \"free money"));
    assert_eq!(hash(&ada, "en.lproj/pass.strings"), hash(&evil, "en.lproj/pass.strings"));
}

#[test]
fn a_value_that_is_one_placeholder_stays_a_number() {
    let mut source = coupon();
    source["coupon"]["auxiliaryFields"] = json!([
        {"key": "balance", "value": "{{ holder.balance }}", "currencyCode": "EUR"},
        {"key": "price", "value": "{{ offer.price }}", "currencyCode": "EUR"},
        {"key": "left", "value": "{{ pass.remaining }}"},
        {"key": "text", "value": "{{ holder.balance }} left", "label": "{{ holder.balance }}"},
    ]);
    let look = prepare(&template(&source), json!({})).unwrap();
    let fields = pass_of(&look, &json!({"balance": 12.5}))["coupon"]["auxiliaryFields"].clone();
    assert_eq!(
        [&fields[0]["value"], &fields[1]["value"], &fields[2]["value"], &fields[3]["value"], &fields[3]["label"]],
        [&json!(12.5), &json!(2.5), &json!(3), &json!("12.5 left"), &json!("12.5")]
    );
}

#[test]
fn bad_holder_data_is_told_when_checked_and_left_out_when_rendered() {
    let mut source = coupon();
    source["relevantDate"] = json!("{{ holder.date }}");
    source["coupon"]["auxiliaryFields"] = json!([
        {"key": "balance", "value": "{{ holder.balance }}", "currencyCode": "EUR"},
        {"key": "name", "value": "{{ holder.name }}"},
    ]);
    let look = prepare(&template(&source), json!({})).unwrap();
    let bench = Bench::new();
    let bad = json!({"balance": "much", "date": "soon", "name": "x".repeat(MAX_SUBSTITUTED_CHARS)});
    let problems = look.check(&bench.inputs(&bad)).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/pass.json/relevantDate",
            "/pass.json/coupon/auxiliaryFields/0/value",
            "/pass.json/description",
            "/de.lproj/pass.strings/OFFER"
        ]
    );
    let pass = pass_of(&look, &bad);
    assert!(pass.get("relevantDate").is_none());
    assert_eq!(pass["coupon"]["auxiliaryFields"].as_array().unwrap().len(), 1);
    assert_eq!(pass["coupon"]["auxiliaryFields"][0]["key"], "name");
    let good = json!({"balance": 5, "date": "2026-12-24T18:00Z", "name": "Ada"});
    assert_eq!(look.check(&bench.inputs(&good)), Ok(()));
}

#[test]
fn a_pass_without_barcode_shows_none() {
    let look = prepare(&template(&coupon()), json!({})).unwrap();
    let bench = Bench::new();
    let holder = json!({});
    let inputs = Inputs { barcode: None, ..bench.inputs(&holder) };
    let pass: Value = serde_json::from_slice(look.render(&inputs).pass_json()).unwrap();
    assert!(pass.get("barcodes").is_none());
    assert_eq!(look.check(&inputs).unwrap_err()[0].path, "/pass.json/barcodes/0/message");
}

#[test]
fn a_mapped_icon_must_stand_in_the_root() {
    let mut files = folder(&coupon());
    files.insert("de.lproj/flag.png".into(), png_of(29, 29));
    let template = Template::from_zip(&zip_of(&files)).unwrap().0;
    assert_eq!(problem_paths(prepare(&template, json!({"images": {"icon": "flag"}}))), ["/icon.png"]);
}

#[test]
fn holder_data_cannot_put_markup_into_an_attributed_value() {
    let mut source = coupon();
    source["coupon"]["backFields"][0]["attributedValue"] =
        json!("<a href='https://example.com'>{{ offer.title }}, {{ holder.name }}</a>");
    let look = prepare(&template(&source), json!({})).unwrap();
    let pass = pass_of(&look, &json!({"name": "<a href='https://evil.example'>x</a>"}));
    assert_eq!(
        pass["coupon"]["backFields"][0]["attributedValue"],
        "<a href='https://example.com'>Free croissant, &lt;a href=&#39;https://evil.example&#39;&gt;x&lt;/a&gt;</a>"
    );
}

#[test]
fn one_look_serves_many_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Look>();
    is_shared::<Rendered>();
    is_shared::<crate::signing::SigningIdentity>();
}

#[test]
fn nothing_of_a_pass_prints() {
    let look = prepare(&template(&coupon()), json!({})).unwrap();
    let bench = Bench::new();
    let holder = json!({"name": "Ada"});
    let printed = format!("{look:?}{:?}", look.render(&bench.inputs(&holder)));
    for secret in ["Ada", "BARCODE-1", "vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc"] {
        assert!(!printed.contains(secret), "{secret}");
    }
}

#[test]
fn rewards_enrolment_is_packed_only_whole() {
    let mut source = coupon();
    source["nfc"] = json!({"message": "m", "encryptionPublicKey": "AAAA"});
    let mut files = folder(&source);
    let sheet = json!({"description": "Join", "requiredPersonalizationFields": ["PKPassPersonalizationFieldName"]});
    files.insert("personalization.json".into(), sheet.to_string().into_bytes());
    files.insert("personalizationLogo@2x.png".into(), png_of(300, 80));
    let template = Template::from_zip(&zip_of(&files)).unwrap().0;
    let has = |look: &Look| {
        let manifest = manifest_of(look);
        ["personalization.json", "personalizationLogo@2x.png"].map(|path| manifest.contains_key(path))
    };
    assert_eq!(has(&prepare(&template, json!({})).unwrap()), [true, true]);
    // Reference 1.3, P: the phone expects the next pass without the sheet, and changed for that alone.
    let look = prepare(&template, json!({})).unwrap();
    let (bench, holder) = (Bench::new(), json!({}));
    let of = |personalization| {
        let rendered = look.render(&Inputs { personalization, ..bench.inputs(&holder) });
        serde_json::from_slice::<BTreeMap<String, String>>(rendered.manifest()).unwrap()
    };
    let (offered, mut done) = (of(Personalization::Offered), of(Personalization::Done));
    for path in ["personalization.json", "personalizationLogo@2x.png"] {
        assert!(done.insert(path.to_owned(), offered[path].clone()).is_none(), "{path}");
    }
    assert_eq!(done, offered);
    // Without nfc the sheet goes, and its logo with it (reference 3.7).
    assert_eq!(has(&prepare(&template, json!({"set": {"nfc": null}})).unwrap()), [false, false]);
}

fn prepare_at(template: &Template, places: &[Place<'_>], overlay: &Overlay) -> Result<Look, Problems> {
    let offer = json!({"title": "Free croissant"});
    let overlays = [("/overlay", overlay)];
    let redeemability = Redeemability::Open;
    Look::prepare(template, &LookPlan { overlays: &overlays, redeemability, offer: &offer, expires_at: None, places })
}

fn place(longitude: f64, relevant_text: &str) -> Place<'_> {
    Place { position: Position::new(0.0, longitude).unwrap(), relevant_text, member: "relevantText" }
}

#[test]
fn places_replace_the_locations_of_the_template_but_not_those_of_an_overlay() {
    let mut pass = coupon();
    pass["locations"] = json!([{"latitude": 1, "longitude": 1}]);
    let template = template(&pass);
    let locations = |places: &[Place<'_>], source: Value| {
        let look = prepare_at(&template, places, &overlay(source)).unwrap();
        pass_of(&look, &json!({"name": "Ada"})).get("locations").cloned()
    };
    assert_eq!(locations(&[], json!({})), Some(pass["locations"].clone()));
    let shop = place(2.5, "{{ offer.title }} for {{ holder.name }}");
    let expected = json!([{"latitude": 0.0, "longitude": 2.5, "relevantText": "Free croissant for Ada"}]);
    assert_eq!(locations(&[shop], json!({})), Some(expected));
    let elsewhere = json!([{"latitude": 3, "longitude": 3}]);
    assert_eq!(locations(&[shop], json!({"set": {"locations": elsewhere}})), Some(elsewhere.clone()));
    assert_eq!(locations(&[shop], json!({"set": {"locations": null}})), None);
}

#[test]
fn two_homes_make_two_passes_of_one_look() {
    let texts: Vec<String> = (0..30).map(|shop| format!("shop {shop}")).collect();
    let places: Vec<_> = texts.iter().zip(0..).map(|(text, east)| place(f64::from(east), text)).collect();
    let look = prepare_at(&template(&coupon()), &places, &Overlay::default()).unwrap();
    let nearest = |longitude: u32| {
        let holder = json!({"home": {"latitude": 0, "longitude": longitude}});
        assert_eq!(look.check(&Bench::new().inputs(&holder)), Ok(()));
        pass_of(&look, &holder)["locations"].as_array().unwrap()[0]["relevantText"].clone()
    };
    assert_eq!((nearest(3), nearest(27)), (json!("shop 3"), json!("shop 27")));
}

#[test]
fn a_place_that_moves_or_says_something_else_is_another_look() {
    let template = template(&coupon());
    let digest = |places: &[Place<'_>]| prepare_at(&template, places, &Overlay::default()).unwrap().digest();
    let digests = [
        digest(&[]),
        digest(&[place(1.0, "a")]),
        digest(&[place(1.5, "a")]),
        digest(&[place(1.0, "b")]),
        digest(&[place(1.0, "{{ holder.a }}")]),
        digest(&[place(1.0, "a"), place(2.0, "a")]),
    ];
    assert_eq!(digests.iter().collect::<BTreeSet<_>>().len(), digests.len());
    assert_eq!(digests[1], digest(&[place(1.0, "a")]));
}

#[test]
fn a_placeholder_that_is_none_is_named_by_its_place() {
    let places = [place(1.0, "fine"), place(2.0, "{{ user.name }}")];
    let prepared = prepare_at(&template(&coupon()), &places, &Overlay::default());
    assert_eq!(problem_paths(prepared), ["/locations/1/relevantText"]);
}

#[test]
fn a_look_tells_when_its_passes_end() {
    let mut pass = coupon();
    pass["expirationDate"] = json!("2026-12-24T18:00Z");
    let template = template(&pass);
    let ends = |source: Value| {
        prepare(&template, source).unwrap().expiration().and_then(|end| end.of(&json!({"until": "2027-01-01"})))
    };
    let moment = |text: &str| Some(text.parse().unwrap());
    assert_eq!(ends(json!({})), moment("2026-12-24T18:00:00Z"));
    assert_eq!(ends(json!({"set": {"expirationDate": "2026-12-25T18:00Z"}})), moment("2026-12-25T18:00:00Z"));
    assert_eq!(ends(json!({"set": {"expirationDate": "{{ holder.until }}T00:00Z"}})), moment("2027-01-01T00:00:00Z"));
    assert_eq!(ends(json!({"set": {"expirationDate": null}})), None);
}

#[test]
fn an_overlay_sets_when_the_pass_ends_and_matters() {
    // Reference 4.6.
    let dates =
        json!([{"date": "2026-11-23T18:30Z"}, {"startDate": "2026-11-24T08:00Z", "endDate": "2026-11-24T12:00Z"}]);
    let look = prepare(
        &template(&coupon()),
        json!({"set": {"expirationDate": "2026-12-24T18:00Z", "relevantDates": dates, "relevantDate": "2026-11-23T18:30Z"}}),
    );
    let pass = pass_of(&look.unwrap(), &json!({}));
    assert_eq!((&pass["expirationDate"], &pass["relevantDates"]), (&json!("2026-12-24T18:00Z"), &dates));
    assert_eq!(pass["relevantDate"], "2026-11-23T18:30Z");
}

#[test]
fn the_translations_are_those_of_the_phones_language() {
    let look = prepare(&template(&coupon()), json!({})).unwrap();
    let rendered = look.render(&Bench::new().inputs(&json!({"name": "Ada"})));
    let offer = |language: &str| rendered.translations(language).get("OFFER").cloned();
    for (language, expected) in [
        ("en", Some("Offer")),
        ("en-GB", Some("Offer")),
        ("de", Some("Für Ada")),
        ("DE-at", Some("Für Ada")),
        ("fr", None),
        ("", None),
    ] {
        assert_eq!(offer(language).as_deref(), expected, "{language:?}");
    }
}

#[test]
fn an_ordinary_look_has_a_skeleton_and_one_with_an_open_date_has_none() {
    let ordinary = prepare(&template(&coupon()), json!({})).unwrap();
    assert!(ordinary.skeleton.is_some());
    let open_date = prepare(&template(&coupon()), json!({"set": {"expirationDate": "{{ holder.until }}"}})).unwrap();
    assert!(open_date.skeleton.is_none());
    // What came with the offer and looks like a placeholder was never examined as what it is.
    let braces = json!({"set": {"userInfo": {"a": "{{ offer.title }}"}}});
    let offer = json!({"offerId": "free", "title": "{{"});
    let overlay = overlay(braces);
    let plan = LookPlan {
        overlays: &[("/overlay", &overlay)],
        redeemability: Redeemability::Open,
        offer: &offer,
        expires_at: None,
        places: &[],
    };
    assert!(Look::prepare(&template(&coupon()), &plan).unwrap().skeleton.is_none());
}
