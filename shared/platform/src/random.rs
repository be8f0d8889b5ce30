//! Randomness from the operating system: tokens, barcodes, links and ids.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use passkit::{
    identifiers::SerialNumber,
    secrets::{AuthenticationToken, Barcode, LinkId},
};

use crate::Fault;

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Fault::new("asking the system for randomness", error.to_string()))?;
    Ok(bytes)
}

/// 256 bits, 43 characters that need no escaping in a header.
pub fn authentication_token() -> Result<AuthenticationToken, Fault> {
    Ok(AuthenticationToken::new(URL_SAFE_NO_PAD.encode(bytes::<32>()?)))
}

/// 128 bits in upper-case hexadecimal: QR codes have a compact mode for exactly these characters.
pub fn barcode() -> Result<Barcode, Fault> {
    Ok(Barcode::new(hex::encode_upper(bytes::<16>()?)))
}

/// 128 bits, 22 characters.
pub fn link() -> Result<LinkId, Fault> {
    Ok(LinkId::new(URL_SAFE_NO_PAD.encode(bytes::<16>()?)))
}

/// 128 bits, 32 characters: a serial number when the merchant chooses none.
pub fn serial_number() -> Result<SerialNumber, Fault> {
    let text = hex::encode(bytes::<16>()?);
    text.parse().map_err(|error| Fault::new("making a serial number", error))
}

/// 96 bits, 16 characters, for redemptions, events and intents.
pub fn id() -> Result<String, Fault> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<12>()?))
}

/// A merchant key: 256 bits behind a prefix that secret scanners can look for.
pub fn merchant_key() -> Result<String, Fault> {
    Ok(format!("plk_{}", URL_SAFE_NO_PAD.encode(bytes::<32>()?)))
}

/// A number below `limit`, for shards and jitter.
pub fn below(limit: u32) -> Result<u32, Fault> {
    Ok(u32::from_be_bytes(bytes::<4>()?) % limit.max(1))
}
