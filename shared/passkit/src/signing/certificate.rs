//! What a certificate says of itself, for people who have to find the right one.

use std::fmt;

use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    x509::{X509, X509NameRef, X509Ref},
};
use sha2::Digest;

use super::SigningError;

/// A certificate, read but not judged.
#[derive(Clone)]
pub struct Certificate(X509);

impl From<X509> for Certificate {
    fn from(certificate: X509) -> Self {
        Self(certificate)
    }
}

impl Certificate {
    /// Every certificate of a PEM bundle, or the one of a DER file; none when it is neither.
    pub fn read(bytes: &[u8]) -> Vec<Self> {
        certificates(bytes).unwrap_or_default().into_iter().map(Self).collect()
    }

    /// `CN=…, OU=G4, O=Apple Inc., C=US`
    pub fn subject(&self) -> String {
        readable(self.0.subject_name())
    }

    /// The subject of the certificate that issued this one.
    pub fn issuer(&self) -> String {
        readable(self.0.issuer_name())
    }

    /// The serial number in upper-case hexadecimal; empty if it cannot be read.
    pub fn serial_number(&self) -> String {
        let number = self.0.serial_number().to_bn().and_then(|number| number.to_hex_str());
        number.map(|hexadecimal| hexadecimal.to_string()).unwrap_or_default()
    }

    /// SHA-256 of the DER; what `openssl x509 -fingerprint -sha256` prints.
    ///
    /// # Errors
    /// OpenSSL cannot write the certificate.
    pub fn fingerprint(&self) -> Result<[u8; 32], SigningError> {
        Ok(sha2::Sha256::digest(self.0.to_der()?).into())
    }

    /// Start of validity.
    pub fn valid_from(&self) -> jiff::Timestamp {
        validity(&self.0).0
    }

    /// End of validity.
    pub fn valid_until(&self) -> jiff::Timestamp {
        validity(&self.0).1
    }

    /// Whole days until the end of validity; negative after it.
    pub fn days_left(&self, now: jiff::Timestamp) -> i64 {
        days_between(now, self.valid_until())
    }

    /// The certificate as PEM.
    ///
    /// # Errors
    /// OpenSSL cannot write it.
    pub fn to_pem(&self) -> Result<Vec<u8>, SigningError> {
        Ok(self.0.to_pem()?)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.subject()).finish()
    }
}

/// Whole days, rounded down.
pub(super) fn days_between(from: jiff::Timestamp, to: jiff::Timestamp) -> i64 {
    const SECONDS_PER_DAY: i64 = 86_400;
    to.as_second().saturating_sub(from.as_second()).div_euclid(SECONDS_PER_DAY)
}

pub(super) fn is_pem(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN";
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN)
}

/// Every certificate of a PEM bundle, or the one of a DER file; `None`: neither.
pub(super) fn certificates(bytes: &[u8]) -> Option<Vec<X509>> {
    let read = if is_pem(bytes) { X509::stack_from_pem(bytes) } else { X509::from_der(bytes).map(|one| vec![one]) };
    read.ok().filter(|certificates| !certificates.is_empty())
}

/// `CN=…, OU=G4, O=Apple Inc., C=US`
pub(super) fn readable(name: &X509NameRef) -> String {
    let parts: Vec<String> = name
        .entries()
        .map(|entry| {
            let key = entry.object().nid().short_name().unwrap_or("?");
            format!("{key}={}", entry.data().to_string().unwrap_or_default())
        })
        .collect();
    parts.join(", ")
}

/// Start and end of validity. Dates that cannot be read make a certificate that is never valid.
pub(super) fn validity(certificate: &X509Ref) -> (jiff::Timestamp, jiff::Timestamp) {
    let from = timestamp(certificate.not_before()).unwrap_or(jiff::Timestamp::MAX);
    let until = timestamp(certificate.not_after()).unwrap_or(jiff::Timestamp::MIN);
    (from, until)
}

fn timestamp(time: &Asn1TimeRef) -> Option<jiff::Timestamp> {
    const SECONDS_PER_DAY: i64 = 86_400;
    let difference = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    let seconds = i64::from(difference.days) * SECONDS_PER_DAY + i64::from(difference.secs);
    jiff::Timestamp::from_second(seconds).ok()
}
