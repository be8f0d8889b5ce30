use http::Method;
use lambda_http::Body;
use platform::{Audience, Handler};

use super::*;

const fn function(name: &'static str) -> Function {
    Function {
        name,
        handler: Handler::Http(Audience::Phone, |_, _, _| Box::pin(async { Ok(http::Response::new(Body::Empty)) })),
    }
}

static FUNCTIONS: [Function; 4] = [function("get"), function("list"), function("register"), function("catch-all")];

fn route(method: &str, path: &str, function: &str) -> Route {
    Route { method: method.to_owned(), path: path.to_owned(), function: function.to_owned() }
}

fn routes() -> Routes {
    let routes = [
        route("GET", "/v1/passes/{passTypeIdentifier}/{serialNumber}", "get"),
        route("HEAD", "/v1/passes/{passTypeIdentifier}/{serialNumber}", "get"),
        route("GET", "/v1/devices/{device}/registrations/{type}", "list"),
        route("POST", "/v1/devices/{deviceLibraryIdentifier}/registrations/{type}/{serial}", "register"),
        route("ANY", "/files/{path+}", "catch-all"),
    ];
    Routes::new(&routes, None, &FUNCTIONS).unwrap()
}

fn found(method: Method, path: &str) -> Option<(&'static str, HashMap<String, String>)> {
    let routes = routes();
    let matched = routes.find(&method, path)?;
    let parameters = matched.parameters.into_iter().map(|(name, value)| (name.to_owned(), value));
    Some((matched.function.name, parameters.collect()))
}

#[test]
fn finds_the_function_and_decodes_its_parameters() {
    let (function, parameters) = found(Method::GET, "/v1/passes/pass.example/a%2Fb%20%C3%BC").unwrap();
    assert_eq!(function, "get");
    assert_eq!(parameters["passTypeIdentifier"], "pass.example");
    assert_eq!(parameters["serialNumber"], "a/b ü");
}

#[test]
fn head_is_routed_where_the_template_says_so() {
    assert_eq!(found(Method::HEAD, "/v1/passes/a/b").unwrap().0, "get");
    assert!(found(Method::HEAD, "/v1/devices/d/registrations/t").is_none());
}

#[test]
fn repeated_slashes_count_as_one() {
    // Reference 1.2: a webServiceURL with a slash at its end makes devices ask for `//v1/…`.
    for path in ["//v1/passes/a/b", "/v1//passes/a/b", "///v1/passes///a/b"] {
        assert_eq!(found(Method::GET, path).unwrap().1["serialNumber"], "b", "{path}");
    }
}

#[test]
fn the_same_segment_may_have_another_name_in_another_route() {
    assert_eq!(found(Method::GET, "/v1/devices/d/registrations/t").unwrap().1["device"], "d");
    let (function, parameters) = found(Method::POST, "/v1/devices/d/registrations/t/s").unwrap();
    assert_eq!((function, parameters["deviceLibraryIdentifier"].as_str()), ("register", "d"));
}

#[test]
fn greedy_parameters_and_any_method() {
    let (function, parameters) = found(Method::PATCH, "/files/a/b/c").unwrap();
    assert_eq!((function, parameters["path"].as_str()), ("catch-all", "a/b/c"));
}

#[test]
fn anything_else_has_no_route() {
    for (method, path) in [
        (Method::DELETE, "/v1/passes/a/b"),
        (Method::GET, "/v1/passes/a"),
        (Method::GET, "/v1/passes/a/b/c"),
        (Method::GET, "/v1/passes/a/"),
        (Method::GET, "/"),
        (Method::OPTIONS, "*"),
    ] {
        assert!(found(method.clone(), path).is_none(), "{method} {path}");
    }
}

#[test]
fn a_route_without_its_function_or_given_twice_is_refused() {
    let refused = |routes: &[Route]| Routes::new(routes, None, &FUNCTIONS).err().unwrap().to_string();
    assert!(refused(&[route("GET", "/a", "nobody")]).contains("nobody"));
    assert!(refused(&[route("GET", "/a/{b}", "get"), route("GET", "/a/{c}", "list")]).contains("twice"));
}

#[test]
fn what_no_route_takes_is_for_default() {
    let routes = [route("GET", "/text", "get")];
    let routes = Routes::new(&routes, Some("catch-all"), &FUNCTIONS).unwrap();
    for (method, path) in [(Method::GET, "/other"), (Method::POST, "/text"), (Method::GET, "/")] {
        let matched = routes.find(&method, path).unwrap();
        assert_eq!((matched.function.name, matched.route_key.as_str()), ("catch-all", "$default"), "{path}");
    }
    assert_eq!(routes.find(&Method::GET, "/text").unwrap().function.name, "get");
    assert!(Routes::new(&[], Some("nobody"), &FUNCTIONS).is_err());
}
