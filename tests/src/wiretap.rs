//! Listens in on the way to a DynamoDB: which calls are made, in which order.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The header that names the call (DynamoDB, "Low-level API"), up to the call's name.
const TARGET: &[u8] = b"x-amz-target: DynamoDB_20120810.";

/// A TCP proxy before a DynamoDB. Ends with its owner.
#[derive(Debug)]
pub struct Wiretap {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Wiretap {
    /// Before the server at this endpoint, `http://…`.
    pub async fn before(endpoint: &str) -> Wiretap {
        let server = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&calls);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                connections.spawn(pass_on(client, server, Arc::clone(&heard)));
            }
        });
        Wiretap { address, calls, _task: task }
    }

    /// Where to call instead.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls since this was asked last.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

async fn pass_on(client: TcpStream, server: TcpStream, heard: Arc<Mutex<Vec<String>>>) {
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
            hear(&mut unread, &heard);
            to_server.write_all(&buffer[..read]).await?;
        }
    };
    // A connection that breaks is the client's to notice.
    let _ = tokio::join!(answers, questions);
}

/// Notes every call whose name is whole, and keeps what may be the beginning of another.
fn hear(unread: &mut Vec<u8>, heard: &Mutex<Vec<String>>) {
    let matches = |window: &[u8]| window.eq_ignore_ascii_case(TARGET);
    while let Some(place) = unread.windows(TARGET.len()).position(matches) {
        let name = &unread[place + TARGET.len()..];
        let Some(end) = name.iter().position(|byte| *byte == b'\r') else { return };
        heard.lock().unwrap().push(String::from_utf8_lossy(&name[..end]).into_owned());
        unread.drain(..place + TARGET.len() + end);
    }
    let keep = unread.len().min(TARGET.len());
    unread.drain(..unread.len() - keep);
}
