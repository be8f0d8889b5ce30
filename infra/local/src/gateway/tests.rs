use lambda_http::Body as LambdaBody;
use platform::{Audience, Function, Handler};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;
use crate::aws::FREE_PORT;
use crate::server::listen;
use crate::template::Route;
use crate::test_app::app_without_cloud;

static FUNCTIONS: [Function; 4] = [
    Function {
        name: "echo",
        handler: Handler::Http(Audience::Phone, |_, request, _| {
            Box::pin(async move {
                let body = request.body().to_vec();
                let response = http::Response::builder().header("content-type", "application/octet-stream");
                Ok(response.body(LambdaBody::Binary(body)).unwrap())
            })
        }),
    },
    Function { name: "panic", handler: Handler::Http(Audience::Phone, |_, _, _| Box::pin(async { panic!("boom") })) },
    Function {
        name: "text",
        handler: Handler::Http(Audience::Phone, |_, _, now| {
            Box::pin(async move {
                let response = http::Response::builder().header("content-type", "text/plain");
                Ok(response.body(LambdaBody::Text(now.to_string())).unwrap())
            })
        }),
    },
    Function {
        name: "slow",
        handler: Handler::Http(Audience::Phone, |_, _, _| {
            Box::pin(async {
                STARTED.notify_one();
                GO_ON.notified().await;
                FINISHED.notify_one();
                Ok(http::Response::new(LambdaBody::Text("finished".to_owned())))
            })
        }),
    },
];

static STARTED: Notify = Notify::const_new();
static GO_ON: Notify = Notify::const_new();
static FINISHED: Notify = Notify::const_new();

const NOW: &str = "2026-03-12T19:03:58Z";

async fn gateway() -> Gateway {
    let route = |method: &str, path: &str, function: &str| Route {
        method: method.to_owned(),
        path: path.to_owned(),
        function: function.to_owned(),
    };
    let routes = [
        route("POST", "/echo", "echo"),
        route("GET", "/panic", "panic"),
        route("GET", "/text", "text"),
        route("HEAD", "/text", "text"),
        route("GET", "/slow", "slow"),
    ];
    let routes = Routes::new(&routes, None, &FUNCTIONS).unwrap();
    let app = app_without_cloud().await;
    let clock = Clock::settable(NOW.parse().unwrap());
    Gateway::start(listen(FREE_PORT).unwrap(), routes, app, clock).unwrap()
}

fn url(gateway: &Gateway, path: &str) -> String {
    format!("http://{}{path}", gateway.server.address())
}

/// Sends bytes as they are and reads until the server closes.
async fn raw(gateway: &Gateway, request: &str) -> String {
    let mut stream = TcpStream::connect(gateway.server.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn bytes_go_through_a_function_and_come_back() {
    let gateway = gateway().await;
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let request = reqwest::Client::new().post(url(&gateway, "/echo")).header("content-type", "application/zip");
    let answer = request.body(body.clone()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("apigw-requestid"));
    assert_eq!(answer.bytes().await.unwrap(), body);
}

#[tokio::test]
async fn a_function_is_told_the_clocks_time() {
    let gateway = gateway().await;
    assert_eq!(reqwest::get(url(&gateway, "//text")).await.unwrap().text().await.unwrap(), NOW);
}

#[tokio::test]
async fn what_is_not_routed_is_api_gateways_404() {
    let gateway = gateway().await;
    for path in ["/", "/echo", "/text/", "/nothing/here"] {
        let answer = reqwest::get(url(&gateway, path)).await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.text().await.unwrap(), r#"{"message":"Not Found"}"#);
    }
}

#[tokio::test]
async fn a_panic_is_one_500_and_the_service_lives_on() {
    let gateway = gateway().await;
    for _ in 0..3 {
        let answer = reqwest::get(url(&gateway, "/panic")).await.unwrap();
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.text().await.unwrap(), r#"{"message":"Internal Server Error"}"#);
    }
    assert_eq!(reqwest::get(url(&gateway, "/text")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_over_ten_megabytes_is_413_and_one_of_exactly_that_is_not() {
    let gateway = gateway().await;
    let send = |length: usize| reqwest::Client::new().post(url(&gateway, "/echo")).body(vec![b'x'; length]).send();
    assert_eq!(send(MAX_BODY_BYTES).await.unwrap().status(), 200);
    let refused = send(MAX_BODY_BYTES + 1).await.unwrap();
    assert_eq!(refused.status(), 413);
    assert_eq!(refused.text().await.unwrap(), r#"{"message":"Request Too Long"}"#);
}

#[tokio::test]
async fn head_on_the_wire_has_gets_length_and_no_body() {
    let gateway = gateway().await;
    let answer = raw(&gateway, "HEAD /text HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(&format!("content-length: {}\r\n", NOW.len())), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_host_that_is_none_is_400() {
    let gateway = gateway().await;
    for bad in ["a b", "h:99999", "u:p@h", "h\r\nHost: other"] {
        let answer = raw(&gateway, &format!("GET /text HTTP/1.1\r\nHost: {bad}\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bad:?}: {answer}");
    }
    for good in ["h", "h:8080", "[::1]:8080", "127.0.0.1"] {
        let answer = raw(&gateway, &format!("GET /text HTTP/1.1\r\nHost: {good}\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{good:?}: {answer}");
    }
}

#[tokio::test]
async fn a_stop_waits_for_the_request_in_progress_and_takes_no_more() {
    let gateway = gateway().await;
    let (address, slow) = (gateway.server.address(), url(&gateway, "/slow"));
    let request = tokio::spawn(async move { reqwest::get(slow).await.unwrap().text().await.unwrap() });
    STARTED.notified().await;
    let stop = tokio::spawn(gateway.stop());
    // The listener goes away while the function still runs.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    GO_ON.notify_one();
    FINISHED.notified().await;
    assert_eq!(request.await.unwrap(), "finished");
    stop.await.unwrap();
}
