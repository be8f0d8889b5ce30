//! Routes: the template's, the README's, the OpenAPI document's.

use std::collections::BTreeSet;

use crate::checkout::{self, quoted};
use crate::template::{Template, at, told};

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

type Route = (String, String, String);

/// Method, path, folder.
fn routes_of_the_template() -> BTreeSet<Route> {
    let template = Template::read();
    let mut routes = BTreeSet::new();
    for function in template.functions() {
        for event in function.events("HttpApi") {
            // `$default` has neither.
            if at(event, &["Properties", "Path"]).is_none() {
                continue;
            }
            let text = |name: &str| told(at(event, &["Properties", name]).expect("Method and Path"));
            assert_eq!(text("ApiId"), "!Ref HttpApi");
            assert!(routes.insert((text("Method"), text("Path"), function.folder().to_owned())));
        }
    }
    routes
}

/// Protects readers of the README from doors that are elsewhere, and from doors that it does not tell of.
#[test]
fn the_readmes_table_of_doors_is_the_templates() {
    let template = Template::read();
    let (mut routes, mut told_of, mut path) = (BTreeSet::new(), BTreeSet::new(), String::new());
    for row in checkout::rows(&checkout::text("README.md"), "## Doors") {
        let [folder] = quoted(&row[0])[..] else { panic!("{row:?}: one function") };
        assert!(told_of.insert(folder.to_owned()), "{folder} has two rows");
        let words: Vec<&str> = quoted(&row[1]).into_iter().flat_map(str::split_whitespace).collect();
        // "the same" is the path of the row above.
        path = words.iter().find(|word| word.starts_with('/')).map_or(path, |path| (*path).to_owned());
        for method in words.iter().filter(|word| METHODS.contains(word)) {
            routes.insert(((*method).to_owned(), path.clone(), folder.to_owned()));
        }
        let function = template.function(folder);
        for event in function.events("SQS") {
            let queue = told(at(event, &["Properties", "Queue"]).expect("Queue"));
            assert_eq!(queue, format!("!GetAtt {}.Arn", words[0]), "{row:?}");
        }
        for event in function.events("ScheduleV2") {
            let rate = told(at(event, &["Properties", "ScheduleExpression"]).expect("ScheduleExpression"));
            assert_eq!((rate.as_str(), row[1].as_str()), ("rate(1 minute)", "every minute"));
        }
    }
    assert_eq!(routes, routes_of_the_template());
    assert_eq!(told_of, checkout::folders("functions"));
}

/// Protects merchants' programs from calls that are described and not there, or there and not described.
#[test]
fn the_openapi_document_describes_the_templates_routes() {
    let document: serde_json::Value =
        serde_json::from_str(&checkout::text("functions/get-openapi/openapi.json")).expect("JSON");
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS.iter().filter(|method| item.get(method.to_lowercase()).is_some()) {
            described.insert(((*method).to_owned(), path.clone()));
        }
    }
    let routes: BTreeSet<_> = routes_of_the_template().into_iter().map(|(method, path, _)| (method, path)).collect();
    assert_eq!(described, routes);
}

/// Protects customers: the access log holds routes, never paths, addresses or what a caller says of itself.
#[test]
fn the_access_log_holds_no_identifiers() {
    let template = Template::read();
    let api = template.resources("AWS::Serverless::HttpApi")[0];
    let format = api.told(&["AccessLogSettings", "Format"]);
    let line: serde_json::Value = serde_json::from_str(&format).expect("a line of JSON");
    let mut variables: Vec<_> = line.as_object().unwrap().values().map(|value| value.as_str().unwrap()).collect();
    variables.sort_unstable();
    assert_eq!(
        variables,
        [
            "$context.error.responseType",
            "$context.integrationLatency",
            "$context.requestId",
            "$context.responseLatency",
            "$context.responseLength",
            "$context.routeKey",
            "$context.status",
        ]
    );
}

/// Protects phones and tills from a stranger who calls without end.
#[test]
fn the_api_is_throttled_and_its_open_ends_more_so() {
    let template = Template::read();
    let api = template.resources("AWS::Serverless::HttpApi")[0];
    assert_eq!(api.told(&["DefaultRouteSettings", "ThrottlingRateLimit"]), "!Ref RequestsPerSecond");
    let special = api.property(&["RouteSettings"]).and_then(serde_norway::Value::as_mapping).expect("RouteSettings");
    let keys: Vec<_> = special.keys().map(told).collect();
    assert_eq!(keys, ["POST /v1/log", "$default"]);
    let routes = routes_of_the_template().into_iter().map(|(method, path, _)| format!("{method} {path}"));
    let routes: Vec<_> = routes.chain(["$default".to_owned()]).collect();
    // API Gateway refuses settings of a route that is not there, and with them the whole deployment.
    assert!(keys.iter().all(|key| routes.contains(key)), "{keys:?}");
}
