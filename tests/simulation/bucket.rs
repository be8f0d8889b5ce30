//! S3: a map, and what the SDK needs to hear.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};

/// An object with the headers that come back with it.
#[derive(Clone)]
struct Object {
    bytes: Bytes,
    headers: HeaderMap,
}

/// The bucket.
#[derive(Default)]
pub(crate) struct Bucket(Mutex<BTreeMap<String, Object>>);

/// How an object is spoilt on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoilt {
    No,
    Missing,
    WrongByte,
    CutShort,
}

impl Bucket {
    /// PUT.
    pub(crate) fn put(&self, path: &str, headers: &HeaderMap, bytes: Bytes) -> Response<Bytes> {
        let kept =
            headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-meta-") || *name == "content-type");
        let headers = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        objects.insert(path.to_owned(), Object { bytes, headers });
        Response::new(Bytes::new())
    }

    /// GET.
    pub(crate) fn get(&self, path: &str, spoilt: Spoilt) -> Response<Bytes> {
        let objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(object) = objects.get(path).filter(|_| spoilt != Spoilt::Missing) else {
            return error(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        let mut bytes = object.bytes.to_vec();
        match spoilt {
            Spoilt::WrongByte => {
                let middle = bytes.len() / 2;
                bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 0x20);
            }
            Spoilt::CutShort => bytes.truncate(bytes.len() / 2),
            Spoilt::No | Spoilt::Missing => {}
        }
        let mut response = Response::new(Bytes::from(bytes));
        response.headers_mut().extend(object.headers.clone());
        response.headers_mut().insert("etag", HeaderValue::from_static("\"simulated\""));
        response
    }
}

/// An error as S3 words it.
pub(crate) fn error(status: StatusCode, code: &str) -> Response<Bytes> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>simulated</Message></Error>");
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response
}
