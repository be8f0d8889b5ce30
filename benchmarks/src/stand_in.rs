//! APNs, as far as speed goes: HTTP/2 over TLS 1.3 that demands a client certificate, takes 1,000 streams, and answers 200
//! with an `apns-id`. Leaner than the local service's stand-in, so that the client is what is measured; in a process of
//! its own, on a core of its own.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{Request, Response};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::chain;

/// The first argument of a process that is the stand-in; the second is the directory of its files.
pub const ROLE: &str = "stand-in";
/// The core it runs on, where there are two: the other one is for what is measured (`benchmarks/run`).
const CORE: &str = "0";

/// A stand-in in a process of its own. Ends with its owner.
pub struct StandIn {
    process: Child,
    /// `https://127.0.0.1:<port>`
    pub endpoint: String,
    /// PEM of its certificate.
    pub ca: Vec<u8>,
    /// PEM of its key: who has both may push too.
    pub key: Vec<u8>,
    files: TempDir,
}

impl StandIn {
    /// Starts this very program again, as the stand-in.
    /// `roots` are PEM of those that client certificates must lead to.
    pub fn start(roots: &[u8]) -> StandIn {
        let files = tempfile::tempdir().unwrap();
        let (ca, key) = chain::of_stand_in();
        std::fs::write(files.path().join("certificate.pem"), &ca).unwrap();
        std::fs::write(files.path().join("key.pem"), &key).unwrap();
        std::fs::write(files.path().join("roots.pem"), [roots, &ca].concat()).unwrap();
        let program = std::env::current_exe().unwrap();
        let mut command = if std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1) && cores() > 1 {
            let mut command = Command::new("taskset");
            command.args(["-c", CORE]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let mut process = command.arg(ROLE).arg(files.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        StandIn { process, endpoint: format!("https://{}", line.trim()), ca, key, files }
    }

    /// The file of its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.files.path().join("certificate.pem")
    }

    /// CPU time that the stand-in has used, in seconds: clock ticks of `/proc/<pid>/stat`, of which there are 100 a second.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
        (ticks(11) + ticks(12)) / 100.0
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Cores of the machine, whatever this process may use of them.
fn cores() -> usize {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpuinfo.lines().filter(|line| line.starts_with("processor")).count()
}

/// Runs the stand-in if this process was started as one. A benchmark calls this first of all.
pub fn if_this_is_one() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|role| role == ROLE) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(Path::new(&arguments[2])));
        std::process::exit(0);
    }
}

async fn run(files: &Path) {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(files.join("roots.pem")).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let certificate = CertificateDer::from_pem_file(files.join("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(files.join("key.pem")).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let acceptor = TlsAcceptor::from(Arc::new(config));
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(serve(socket, acceptor.clone()));
    }
}

async fn serve(socket: TcpStream, acceptor: TlsAcceptor) {
    const WINDOW: u32 = 1 << 30;
    socket.set_nodelay(true).unwrap();
    let Ok(stream) = acceptor.accept(socket).await else { return };
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1000).initial_connection_window_size(WINDOW);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond));
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.data().await {}
    let response = Response::builder().header("apns-id", "eabeae54-14a8-11e5-b60b-1697f925ec7b").body(()).unwrap();
    // Fails when the client is gone.
    let _ = respond.send_response(response, true);
}
