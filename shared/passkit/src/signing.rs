//! Signing identities: a pass type's certificate, its key and Apple's intermediate, examined before they sign anything
//! (reference 3.3, 3.4).

mod certificate;
mod detached;
mod extensions;
mod load;
pub mod wwdr;

use std::{fmt, sync::OnceLock};

use openssl::{
    cms::{CMSOptions, CmsContentInfo},
    pkey::{PKey, Private},
    stack::Stack,
    x509::X509,
};

pub use certificate::Certificate;
use detached::Pattern;
pub use load::{IdentityError, IdentityProblem, Which};

use crate::identifiers::{PassTypeIdentifier, TeamIdentifier};

/// OpenSSL refused to sign.
#[derive(Debug, thiserror::Error)]
#[error("the signature cannot be made")]
pub struct SigningError(#[from] openssl::error::ErrorStack);

/// What signs the passes of one pass type. Parsed and examined once.
pub struct SigningIdentity {
    leaf: X509,
    key: PKey<Private>,
    intermediate: X509,
    /// The intermediate, as `CMS_sign` wants it.
    extra: Stack<X509>,
    pass_type_identifier: PassTypeIdentifier,
    team_identifier: TeamIdentifier,
    fingerprint: [u8; 32],
    valid_from: jiff::Timestamp,
    valid_until: jiff::Timestamp,
    leaf_der: Vec<u8>,
    intermediate_der: Vec<u8>,
    /// Made with the first signature: who only pushes never signs.
    pattern: OnceLock<Option<Pattern>>,
}

/// A private key on its way into a TLS client: PKCS#8, DER. Never prints.
pub struct TlsKey(Vec<u8>);

impl TlsKey {
    /// The key itself: for a TLS client, never for a log.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsKey(…)")
    }
}

impl SigningIdentity {
    /// From a certificate (PEM or DER), its key (PEM or DER, `passphrase` if it is encrypted) and the intermediates to
    /// choose from (PEM bundles or DER). Everything that is wrong is reported at once.
    pub fn from_parts(
        leaf: &[u8],
        key: &[u8],
        passphrase: Option<&str>,
        intermediates: &[Vec<u8>],
        now: jiff::Timestamp,
    ) -> Result<Self, IdentityError> {
        load::from_parts(leaf, key, passphrase, intermediates, now)
    }

    /// From a PKCS#12 file as Keychain Access exports it; its own certificates count as intermediates too.
    pub fn from_pkcs12(
        p12: &[u8],
        password: &str,
        intermediates: &[Vec<u8>],
        now: jiff::Timestamp,
    ) -> Result<Self, IdentityError> {
        load::from_pkcs12(p12, password, intermediates, now)
    }

    /// The subject's UID.
    pub fn pass_type_identifier(&self) -> &PassTypeIdentifier {
        &self.pass_type_identifier
    }

    /// The subject's OU.
    pub fn team_identifier(&self) -> &TeamIdentifier {
        &self.team_identifier
    }

    /// SHA-256 of the certificate's DER.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The start of validity of the certificate or of its intermediate, whichever comes last.
    pub fn valid_from(&self) -> jiff::Timestamp {
        self.valid_from
    }

    /// The end of validity of the certificate or of its intermediate, whichever comes first.
    pub fn valid_until(&self) -> jiff::Timestamp {
        self.valid_until
    }

    /// Whole days until [`SigningIdentity::valid_until`]; negative after it.
    pub fn days_left(&self, now: jiff::Timestamp) -> i64 {
        certificate::days_between(now, self.valid_until)
    }

    /// Of several identities of one pass type the greatest signs: the one valid longest. All that one intermediate
    /// issued are valid at most as long as it is; then it is the one issued last. The order is total, or two processes
    /// would each sign what the other has signed already.
    pub fn precedence(&self) -> impl Ord + use<> {
        (self.valid_until, self.valid_from, self.fingerprint)
    }

    /// The certificate.
    pub fn certificate(&self) -> Certificate {
        Certificate::from(self.leaf.clone())
    }

    /// Apple's intermediate that issued it.
    pub fn intermediate(&self) -> Certificate {
        Certificate::from(self.intermediate.clone())
    }

    /// The certificate and its intermediate as DER, in this order: the client's chain for APNs.
    pub fn tls_chain(&self) -> Vec<Vec<u8>> {
        vec![self.leaf_der.clone(), self.intermediate_der.clone()]
    }

    /// The key for a TLS client.
    pub fn tls_key_pkcs8(&self) -> Result<TlsKey, SigningError> {
        Ok(TlsKey(self.key.private_key_to_pkcs8()?))
    }

    /// A detached CMS SignedData (RFC 5652) over `content`, made at `at`: DER, SHA-256, signing time, certificate and
    /// intermediate inside. (With a key that is not RSA the signing time is the system's clock, read by OpenSSL.)
    pub fn sign(&self, content: &[u8], at: jiff::Timestamp) -> Result<Vec<u8>, SigningError> {
        let pattern = match self.pattern.get() {
            Some(pattern) => pattern,
            None => {
                let pattern = Pattern::of(self.put_together(content)?, content, &self.key);
                self.pattern.get_or_init(|| pattern)
            }
        };
        match pattern.as_ref().and_then(|pattern| pattern.sign(content, at, &self.key)) {
            Some(signed) => Ok(signed?),
            None => self.put_together(content),
        }
    }

    /// The same by OpenSSL alone.
    fn put_together(&self, content: &[u8]) -> Result<Vec<u8>, SigningError> {
        let options = CMSOptions::DETACHED | CMSOptions::BINARY | CMSOptions::NOSMIMECAP;
        let signed =
            CmsContentInfo::sign(Some(&self.leaf), Some(&self.key), Some(&self.extra), Some(content), options)?;
        Ok(signed.to_der()?)
    }
}

impl fmt::Debug for SigningIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningIdentity")
            .field("pass_type_identifier", &self.pass_type_identifier)
            .field("team_identifier", &self.team_identifier)
            .field("fingerprint", &hex::encode(self.fingerprint))
            .field("valid_until", &self.valid_until)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
