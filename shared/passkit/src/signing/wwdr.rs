//! Apple's Worldwide Developer Relations intermediates: which one to download, and whether one is what it says
//! (reference 3.4; Apple, "Apple PKI", apple.com/certificateauthority).

use std::fmt;

use super::{Certificate, SigningError};

/// The common name of all of them.
const COMMON_NAME: &str = "CN=Apple Worldwide Developer Relations Certification Authority";
/// Who they belong to.
const ORGANIZATION: &str = "O=Apple Inc.";

/// SHA-256 of G4, which issues Pass Type ID certificates since 27 January 2022.
const G4_FINGERPRINT: [u8; 32] = [
    0xEA, 0x47, 0x57, 0x88, 0x55, 0x38, 0xDD, 0x8C, 0xB5, 0x9F, 0xF4, 0x55, 0x6F, 0x67, 0x60, 0x87, 0xD8, 0x3C, 0x85,
    0xE7, 0x09, 0x02, 0xC1, 0x22, 0xE4, 0x2C, 0x08, 0x08, 0xB5, 0xBC, 0xE1, 0x4C,
];
/// Serial number of G4.
const G4_SERIAL_NUMBER: &str = "13DC77955271E53DC632E8CCFFE521F3CCC5CED2";

/// What can be said about where an intermediate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Apple's G4, to the last bit.
    AppleG4,
    /// It has the name of Apple's G4 and is another certificate: no phone accepts what hangs on it.
    CounterfeitG4,
    /// It has the name of another of Apple's intermediates, whose fingerprint is not known here.
    OtherApple,
    /// It is not Apple's: good for tests only.
    Elsewhere,
}

impl Origin {
    /// Where an intermediate comes from, by its name and, for G4, its fingerprint.
    ///
    /// # Errors
    /// OpenSSL cannot write the certificate.
    pub fn of(intermediate: &Certificate) -> Result<Self, SigningError> {
        Ok(match Generation::of(&intermediate.subject()) {
            Some(Generation::G4) if intermediate.fingerprint()? == G4_FINGERPRINT => Self::AppleG4,
            Some(Generation::G4) => Self::CounterfeitG4,
            Some(Generation::First | Generation::Other(_)) => Self::OtherApple,
            None => Self::Elsewhere,
        })
    }
}

/// What to download for a leaf of this issuer. Displayed as a sentence.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// The leaf's issuer, as [`Certificate::issuer`] writes it.
    pub issuer: &'a str,
}

impl fmt::Display for Download<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Generation::of(self.issuer) {
            Some(Generation::G4) => write!(
                f,
                "download Worldwide Developer Relations - G4, the file AppleWWDRCAG4.cer (serial number \
                 {G4_SERIAL_NUMBER}, valid until 2030-12-10, SHA-256 {}), from apple.com/certificateauthority",
                hex::encode_upper(G4_FINGERPRINT)
            ),
            Some(Generation::Other(unit)) => write!(
                f,
                "download Worldwide Developer Relations - {unit}, the file AppleWWDRCA{unit}.cer, from \
                 apple.com/certificateauthority"
            ),
            Some(Generation::First) => f.write_str(
                "Apple's first such intermediate expired on 2023-02-07: create a new certificate for the same Pass \
                 Type ID at developer.apple.com",
            ),
            None => f.write_str(
                "that is not Apple, whose intermediates are at apple.com/certificateauthority: take the certificate \
                 of whoever issued this one",
            ),
        }
    }
}

/// The generations, by the OU of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation<'a> {
    /// Before there were numbers; expired in 2023.
    First,
    G4,
    /// `G2`, `G3`, `G5` and whatever follows.
    Other(&'a str),
}

impl<'a> Generation<'a> {
    /// By a name as [`Certificate::subject`] writes it; `None`: not one of Apple's.
    fn of(name: &'a str) -> Option<Self> {
        let has = |part: &str| name.split(", ").any(|found| found == part);
        if !has(COMMON_NAME) || !has(ORGANIZATION) {
            return None;
        }
        let unit = name.split(", ").find_map(|part| part.strip_prefix("OU="))?;
        Some(match unit.strip_prefix('G') {
            Some("4") => Self::G4,
            Some(number) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => Self::Other(unit),
            Some(_) | None => Self::First,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(unit: &str) -> String {
        let issuer = format!("C=US, {ORGANIZATION}, OU={unit}, {COMMON_NAME}");
        Download { issuer: &issuer }.to_string()
    }

    #[test]
    fn each_generation_is_named_with_its_file() {
        // Reference 3.4.
        let g4 = advice("G4");
        for told in ["AppleWWDRCAG4.cer", "13DC77955271E53DC632E8CCFFE521F3CCC5CED2", "EA4757885538DD8CB59FF455"] {
            assert!(g4.contains(told), "{g4}");
        }
        assert!(advice("G6").contains("AppleWWDRCAG6.cer"));
        assert!(advice("Apple Worldwide Developer Relations").contains("expired on 2023-02-07"));
        let elsewhere = Download { issuer: "CN=Apple Worldwide Developer Relations, OU=G4, O=Test Inc." }.to_string();
        assert!(elsewhere.contains("not Apple"), "{elsewhere}");
    }
}
