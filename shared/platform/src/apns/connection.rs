//! Opening one HTTP/2 connection: name, socket, TLS with the pass certificate, and the peer's first frame.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::uri::Authority;
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use passkit::signing::SigningIdentity;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::outcome::ConnectionTrouble;

/// Name, socket, TLS and the peer's first frame together: four round trips, and a lost packet or two.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// With pushes under way and nothing heard for this long, a PING asks whether the peer is still there. Idle connections
/// are left alone (Apple asks for no PING within the hour), so a socket that died while a function was frozen is found
/// by the first push after it: then the PING is already due, and the push moves to a new connection after
/// [`PING_TIMEOUT`].
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Many round trips. Too short costs a handshake and a second copy of a push, too long keeps a pass from changing.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

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

    pub(super) fn authority(&self) -> Authority {
        self.authority.clone()
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

/// An open connection; clones send over the same one. It closes when the last clone is dropped and answered.
#[derive(Clone)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Tells connections apart by address; two live connections never share one.
    identity: Arc<()>,
}

impl Connection {
    pub(super) fn sender(&self) -> SendRequest<Full<Bytes>> {
        self.sender.clone()
    }

    /// False once the peer has closed it, or has said that it will.
    pub(super) fn takes_pushes(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.identity, &other.identity)
    }
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
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(false)
        .handshake(TokioIo::new(Listening { stream, heard }))
        .await
        .map_err(|error| ConnectionTrouble::broken(&error))?;
    let driver = tokio::spawn(async move {
        let ended = connection.await;
        if let Err(error) = &ended {
            tracing::debug!(error = %error, "connection to APNs ended");
        }
        ended
    });

    // Ends with an error when the connection is dropped before it heard anything.
    match hears.wait_for(|heard| *heard != Heard::Nothing).await.map(|heard| *heard) {
        Ok(Heard::Refusal(alert)) => Err(ConnectionTrouble::CertificateRefused(alert)),
        Ok(Heard::Frames | Heard::Nothing) => Ok(Connection { sender, identity: Arc::new(()) }),
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
}

impl<S> Listening<S> {
    fn hear(&self, what: Heard) {
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
            Poll::Ready(Ok(())) if buf.filled().len() > before => self.hear(Heard::Frames),
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
