//! Certificates for a run: a throw-away chain shaped like Apple's, and one for the APNs stand-in.

use std::net::{IpAddr, Ipv4Addr};

use openssl::{
    asn1::{Asn1Integer, Asn1Time},
    bn::BigNum,
    hash::MessageDigest,
    pkey::PKey,
    rsa::Rsa,
    x509::{X509, X509Name, extension::SubjectAlternativeName},
};
use passkit::signing::SigningIdentity;
use passloop_local::certificates::{Chain, make_chain};
use tempfile::TempDir;

use crate::fixture::{PASS_TYPE, TEAM};

/// A pass certificate with its chain, in a directory as `SIGNING_IDENTITIES=file:` wants it.
pub struct Identity {
    /// The directory, removed when this is dropped.
    pub directory: TempDir,
    chain: Chain,
}

impl Identity {
    /// Makes one; RSA keys take a moment.
    pub fn make() -> Identity {
        let chain = make_chain(PASS_TYPE, TEAM).unwrap();
        let directory = tempfile::tempdir().unwrap();
        chain.write(directory.path()).unwrap();
        Identity { directory, chain }
    }

    /// As the service loads it.
    pub fn signing(&self) -> SigningIdentity {
        let (leaf, key) = (self.chain.pass.certificate_pem().unwrap(), self.key_pem());
        let wwdr = self.chain.wwdr.certificate_pem().unwrap();
        SigningIdentity::from_parts(&leaf, &key, None, &[wwdr], jiff::Timestamp::now()).unwrap()
    }

    /// The key alone, to measure raw signatures with.
    pub fn key(&self) -> PKey<openssl::pkey::Private> {
        PKey::private_key_from_pem(&self.key_pem()).unwrap()
    }

    /// PEM of the root that client certificates lead to.
    pub fn root_pem(&self) -> Vec<u8> {
        self.chain.root.certificate_pem().unwrap()
    }

    fn key_pem(&self) -> Vec<u8> {
        self.chain.pass.key().private_key_to_pem_pkcs8().unwrap()
    }
}

/// A certificate for 127.0.0.1 that is its own root, and its key: PEM both.
pub fn of_stand_in() -> (Vec<u8>, Vec<u8>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "APNs stand-in of the benchmarks").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&Asn1Integer::from_bn(&BigNum::from_u32(1).unwrap()).unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST).to_string();
    let names = SubjectAlternativeName::new().ip(&host).build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build().to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap())
}
