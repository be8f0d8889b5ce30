//! Calls to servers that are not ours: one request, one connection, one answer, and all of it bounded.
//!
//! hyper and rustls, as the AWS SDK and push use them: one TLS stack. A name is resolved once, every address that comes
//! of it is looked at, and the connection is made to an address that was looked at: a name that answers differently the
//! second time (DNS rebinding) is not asked a second time. Redirects are answers like any other. No proxy is used.

mod addresses;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use ::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, uri::Scheme};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::TlsConnector;

use crate::{
    Fault,
    apns::{self, Dial},
};

pub use addresses::is_public;

/// From the name to the end of the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read; whoever has more to say is not listened to.
const ANSWER_BYTES: usize = 16 * 1024;

/// Which servers may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of the public internet, over https.
    Public,
    /// This machine besides, also over http: for trying things out.
    PublicAndThisMachine,
}

/// A call.
#[derive(Debug)]
pub struct Call<'a> {
    /// Where to: absolute.
    pub url: &'a Uri,
    /// Besides `Host` and `Content-Type: application/json`.
    pub headers: HeaderMap,
    /// JSON.
    pub body: Bytes,
    /// For all of it.
    pub timeout: Duration,
    /// Who may be called.
    pub reach: Reach,
}

/// An answer, as far as it was read.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The body, empty if it was too long or broke off.
    pub body: Bytes,
}

/// Why there is no answer. Each is told to the merchant whose address it is: none says what was found inside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The address is none that may be called.
    #[error("{0}")]
    Address(&'static str),
    /// The name does not resolve.
    #[error("the name cannot be resolved")]
    Name,
    /// Nobody takes the connection.
    #[error("the connection was not made: {0}")]
    Connection(io::ErrorKind),
    /// The certificate is not trusted, or the handshake broke off.
    #[error("no TLS connection: {0}")]
    Tls(String),
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke off, or what came was no HTTP.
    #[error("the connection broke off")]
    Broken,
}

/// The way out. Its trusted roots are read at the first call.
#[derive(Default)]
pub struct Outbound {
    tls: OnceLock<Arc<ClientConfig>>,
    given: Option<Dial>,
}

/// How the bytes of a call travel.
enum Road<'a> {
    /// Over the network, and TLS where the address asks for it.
    Network(Arc<ClientConfig>),
    /// As whoever made the [`Outbound`] says.
    Given(&'a Dial),
}

impl Outbound {
    /// The way to one server in the same process, whatever its address is called: no name, no socket, no TLS. For the
    /// simulation (`tests/simulation`), whose time must not wait for sockets.
    pub fn over(dial: Dial) -> Outbound {
        Outbound { tls: OnceLock::new(), given: Some(dial) }
    }

    /// Makes one call. The outer fault is ours: no trusted roots on this system.
    pub async fn call(
        &self,
        call: Call<'_>,
        extra_roots_pem: impl FnOnce() -> Result<Option<Vec<u8>>, Fault>,
    ) -> Result<Result<Answered, Trouble>, Fault> {
        let road = match &self.given {
            Some(dial) => Road::Given(dial),
            None => Road::Network(self.tls(extra_roots_pem)?),
        };
        let timeout = call.timeout;
        Ok(tokio::time::timeout(timeout, exchange(call, road)).await.unwrap_or(Err(Trouble::Timeout)))
    }

    fn tls(
        &self,
        extra_roots_pem: impl FnOnce() -> Result<Option<Vec<u8>>, Fault>,
    ) -> Result<Arc<ClientConfig>, Fault> {
        if let Some(tls) = self.tls.get() {
            return Ok(Arc::clone(tls));
        }
        let roots =
            apns::trusted_roots(extra_roots_pem()?.as_deref()).map_err(|error| Fault::new("preparing calls", error))?;
        let tls = Arc::new(tls_config(roots).map_err(|error| Fault::new("preparing calls", error))?);
        Ok(Arc::clone(self.tls.get_or_init(|| tls)))
    }
}

fn tls_config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// An address that may be called: https to a host, without a name or a fragment in it. `http` only to this machine's own
/// addresses, where the reach admits that.
pub fn check_url(url: &Uri, reach: Reach) -> Result<(), &'static str> {
    let host = host_of(url).ok_or("must be an absolute URL")?;
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("must not hold a user name");
    }
    let literal: Option<IpAddr> = host.parse().ok();
    let is_here = literal.is_some_and(|address| address.is_loopback());
    match url.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => {}
        Some(scheme) if *scheme == Scheme::HTTP && is_here && reach == Reach::PublicAndThisMachine => return Ok(()),
        _ => return Err("must begin with https://"),
    }
    match literal {
        Some(address) if !may_be_called(address, reach) => Err("leads to an address inside a network"),
        Some(_) | None => Ok(()),
    }
}

fn may_be_called(address: IpAddr, reach: Reach) -> bool {
    is_public(address) || (reach == Reach::PublicAndThisMachine && address.is_loopback())
}

/// The host without the brackets of an IPv6 address.
fn host_of(url: &Uri) -> Option<&str> {
    let host = url.host()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some(host)
}

async fn exchange(call: Call<'_>, road: Road<'_>) -> Result<Answered, Trouble> {
    check_url(call.url, call.reach).map_err(Trouble::Address)?;
    let tls = match road {
        Road::Network(tls) => tls,
        Road::Given(dial) => return send(dial(), call).await,
    };
    let is_tls = call.url.scheme() == Some(&Scheme::HTTPS);
    let host = host_of(call.url).ok_or(Trouble::Name)?;
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect(&call, host, is_tls)).await;
    let socket = connected.unwrap_or(Err(Trouble::Timeout))?;
    if !is_tls {
        return send(socket, call).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Trouble::Name)?;
    let handshake = tokio::time::timeout(CONNECT_TIMEOUT, TlsConnector::from(tls).connect(name, socket)).await;
    let stream = handshake.map_err(|_| Trouble::Timeout)?.map_err(|error| Trouble::Tls(told(&error)))?;
    send(stream, call).await
}

/// What a refused handshake is told as; other errors of the socket say only their kind.
fn told(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    tls.map_or_else(|| error.kind().to_string(), ToString::to_string)
}

/// A connection to one of the addresses of the name. If one of them may not be called, none is.
async fn connect(call: &Call<'_>, host: &str, is_tls: bool) -> Result<TcpStream, Trouble> {
    let port = call.url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await.map_err(|_| Trouble::Name)?.collect();
    if addresses.iter().any(|address| !may_be_called(address.ip(), call.reach)) {
        return Err(Trouble::Address("leads to an address inside a network"));
    }
    let mut trouble = Trouble::Name;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => {
                // The head and the body are two small writes.
                socket.set_nodelay(true).map_err(|error| Trouble::Connection(error.kind()))?;
                return Ok(socket);
            }
            Err(error) => trouble = Trouble::Connection(error.kind()),
        }
    }
    Err(trouble)
}

async fn send<S>(stream: S, call: Call<'_>) -> Result<Answered, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = request(call).map_err(|_| Trouble::Address("cannot be called"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Trouble::Broken)?;
    let driver = tokio::spawn(connection);
    let answered = async {
        let (head, body) = sender.send_request(request).await.map_err(|_| Trouble::Broken)?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(Answered { status: head.status, body })
    };
    let answered = answered.await;
    driver.abort();
    answered
}

fn request(call: Call<'_>) -> Result<Request<Full<Bytes>>, ::http::Error> {
    let path = call.url.path_and_query().map_or("/", |path| path.as_str());
    let authority = call.url.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let mut request = Request::builder().method(Method::POST).uri(path).header(header::HOST, authority);
    if let Some(headers) = request.headers_mut() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("Passloop"));
        headers.extend(call.headers);
    }
    request.body(Full::new(call.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, reach: Reach) -> Result<(), &'static str> {
        check_url(&url.parse().unwrap(), reach)
    }

    #[test]
    fn only_https_to_the_internet_is_called() {
        for good in ["https://example.com/hook?a=b", "https://example.com:8443", "https://93.184.216.34/x"] {
            assert_eq!(check(good, Reach::Public), Ok(()), "{good}");
        }
        for bad in [
            "http://example.com/",
            "/hook",
            "ftp://example.com/",
            "https://user:secret@example.com/",
            "https://127.0.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://10.0.0.7/",
            "https://[::1]/",
            "https://[fd00:ec2::254]/",
            "https://[::ffff:127.0.0.1]/",
            "http://127.0.0.1:8080/",
        ] {
            assert!(check(bad, Reach::Public).is_err(), "{bad}");
        }
    }

    #[test]
    fn this_machine_is_called_where_that_is_admitted() {
        let reach = Reach::PublicAndThisMachine;
        for good in ["http://127.0.0.1:8080/hook", "https://127.0.0.1/", "http://[::1]:1/"] {
            assert_eq!(check(good, reach), Ok(()), "{good}");
        }
        // A name may lead elsewhere the next time.
        for bad in ["http://localhost/", "http://10.0.0.7/", "https://192.168.1.1/", "http://0.0.0.0/"] {
            assert!(check(bad, reach).is_err(), "{bad}");
        }
    }

    async fn call(url: &str, reach: Reach) -> Result<StatusCode, Trouble> {
        let url: Uri = url.parse().unwrap();
        let (headers, timeout) = (HeaderMap::new(), Duration::from_secs(5));
        let call = Call { url: &url, headers, body: Bytes::new(), timeout, reach };
        let tls = Arc::new(tls_config(RootCertStore::empty()).unwrap());
        exchange(call, Road::Network(tls)).await.map(|answered| answered.status)
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_called() {
        let inside = Trouble::Address("leads to an address inside a network");
        assert_eq!(call("https://localhost:1/", Reach::Public).await, Err(inside));
    }
}
