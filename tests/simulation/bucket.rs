//! S3: a map, and what the SDK needs to hear.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use sha1::{Digest as _, Sha1};

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
        let mut headers: HeaderMap = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        let tag = HeaderValue::try_from(format!("\"{}\"", hex::encode(Sha1::digest(&bytes)))).expect("a header");
        headers.insert(header::ETAG, tag.clone());
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        objects.insert(path.to_owned(), Object { bytes, headers });
        let mut response = Response::new(Bytes::new());
        response.headers_mut().insert(header::ETAG, tag);
        response
    }

    /// The names of all objects.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// `ListObjectsV2` by a prefix: all of them on one page, in the order of their names.
    pub(crate) fn list(&self, bucket: &str, prefix: &str) -> Response<Bytes> {
        let begins = format!("/{bucket}/");
        let names = self.paths().into_iter().filter_map(|path| path.strip_prefix(&begins).map(str::to_owned));
        let names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
        let contents: String =
            names.iter().map(|name| format!("<Contents><Key>{name}</Key><Size>1</Size></Contents>")).collect();
        let count = names.len();
        let body = format!(
            "<?xml version=\"1.0\"?><ListBucketResult><KeyCount>{count}</KeyCount><IsTruncated>false</IsTruncated>\
             {contents}</ListBucketResult>"
        );
        Response::new(Bytes::from(body))
    }

    /// DELETE.
    pub(crate) fn delete(&self, path: &str) -> Response<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }

    /// GET, of all or of a range.
    pub(crate) fn get(&self, path: &str, asked: &HeaderMap, spoilt: Spoilt) -> Response<Bytes> {
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
        let mut response = Response::new(Bytes::new());
        response.headers_mut().extend(object.headers.clone());
        if let Some((from, to)) = range(asked) {
            let whole = bytes.len();
            if from >= whole {
                return error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
            }
            bytes = bytes[from..whole.min(to + 1)].to_vec();
            let place = format!("bytes {from}-{}/{whole}", from + bytes.len() - 1);
            response.headers_mut().insert(header::CONTENT_RANGE, HeaderValue::try_from(place).expect("a header"));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        *response.body_mut() = Bytes::from(bytes);
        response
    }
}

/// The first and the last byte that are asked for (RFC 9110, 14.1.2).
fn range(asked: &HeaderMap) -> Option<(usize, usize)> {
    let text = asked.get(header::RANGE)?.to_str().ok()?;
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

/// An error as S3 words it.
pub(crate) fn error(status: StatusCode, code: &str) -> Response<Bytes> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>simulated</Message></Error>");
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response
}
