//! Signatures by a pattern: a detached CMS SignedData (RFC 5652) made by OpenSSL once, in which only what differs from
//! signature to signature is replaced. `CMS_sign` puts the whole structure together, and encodes it, each time.
//!
//! Three values differ, all of fixed length: the content's digest and the signing time, both signed attributes, and the
//! signature of these attributes. RSA signatures (PKCS #1 v1.5) have the length of the key; those of elliptic curves
//! vary, and so do times outside `UTCTime`'s century: these signatures OpenSSL puts together itself.

use std::ops::Range;

use jiff::Timestamp;
use openssl::{
    error::ErrorStack,
    md::Md,
    pkey::{Id, PKeyRef, Private},
    pkey_ctx::PkeyCtx,
    rsa::Padding,
};
use sha2::{Digest, Sha256};

/// `[0] IMPLICIT SET OF Attribute` of 105 bytes, as OpenSSL writes contentType, signingTime and messageDigest; then
/// contentType (RFC 5652, section 11.1) itself.
const ATTRIBUTES: [u8; 28] = [
    0xA0, 0x69, 0x30, 0x18, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x03, 0x31, 0x0B, 0x06, 0x09,
    0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01,
];
/// The attributes with their tag and length.
const ATTRIBUTES_LENGTH: usize = 2 + 0x69;
/// signingTime (section 11.3), a `UTCTime` of 13 bytes follows.
const SIGNING_TIME: [u8; 17] =
    [0x30, 0x1C, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x05, 0x31, 0x0F, 0x17, 0x0D];
const TIME_LENGTH: usize = 13;
/// messageDigest (section 11.2), 32 bytes follow.
const MESSAGE_DIGEST: [u8; 17] =
    [0x30, 0x2F, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x04, 0x31, 0x22, 0x04, 0x20];
const DIGEST_LENGTH: usize = 32;

/// A finished signature, and where in it what differs stands.
pub(super) struct Pattern {
    der: Vec<u8>,
    attributes: Range<usize>,
    time: Range<usize>,
    digest: Range<usize>,
    signature: Range<usize>,
}

impl Pattern {
    /// Of a signature that OpenSSL made with this key; `None` where its shape is another than expected. Tried once: what
    /// the pattern makes of the same content at the same time must be that very signature, byte for byte.
    pub(super) fn of(der: Vec<u8>, content: &[u8], key: &PKeyRef<Private>) -> Option<Self> {
        if key.id() != Id::RSA {
            return None;
        }
        let attributes = find(&der, &ATTRIBUTES)?;
        let attributes = attributes..attributes + ATTRIBUTES_LENGTH;
        let within = der.get(attributes.clone())?;
        let after = |mark: &[u8], length| {
            let start = attributes.start + find(within, mark)? + mark.len();
            Some(start..start + length)
        };
        let (time, digest) = (after(&SIGNING_TIME, TIME_LENGTH)?, after(&MESSAGE_DIGEST, DIGEST_LENGTH)?);
        let signature = der.len().checked_sub(key.size())?..der.len();
        let pattern = Self { der, attributes, time, digest, signature };
        let made_at = pattern.der.get(pattern.time.clone())?;
        let again = pattern.fill(content, made_at, key).ok()?;
        (again == pattern.der).then_some(pattern)
    }

    /// The signature of another content, made at another time; `None`: not one a `UTCTime` can say.
    pub(super) fn sign(
        &self,
        content: &[u8],
        at: Timestamp,
        key: &PKeyRef<Private>,
    ) -> Option<Result<Vec<u8>, ErrorStack>> {
        let at = at.strftime("%Y%m%d%H%M%SZ").to_string();
        // RFC 5652, section 11.3: a UTCTime from 1950 to 2049, its year in two digits.
        let at = at.strip_prefix("20").filter(|at| at.len() == TIME_LENGTH && *at < "50")?;
        Some(self.fill(content, at.as_bytes(), key))
    }

    fn fill(&self, content: &[u8], at: &[u8], key: &PKeyRef<Private>) -> Result<Vec<u8>, ErrorStack> {
        let mut der = self.der.clone();
        der[self.time.clone()].copy_from_slice(at);
        der[self.digest.clone()].copy_from_slice(&Sha256::digest(content));
        // Section 5.4: what is signed are the attributes as a `SET OF`, not under the tag they stand under.
        const SET: [u8; 1] = [0x31];
        let attributes = &der[self.attributes.clone()];
        let signed = Sha256::new().chain_update(SET).chain_update(&attributes[1..]).finalize();
        let mut context = PkeyCtx::new(key)?;
        context.sign_init()?;
        context.set_rsa_padding(Padding::PKCS1)?;
        context.set_signature_md(Md::sha256())?;
        context.sign(&signed, Some(&mut der[self.signature.clone()]))?;
        Ok(der)
    }
}

/// Where a mark stands, if it stands there once.
fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    let mut places = bytes.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark);
    let (place, _) = places.next()?;
    places.next().is_none().then_some(place)
}
