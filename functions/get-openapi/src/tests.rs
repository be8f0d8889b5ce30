//! The document against what it describes: the routes of `template.yaml`, the doors' own sources, the table of failures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use platform::http::JSON_LIMIT;
use platform::input::DEPTH_LIMIT;
use serde_json::Value;

const TEMPLATE: &str = include_str!("../../../template.yaml");
const FAILURES: &str = include_str!("../../../shared/platform/src/http.rs");
const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];
/// Numbers of the code that the document repeats: file, constant, where in the document; without a leading slash, below
/// `/components/schemas/`.
const LIMITS: [(&str, &str, &str); 57] = [
    ("shared/domain/src/campaign.rs", "MAXIMUM_DEVICES", "CampaignDraft/properties/maximumDevices/maximum"),
    ("functions/put-webhook/src/lib.rs", "URL_LIMIT", "WebhookOrder/properties/url/maxLength"),
    ("shared/platform/src/webhooks.rs", "NAME_LIMIT", "/components/parameters/webhookId/schema/maxLength"),
    ("functions/rotate-webhook-secret/src/lib.rs", "KEEP_LIMIT", "Rotation/properties/keepSeconds/maximum"),
    ("functions/rotate-webhook-secret/src/lib.rs", "KEEP_USUALLY", "Rotation/properties/keepSeconds/default"),
    (
        "shared/platform/src/store/webhooks.rs",
        "MAXIMUM_WEBHOOKS",
        "/paths/~1merchant~1v1~1webhooks~1{webhookId}/put/description",
    ),
    (
        "shared/platform/src/store/webhooks.rs",
        "DELIVERIES_PAGE",
        "/paths/~1merchant~1v1~1webhooks~1{webhookId}~1deliveries/get/description",
    ),
    (
        "functions/replay-webhook/src/lib.rs",
        "PASSES",
        "/paths/~1merchant~1v1~1webhooks~1{webhookId}~1replay/post/description",
    ),
    (
        "functions/list-deliveries/src/lib.rs",
        "CURSOR_LIMIT",
        "/paths/~1merchant~1v1~1webhooks~1{webhookId}~1deliveries/get/parameters/0/schema/maxLength",
    ),
    ("shared/domain/src/retention.rs", "MAXIMUM_RETENTION_DAYS", "CampaignDraft/properties/retentionDays/maximum"),
    ("functions/make-batch/src/lib.rs", "BODY_LIMIT", "/paths/~1merchant~1v1~1passes~1batch/post/description"),
    ("functions/make-batch/src/lib.rs", "BODY_LIMIT", "/info/description"),
    ("functions/make-batch/src/lib.rs", "UPLOAD_LIMIT", "BatchOrder/properties/bytes/maximum"),
    ("shared/platform/src/batch_rows.rs", "MAXIMUM_ROWS", "/paths/~1merchant~1v1~1passes~1batch/post/description"),
    ("shared/platform/src/batch_rows.rs", "ROW_LIMIT", "/paths/~1merchant~1v1~1passes~1batch/post/description"),
    ("shared/platform/src/issuing.rs", "TOKEN_AT_LEAST", "PassOrder/properties/authenticationToken/minLength"),
    ("shared/platform/src/issuing.rs", "TOKEN_LIMIT", "PassOrder/properties/authenticationToken/maxLength"),
    ("shared/platform/src/issuing.rs", "BARCODE_LIMIT", "PassOrder/properties/barcode/maxLength"),
    ("functions/reverse-redemption/src/lib.rs", "REASON_LIMIT", "ReversalOrder/properties/reason/maxLength"),
    ("shared/platform/src/store/tallies.rs", "ROWS", "Report/properties/redemptions/maxItems"),
    ("shared/domain/src/limit.rs", "HOLDER_KEY_CHARACTERS", "CampaignDraft/properties/holderKey/maxLength"),
    ("shared/domain/src/campaign.rs", "MAXIMUM_TOTAL_REDEMPTIONS", "Offer/properties/totalRedemptionLimit/maximum"),
    (
        "shared/domain/src/campaign.rs",
        "MAXIMUM_TOTAL_REDEMPTIONS",
        "CampaignDraft/properties/totalRedemptionLimit/maximum",
    ),
    (
        "shared/domain/src/campaign.rs",
        "MAXIMUM_REVERSIBLE_FOR_SECONDS",
        "CampaignDraft/properties/reversibleForSeconds/maximum",
    ),
    (
        "shared/domain/src/campaign.rs",
        "DEFAULT_REVERSIBLE_FOR_SECONDS",
        "CampaignDraft/properties/reversibleForSeconds/default",
    ),
    ("shared/domain/src/location.rs", "MAXIMUM_LOCATIONS", "CampaignDraft/properties/locations/maxItems"),
    ("shared/domain/src/location.rs", "LOCATION_TEXT_CHARACTERS", "Location/properties/name/maxLength"),
    ("shared/domain/src/location.rs", "BENEFIT_BYTES", "Benefit/description"),
    ("shared/platform/src/merchant.rs", "HOLDER_LIMIT", "PreviewOrder/properties/holder/description"),
    ("functions/preview-campaign/src/lib.rs", "LANGUAGE_LIMIT", "PreviewOrder/properties/language/maxLength"),
    ("shared/domain/src/campaign.rs", "MAXIMUM_OFFERS", "CampaignDraft/properties/offers/maxItems"),
    (
        "shared/domain/src/campaign.rs",
        "MAXIMUM_NEXT_OFFER_AFTER_SECONDS",
        "CampaignDraft/properties/nextOfferAfterSeconds/maximum",
    ),
    ("shared/domain/src/campaign.rs", "MAXIMUM_REDEMPTIONS", "Offer/properties/redemptionLimit/maximum"),
    ("shared/domain/src/campaign.rs", "TITLE_CHARACTERS", "Offer/properties/title/maxLength"),
    ("shared/domain/src/campaign.rs", "MAXIMUM_PUSH_OVER_SECONDS", "CampaignDraft/properties/pushOverSeconds/maximum"),
    ("shared/domain/src/link.rs", "MAXIMUM_DOWNLOADS", "PassOrder/properties/downloadLimit/maximum"),
    ("shared/domain/src/link.rs", "MAXIMUM_DOWNLOADS", "LinkOrder/properties/downloadLimit/maximum"),
    ("shared/passkit/src/bundle.rs", "MAXIMUM_PASSES", "BundleOrder/properties/passes/maxItems"),
    (
        "functions/make-bundle/src/lib.rs",
        "BUNDLE_LIMIT",
        "/paths/~1merchant~1v1~1bundles/post/responses/413/description",
    ),
    (
        "functions/get-pass-mail/src/lib.rs",
        "BADGE_URL_LIMIT",
        "/paths/~1merchant~1v1~1passes~1{passTypeIdentifier}~1{serialNumber}~1mail/get/parameters/0/schema/maxLength",
    ),
    ("functions/make-key/src/lib.rs", "NAME_LIMIT", "KeyOrder/properties/name/maxLength"),
    ("shared/platform/src/store/keys.rs", "MAXIMUM_KEYS", "/paths/~1merchant~1v1~1keys/post/description"),
    ("shared/platform/src/store/campaigns.rs", "TEMPLATES_PAGE", "/paths/~1merchant~1v1~1templates/get/description"),
    ("shared/platform/src/store/campaigns.rs", "CAMPAIGNS_PAGE", "/paths/~1merchant~1v1~1campaigns/get/description"),
    ("functions/list-passes/src/lib.rs", "EXAMINED_LIMIT", "/paths/~1merchant~1v1~1passes/get/description"),
    ("functions/list-passes/src/lib.rs", "PAGE_LIMIT", "/paths/~1merchant~1v1~1passes/get/parameters/2/schema/maximum"),
    (
        "functions/list-passes/src/lib.rs",
        "PAGE_USUALLY",
        "/paths/~1merchant~1v1~1passes/get/parameters/2/schema/default",
    ),
    ("functions/list-passes/src/cursor.rs", "LIMIT", "/paths/~1merchant~1v1~1passes/get/parameters/3/schema/maxLength"),
    ("functions/void-pass/src/lib.rs", "REASON_LIMIT", "Voiding/properties/reason/maxLength"),
    ("functions/redeem-pass/src/lib.rs", "BARCODE_LIMIT", "RedemptionByBarcode/properties/barcode/maxLength"),
    ("functions/redeem-pass/src/lib.rs", "NAME_LIMIT", "RedemptionByBarcode/properties/location/maxLength"),
    ("functions/redeem-pass/src/lib.rs", "NAME_LIMIT", "RedemptionBySerialNumber/properties/till/maxLength"),
    ("shared/platform/src/merchant.rs", "HOLDER_LIMIT", "Holder/description"),
    ("shared/platform/src/merchant.rs", "HOLDER_LIMIT", "PassChange/properties/holder/description"),
    (
        "functions/put-template/src/lib.rs",
        "CAMPAIGNS_LIMIT",
        "/paths/~1merchant~1v1~1templates~1{templateId}/put/description",
    ),
    (
        "shared/passkit/src/personalization.rs",
        "TOKEN_BYTES",
        "/paths/~1v1~1passes~1{passTypeIdentifier}~1{serialNumber}~1personalize/post/requestBody/content/application~1json/schema/properties/personalizationToken/maxLength",
    ),
    (
        "shared/passkit/src/personalization.rs",
        "FACT_CHARACTERS",
        "/paths/~1v1~1passes~1{passTypeIdentifier}~1{serialNumber}~1personalize/post/requestBody/content/application~1json/schema/properties/requiredPersonalizationInfo/properties/fullName/maxLength",
    ),
];

fn document() -> Value {
    serde_json::from_str(crate::DOCUMENT).expect("openapi.json is JSON")
}

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The code of a door.
fn door(operation: &Operation) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(operation.function()).join("src");
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = files.map(|file| file.expect("a file").path());
    let rust = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|path| fs::read_to_string(path).expect("text")).collect()
}

struct Operation {
    method: &'static str,
    path: String,
    content: Value,
}

impl Operation {
    fn text(&self, member: &str) -> &str {
        self.content[member].as_str().unwrap_or_default()
    }

    fn function(&self) -> &str {
        self.text("operationId").trim_end_matches("-head")
    }

    /// The role it asks for; `None` when it takes no merchant's key.
    fn role(&self) -> Option<&str> {
        self.content["security"].as_array()?.iter().find_map(|way| way.get("merchantKey")?[0].as_str())
    }

    fn has_response(&self, status: &str) -> bool {
        self.content["responses"].get(status).is_some()
    }
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS {
            if let Some(content) = item.get(method) {
                all.push(Operation { method, path: path.clone(), content: content.clone() });
            }
        }
    }
    assert!(!all.is_empty());
    all
}

/// Every value of the document, with the pointer to it.
fn walk(value: &Value, pointer: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(pointer, value);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let token = name.replace('~', "~0").replace('/', "~1");
                walk(member, &format!("{pointer}/{token}"), visit);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{pointer}/{index}"), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn references(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(value, "", &mut |_, value| {
        if let Some(Value::String(reference)) = value.get("$ref") {
            found.insert(reference.clone());
        }
    });
    found
}

/// What a schema or a reference to one says.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not there")),
        None => schema,
    }
}

fn one_or_several(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).iter()
}

/// Why `value` does not fit `schema`, as far as types, names of members and fixed values go.
fn misfit(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let schema = resolve(document, schema);
    for alternatives in ["oneOf", "anyOf"] {
        if let Some(alternatives) = schema.get(alternatives).and_then(Value::as_array) {
            let misfits: Vec<_> = alternatives.iter().map(|one| misfit(document, one, value)).collect();
            return misfits.iter().all(Option::is_some).then(|| format!("{value} fits no alternative: {misfits:?}"));
        }
    }
    let mut parts = schema.get("allOf").into_iter().flat_map(one_or_several);
    if let Some(misfit) = parts.find_map(|part| misfit(document, part, value)) {
        return Some(misfit);
    }
    for fixed in ["const", "enum"] {
        if schema.get(fixed).is_some_and(|fixed| !one_or_several(fixed).any(|one| one == value)) {
            return Some(format!("{value} is not {}", schema[fixed]));
        }
    }
    let kind = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Bool(_) => "boolean",
        Value::Null => "null",
    };
    if schema.get("type").is_some_and(|wanted| !one_or_several(wanted).any(|one| one == kind)) {
        return Some(format!("{value} is of type {kind}, not {}", schema["type"]));
    }
    match value {
        Value::Object(members) => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            if let Some(missing) = required.into_iter().find(|name| !members.contains_key(*name)) {
                return Some(format!("{value} lacks {missing}"));
            }
            members.iter().find_map(|(name, member)| {
                match schema["properties"].get(name).or_else(|| schema.get("additionalProperties")) {
                    Some(Value::Bool(false)) => Some(format!("{name} is not described")),
                    Some(schema) => misfit(document, schema, member),
                    None => None,
                }
            })
        }
        Value::Array(items) => items.iter().find_map(|item| misfit(document, &schema["items"], item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[test]
fn it_is_an_openapi_3_1_document_of_this_version() {
    let document = document();
    assert!(document["openapi"].as_str().expect("openapi").starts_with("3.1."));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_reference_resolves_and_every_component_is_referred_to() {
    let document = document();
    let references = references(&document);
    for reference in &references {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads out of the document"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for (kind, components) in document["components"].as_object().expect("components") {
        for name in components.as_object().expect("components of a kind").keys() {
            let used = references.contains(&format!("#/components/{kind}/{name}"));
            assert!(used || kind == "securitySchemes", "{kind}/{name} is referred to nowhere");
        }
    }
}

#[test]
fn the_operations_are_the_routes_of_the_template() {
    let template: serde_norway::Value = serde_norway::from_str(TEMPLATE).expect("template.yaml is YAML");
    let mut routes = BTreeMap::new();
    for (_, resource) in template["Resources"].as_mapping().expect("Resources") {
        let properties = &resource["Properties"];
        let Some(events) = properties.get("Events").and_then(serde_norway::Value::as_mapping) else { continue };
        let folder = properties["CodeUri"].as_str().expect("CodeUri").trim_end_matches('/');
        let function = folder.strip_prefix("functions/").expect("a folder below functions/");
        let of_routes = |event: &serde_norway::Value| {
            // `$default` has no path.
            event["Type"].as_str() == Some("HttpApi") && event["Properties"].get("Path").is_some()
        };
        for (_, event) in events.iter().filter(|(_, event)| of_routes(event)) {
            let text = |name: &str| event["Properties"][name].as_str().expect("a text").to_owned();
            let method = text("Method").to_lowercase();
            // An operationId is unique, and HEAD is the same function as GET.
            let id = if method == "head" { format!("{function}-head") } else { function.to_owned() };
            assert_eq!(routes.insert((text("Path"), method), id), None);
        }
    }
    let described: BTreeMap<_, _> = operations(&document())
        .into_iter()
        .map(|operation| {
            let id = operation.text("operationId").to_owned();
            ((operation.path, operation.method.to_owned()), id)
        })
        .collect();
    assert_eq!(described, routes);
}

#[test]
fn every_parameter_of_a_path_is_described() {
    let document = document();
    for operation in operations(&document) {
        let item = &document["paths"][&operation.path];
        let parameters = [&item["parameters"], &operation.content["parameters"]];
        let described: BTreeSet<_> = parameters
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .map(|parameter| resolve(&document, parameter))
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().expect("a name").to_owned())
            .collect();
        let in_path = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        assert_eq!(described, in_path.map(str::to_owned).collect(), "{}", operation.path);
    }
}

#[test]
fn every_operation_has_a_summary_and_a_known_tag() {
    let document = document();
    let tags: Vec<_> = document["tags"].as_array().expect("tags").iter().map(|tag| &tag["name"]).collect();
    for operation in operations(&document) {
        assert!(!operation.text("summary").is_empty(), "{}", operation.text("operationId"));
        let own = operation.content["tags"].as_array().expect("tags");
        assert!(own.len() == 1 && tags.contains(&&own[0]), "{}: {own:?}", operation.text("operationId"));
    }
}

#[test]
fn every_body_has_examples_and_they_fit_its_schema() {
    let document = document();
    for operation in operations(&document) {
        let Some(body) = operation.content.get("requestBody") else { continue };
        for (kind, media) in body["content"].as_object().expect("content") {
            let examples = media["examples"].as_object().expect("examples");
            assert!(!examples.is_empty(), "{}", operation.text("operationId"));
            for (name, example) in examples {
                let Some(value) = example.get("value") else {
                    // A zip cannot stand in JSON; how to make one is told instead.
                    assert!(kind != "application/json" && example["description"].is_string(), "{name}");
                    continue;
                };
                assert_eq!(misfit(&document, &media["schema"], value), None, "{name}");
            }
        }
    }
}

#[test]
fn every_example_of_an_answer_fits_its_schema() {
    let document = document();
    walk(&document, "", &mut |pointer, value| {
        if let (Some(schema), Some(example)) = (value.get("schema"), value.get("example")) {
            assert_eq!(misfit(&document, schema, example), None, "{pointer}");
        }
        if let (Some(_), Some(Value::Array(examples))) = (value.get("type"), value.get("examples")) {
            for example in examples {
                assert_eq!(misfit(&document, value, example), None, "{pointer}");
            }
        }
    });
}

#[test]
fn links_lead_to_operations_of_the_document() {
    let document = document();
    let all = operations(&document);
    walk(&document, "", &mut |pointer, value| {
        if let Some(Value::Object(links)) = value.get("links") {
            for link in links.values() {
                let leads = all.iter().any(|operation| operation.content["operationId"] == link["operationId"]);
                assert!(leads, "{pointer}: {link}");
            }
        }
    });
}

/// The schemas that a request's body refers to, and those they refer to.
fn schemas_of_request<'a>(document: &'a Value, operation: &Operation) -> Vec<(String, &'a Value)> {
    let mut open: Vec<_> = references(&operation.content["requestBody"]).into_iter().collect();
    let mut reached = BTreeMap::new();
    while let Some(reference) = open.pop() {
        let schema = document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} leads nowhere"));
        if reached.insert(reference, schema).is_none() {
            open.extend(references(schema));
        }
    }
    reached.into_iter().collect()
}

/// Readers of members that doors share: how a door calls one, and where it is.
/// One that calls another stands before it.
const SHARED_READERS: [(&str, &str); 3] = [
    ("issuing::read", "shared/platform/src/issuing.rs"),
    ("links::terms", "shared/platform/src/links.rs"),
    ("input::overlay", "shared/platform/src/input.rs"),
];

/// The members that a door takes out of a body (`platform::input`).
fn members_taken(door: &str) -> BTreeSet<String> {
    // A query has parameters, not members.
    let mut code = door.replace("query.required(", "(").replace("query.optional(", "(");
    for (call, file) in SHARED_READERS {
        if code.contains(call) {
            code.push_str(source(file).split("#[cfg(test)]").next().expect("code"));
        }
    }
    let takers = [
        "required(\"",
        "required_time(\"",
        "time(\"",
        "optional(\"",
        "text(\"",
        "object(\"",
        "objects(\"",
        "objects_within(\"",
        "raw(\"",
        "change(\"",
    ];
    let names = takers.into_iter().flat_map(|taker| code.split(taker).skip(1));
    names.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

#[test]
fn requests_describe_the_members_that_the_doors_take_and_no_others() {
    // Contract, section 4: "Unknown fields in a request are an error, not ignored."
    let document = document();
    let merchants = operations(&document).into_iter().filter(|operation| operation.path.starts_with("/merchant/"));
    for operation in merchants.filter(|operation| !operation.content["requestBody"].is_null()) {
        let mut described = BTreeSet::new();
        for (reference, schema) in schemas_of_request(&document, &operation) {
            let Some(properties) = schema["properties"].as_object() else { continue };
            assert_eq!(schema["additionalProperties"], false, "{reference}");
            described.extend(properties.keys().cloned());
        }
        assert_eq!(described, members_taken(&door(&operation)), "{}", operation.text("operationId"));
    }
}

#[test]
fn keys_and_roles_are_those_the_doors_ask_for() {
    for operation in operations(&document()) {
        let code = door(&operation);
        let asked = ["redeem", "issue", "admin"].into_iter().find(|role| {
            let (initial, rest) = role.split_at(1);
            code.contains(&format!("Role::{}{rest}", initial.to_uppercase()))
        });
        let id = operation.text("operationId");
        assert_eq!(operation.role(), asked, "{id}");
        if let Some(role) = asked {
            assert!(operation.has_response("401"), "{id}");
            // Every key has at least the role `redeem`.
            assert_eq!(operation.has_response("403"), role != "redeem", "{id}");
        }
    }
}

#[test]
fn idempotency_keys_are_described_where_they_are_honoured() {
    for operation in operations(&document()).iter().filter(|operation| operation.role().is_some()) {
        let code = door(operation);
        let honoured = match (code.contains("Need::Required"), code.contains("Need::Optional")) {
            (true, _) => Some("#/components/parameters/requiredIdempotencyKey"),
            (false, true) => Some("#/components/parameters/idempotencyKey"),
            (false, false) => None,
        };
        let parameters = references(&operation.content["parameters"]);
        let described = parameters.iter().find(|reference| reference.to_lowercase().ends_with("idempotencykey"));
        assert_eq!(described.map(String::as_str), honoured, "{}", operation.text("operationId"));
        // Contract, section 4: "honoured on every POST".
        assert_eq!(honoured.is_some(), operation.method == "post", "{}", operation.text("operationId"));
    }
}

#[test]
fn the_codes_are_those_of_the_table_of_failures() {
    let table = FAILURES.split("#[cfg(test)]").next().expect("code");
    let rows = table.split("row(S::").skip(1);
    let codes: BTreeSet<_> = rows.map(|row| row.split('"').nth(1).expect("a code").to_owned()).collect();
    assert!(codes.len() > 10, "{codes:?}");

    let document = document();
    let listed = document["components"]["schemas"]["Code"].clone();
    let names = |value: &Value| -> BTreeSet<String> {
        let one = value.get("const").into_iter();
        let several = value["enum"].as_array().into_iter().flatten();
        one.chain(several).filter_map(Value::as_str).map(str::to_owned).collect()
    };
    assert_eq!(names(&listed), codes);
    for code in &codes {
        let description = listed["description"].as_str().expect("a description");
        assert!(description.contains(&format!("`{code}`")), "{code} is not explained");
    }
    // Answers name no other.
    let mut answered = BTreeSet::new();
    walk(&document, "", &mut |pointer, value| {
        if pointer.ends_with("/properties/code") && value.get("$ref").is_none() {
            answered.append(&mut names(value));
        }
    });
    assert!(answered.len() > 10 && answered.is_subset(&codes), "{answered:?}");
}

#[test]
fn the_limits_are_those_of_the_code() {
    let document = document();
    for (file, name, pointer) in LIMITS {
        let source = source(file);
        let declaration = source.split(&format!("const {name}: ")).nth(1).expect(name);
        let value = declaration.split(['=', ';']).nth(1).expect("a value").trim().replace('_', "");
        let pointer =
            if pointer.starts_with('/') { pointer.to_owned() } else { format!("/components/schemas/{pointer}") };
        let described = document.pointer(&pointer).unwrap_or_else(|| panic!("{pointer} is not there"));
        let said = described.as_str().map_or_else(|| described.to_string(), str::to_owned);
        assert!(said.split(|c: char| !c.is_ascii_digit()).any(|number| number == value), "{name} is {value}: {said}");
    }
    let overview = document["info"]["description"].as_str().expect("a description");
    assert!(overview.contains(&format!("({JSON_LIMIT} bytes) and {DEPTH_LIMIT} levels deep")), "{overview}");
}
