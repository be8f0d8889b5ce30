//! Randomness from the operating system: tokens, barcodes, links and ids.

use std::cell::RefCell;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use passkit::{
    identifiers::SerialNumber,
    secrets::{AuthenticationToken, Barcode, LinkId},
};
use sha2::{Digest, Sha256};

use crate::{Fault, issuing::Fresh};

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

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Fault> {
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

/// 256 bits, 64 hexadecimal digits: what the unguessable parts of a batch's passes are derived from.
pub fn seed() -> Result<String, Fault> {
    Ok(hex::encode(bytes::<32>()?))
}

/// Everything of a new pass that is random.
pub fn fresh() -> Result<Fresh, Fault> {
    Ok(Fresh {
        serial_number: serial_number()?,
        authentication_token: authentication_token()?,
        link: link()?,
        barcode: barcode()?,
        redemption_id: id()?,
    })
}

/// The same for one row of a batch, derived from the batch's seed: a row that is worked twice makes the same pass.
/// SHA-256 of a secret of 256 bits and a text of fixed length: whoever knows some of these learns nothing of others.
pub fn of_row(seed: &str, row: u32) -> Result<Fresh, Fault> {
    let part = |what: &str| Sha256::digest(format!("{seed} {what} {row:010}"));
    let serial_number = hex::encode(&part("serial")[..16]);
    Ok(Fresh {
        serial_number: serial_number.parse().map_err(|error| Fault::new("making a serial number", error))?,
        authentication_token: AuthenticationToken::new(URL_SAFE_NO_PAD.encode(part("tokens"))),
        link: LinkId::new(URL_SAFE_NO_PAD.encode(&part("linkid")[..16])),
        barcode: Barcode::new(hex::encode_upper(&part("barcod")[..16])),
        redemption_id: URL_SAFE_NO_PAD.encode(&part("redeem")[..12]),
    })
}

/// The mark of a row in the history of the pass it made: 96 bits, 16 characters.
pub fn mark_of_row(seed: &str, row: u32) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(format!("{seed} marked {row:010}"))[..12])
}

/// A merchant key: 256 bits behind a prefix that secret scanners can look for.
pub fn merchant_key() -> Result<String, Fault> {
    Ok(format!("plk_{}", URL_SAFE_NO_PAD.encode(bytes::<32>()?)))
}

/// A number below `limit`, for shards and jitter.
pub fn below(limit: u32) -> Result<u32, Fault> {
    Ok(u32::from_be_bytes(bytes::<4>()?) % limit.max(1))
}
