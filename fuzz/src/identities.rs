//! Certificates and keys, as an operator's files or secrets hold them.

use jiff::Timestamp;
use passkit::signing::{Certificate, SigningIdentity};

/// The first byte says what the rest is: a certificate, a PKCS#12 file, or certificate and key.
pub fn identity(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let now: Timestamp = "2026-11-25T10:00:00Z".parse().expect("a time");
    match kind % 3 {
        0 => {
            for certificate in Certificate::read(rest) {
                let _ = (certificate.subject(), certificate.issuer(), certificate.serial_number());
                let _ = (certificate.valid_from(), certificate.valid_until(), certificate.days_left(now));
                certificate.to_pem().expect("what was read can be written");
            }
        }
        1 => refused(SigningIdentity::from_pkcs12(rest, "password", &[], now)),
        _ => {
            let (leaf, key) = rest.split_at(rest.len() / 2);
            refused(SigningIdentity::from_parts(leaf, key, Some("passphrase"), &[rest.to_vec()], now));
        }
    }
}

/// Nobody can make a chain by chance, and what is wrong is told.
fn refused<E: std::error::Error>(read: Result<SigningIdentity, E>) {
    match read {
        Ok(identity) => assert_ne!(identity.fingerprint(), [0; 32]),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
