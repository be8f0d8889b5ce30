//! Randomness from the operating system: tokens, barcodes, links and ids.

use std::cell::RefCell;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use passkit::{
    identifiers::SerialNumber,
    secrets::{AuthenticationToken, Barcode, LinkId},
};

use crate::Fault;

/// Fills a slice.
pub type Source = Box<dyn FnMut(&mut [u8])>;

thread_local! {
    static REPLACED: RefCell<Option<Source>> = const { RefCell::new(None) };
}

/// From now on this thread's randomness comes from here; `None`: from the operating system again. Only for the
/// simulation, whose runs can be repeated (`docs/decisions/0011`); `tests/house` sees to it that nothing else names this.
pub fn replace_on_this_thread(source: Option<Source>) {
    REPLACED.set(source);
}

fn bytes<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    if REPLACED.with_borrow_mut(|replaced| replaced.as_mut().map(|fill| fill(&mut bytes))).is_some() {
        return Ok(bytes);
    }
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
