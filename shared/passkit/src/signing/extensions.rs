//! The two certificate extensions that OpenSSL's safe interface does not hand out, read from the DER (RFC 5280, 4.1).

/// id-ce-extKeyUsage, 2.5.29.37
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x25];
/// Apple's pass type identifier extension, 1.2.840.113635.100.6.1.16
const APPLE_PASS_TYPE: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x63, 0x64, 0x06, 0x01, 0x10];
/// id-kp-clientAuth, 1.3.6.1.5.5.7.3.2
pub(super) const CLIENT_AUTHENTICATION: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
/// Apple's pass signing usage, 1.2.840.113635.100.4.14
pub(super) const PASS_SIGNING: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x63, 0x64, 0x04, 0x0E];

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[3] EXPLICIT Extensions` of a TBSCertificate.
const EXTENSIONS: u8 = 0xA3;

/// What a certificate says about its use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    /// The object identifiers of the extended key usage, as DER content.
    pub(super) usages: Vec<Vec<u8>>,
    /// The pass type identifier of Apple's extension.
    pub(super) pass_type: Option<String>,
}

/// Reads a certificate's DER; what cannot be read counts as absent.
pub(super) fn read(certificate: &[u8]) -> Extensions {
    let mut found = Extensions::default();
    let list = child(certificate, SEQUENCE).and_then(|certificate| child(certificate, SEQUENCE)).and_then(|body| {
        let (_, extensions) = elements(body).find(|(tag, _)| *tag == EXTENSIONS)?;
        child(extensions, SEQUENCE)
    });
    for (_, extension) in elements(list.unwrap_or_default()) {
        let mut parts = elements(extension).filter(|(tag, _)| *tag != BOOLEAN);
        let (Some((OBJECT_IDENTIFIER, id)), Some((OCTET_STRING, value))) = (parts.next(), parts.next()) else {
            continue;
        };
        if id == EXTENDED_KEY_USAGE {
            found.usages = elements(child(value, SEQUENCE).unwrap_or_default()).map(|(_, id)| id.to_vec()).collect();
        } else if id == APPLE_PASS_TYPE {
            // A UTF8String (or another text type) of its own.
            found.pass_type = elements(value).next().map(|(_, text)| String::from_utf8_lossy(text).into_owned());
        }
    }
    found
}

/// The content of the first element, if it has that tag.
fn child(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    elements(bytes).next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// The elements of a DER sequence's content, as tag and content; ends at the first that is cut short.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, rest) = bytes.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match usize::from(*first) {
            short @ 0..=0x7F => (short, rest),
            // The long form: the low bits count the bytes of the length.
            long => {
                let (digits, rest) = rest.split_at_checked(long & 0x7F)?;
                if digits.is_empty() || digits.len() > 4 {
                    return None;
                }
                (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some((*tag, content))
    })
}
