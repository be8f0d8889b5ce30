//! Calls over https (`platform::outbound`), against a TLS server with a certificate of ours: which is trusted, and which
//! is not.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, Uri};
use platform::outbound::{Answered, Call, Outbound, Reach, Trouble};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::apns::certificate;

/// Answers one request with 200 and says what came.
async fn serve(listener: TcpListener, directory: &TempDir) -> String {
    let kept = certificate::kept_in(directory.path()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![kept.certificate], kept.key).unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(socket).await else { return String::new() };
    let mut received = String::new();
    while !received.contains("\r\n\r\n{}") {
        let mut some = [0; 1024];
        let count = stream.read(&mut some).await.unwrap();
        assert!(count > 0, "the request broke off: {received}");
        received.push_str(&String::from_utf8_lossy(&some[..count]));
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    stream.shutdown().await.unwrap();
    received
}

async fn call(url: &str, trusted: Option<Vec<u8>>) -> Result<Answered, Trouble> {
    let url: Uri = url.parse().unwrap();
    let (headers, timeout, reach) = (HeaderMap::new(), LONG_ENOUGH, Reach::PublicAndThisMachine);
    let call = Call { url: &url, headers, body: "{}".into(), timeout, reach };
    Outbound::default().call(call, || Ok(trusted)).await.unwrap()
}

#[tokio::test]
async fn a_trusted_server_is_called_over_https() {
    let directory = TempDir::new().unwrap();
    let ca = std::fs::read(certificate::kept_in(directory.path()).unwrap().ca_path).unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("https://{host}:{}/hook?a=b", listener.local_addr().unwrap().port());
        let (received, answered) = tokio::join!(serve(listener, &directory), call(&url, Some(ca.clone())));
        let answered = answered.unwrap();
        assert_eq!((answered.status, &answered.body[..]), (StatusCode::OK, &b"ok"[..]));
        assert!(received.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{received}");
        assert!(received.to_lowercase().contains(&format!("host: {host}:")), "{received}");
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_told_nothing() {
    let directory = TempDir::new().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://127.0.0.1:{}/hook", listener.local_addr().unwrap().port());
    let other = TempDir::new().unwrap();
    let stranger = std::fs::read(certificate::kept_in(other.path()).unwrap().ca_path).unwrap();
    let (received, answered) = tokio::join!(serve(listener, &directory), call(&url, Some(stranger)));
    assert!(matches!(answered, Err(Trouble::Tls(_))), "{answered:?}");
    assert_eq!(received, "");
}
