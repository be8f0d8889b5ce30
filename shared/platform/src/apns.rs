//! Push: one empty notification to one device, over one kept HTTP/2 connection per signing identity.
//!
//! The words are `a2`'s (Apple's own): push type, priority, error reason. Its client is not used;
//! `docs/decisions/0001-apns-client.md` says why. Apple: "Sending notification requests to APNs", "Handling notification
//! responses from APNs", "Adding a Web Service to Update Passes".

mod answer;
mod connection;
mod line;
mod outcome;
mod pulse;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use jiff::Timestamp;
use passkit::identifiers::PassTypeIdentifier;
use passkit::secrets::PushToken;
use passkit::signing::SigningIdentity;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use answer::Aftermath;
use connection::{Endpoint, NoAnswer, Road};
use line::Line;

pub use connection::{Bytestream, Dial};

pub use a2::ErrorReason;
pub use a2::request::notification::{Priority, PushType};
pub use outcome::{AnswerReason, ConnectionTrouble, PushOutcome, Reason};

/// From handing a push to the connection to its whole answer, which normally takes tens of milliseconds. a2's default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Pushes of one identity on the wire at once. Apple promises no number of streams; 1,000 is what its SETTINGS have long
/// allowed, and 1,000 at 80 ms a round trip is 12,500 pushes a second. A lower limit in the peer's SETTINGS is obeyed by
/// the HTTP/2 layer, which holds the rest back.
const PUSHES_IN_FLIGHT: usize = 1_000;

/// Identities with a kept connection. More pass types than this work too: the one unused for longest is closed.
const KEPT_CONNECTIONS: usize = 64;

/// Error bodies are `{"reason":"…","timestamp":…}`, under 100 bytes; more is not APNs talking.
const ANSWER_BYTES: usize = 4_096;

/// The payload of every pass push: an empty dictionary (Apple, "Adding a Web Service to Update Passes"). It has to be
/// there: no body at all is answered `PayloadEmpty`.
const PAYLOAD: &[u8] = b"{}";

/// What an [`Apns`] talks to.
#[derive(Debug, Clone)]
pub struct ApnsSettings {
    /// `https://host[:port]`: `https://api.push.apple.com`, or a stand-in. Passes have no sandbox.
    pub endpoint: Uri,
    /// Trusted besides the system's roots: PEM, one or more certificates. For a stand-in with a CA of its own.
    pub extra_roots_pem: Option<Vec<u8>>,
}

/// Why [`Apns::new`] refuses its settings.
#[derive(Debug, thiserror::Error)]
pub enum ApnsSettingsError {
    /// The endpoint is no `https://host[:port]`.
    #[error("the APNs endpoint {endpoint} is not of the form https://host or https://host:port: {problem}")]
    Endpoint {
        /// What was given.
        endpoint: Uri,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The extra roots are no certificates.
    #[error("the extra APNs roots are not PEM certificates ({0}): give a file of CERTIFICATE blocks")]
    ExtraRoots(String),
    /// Nothing to trust, so no connection could ever be made.
    #[error("no trusted root certificates on this system ({0}): install ca-certificates or give extra roots")]
    NoRoots(String),
}

/// One push: "something about passes of this topic has changed, ask the web service". It carries nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// Whom to wake. Checked to be hexadecimal before it goes into a path.
    pub token: &'a PushToken,
    /// `apns-topic`: the pass type identifier of the pass, which is also the certificate's.
    pub topic: &'a PassTypeIdentifier,
    /// `apns-expiration`: until when APNs keeps the push for a phone that is off. At or before 1970: one attempt, not kept.
    pub expiration: Timestamp,
    /// `apns-push-type`; `apns-priority` follows from it, see [`Push::priority`].
    pub push_type: PushType,
}

impl<'a> Push<'a> {
    /// A push as passes want it: type `alert` and so priority 10. Apple names no type for passes. `background` fits the
    /// meaning but has to go with priority 5, which APNs may delay (operators measured a third of their updates late),
    /// and Wallet shows nothing for an `alert` without content.
    #[must_use]
    pub fn new(token: &'a PushToken, topic: &'a PassTypeIdentifier, expiration: Timestamp) -> Self {
        Self { token, topic, expiration, push_type: PushType::Alert }
    }

    /// `apns-priority`: 10, except 5 for `background`, where APNs refuses 10 (`BadPriority`).
    #[must_use]
    pub fn priority(&self) -> Priority {
        match self.push_type {
            PushType::Background => Priority::Normal,
            PushType::Alert
            | PushType::Location
            | PushType::Voip
            | PushType::FileProvider
            | PushType::Mdm
            | PushType::LiveActivity
            | PushType::PushToTalk => Priority::High,
        }
    }

    fn priority_value(&self) -> HeaderValue {
        HeaderValue::from_static(match self.priority() {
            Priority::High => "10",
            Priority::Normal => "5",
        })
    }
}

/// The way to APNs. One per process, used by reference from any number of tasks; it keeps one connection per identity.
pub struct Apns {
    endpoint: Endpoint,
    road: Road,
    lines: Mutex<Lines>,
}

/// The kept connections, by the fingerprint of the certificate that opened them: a renewed certificate gets its own.
#[derive(Default)]
struct Lines {
    by_fingerprint: HashMap<[u8; 32], KeptLine>,
    /// Counts uses; orders the lines by their last one.
    uses: u64,
}

struct KeptLine {
    line: Arc<Line>,
    last_use: u64,
}

/// Whether a push may be tried once more on a fresh connection.
enum Next {
    Done,
    /// It was sent, perhaps.
    Again,
    /// It was not.
    Elsewhere,
}

impl Apns {
    /// Checks the settings and loads the trusted roots. Connects to nothing yet.
    ///
    /// # Errors
    /// [`ApnsSettingsError`]: the endpoint, the extra roots, or a system without any roots.
    pub fn new(settings: ApnsSettings) -> Result<Self, ApnsSettingsError> {
        let endpoint = Endpoint::parse(&settings.endpoint)
            .map_err(|problem| ApnsSettingsError::Endpoint { endpoint: settings.endpoint.clone(), problem })?;
        let roots = trusted_roots(settings.extra_roots_pem.as_deref())?;
        Ok(Self { endpoint, road: Road::Tls(Arc::new(roots)), lines: Mutex::default() })
    }

    /// The way to a peer in the same process, over bytes that `dial` carries: no name, no socket, no TLS, and HTTP/2 as
    /// ever. For the simulation (`tests/simulation`), whose time must not wait for sockets.
    ///
    /// # Errors
    /// [`ApnsSettingsError::Endpoint`]: the endpoint, which names the peer in requests.
    pub fn over(endpoint: &Uri, dial: Dial) -> Result<Self, ApnsSettingsError> {
        let parsed = Endpoint::parse(endpoint);
        let parsed = parsed.map_err(|problem| ApnsSettingsError::Endpoint { endpoint: endpoint.clone(), problem })?;
        Ok(Self { endpoint: parsed, road: Road::Given(dial), lines: Mutex::default() })
    }

    /// Sends one push and says what APNs made of it. Any number may run at once; they share the identity's connection,
    /// the first one opens it, and those beyond the stream limit wait for a slot.
    ///
    /// A connection that turns out to be closed (GOAWAY, a socket that died while the function was frozen, `Shutdown`,
    /// `IdleTimeout`) is replaced and the push tried once more. So APNs may see a push twice; that is harmless, it keeps
    /// one per device and topic.
    pub async fn push(&self, identity: &SigningIdentity, push: &Push<'_>) -> PushOutcome {
        if !is_hexadecimal(push.token) {
            return PushOutcome::BadToken { reason: Reason::NotHexadecimal };
        }
        let line = self.line(identity.fingerprint());
        let _slot = line.slot().await;
        match self.attempt(&line, identity, push).await {
            (outcome, Next::Done) => return outcome,
            // Nothing was sent: the one repetition is still to come.
            (_, Next::Elsewhere) => match self.attempt(&line, identity, push).await {
                (outcome, Next::Done) => return outcome,
                (_, Next::Elsewhere | Next::Again) => {}
            },
            (_, Next::Again) => {}
        }
        self.attempt(&line, identity, push).await.0
    }

    async fn attempt(&self, line: &Line, identity: &SigningIdentity, push: &Push<'_>) -> (PushOutcome, Next) {
        let request = match self.request(push) {
            Ok(request) => request,
            Err(error) => {
                return (PushOutcome::Defect { reason: Reason::NotSendable(error.to_string()) }, Next::Done);
            }
        };
        let connection = match line.connection(|| connection::open(&self.endpoint, &self.road, identity)).await {
            Ok(connection) => connection,
            Err(trouble) => return (trouble.into(), Next::Done),
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, connection.exchange(request)).await {
            Ok(Ok((head, body))) => {
                let (outcome, aftermath) = answer::decide(head.status, &head.headers, &body);
                match aftermath {
                    Aftermath::Keep => (outcome, Next::Done),
                    Aftermath::Close => {
                        line.retire(&connection).await;
                        (outcome, Next::Done)
                    }
                    Aftermath::Reconnect => {
                        line.retire(&connection).await;
                        (outcome, Next::Again)
                    }
                }
            }
            Ok(Err(none)) => {
                line.retire(&connection).await;
                let (error, next) = match none {
                    NoAnswer::NotTaken(error) => (error, Next::Elsewhere),
                    NoAnswer::Broken(error) => (error, Next::Again),
                };
                (ConnectionTrouble::broken(&error).into(), next)
            }
            Err(_elapsed) => {
                line.retire(&connection).await;
                (ConnectionTrouble::RequestTimeout.into(), Next::Done)
            }
        }
    }

    /// The request of "Sending notification requests to APNs". HPACK as Apple asks comes from the `h2` crate: `:path`
    /// is never indexed, the headers that repeat are.
    fn request(&self, push: &Push<'_>) -> Result<Request<()>, http::Error> {
        const TOPIC: HeaderName = HeaderName::from_static("apns-topic");
        const PUSH_TYPE: HeaderName = HeaderName::from_static("apns-push-type");
        const PRIORITY: HeaderName = HeaderName::from_static("apns-priority");
        const EXPIRATION: HeaderName = HeaderName::from_static("apns-expiration");
        let path = PathAndQuery::from_maybe_shared(bytes::Bytes::from(format!("/3/device/{}", push.token.expose())))?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.uri(path)?;
        let headers = request.headers_mut();
        headers.reserve(4);
        headers.insert(TOPIC, HeaderValue::from_str(push.topic.as_str())?);
        headers.insert(PUSH_TYPE, push_type(push.push_type)?);
        headers.insert(PRIORITY, push.priority_value());
        headers.insert(EXPIRATION, HeaderValue::from(push.expiration.as_second().max(0)));
        Ok(request)
    }

    fn line(&self, fingerprint: [u8; 32]) -> Arc<Line> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.uses += 1;
        let now = lines.uses;
        if !lines.by_fingerprint.contains_key(&fingerprint) && lines.by_fingerprint.len() >= KEPT_CONNECTIONS {
            let oldest = lines.by_fingerprint.iter().min_by_key(|(_, kept)| kept.last_use).map(|(key, _)| *key);
            // Pushes still under way hold their own reference: the connection closes behind the last of them.
            oldest.and_then(|key| lines.by_fingerprint.remove(&key));
        }
        match lines.by_fingerprint.entry(fingerprint) {
            Entry::Occupied(mut kept) => {
                kept.get_mut().last_use = now;
                Arc::clone(&kept.get().line)
            }
            Entry::Vacant(place) => {
                let line = Arc::new(Line::new(PUSHES_IN_FLIGHT));
                place.insert(KeptLine { line: Arc::clone(&line), last_use: now });
                line
            }
        }
    }
}

impl fmt::Debug for Apns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apns").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// `apns-push-type`, without an allocation for the one that passes have.
fn push_type(push_type: PushType) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    if matches!(push_type, PushType::Alert) {
        return Ok(HeaderValue::from_static("alert"));
    }
    HeaderValue::from_str(&push_type.to_string())
}

/// Anything else in a path could address something other than a device.
fn is_hexadecimal(token: &PushToken) -> bool {
    let token = token.expose();
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The system's roots, and these besides.
pub(crate) fn trusted_roots(extra_pem: Option<&[u8]>) -> Result<RootCertStore, ApnsSettingsError> {
    let system = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system.certs);
    if let Some(pem) = extra_pem {
        let mut added = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| ApnsSettingsError::ExtraRoots(error.to_string()))?;
            roots.add(certificate).map_err(|error| ApnsSettingsError::ExtraRoots(error.to_string()))?;
            added += 1;
        }
        if added == 0 {
            return Err(ApnsSettingsError::ExtraRoots("no certificate found".to_owned()));
        }
    }
    if roots.is_empty() {
        let problems: Vec<String> = system.errors.iter().map(ToString::to_string).collect();
        return Err(ApnsSettingsError::NoRoots(problems.join("; ")));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
