//! HTTP/1.1 by hand: nothing is normalised, encoded or refused on this side.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Body, Request};
use crate::chance::Chance;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Sends the request on a connection of its own; none when it was closed without an answer.
pub(super) async fn send(address: &str, request: &Request, chance: &mut Chance) -> Option<Answer> {
    let body = bytes(&request.body, chance);
    let mut head =
        format!("{} {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n", request.method, request.target)
            .into_bytes();
    for (name, value) in &request.headers {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    head.extend_from_slice(&body);
    let mut stream = TcpStream::connect(address).await.expect("the service listens");
    // It may answer and hang up before it has read all.
    let _ = stream.write_all(&head).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    read(&answer)
}

fn read(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, headers: head, body: answer[end + 4..].to_vec() })
}

/// JSON as a careful program writes it, or with what only careless ones do.
fn bytes(body: &Body, chance: &mut Chance) -> Vec<u8> {
    match body {
        Body::None => Vec::new(),
        Body::Bytes(bytes) => bytes.clone(),
        Body::Json(value) => {
            let mut text = value.to_string();
            match chance.below(12) {
                0 => text = text.replacen('"', "\"\\ud800", 1),
                1 => text = text.replacen(':', ":1e999,\"x\":", 1),
                2 => text = doubled(value).unwrap_or(text),
                3 => text.insert(0, '\u{feff}'),
                _ => {}
            }
            text.into_bytes()
        }
    }
}

/// The object with its first member twice.
fn doubled(value: &Value) -> Option<String> {
    let (name, first) = value.as_object()?.iter().next()?;
    let text = value.to_string();
    Some(format!("{{{}:{first},{}", Value::from(name.as_str()), &text[1..]))
}

/// For a message; never more than anybody reads.
pub(super) fn brief(request: &Request) -> String {
    let headers: Vec<String> =
        request.headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect();
    let body = match &request.body {
        Body::None => String::new(),
        Body::Json(value) => value.to_string(),
        Body::Bytes(bytes) => format!("{} bytes: {}", bytes.len(), String::from_utf8_lossy(bytes)),
    };
    let body: String = body.chars().take(1500).collect();
    format!("{} {}\n{}\n\n{body}", request.method, request.target, headers.join("\n"))
}
