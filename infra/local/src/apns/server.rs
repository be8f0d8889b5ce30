//! Connections and streams of the stand-in.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use openssl::nid::Nid;
use openssl::x509::X509;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::certificate::ServerCertificate;
use super::journal::{Answer, Arrival, ErrorAnswer, Journal};
use super::request::{self, Refusal};

/// Streams at once on one connection: what APNs' SETTINGS have long allowed.
const STREAMS: u32 = 1_000;

/// Connections at once. One process under test holds one per identity; the rest is for leaks to be seen, not served.
const CONNECTIONS: usize = 128;

/// A client that says nothing is not waited for longer.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How long a stop waits for pushes under way.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// How long to hold back after accepting failed, which is when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(super) fn tls(certificate: ServerCertificate, client_roots_pem: &[u8]) -> anyhow::Result<Arc<ServerConfig>> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(client_roots_pem) {
        let root = root.context("the APNs stand-in's client roots are not PEM certificates")?;
        roots.add(root).context("the APNs stand-in cannot use a client root")?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .context("the APNs stand-in needs at least one client root")?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.certificate], certificate.key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Accepts until told to stop. Dropped, it takes every connection with it.
pub(super) async fn run(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    journal: Arc<Journal>,
    orders: Arc<watch::Sender<Order>>,
    mut stop: oneshot::Receiver<()>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((socket, _peer)) => {
                    let visit = Visit { journal: Arc::clone(&journal), orders: orders.subscribe() };
                    connections.spawn(visit.serve(socket, acceptor.clone()));
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the APNs stand-in cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
            _ = &mut stop => break,
        }
    }
    drop(listener);
    orders.send_replace(Order::GoAway);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_LIMIT, all_ended).await.is_err() {
        connections.shutdown().await;
    }
}

/// What all connections that are open when it is given have to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    /// Before any other is given.
    Serve,
    /// Say GOAWAY, answer the streams under way, close.
    GoAway,
    /// Close without a word.
    BreakOff,
}

/// One connection.
struct Visit {
    journal: Arc<Journal>,
    orders: watch::Receiver<Order>,
}

impl Visit {
    async fn serve(mut self, socket: TcpStream, acceptor: TlsAcceptor) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(error = %error, "TCP_NODELAY");
        }
        let stream = match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::info!(error = %error, "the APNs stand-in refused a TLS handshake");
                return;
            }
            Err(_elapsed) => return,
        };
        let client = Arc::new(Client {
            connection: self.journal.connected(),
            topic: stream.get_ref().1.peer_certificates().and_then(|chain| user_id(chain.first()?)),
            journal: self.journal,
            answered: AtomicU64::new(0),
        });
        let service = service_fn(move |request| {
            let client = Arc::clone(&client);
            async move { client.respond(request).await }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                given = self.orders.changed() => match given.map(|()| *self.orders.borrow_and_update()) {
                    Ok(Order::GoAway) => connection.as_mut().graceful_shutdown(),
                    Ok(Order::BreakOff) | Err(_) => return,
                    Ok(Order::Serve) => {}
                },
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error = %error, "a connection to the APNs stand-in broke");
        }
    }
}

/// The `UID` of the certificate's subject: the topic it may push to.
fn user_id(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = X509::from_der(certificate).ok()?;
    let entry = certificate.subject_name().entries_by_nid(Nid::USERID).next()?;
    Some(entry.data().to_string().ok()?.to_string())
}

/// Who is at the other end of a connection.
struct Client {
    connection: u64,
    topic: Option<String>,
    journal: Arc<Journal>,
    answered: AtomicU64,
}

impl Client {
    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let apns_id = head.headers.get("apns-id").cloned().unwrap_or_else(|| self.new_apns_id());
        let token = match request::device(&head) {
            Ok(token) => token.to_owned(),
            Err(refusal) => return Ok(refused(&error_answer(refusal), apns_id)),
        };
        // What is longer than the limit is not read to its end.
        let read = Limited::new(body, request::LARGEST_PAYLOAD).collect().await;
        let payload = read.map(|payload| payload.to_bytes()).ok();
        let length = payload.as_ref().map_or(request::LARGEST_PAYLOAD + 1, Bytes::len);
        let payload = payload.unwrap_or_default();
        let refusal = request::check(&token, &head.headers, length, self.topic.as_deref()).err().map(error_answer);
        match self.journal.record(self.arrival(token, head.headers, payload), refusal) {
            Answer::Accept => Ok(accepted(apns_id)),
            Answer::Refuse(error) => Ok(refused(&error, apns_id)),
            Answer::Never => pending().await,
        }
    }

    fn arrival(&self, token: String, headers: HeaderMap, payload: Bytes) -> Arrival {
        let topic = headers.get("apns-topic").and_then(|topic| topic.to_str().ok()).unwrap_or_default().to_owned();
        Arrival { connection: self.connection, token, topic, headers, payload }
    }

    /// A version-4-shaped id, told apart by connection and count: nothing needs it to be random.
    fn new_apns_id(&self) -> HeaderValue {
        let count = self.answered.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:08x}-0000-4000-8000-{count:012x}", self.connection);
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static(""))
    }
}

fn error_answer((status, reason): Refusal) -> ErrorAnswer {
    ErrorAnswer { status: status.as_u16(), reason: reason.to_owned(), timestamp_ms: None }
}

fn accepted(apns_id: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    response.headers_mut().insert("apns-id", apns_id);
    response
}

fn refused(error: &ErrorAnswer, apns_id: HeaderValue) -> Response<Full<Bytes>> {
    let mut body = serde_json::json!({ "reason": error.reason });
    if let Some(timestamp) = error.timestamp_ms {
        body["timestamp"] = timestamp.into();
    }
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("apns-id", apns_id);
    response
}
