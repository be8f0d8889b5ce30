//! Somebody else's server: takes what is posted to it, keeps it, and answers as the story wants.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::world::PATIENCE;

/// A request, whole.
#[derive(Debug, Clone)]
pub struct Received {
    /// Of the request line.
    pub method: String,
    /// With its query.
    pub path: String,
    /// In the order of their coming; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: String,
}

impl Received {
    /// A header's text.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(other, _)| other == name);
        &found.unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).1
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.body))
    }
}

/// What a request is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// This status, without a body.
    Status(u16),
    /// 302 to another address.
    Redirect(String),
    /// 200, and more bytes than anybody wants.
    Endless,
    /// Nothing at all: the connection stays open.
    Silence,
    /// 200, as soon as this is notified.
    When(Arc<Notify>),
}

#[derive(Debug)]
struct Shared {
    received: Vec<Received>,
    next: VecDeque<Reply>,
    usual: Reply,
}

/// The server, on a port of its own.
#[derive(Debug)]
pub struct Receiver {
    address: std::net::SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Starts it; it answers 200.
    pub async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Mutex::new(Shared { received: Vec::new(), next: VecDeque::new(), usual: Reply::Status(200) }));
        let for_all = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&for_all)));
            }
        });
        Receiver { address, shared, task }
    }

    /// An address of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every request is answered so.
    pub fn answer(&self, usual: Reply) {
        self.shared().usual = usual;
    }

    /// The next requests are answered so, before the usual answer comes back.
    pub fn answer_next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared().next.extend(replies);
    }

    /// Everything that came so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared().received.clone()
    }

    /// Waits until so many requests came, and gives them all.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let begun = Instant::now();
        loop {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            assert!(begun.elapsed() < PATIENCE, "{count} requests never came, but {received:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn serve(mut socket: TcpStream, shared: Arc<Mutex<Shared>>) {
    let Some(received) = read(&mut socket).await else { return };
    let reply = {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.received.push(received);
        shared.next.pop_front().unwrap_or_else(|| shared.usual.clone())
    };
    let head = |status: u16, more: &str| format!("HTTP/1.1 {status} As told\r\nConnection: close\r\n{more}\r\n");
    let answer = match reply {
        Reply::Status(status) => head(status, "Content-Length: 0\r\n"),
        Reply::Redirect(to) => head(302, &format!("Location: {to}\r\nContent-Length: 0\r\n")),
        Reply::Endless => {
            let _ = socket.write_all(head(200, "Content-Type: text/plain\r\n").as_bytes()).await;
            while socket.write_all(&[b'x'; 4096]).await.is_ok() {}
            return;
        }
        Reply::Silence => {
            tokio::time::sleep(PATIENCE * 3).await;
            return;
        }
        Reply::When(released) => {
            released.notified().await;
            head(200, "Content-Length: 0\r\n")
        }
    };
    let _ = socket.write_all(answer.as_bytes()).await;
    let _ = socket.shutdown().await;
}

async fn read(socket: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let mut some = [0; 4096];
        match socket.read(&mut some).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&some[..count]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, text)| text.parse().ok());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length.unwrap_or(0) {
        let mut some = [0; 4096];
        match socket.read(&mut some).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => body.extend_from_slice(&some[..count]),
        }
    }
    Some(Received { method, path, headers, body: String::from_utf8_lossy(&body).into_owned() })
}
