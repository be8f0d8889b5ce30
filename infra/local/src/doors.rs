//! Every function without a server: for the simulation, which is its own network, queue and clock.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use platform::{App, Function};

use crate::functions::FUNCTIONS;
use crate::gateway::{self, Own, Routes, Surroundings};
use crate::template::{Template, TemplateError};

/// The routes of `template.yaml` and the functions behind them, called in process by way of the same events.
pub struct Doors {
    routes: Routes,
}

impl Doors {
    /// Reads the routes.
    ///
    /// # Errors
    /// When the template names a function that is not there.
    pub fn new(template: &Template) -> Result<Doors, TemplateError> {
        Ok(Doors { routes: Routes::new(&template.routes, template.default_function.as_deref(), FUNCTIONS)? })
    }

    /// The name of the function that answers; `None`: API Gateway itself does, with 404.
    pub fn behind(&self, method: &Method, path: &str) -> Option<&'static str> {
        self.routes.find(method, path).map(|matched| matched.function.name)
    }

    /// Answers one request, at `now` by the function's own clock.
    pub async fn answer(
        &self,
        app: &App,
        request: Request<Bytes>,
        request_id: &str,
        now: Timestamp,
    ) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let answer = match self.routes.find(&parts.method, parts.uri.path()) {
            Some(matched) => {
                gateway::call(app, (&parts, &body), &matched, &Surroundings { peer, request_id, now }).await
            }
            None => Err(Own::NotFound),
        };
        let (head, body) = answer.unwrap_or_else(|own| own.answer(&parts.method)).into_parts();
        // Its body is in memory: it cannot break off.
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Response::from_parts(head, body)
    }

    /// A worker or a scheduled function.
    pub fn worker(name: &str) -> Option<&'static Function> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }
}
