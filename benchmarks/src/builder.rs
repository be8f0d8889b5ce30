//! The parts of making a pass, and the limit of each: what everything else is measured against.

use std::io::{Cursor, Read};

use openssl::{
    md::Md,
    pkey::{PKey, Private},
    pkey_ctx::PkeyCtx,
    rsa::Padding,
};
use sha1::{Digest, Sha1};
use zip::ZipArchive;

/// Raw RSA-2048 signatures (PKCS #1 v1.5, SHA-256) of the very OpenSSL that passkit signs with; nothing is set up anew.
pub struct RawSignatures {
    context: PkeyCtx<Private>,
    digest: [u8; 32],
    signature: Vec<u8>,
}

impl RawSignatures {
    /// With this key.
    pub fn with(key: &PKey<Private>) -> RawSignatures {
        let mut context = PkeyCtx::new(key).unwrap();
        context.sign_init().unwrap();
        context.set_rsa_padding(Padding::PKCS1).unwrap();
        context.set_signature_md(Md::sha256()).unwrap();
        RawSignatures { context, digest: [0; 32], signature: vec![0; key.size()] }
    }

    /// One, of another digest each time.
    pub fn make(&mut self) {
        self.digest[0] = self.digest[0].wrapping_add(1);
        self.context.sign(&self.digest, Some(&mut self.signature)).unwrap();
    }
}

/// The least that preparing a template can be: its archive read, each file hashed (SHA-1, for the manifest) and summed
/// (CRC-32, for the archive).
pub fn read_hash_and_sum(archive: &[u8]) -> u32 {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut sum = 0;
    for place in 0..archive.len() {
        let mut bytes = Vec::new();
        archive.by_index(place).unwrap().read_to_end(&mut bytes).unwrap();
        let digest = Sha1::digest(&bytes);
        sum ^= crc32fast::hash(&bytes) ^ u32::from(digest[0]);
    }
    sum
}
