use std::collections::HashMap;

use http::{Method, Request, Version};
use lambda_http::request::LambdaRequest;
use lambda_http::{Body, RequestExt as _};
use platform::{Audience, Function, Handler};
use serde_json::json;

use super::*;

static FUNCTION: Function = Function {
    name: "a-function",
    handler: Handler::Http(Audience::Phone, |_, _, _| Box::pin(async { Ok(http::Response::new(Body::Empty)) })),
};

fn event(request: Request<&[u8]>, parameters: &[(&'static str, &str)]) -> Value {
    let (parts, body) = request.into_parts();
    let matched = Matched {
        function: &FUNCTION,
        route_key: "GET /v1/passes/{type}/{serial}".to_owned(),
        parameters: parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<HashMap<_, _>>(),
    };
    let around = Surroundings {
        peer: "127.0.0.1:50000".parse().unwrap(),
        request_id: "request-1",
        now: "2026-03-12T19:03:58.123Z".parse().unwrap(),
    };
    build(&parts, body, &matched, &around)
}

fn get(uri: &str) -> http::request::Builder {
    Request::builder().uri(uri).version(Version::HTTP_11).header("host", "127.0.0.1:8080")
}

/// What a function sees of an event.
fn parsed(event: &Value) -> lambda_http::Request {
    serde_json::from_str::<LambdaRequest>(&event.to_string()).unwrap().into()
}

#[test]
fn says_what_api_gateway_says() {
    let request = get("/v1/passes/a/b%2Fc?x=1&x=2&y=%20z").header("user-agent", "passd/1.0").body(&b""[..]).unwrap();
    let event = event(request, &[("type", "a"), ("serial", "b/c")]);
    // AWS, "Create AWS Lambda proxy integrations for HTTP APIs", payload format 2.0.
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "GET /v1/passes/{type}/{serial}");
    assert_eq!(event["rawPath"], "/v1/passes/a/b%2Fc");
    assert_eq!(event["rawQueryString"], "x=1&x=2&y=%20z");
    assert_eq!(event["queryStringParameters"], json!({"x": "1,2", "y": " z"}));
    assert_eq!(event["pathParameters"], json!({"type": "a", "serial": "b/c"}));
    assert_eq!(event["isBase64Encoded"], false);
    assert!(event.get("body").is_none() && event.get("cookies").is_none());
    let context = &event["requestContext"];
    assert_eq!(context["requestId"], "request-1");
    assert_eq!(context["stage"], "$default");
    assert_eq!(context["time"], "12/Mar/2026:19:03:58 +0000");
    assert_eq!(context["timeEpoch"], 1_773_342_238_123_i64);
    assert_eq!(
        context["http"],
        json!({
            "method": "GET", "path": "/v1/passes/a/b%2Fc", "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1", "userAgent": "passd/1.0"
        })
    );
}

#[test]
fn joins_repeated_headers_and_sets_cookies_apart() {
    let request = get("/").header("accept", "a").header("Accept", "b").header("cookie", "x=1; y=2");
    let event = event(request.header("x-forwarded-for", "10.0.0.1").body(&b""[..]).unwrap(), &[]);
    assert_eq!(event["headers"]["accept"], "a,b");
    assert_eq!(event["cookies"], json!(["x=1", "y=2"]));
    assert!(event["headers"].get("cookie").is_none());
    assert_eq!(event["headers"]["x-forwarded-for"], "10.0.0.1, 127.0.0.1");
    let request = parsed(&event);
    assert_eq!(request.headers()["cookie"], "x=1; y=2");
}

#[test]
fn a_function_sees_the_bytes_that_were_sent() {
    for (kind, body, encoded) in [
        ("application/json", &b"{\"a\":\"\xC3\xBC\"}"[..], false),
        ("application/problem+json; charset=utf-8", &b"{}"[..], false),
        ("text/plain", &b"plain"[..], false),
        ("application/zip", &b"PK\x03\x04\xFF\x00"[..], true),
        ("application/zip", &b"readable all the same"[..], true),
        ("application/json", &b"\xFF not UTF-8"[..], true),
    ] {
        let request = get("/").method(Method::POST).header("content-type", kind).body(body).unwrap();
        let event = event(request, &[]);
        assert_eq!(event["isBase64Encoded"], encoded, "{kind}");
        assert_eq!(parsed(&event).body().as_ref(), body, "{kind}");
    }
}

#[test]
fn a_function_sees_decoded_path_parameters_and_the_path_as_sent() {
    let request = get("//v1/passes/a/%C3%BC%20x?since=1%2B2").method(Method::HEAD).body(&b""[..]).unwrap();
    let request = parsed(&event(request, &[("serial", "ü x")]));
    assert_eq!(request.method(), Method::HEAD);
    assert_eq!(request.path_parameters().first("serial"), Some("ü x"));
    assert_eq!(request.raw_http_path(), "//v1/passes/a/%C3%BC%20x");
    assert_eq!(request.query_string_parameters().first("since"), Some("1+2"));
}
