//! Listens in on the way to a DynamoDB: which calls are made, in which order. Holds one back, to let others go first.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The header that names the call (DynamoDB, "Low-level API"), up to the call's name.
const TARGET: &[u8] = b"x-amz-target: DynamoDB_20120810.";

/// A TCP proxy before a DynamoDB. Ends with its owner.
#[derive(Debug)]
pub struct Wiretap {
    address: SocketAddr,
    heard: Arc<Heard>,
    _task: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Heard {
    calls: Mutex<Vec<String>>,
    trap: Mutex<Option<Trap>>,
}

/// Waits for a call of this name.
#[derive(Debug)]
struct Trap {
    call: String,
    caught: oneshot::Sender<()>,
    go: oneshot::Receiver<()>,
}

/// A call that is held back, or will be. It goes on when this ends.
#[derive(Debug)]
pub struct Held {
    caught: oneshot::Receiver<()>,
    _go: oneshot::Sender<()>,
}

impl Held {
    /// Waits until the call is made.
    pub async fn caught(&mut self) {
        (&mut self.caught).await.expect("a call that is held back");
    }
}

impl Wiretap {
    /// Before the server at this endpoint, `http://…`.
    pub async fn before(endpoint: &str) -> Wiretap {
        let server = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Heard> = Arc::default();
        let hearing = Arc::clone(&heard);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                connections.spawn(pass_on(client, server, Arc::clone(&hearing)));
            }
        });
        Wiretap { address, heard, _task: task }
    }

    /// Where to call instead.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls since this was asked last.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.calls.lock().unwrap())
    }

    /// Holds back the next call of this name, and no other.
    pub fn hold(&self, call: &str) -> Held {
        let ((caught, is_caught), (go, may_go)) = (oneshot::channel(), oneshot::channel());
        *self.heard.trap.lock().unwrap() = Some(Trap { call: call.to_owned(), caught, go: may_go });
        Held { caught: is_caught, _go: go }
    }
}

async fn pass_on(client: TcpStream, server: TcpStream, heard: Arc<Heard>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async { tokio::io::copy(&mut from_server, &mut to_client).await.map(|_| ()) };
    let questions = async {
        let (mut buffer, mut unread) = (vec![0; 64 * 1024], Vec::new());
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return to_server.shutdown().await;
            }
            unread.extend_from_slice(&buffer[..read]);
            for call in hear(&mut unread) {
                let trap = heard.trap.lock().unwrap().take_if(|trap| trap.call == call);
                heard.calls.lock().unwrap().push(call);
                if let Some(Trap { caught, go, .. }) = trap {
                    // Whoever set the trap may be gone; then nothing is held.
                    let _ = caught.send(());
                    let _ = go.await;
                }
            }
            to_server.write_all(&buffer[..read]).await?;
        }
    };
    // A connection that breaks is the client's to notice.
    let _ = tokio::join!(answers, questions);
}

/// Every call whose name is whole; what may be the beginning of another is kept.
fn hear(unread: &mut Vec<u8>) -> Vec<String> {
    let mut calls = Vec::new();
    let matches = |window: &[u8]| window.eq_ignore_ascii_case(TARGET);
    while let Some(place) = unread.windows(TARGET.len()).position(matches) {
        let name = &unread[place + TARGET.len()..];
        let Some(end) = name.iter().position(|byte| *byte == b'\r') else { return calls };
        calls.push(String::from_utf8_lossy(&name[..end]).into_owned());
        unread.drain(..place + TARGET.len() + end);
    }
    let keep = unread.len().min(TARGET.len());
    unread.drain(..unread.len() - keep);
    calls
}
