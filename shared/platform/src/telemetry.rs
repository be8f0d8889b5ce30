//! One structured line per event, never a secret.

use std::time::Duration;

use ::http::{Method, StatusCode};
use lambda_http::{Request, RequestExt, request::RequestContext};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::Fault;

/// JSON lines on standard output, filtered by `RUST_LOG` (default `info`): what CloudWatch Logs reads.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer().json().flatten_event(true).with_target(false).with_current_span(false);
    // A second call finds the first one's subscriber in place, and that is as good.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

/// API Gateway's id of the request.
pub fn request_id(request: &Request) -> String {
    let context = request.request_context_ref();
    let id = context.and_then(|context| match context {
        RequestContext::ApiGatewayV2(context) => context.request_id.clone(),
        #[allow(unreachable_patterns, clippy::wildcard_enum_match_arm, reason = "the enum is non-exhaustive")]
        _ => None,
    });
    id.unwrap_or_default()
}

/// One HTTP invocation ended. The path is not logged: it holds identifiers; the function's name says the route.
pub fn answered(
    function: &str,
    method: &Method,
    status: StatusCode,
    failure: Option<&str>,
    took: Duration,
    request_id: &str,
) {
    let (status, milliseconds) = (status.as_u16(), took.as_secs_f64() * 1000.0);
    if status >= 500 {
        tracing::error!(function, %method, status, failure, milliseconds, request_id, "answered");
    } else {
        tracing::info!(function, %method, status, failure, milliseconds, request_id, "answered");
    }
}

/// One message or one scheduled run ended.
pub fn worked(function: &str, fault: Option<&Fault>, took: Duration) {
    let milliseconds = took.as_secs_f64() * 1000.0;
    match fault {
        Some(fault) => tracing::error!(function, fault = fault.chain(), milliseconds, "failed"),
        None => tracing::info!(function, milliseconds, "worked"),
    }
}
