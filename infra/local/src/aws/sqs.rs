//! The embedded SQS: rustack, in memory.
//!
//! A killed process loses its messages. That is welcome: the sweep at start brings every due step back, here as after
//! any accident in the cloud.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context as _;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::Service;
use rustack_sqs_core::{config::SqsConfig, handler::RustackSqsHandler, provider::RustackSqs};
use rustack_sqs_http::service::{SqsHttpConfig, SqsHttpService};

use super::FREE_PORT;
use crate::server::{Body, Server, listen};

/// A running embedded SQS.
pub(crate) struct Sqs {
    server: Server,
    queues: Arc<RustackSqs>,
}

impl Sqs {
    /// Starts without any queue.
    ///
    /// # Errors
    /// When the port cannot be used.
    pub(crate) fn start(region: String) -> anyhow::Result<Self> {
        let listener = listen(FREE_PORT).context("cannot open a port for the embedded SQS")?;
        let address = listener.local_addr()?;
        let queues = Arc::new(RustackSqs::new(SqsConfig {
            host: address.ip().to_string(),
            port: address.port(),
            default_region: region.clone(),
            ..SqsConfig::default()
        }));
        let handler = Arc::new(RustackSqsHandler::new(Arc::clone(&queues)));
        let service = SqsHttpService::new(handler, SqsHttpConfig { region, ..SqsHttpConfig::default() });
        let server = Server::start(listener, move |_| Door(service.clone()))?;
        Ok(Self { server, queues })
    }

    /// Its URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Forgets all messages.
    pub(crate) async fn stop(self) {
        // The queues first: a long poll ends when its queue does, not when its connection is asked to.
        self.queues.shutdown_all().await;
        self.server.stop().await;
    }
}

struct Door(SqsHttpService<RustackSqsHandler>);

impl Service<Request<Incoming>> for Door {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(
            async move { answer.await.map(|response| response.map(|body| body.map_err(Into::into).boxed_unsync())) },
        )
    }
}
