//! Opening one HTTP/2 connection: name, socket, TLS with the pass certificate, and the peer's first frame.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri, response};
use passkit::signing::SigningIdentity;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::outcome::ConnectionTrouble;
use super::pulse::{Pulse, drive};
use super::{ANSWER_BYTES, PAYLOAD};

/// Name, socket, TLS and the peer's first frame together: four round trips, and a lost packet or two.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Port of `https` (and APNs' first choice; 2197 is its other).
const DEFAULT_PORT: u16 = 443;

/// Where to connect to.
#[derive(Clone)]
pub(super) struct Endpoint {
    authority: Authority,
    host: String,
    port: u16,
    server_name: ServerName<'static>,
}

impl Endpoint {
    /// Takes `https://host[:port]`, with or without a final slash.
    pub(super) fn parse(uri: &Uri) -> Result<Self, &'static str> {
        if uri.scheme_str() != Some("https") {
            return Err("it has to begin with https://");
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err("it has to end after the host and port");
        }
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it must not hold a user name");
        }
        // IPv6 addresses stand in brackets in a URI and without them elsewhere.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let server_name =
            ServerName::try_from(host.clone()).map_err(|_| "its host is neither a DNS name nor an IP address")?;
        let port = authority.port_u16().unwrap_or(DEFAULT_PORT);
        Ok(Self { authority: authority.clone(), host, port, server_name })
    }

    /// The URI of a path on it.
    pub(super) fn uri(&self, path: PathAndQuery) -> Result<Uri, http::uri::InvalidUriParts> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority)
    }
}

/// Bytes to and from the peer.
pub trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytestream for S {}

/// Opens a way for bytes.
pub type Dial = Box<dyn Fn() -> Box<dyn Bytestream> + Send + Sync>;

/// How the bytes of a connection travel.
pub(super) enum Road {
    /// Over the network and TLS, trusting these.
    Tls(Arc<RootCertStore>),
    /// As whoever made the [`super::Apns`] says.
    Given(Dial),
}

/// An open connection. It closes when it is dropped and everything under way is answered.
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    life: Arc<Life>,
}

/// What the connection's driver and its users share.
struct Life {
    pulse: Pulse,
    ended: AtomicBool,
}

/// An answer's head and its whole body.
pub(super) type Answer = (response::Parts, Bytes);

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// The peer takes no more pushes on this connection: nothing was sent.
    NotTaken(h2::Error),
    /// It broke, or the peer reset the stream.
    Broken(h2::Error),
}

impl Connection {
    /// One push, its whole answer. An answer's body that breaks off or is too long counts as none: the status decides.
    pub(super) async fn exchange(&self, request: Request<()>) -> Result<Answer, NoAnswer> {
        let _under_way = self.life.pulse.begin();
        let mut sender = self.sender.clone().ready().await.map_err(NoAnswer::NotTaken)?;
        let (answer, mut body) = sender.send_request(request, false).map_err(NoAnswer::NotTaken)?;
        // The payload is shorter than any window, and goes out with the head.
        body.send_data(Bytes::from_static(PAYLOAD), true).map_err(NoAnswer::Broken)?;
        let (head, body) = answer.await.map_err(NoAnswer::Broken)?.into_parts();
        let body = if body.is_end_stream() { Bytes::new() } else { whole(body).await.unwrap_or_default() };
        Ok((head, body))
    }

    /// False once it has ended.
    pub(super) fn takes_pushes(&self) -> bool {
        !self.life.ended.load(Ordering::Acquire)
    }
}

/// `None`: it broke off or is too long.
async fn whole(mut body: RecvStream) -> Option<Bytes> {
    let mut read = BytesMut::new();
    while let Some(some) = body.data().await {
        let some = some.ok()?;
        // Fails when the stream has ended, and then there is nobody to allow more to.
        let _ = body.flow_control().release_capacity(some.len());
        if read.len() + some.len() > ANSWER_BYTES {
            return None;
        }
        read.extend_from_slice(&some);
    }
    Some(read.freeze())
}

/// Opens a connection that has shown to work: the peer has sent its first frame, its SETTINGS. Waiting for it costs one
/// round trip and is worth it: in TLS 1.3 a peer that refuses our certificate says so only after our half of the
/// handshake is done, and without SETTINGS a burst of first pushes would not know how many streams are allowed.
pub(super) async fn open(
    endpoint: &Endpoint,
    road: &Road,
    identity: &SigningIdentity,
) -> Result<Connection, ConnectionTrouble> {
    let opened = async {
        match road {
            Road::Tls(roots) => begin(secured(endpoint, tls_config(roots, identity)?).await?).await,
            Road::Given(dial) => begin(dial()).await,
        }
    };
    tokio::time::timeout(CONNECT_TIMEOUT, opened).await.unwrap_or(Err(ConnectionTrouble::ConnectTimeout))
}

fn tls_config(roots: &Arc<RootCertStore>, identity: &SigningIdentity) -> Result<ClientConfig, ConnectionTrouble> {
    let unusable = |error: rustls::Error| ConnectionTrouble::Identity(error.to_string());
    let chain = identity.tls_chain().into_iter().map(CertificateDer::from).collect();
    let key = identity.tls_key_pkcs8().map_err(|error| ConnectionTrouble::Identity(error.to_string()))?;
    let key = PrivatePkcs8KeyDer::from(key.expose().to_vec());
    // The provider is named here and not installed for the process: what other crates install is theirs.
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(Arc::clone(roots))
        .with_client_auth_cert(chain, key.into())
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn secured(endpoint: &Endpoint, config: ClientConfig) -> Result<TlsStream<TcpStream>, ConnectionTrouble> {
    // By name, so that every connection asks DNS anew, as Apple wants.
    let socket = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(|error| ConnectionTrouble::connect(&error))?;
    // A push is two small writes; with Nagle's algorithm the second waits for the peer's delayed acknowledgement.
    socket.set_nodelay(true).map_err(|error| ConnectionTrouble::connect(&error))?;
    TlsConnector::from(Arc::new(config))
        .connect(endpoint.server_name.clone(), socket)
        .await
        .map_err(|error| tls_trouble(&error))
}

async fn begin<S: Bytestream + 'static>(stream: S) -> Result<Connection, ConnectionTrouble> {
    let (heard, mut hears) = watch::channel(Heard::Nothing);
    let life = Arc::new(Life { pulse: Pulse::new(), ended: AtomicBool::new(false) });
    let listening = Listening { stream, heard, life: Arc::clone(&life) };
    let (sender, connection) = Builder::new()
        // Nobody pushes to us.
        .enable_push(false)
        .handshake(listening)
        .await
        .map_err(|error| ConnectionTrouble::broken(&error))?;
    let driven = Arc::clone(&life);
    let driver = tokio::spawn(async move {
        let ended = drive(connection, &driven.pulse).await;
        driven.ended.store(true, Ordering::Release);
        if let Err(error) = &ended {
            tracing::debug!(error = %error, "connection to APNs ended");
        }
        ended
    });

    // Ends with an error when the connection is dropped before it heard anything.
    match hears.wait_for(|heard| *heard != Heard::Nothing).await.map(|heard| *heard) {
        Ok(Heard::Refusal(alert)) => Err(ConnectionTrouble::CertificateRefused(alert)),
        Ok(Heard::Frames | Heard::Nothing) => Ok(Connection { sender, life }),
        Err(_closed) => match driver.await {
            Ok(Err(error)) => Err(ConnectionTrouble::broken(&error)),
            Ok(Ok(())) | Err(_) => Err(ConnectionTrouble::Broken("closed before its first frame".to_owned())),
        },
    }
}

/// What has been heard from the peer since the TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// HTTP/2 has begun.
    Frames,
    /// A TLS alert about our certificate.
    Refusal(AlertDescription),
}

/// A TLS stream that tells what it hears first. The HTTP/2 layer keeps only the text of a read error, so the alert is
/// caught here, where it still has a type.
struct Listening<S> {
    stream: S,
    heard: watch::Sender<Heard>,
    life: Arc<Life>,
}

impl<S> Listening<S> {
    fn hear(&self, what: Heard) {
        // The channel has a lock; what comes first comes once.
        if *self.heard.borrow() != Heard::Nothing {
            return;
        }
        self.heard.send_if_modified(|heard| {
            let first = *heard == Heard::Nothing;
            if first {
                *heard = what;
            }
            first
        });
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Listening<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) if buf.filled().len() > before => {
                self.life.pulse.hear();
                self.hear(Heard::Frames);
            }
            Poll::Ready(Err(error)) => {
                if let Some(alert) = certificate_alert(error) {
                    self.hear(Heard::Refusal(alert));
                }
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Listening<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Err(_)) = &written {
            self.read_last_words(cx);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if let Poll::Ready(Err(_)) = &flushed {
            self.read_last_words(cx);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> Listening<S> {
    /// A peer that refused our certificate and closed makes the next write fail, and then nobody would read the alert
    /// that came before.
    fn read_last_words(&mut self, cx: &mut Context<'_>) {
        let mut scratch = [0_u8; 64];
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut scratch))
            && let Some(alert) = certificate_alert(&error)
        {
            self.hear(Heard::Refusal(alert));
        }
    }
}

fn tls_trouble(error: &io::Error) -> ConnectionTrouble {
    if let Some(alert) = certificate_alert(error) {
        return ConnectionTrouble::CertificateRefused(alert);
    }
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(problem)) => ConnectionTrouble::EndpointNotTrusted(problem.to_string()),
        Some(_) | None => ConnectionTrouble::connect(error),
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let inner: &(dyn Error + 'static) = error.get_ref()?;
    inner.downcast_ref()
}

/// The alerts of RFC 8446, 6.2, with which a peer refuses a certificate (42 to 46, 48, 49, 116) or a signature by or
/// under it (51: the issuer's name is known, its key is another).
fn certificate_alert(error: &io::Error) -> Option<AlertDescription> {
    let Some(rustls::Error::AlertReceived(alert)) = tls_error(error) else {
        return None;
    };
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::CertificateRequired
    )
    .then_some(*alert)
}
