//! The embedded S3: s3s over a directory.
//!
//! Objects appear by rename, so a killed process leaves no half of one. What the object is (content type, metadata) is
//! a second file, written after it: a kill between the two leaves an object without its content type.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use anyhow::Context as _;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::Service;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

use super::FREE_PORT;
use crate::server::{Body, Server, listen};

/// A running embedded S3.
pub(crate) struct S3 {
    server: Server,
}

impl S3 {
    /// Serves the buckets in `directory` to whoever signs with the given key.
    ///
    /// # Errors
    /// When the directory or the port cannot be used.
    pub(crate) fn start(directory: &Path, access_key: &str, secret_key: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let files = s3s_fs::FileSystem::new(directory)
            .map_err(|error| anyhow::anyhow!("{error:?}"))
            .with_context(|| format!("cannot open the embedded S3 in {}", directory.display()))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
        let service = builder.build();
        let listener = listen(FREE_PORT).context("cannot open a port for the embedded S3")?;
        let server = Server::start(listener, move |_| Door(service.clone()))?;
        Ok(Self { server })
    }

    /// Its URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Lets requests in progress finish.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

struct Door(S3Service);

impl Service<Request<Incoming>> for Door {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move {
            Ok(match service.call(request.map(s3s::Body::from)).await {
                Ok(response) => response.map(|body| body.map_err(boxed).boxed_unsync()),
                Err(error) => {
                    tracing::error!(?error, "the embedded S3 failed");
                    let mut response = Response::new(http_body_util::Empty::new().map_err(never).boxed_unsync());
                    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    response
                }
            })
        })
    }
}

fn boxed<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Box<dyn Error + Send + Sync> {
    error.into()
}

fn never(never: Infallible) -> Box<dyn Error + Send + Sync> {
    match never {}
}
