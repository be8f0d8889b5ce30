//! Listening and serving HTTP/1.1 on this machine: shared by the gateway and the embedded S3 and SQS.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Open connections of one server. 1024 is the usual soft limit of file descriptors; the connection after it waits in
/// the kernel's backlog.
pub(crate) const MAX_CONNECTIONS: usize = 512;
/// Connections the kernel may hold that were not yet accepted.
const BACKLOG: u32 = 1024;
/// A client that takes longer to send a request's head, or idles longer between requests, is disconnected: it must not
/// hold one of the connections for ever.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long running requests may take to finish after a stop was asked for; longer than any handler's time limit would
/// make Ctrl-C feel broken.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// After a failed accept (out of file descriptors), the loop breathes instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A response body of any shape.
pub(crate) type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: watch::Sender<()>,
    /// One task, in a set because that ends with its owner: a server dropped without a stop frees its port.
    task: JoinSet<()>,
}

/// Opens a listening socket. Accepted connections inherit `TCP_NODELAY` from it on Linux and macOS, so a server that
/// accepts by itself (the embedded DynamoDB) has it too.
///
/// # Errors
/// When the address is taken or not this machine's.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Without it a restart on the same port fails for a minute, while old connections are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Server {
    /// Serves `service` on `listener` until it is stopped.
    ///
    /// # Errors
    /// When the listener has no address.
    pub(crate) fn start<S, F>(listener: TcpListener, service: F) -> io::Result<Self>
    where
        F: Fn(SocketAddr) -> S + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send,
    {
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(());
        let mut task = JoinSet::new();
        task.spawn(accept(listener, service, stopped));
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, lets running requests finish within a limit, then closes everything.
    pub(crate) async fn stop(mut self) {
        drop(self.stop);
        if let Some(Err(error)) = self.task.join_next().await {
            tracing::error!(%error, "a server's accept loop ended badly");
        }
    }
}

async fn accept<S, F>(listener: TcpListener, service: F, mut stopped: watch::Receiver<()>)
where
    F: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let slot = Arc::clone(&free).acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            // The sender is dropped to stop.
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            (slot, accepted) = accepted => match accepted {
                Ok((stream, peer)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY refused");
                    }
                    let connection = serve(TokioIo::new(stream), service(peer), stopped.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_LIMIT, drained).await.is_err() {
        tracing::warn!("closing connections whose requests did not finish in time");
        connections.shutdown().await;
    }
}

async fn serve<S>(stream: TokioIo<tokio::net::TcpStream>, service: S, mut stopped: watch::Receiver<()>)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .serve_connection(stream, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that hung up or sent no HTTP: its own affair.
        tracing::debug!(%error, "connection ended");
    }
}
