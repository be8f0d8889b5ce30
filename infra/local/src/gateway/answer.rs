//! A function's answer, in payload format 2.0, as HTTP.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};

use crate::server::Body;

/// API Gateway's own answers, with its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// No such route.
    NotFound,
    /// The request is not HTTP that can be passed on.
    BadRequest,
    /// The body did not come in time.
    RequestTimeout,
    /// The body is over the limit.
    TooLong,
    /// The function failed.
    InternalServerError,
    /// The function took too long.
    ServiceUnavailable,
}

impl Own {
    fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, r#"{"message":"Not Found"}"#),
            Self::BadRequest => (StatusCode::BAD_REQUEST, r#"{"message":"Bad Request"}"#),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, r#"{"message":"Request Timeout"}"#),
            Self::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, r#"{"message":"Request Too Long"}"#),
            Self::InternalServerError => (StatusCode::INTERNAL_SERVER_ERROR, r#"{"message":"Internal Server Error"}"#),
            Self::ServiceUnavailable => (StatusCode::SERVICE_UNAVAILABLE, r#"{"message":"Service Unavailable"}"#),
        }
    }

    /// The whole answer.
    pub(crate) fn answer(self, method: &Method) -> Response<Body> {
        let (status, message) = self.parts();
        let mut response = Response::new(Bytes::from_static(message.as_bytes()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        finish(response, method)
    }
}

/// Why a function's answer cannot be sent on. API Gateway answers 500 then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    /// Not a payload 2.0 response.
    #[error("the function's answer is not a payload 2.0 response: {0}")]
    Shape(#[from] serde_json::Error),
    /// Not a status code.
    #[error("the function's answer has the status code {0}")]
    StatusCode(i64),
    /// Marked as base64, and is not.
    #[error("the function's answer is marked as base64 and is not: {0}")]
    Base64(#[from] base64::DecodeError),
    /// A cookie that cannot be a header.
    #[error("the function's answer has a cookie that cannot be sent")]
    Cookie,
}

/// Turns a function's answer, as the Lambda runtime would have posted it, into HTTP.
pub(crate) fn translate(payload: &[u8], method: &Method) -> Result<Response<Body>, AnswerError> {
    let answer: ApiGatewayV2httpResponse = serde_json::from_slice(payload)?;
    let status = u16::try_from(answer.status_code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(AnswerError::StatusCode(answer.status_code))?;
    let body = match answer.body {
        None => Bytes::new(),
        Some(body) if answer.is_base64_encoded => STANDARD.decode(body.as_ref())?.into(),
        Some(body) => Bytes::copy_from_slice(body.as_ref()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in answer.headers.iter().chain(&answer.multi_value_headers) {
        headers.append(name, value.clone());
    }
    for cookie in answer.cookies {
        headers.append(SET_COOKIE, HeaderValue::from_str(&cookie).map_err(|_| AnswerError::Cookie)?);
    }
    Ok(finish(response, method))
}

/// An answer to HEAD has the headers of the one to GET, `Content-Length` included, and no body (RFC 9110, 9.3.2).
fn finish(response: Response<Bytes>, method: &Method) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let body = if *method == Method::HEAD {
        if !body.is_empty() {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        Bytes::new()
    } else {
        // hyper writes the length of the body that is there.
        parts.headers.remove(CONTENT_LENGTH);
        body
    };
    Response::from_parts(parts, Full::new(body).map_err(|never| match never {}).boxed_unsync())
}

#[cfg(test)]
mod tests;
