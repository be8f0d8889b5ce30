//! `POST /v1/log` is 200 always (contract 3; reference 1.3 E; B20).

use passloop_tests::world::World;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_phone_logs_is_taken() {
    let world = World::empty().await;
    let service = world.web_service();
    let fifty: Vec<String> = (0..50).map(|line| format!("[2026-11-01] line {line}")).collect();
    let bodies = [
        json!({ "logs": ["[2022-02-10 12:49:07 -0600] Get pass task encountered error: x"] }).to_string(),
        json!({ "logs": fifty }).to_string(),
        // B20: a Dart client sends a bare array.
        json!(["one", "two"]).to_string(),
        json!({ "logs": [] }).to_string(),
        json!({ "logs": [1, null, { "a": "b" }] }).to_string(),
        json!({ "logs": "one" }).to_string(),
        json!({ "logs": ["\u{1b}[31mred\nnew line\r{\"level\":\"ERROR\"}"] }).to_string(),
        String::new(),
        "not json at all".to_owned(),
    ];
    for body in bodies {
        for kind in ["application/json", "text/plain", "application/octet-stream"] {
            let answer = service.log(kind, body.clone().into_bytes()).await;
            assert_eq!(answer.status, 200, "{kind}: {body}");
        }
    }
    service.log("application/json", vec![0xFF, 0xFE, 0x00]).await.expect(200);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_log_is_bounded_not_refused() {
    let world = World::empty().await;
    let line = "x".repeat(1_000_000);
    let body = json!({ "logs": [line, line] }).to_string();
    world.web_service().log("application/json", body.into_bytes()).await.expect(200);
    world.end().await;
}
