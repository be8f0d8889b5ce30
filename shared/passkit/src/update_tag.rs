//! The update tag: `lastUpdated` on the way out, `passesUpdatedSince` on the way back.
//!
//! The tag is opaque to the phone (Apple, "Get the List of Updatable Passes"). Ours is the phone's own knowledge: for
//! each pass of one type registered on the device, a hash of its serial number and its effective version as last
//! listed. What changed is what differs, so no clock, no global counter and no order of commits can lose an update or
//! list a pass that did not change.
//!
//! ```text
//! tag    = base64url( format counter body )          [A-Za-z0-9_-], no padding
//! format = 1: body = ( hash:6 version:varint revision:varint )*        at most 512 passes
//!        = 2: body = ( digest:8 ){512}                                 more passes: one digest a bucket
//! ```
//! With more than 512 passes of one type on one device the tag would outgrow API Gateway's 10,240 bytes for a request
//! line and headers. Then passes share 512 buckets by hash; when a bucket's digest differs, every pass in it is listed.
//! A phone may then ask for passes that did not change and get 304; it never misses one that did.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::identifiers::SerialNumber;

/// Passes of one type on one device that a tag describes one by one. 512 * (6 + about 2) bytes, in base64, is 5.5 KB.
pub const EXACT_LIMIT: usize = 512;
const BUCKETS: usize = 512;
const HASH: usize = 6;
const DIGEST: usize = 8;
const FORMAT_EXACT: u8 = 1;
const FORMAT_BUCKETS: u8 = 2;

/// What a phone can see of a pass: its own version, and the revision of the look its present state has.
/// Two packages of one pass differ exactly when this pair differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectiveVersion {
    /// Grows by one with every visible change of the pass itself; the first is 1.
    pub version: u64,
    /// Grows by one whenever a campaign-wide change alters what a pass in this state shows; the first is 0.
    pub revision: u64,
}

/// One registered pass, as the list sees it.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    /// Which pass.
    pub serial_number: &'a SerialNumber,
    /// What it shows now.
    pub effective_version: EffectiveVersion,
    /// Whether a pass that the phone already knows is listed all the same.
    pub listing: Listing,
}

/// Whether a pass that did not change since the tag is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Only when it changed.
    WhenChanged,
    /// Once more: it was listed before, but nobody fetched it for long (design, section 4).
    Again,
}

/// The answer to a list call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed<'a> {
    /// Nothing to fetch: 204, the phone keeps its tag.
    Nothing,
    /// These passes, and the tag that knows them.
    Passes {
        /// In the order given.
        serial_numbers: Vec<&'a SerialNumber>,
        /// `lastUpdated`.
        last_updated: String,
    },
}

/// Compares what the phone knows with what is.
///
/// `tag` is `passesUpdatedSince` as received; absent or malformed (another service's, cut, of a future format) means
/// the phone knows nothing, so everything is listed. `current` holds every pass of the type registered on the device.
pub fn list<'a>(tag: Option<&str>, current: &[Current<'a>]) -> Listed<'a> {
    let known = tag.and_then(Known::parse);
    let buckets = (current.len() > EXACT_LIMIT).then(|| bucket_digests(current));
    let mut serial_numbers = Vec::new();
    let mut again = false;
    for pass in current {
        let changed = match (&known, &buckets) {
            (None, _) => true,
            (Some(Known { body: Body::Exact(entries), .. }), _) => {
                // Two serial numbers with one hash (48 bits) make the entry ambiguous: then it counts as unknown.
                let hash_of_pass = serial_hash(pass.serial_number);
                let mut same = entries.iter().filter(|(hash, _)| *hash == hash_of_pass);
                match (same.next(), same.next()) {
                    (Some((_, version)), None) => *version != pass.effective_version,
                    (None, _) | (Some(_), Some(_)) => true,
                }
            }
            (Some(Known { body: Body::Buckets(digests), .. }), Some(now)) => {
                let bucket = bucket_of(pass.serial_number);
                digests[bucket] != now[bucket]
            }
            // The device fell to 512 passes or fewer: the exact tag starts anew, and each is listed once.
            (Some(Known { body: Body::Buckets(_), .. }), None) => true,
        };
        let listed_again = !changed && pass.listing == Listing::Again;
        again |= listed_again;
        if changed || listed_again {
            serial_numbers.push(pass.serial_number);
        }
    }
    if serial_numbers.is_empty() {
        return Listed::Nothing;
    }
    // A tag that comes back unchanged with serial numbers is a fault the phone reports ("the lastUpdated tag remained
    // the same"), so the counter moves when nothing else in the tag does.
    let counter = known.map_or(0, |known| known.counter);
    let counter = if again { counter.wrapping_add(1) } else { counter };
    let fresh = encode(counter, current, buckets.as_deref());
    let last_updated =
        if tag == Some(fresh.as_str()) { encode(counter.wrapping_add(1), current, buckets.as_deref()) } else { fresh };
    Listed::Passes { serial_numbers, last_updated }
}

struct Known {
    counter: u8,
    body: Body,
}

enum Body {
    Exact(Vec<([u8; HASH], EffectiveVersion)>),
    Buckets(Vec<[u8; DIGEST]>),
}

impl Known {
    fn parse(tag: &str) -> Option<Known> {
        // base64 of the largest tag of either format, with room for long varints.
        const LONGEST: usize = 16 * 1024;
        if tag.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(tag).ok()?;
        let (&[format, counter], mut rest) = bytes.split_first_chunk::<2>()?;
        let body = match format {
            FORMAT_EXACT => {
                let mut entries = Vec::new();
                while !rest.is_empty() {
                    let (hash, after) = rest.split_first_chunk::<HASH>()?;
                    let (version, after) = read_varint(after)?;
                    let (revision, after) = read_varint(after)?;
                    entries.push((*hash, EffectiveVersion { version, revision }));
                    rest = after;
                }
                Body::Exact(entries)
            }
            FORMAT_BUCKETS => {
                let (digests, remainder) = rest.as_chunks::<DIGEST>();
                if digests.len() != BUCKETS || !remainder.is_empty() {
                    return None;
                }
                Body::Buckets(digests.to_vec())
            }
            _ => return None,
        };
        Some(Known { counter, body })
    }
}

fn encode(counter: u8, current: &[Current<'_>], buckets: Option<&[[u8; DIGEST]]>) -> String {
    let mut bytes = Vec::with_capacity(2 + current.len().min(EXACT_LIMIT) * (HASH + 2));
    match buckets {
        None => {
            bytes.extend([FORMAT_EXACT, counter]);
            for pass in current {
                bytes.extend(serial_hash(pass.serial_number));
                write_varint(&mut bytes, pass.effective_version.version);
                write_varint(&mut bytes, pass.effective_version.revision);
            }
        }
        Some(digests) => {
            bytes.extend([FORMAT_BUCKETS, counter]);
            bytes.extend(digests.iter().flatten());
        }
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

fn serial_hash(serial_number: &SerialNumber) -> [u8; HASH] {
    let digest = Sha256::digest(serial_number.as_str());
    let mut hash = [0; HASH];
    hash.copy_from_slice(&digest[..HASH]);
    hash
}

fn bucket_of(serial_number: &SerialNumber) -> usize {
    let [high, low, ..] = serial_hash(serial_number);
    usize::from(u16::from_be_bytes([high, low])) % BUCKETS
}

fn bucket_digests(current: &[Current<'_>]) -> Vec<[u8; DIGEST]> {
    let mut members: Vec<Vec<(&SerialNumber, EffectiveVersion)>> = vec![Vec::new(); BUCKETS];
    for pass in current {
        members[bucket_of(pass.serial_number)].push((pass.serial_number, pass.effective_version));
    }
    let digest_of = |mut bucket: Vec<(&SerialNumber, EffectiveVersion)>| {
        bucket.sort();
        let mut hasher = Sha256::new();
        for (serial_number, EffectiveVersion { version, revision }) in bucket {
            hasher.update(serial_number.as_str());
            hasher.update([0]);
            hasher.update(version.to_be_bytes());
            hasher.update(revision.to_be_bytes());
        }
        let mut digest = [0; DIGEST];
        digest.copy_from_slice(&hasher.finalize()[..DIGEST]);
        digest
    };
    members.into_iter().map(digest_of).collect()
}

/// LEB128, the usual variable-length integer: seven bits a byte, low first.
fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serials(count: usize) -> Vec<SerialNumber> {
        (0..count).map(|n| format!("serial-{n}").parse().unwrap()).collect()
    }

    fn at<'a>(serials: &'a [SerialNumber], versions: &[(u64, u64)]) -> Vec<Current<'a>> {
        let current = serials.iter().zip(versions).map(|(serial_number, &(version, revision))| Current {
            serial_number,
            effective_version: EffectiveVersion { version, revision },
            listing: Listing::WhenChanged,
        });
        current.collect()
    }

    fn passes<'a>(listed: &Listed<'a>) -> (Vec<&'a str>, String) {
        match listed {
            Listed::Passes { serial_numbers, last_updated } => {
                (serial_numbers.iter().map(|serial| serial.as_str()).collect(), last_updated.clone())
            }
            Listed::Nothing => panic!("nothing was listed"),
        }
    }

    #[test]
    fn without_a_tag_every_registered_pass_is_listed() {
        let serials = serials(3);
        let (listed, _) = passes(&list(None, &at(&serials, &[(1, 0), (1, 0), (4, 2)])));
        assert_eq!(listed, ["serial-0", "serial-1", "serial-2"]);
    }

    #[test]
    fn only_what_differs_from_the_tag_is_listed_and_nothing_is_204() {
        let serials = serials(3);
        let (_, tag) = passes(&list(None, &at(&serials, &[(1, 0), (1, 0), (4, 2)])));
        assert_eq!(list(Some(&tag), &at(&serials, &[(1, 0), (1, 0), (4, 2)])), Listed::Nothing);
        let (listed, second) = passes(&list(Some(&tag), &at(&serials, &[(1, 0), (2, 0), (4, 3)])));
        assert_eq!(listed, ["serial-1", "serial-2"]);
        assert_ne!(tag, second);
    }

    #[test]
    fn a_pass_registered_later_is_listed_and_one_that_left_is_not() {
        let serials = serials(2);
        let (_, tag) = passes(&list(None, &at(&serials[..1], &[(5, 0)])));
        let (listed, _) = passes(&list(Some(&tag), &at(&serials, &[(5, 0), (1, 0)])));
        assert_eq!(listed, ["serial-1"]);
        assert_eq!(list(Some(&tag), &[]), Listed::Nothing);
    }

    #[test]
    fn a_malformed_tag_means_no_tag() {
        let serials = serials(1);
        for bad in ["", "%%%", "AAAA", "2024-07-08T08:03:13+00:00", "AQ", "AQAB", &"A".repeat(20_000)] {
            let (listed, _) = passes(&list(Some(bad), &at(&serials, &[(1, 0)])));
            assert_eq!(listed, ["serial-0"], "{bad:?}");
        }
    }

    #[test]
    fn listing_again_changes_the_tag() {
        let serials = serials(1);
        let mut current = at(&serials, &[(2, 0)]);
        let (_, mut tag) = passes(&list(None, &current));
        current[0].listing = Listing::Again;
        for _ in 0..300 {
            let (listed, next) = passes(&list(Some(&tag), &current));
            assert_eq!(listed, ["serial-0"]);
            assert_ne!(next, tag, "the phone reports a tag that remains the same");
            tag = next;
        }
    }

    #[test]
    fn tags_need_no_escaping_in_a_query() {
        let serials = serials(40);
        let (_, tag) = passes(&list(None, &at(&serials, &[(u64::MAX >> 8, 300); 40])));
        assert!(tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    }

    #[test]
    fn past_the_limit_no_change_is_missed_and_the_tag_still_fits() {
        let serials = serials(2000);
        let mut versions = vec![(1, 0); 2000];
        let (all, tag) = passes(&list(None, &at(&serials, &versions)));
        assert_eq!(all.len(), 2000);
        assert!(tag.len() < 8 * 1024, "{}", tag.len());
        assert_eq!(list(Some(&tag), &at(&serials, &versions)), Listed::Nothing);
        versions[777] = (2, 0);
        let (listed, _) = passes(&list(Some(&tag), &at(&serials, &versions)));
        assert!(listed.contains(&"serial-777"));
        assert!(listed.len() < 40, "one bucket, not everything: {}", listed.len());
    }

    #[test]
    fn crossing_the_limit_either_way_loses_nothing() {
        let serials = serials(600);
        let versions = vec![(1, 0); 600];
        let (_, exact) = passes(&list(None, &at(&serials[..500], &versions[..500])));
        let (listed, buckets) = passes(&list(Some(&exact), &at(&serials, &versions)));
        assert_eq!(listed.len(), 100, "the exact tag still tells known from new");
        assert_eq!(list(Some(&buckets), &at(&serials, &versions)), Listed::Nothing);
        let (listed, _) = passes(&list(Some(&buckets), &at(&serials[..400], &versions[..400])));
        assert_eq!(listed.len(), 400);
    }

    #[test]
    fn varints_round_trip() {
        for value in [0, 1, 127, 128, 300, 1 << 20, (1 << 62) - 1] {
            let mut bytes = Vec::new();
            write_varint(&mut bytes, value);
            assert_eq!(read_varint(&bytes), Some((value, &[][..])));
        }
    }
}
