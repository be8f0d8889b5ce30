//! Certificates for a run: a throw-away chain shaped like Apple's, and one for the APNs stand-in.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use openssl::{
    asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time},
    bn::BigNum,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{X509, X509Extension, X509Name, extension::SubjectAlternativeName},
};
use passkit::signing::SigningIdentity;
use passloop_local::certificates::{Chain, make_chain};

use crate::fixture::{PASS_TYPE, TEAM};

/// A pass certificate with its key and chain, PEM.
pub struct Identity {
    root: Vec<u8>,
    wwdr: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Identity {
    /// Makes one; RSA keys take a moment.
    pub fn make() -> Identity {
        let Chain { root, wwdr, pass } = make_chain(PASS_TYPE, TEAM).unwrap();
        Identity {
            root: root.certificate_pem().unwrap(),
            wwdr: wwdr.certificate_pem().unwrap(),
            certificate: pass.certificate_pem().unwrap(),
            key: pass.key().private_key_to_pem_pkcs8().unwrap(),
        }
    }

    /// Writes it down for other processes.
    pub fn keep(&self, directory: &Path) {
        let parts =
            [("root", &self.root), ("wwdr", &self.wwdr), ("certificate", &self.certificate), ("key", &self.key)];
        for (name, pem) in parts {
            std::fs::write(directory.join(name).with_extension("pem"), pem).unwrap();
        }
    }

    /// As it was written down.
    pub fn kept(directory: &Path) -> Identity {
        let read = |name: &str| std::fs::read(directory.join(name).with_extension("pem")).unwrap();
        Identity { root: read("root"), wwdr: read("wwdr"), certificate: read("certificate"), key: read("key") }
    }

    /// As the service loads it.
    pub fn signing(&self) -> SigningIdentity {
        let intermediates = std::slice::from_ref(&self.wwdr);
        SigningIdentity::from_parts(&self.certificate, &self.key, None, intermediates, jiff::Timestamp::now()).unwrap()
    }

    /// The key alone, to measure raw signatures with.
    pub fn key(&self) -> PKey<Private> {
        PKey::private_key_from_pem(&self.key).unwrap()
    }

    /// PEM of the root that client certificates lead to.
    pub fn root_pem(&self) -> &[u8] {
        &self.root
    }
}

/// A certificate for 127.0.0.1 that is its own root, and its key: PEM both. The stand-in's, and node-apn's as a client.
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
    // node-apn takes every host but Apple's for the sandbox, and wants Apple's marker for it in its own certificate.
    let sandbox = Asn1Object::from_str("1.2.840.113635.100.6.3.1").unwrap();
    let null = Asn1OctetString::new_from_bytes(&[0x05, 0x00]).unwrap();
    builder.append_extension(X509Extension::new_from_der(&sandbox, false, &null).unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build().to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap())
}
