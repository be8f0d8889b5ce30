use http_body_util::BodyExt as _;
use serde_json::json;

use super::*;

async fn told(payload: serde_json::Value, method: Method) -> (http::response::Parts, Bytes) {
    let response = translate(payload.to_string().as_bytes(), &method).unwrap();
    let (parts, body) = response.into_parts();
    (parts, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn text_headers_and_cookies_come_out_as_they_went_in() {
    let payload = json!({
        "statusCode": 201, "headers": {"content-type": "application/json"}, "multiValueHeaders": {},
        "body": "{\"a\":1}", "isBase64Encoded": false, "cookies": ["a=1; Path=/", "b=2"]
    });
    let (parts, body) = told(payload, Method::POST).await;
    assert_eq!(parts.status, StatusCode::CREATED);
    assert_eq!(parts.headers["content-type"], "application/json");
    assert_eq!(parts.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(body, r#"{"a":1}"#);
}

#[tokio::test]
async fn base64_is_decoded() {
    let payload = json!({"statusCode": 200, "headers": {}, "body": "UEsDBA==", "isBase64Encoded": true, "cookies": []});
    assert_eq!(told(payload, Method::GET).await.1, &b"PK\x03\x04"[..]);
}

#[tokio::test]
async fn head_has_gets_length_and_no_body() {
    // RFC 9110, 9.3.2: whether the function answered the GET's body or only said its length.
    let with_body = json!({"statusCode": 200, "headers": {}, "body": "12345", "cookies": []});
    let (parts, body) = told(with_body, Method::HEAD).await;
    assert_eq!((parts.headers["content-length"].to_str().unwrap(), body.len()), ("5", 0));
    let without = json!({"statusCode": 200, "headers": {"content-length": "7"}, "body": null, "cookies": []});
    let (parts, body) = told(without, Method::HEAD).await;
    assert_eq!((parts.headers["content-length"].to_str().unwrap(), body.len()), ("7", 0));
}

#[test]
fn what_is_no_answer_is_refused() {
    for payload in [
        json!({"statusCode": 99, "headers": {}, "cookies": []}),
        json!({"statusCode": 200, "headers": {}, "body": "%%%", "isBase64Encoded": true, "cookies": []}),
        json!({"statusCode": 200, "headers": {}, "cookies": ["a\nb"]}),
        json!({"errorMessage": "boom"}),
    ] {
        assert!(translate(payload.to_string().as_bytes(), &Method::GET).is_err(), "{payload}");
    }
}

#[tokio::test]
async fn the_gateways_own_words_are_api_gateways() {
    for (own, status, message) in [
        (Own::NotFound, 404, r#"{"message":"Not Found"}"#),
        (Own::TooLong, 413, r#"{"message":"Request Too Long"}"#),
        (Own::InternalServerError, 500, r#"{"message":"Internal Server Error"}"#),
        (Own::ServiceUnavailable, 503, r#"{"message":"Service Unavailable"}"#),
    ] {
        let response = own.answer(&Method::GET);
        assert_eq!(
            (response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()),
            (status, "application/json")
        );
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), message);
    }
}
