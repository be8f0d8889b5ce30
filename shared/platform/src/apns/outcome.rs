//! What became of a push, and why.

use std::error::Error;
use std::time::Duration;

use a2::ErrorReason;
use jiff::Timestamp;
use rustls::AlertDescription;

/// What the caller does next. Apple: "Handling notification responses from APNs".
#[derive(Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// APNs took it (200). Not the same as delivered; deleted passes go on being accepted for days.
    Accepted {
        /// The notification's id, for Apple's delivery log.
        apns_id: Option<String>,
    },
    /// 410: the token no longer receives this topic. Delete its registrations, except those made after `since`.
    Unregistered {
        /// When APNs last saw the token dead; milliseconds on the wire. Absent if APNs did not say.
        since: Option<Timestamp>,
    },
    /// This token never works for this topic: delete its registrations.
    BadToken {
        /// What is wrong with it.
        reason: Reason,
    },
    /// Not now: try again later.
    Retry {
        /// What stands in the way.
        reason: Reason,
        /// Not earlier than after this long, if APNs said or the reason implies it; otherwise the caller's own back-off.
        after: Option<Duration>,
    },
    /// Certificate or topic are not accepted: every push of this identity would fail alike. Stop sending and alarm.
    Stop {
        /// What has to be put right.
        reason: Reason,
    },
    /// The request itself is wrong, which is a bug here: do not repeat it, alarm.
    Defect {
        /// What APNs objects to.
        reason: Reason,
    },
}

/// Why a push was not accepted. Displayed as Apple spells it, or as a short sentence; never holds a token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// APNs said so.
    #[error(transparent)]
    Answer(AnswerReason),
    /// The token on record is not hexadecimal, as Apple's are. Nothing was sent.
    #[error("the push token is not hexadecimal")]
    NotHexadecimal,
    /// The request could not be put together. Nothing was sent.
    #[error("the request could not be made: {0}")]
    NotSendable(String),
    /// No answer, because of the connection.
    #[error(transparent)]
    Connection(ConnectionTrouble),
}

/// `reason` of an APNs error answer. Displayed as Apple spells it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerReason {
    /// A reason that `a2` names. It spells its variants as Apple does; its own Display is a sentence no one can look up.
    #[error("{0:?}")]
    Known(ErrorReason),
    /// 410, newer than `a2` 0.10.
    #[error("ExpiredToken")]
    ExpiredToken,
    /// 400, newer than `a2` 0.10.
    #[error("InvalidPushType")]
    InvalidPushType,
    /// 403, newer than `a2` 0.10.
    #[error("UnrelatedKeyIdInToken")]
    UnrelatedKeyIdInToken,
    /// A reason not in Apple's table when this was written, or none at all: decided by the status.
    #[error("status {status}, reason \"{reason}\"")]
    Unknown {
        /// The HTTP status.
        status: u16,
        /// As APNs spelled it, cut to visible ASCII of at most [`AnswerReason::UNKNOWN_LENGTH`] characters. May be empty.
        reason: String,
    },
}

impl AnswerReason {
    /// Apple's longest reason has 27 characters.
    pub const UNKNOWN_LENGTH: usize = 64;
}

/// Why there is no usable connection, or no answer on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionTrouble {
    /// Name, socket, TLS and the peer's first frame together took too long.
    #[error("APNs could not be reached in time: check that this function may open connections to its host and port")]
    ConnectTimeout,
    /// Refused, unknown host, a TLS failure that is not about certificates.
    #[error("could not connect to APNs: {0}")]
    Connect(String),
    /// The push went out, nothing came back in time.
    #[error("APNs did not answer in time")]
    RequestTimeout,
    /// Closed or broken while the push was under way, on a fresh connection too.
    #[error("the connection to APNs broke: {0}")]
    Broken(String),
    /// The peer's TLS alert says that it does not take our certificate.
    #[error(
        "APNs refused the pass certificate ({0:?}): check that it is valid, not revoked, and complete with its intermediate"
    )]
    CertificateRefused(AlertDescription),
    /// The peer's certificate leads to no trusted root, or is for another name.
    #[error(
        "the APNs endpoint's certificate is not trusted ({0}): check APNS_ENDPOINT, and for a stand-in APNS_CA_FILE"
    )]
    EndpointNotTrusted(String),
    /// Certificate and key of the identity cannot be used for TLS.
    #[error("the signing identity cannot be used for TLS ({0}): check its certificate and key")]
    Identity(String),
}

impl ConnectionTrouble {
    /// Text taken over from other layers, cut to this many characters: it goes into log lines.
    const DETAIL_LENGTH: usize = 200;

    pub(super) fn broken(error: &(dyn Error + 'static)) -> Self {
        Self::Broken(Self::detail(error))
    }

    pub(super) fn connect(error: &(dyn Error + 'static)) -> Self {
        Self::Connect(Self::detail(error))
    }

    /// The error and what caused it, on one line. None of these layers puts the path, and so the token, in its errors.
    fn detail(error: &(dyn Error + 'static)) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let message = error.to_string();
            // Wrapping errors often repeat what they wrap.
            if !text.contains(&message) {
                text.push_str(": ");
                text.push_str(&message);
            }
            cause = error.source();
        }
        text.chars().take(Self::DETAIL_LENGTH).collect()
    }
}

impl From<ConnectionTrouble> for PushOutcome {
    fn from(trouble: ConnectionTrouble) -> Self {
        match trouble {
            ConnectionTrouble::ConnectTimeout
            | ConnectionTrouble::Connect(_)
            | ConnectionTrouble::RequestTimeout
            | ConnectionTrouble::Broken(_) => Self::Retry { reason: Reason::Connection(trouble), after: None },
            ConnectionTrouble::CertificateRefused(_)
            | ConnectionTrouble::EndpointNotTrusted(_)
            | ConnectionTrouble::Identity(_) => Self::Stop { reason: Reason::Connection(trouble) },
        }
    }
}
