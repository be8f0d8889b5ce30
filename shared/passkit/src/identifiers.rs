//! Apple's identifiers, parsed once at the door. Inside there are no bare strings that name a pass.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not the identifier it should be. Safe to show to whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidIdentifier(&'static str);

macro_rules! identifier {
    ($(#[$documentation:meta])* $name:ident, $check:expr) => {
        $(#[$documentation])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as it stands in URLs and JSON.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidIdentifier;
            fn from_str(text: &str) -> Result<Self, InvalidIdentifier> {
                let check: fn(&str) -> Result<(), InvalidIdentifier> = $check;
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidIdentifier;
            fn try_from(text: String) -> Result<Self, InvalidIdentifier> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(identifier: $name) -> String {
                identifier.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

/// Characters that need no escaping anywhere a URL can carry them (RFC 3986, 2.3, without `~`).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn plain(text: &str, limit: usize, message: &'static str) -> Result<(), InvalidIdentifier> {
    // "." and ".." would be removed from a URL's path as dot segments.
    if text.is_empty() || text.len() > limit || !text.bytes().all(is_plain) || text.bytes().all(|byte| byte == b'.') {
        return Err(InvalidIdentifier(message));
    }
    Ok(())
}

identifier!(
    /// `passTypeIdentifier`: registered with Apple, begins with `pass.`, equals the UID of the certificate that signs.
    PassTypeIdentifier,
    |text| {
        const MESSAGE: &str =
            "must begin with \"pass.\" and hold only letters, digits, \".\", \"-\" and \"_\", at most 128 characters";
        plain(text, 128, MESSAGE)?;
        match text.strip_prefix("pass.") {
            Some(rest) if !rest.is_empty() => Ok(()),
            Some(_) | None => Err(InvalidIdentifier(MESSAGE)),
        }
    }
);

identifier!(
    /// `serialNumber`: ours or the merchant's, unique within a pass type. Apple appends it to URLs with an encoding
    /// that leaves `/` alone, so only characters that need none are allowed.
    SerialNumber,
    |text| plain(text, 64, "must be 1 to 64 letters, digits, \".\", \"-\" or \"_\"")
);

identifier!(
    /// `teamIdentifier`: ten upper-case letters and digits, equal to the OU of the certificate that signs.
    TeamIdentifier,
    |text| {
        if text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
            Ok(())
        } else {
            Err(InvalidIdentifier("must be ten upper-case letters and digits"))
        }
    }
);

identifier!(
    /// `deviceLibraryIdentifier`: opaque, chosen by the device for this service; its knowledge authorises the list of
    /// updatable passes. Apple promises no shape, so any printable text without a slash is one.
    DeviceLibraryIdentifier,
    |text| {
        if text.is_empty() || text.len() > 256 || text.chars().any(|c| c.is_control() || c == '#') {
            return Err(InvalidIdentifier("must be 1 to 256 bytes without control characters or \"#\""));
        }
        Ok(())
    }
);

identifier!(
    /// The name the operator gives a merchant. It stands in the keys of stored items, and holds none of their separators.
    MerchantId,
    |text| plain(text, 64, "must be 1 to 64 letters, digits, \".\", \"-\" or \"_\"")
);

identifier!(
    /// The name a merchant gives a template.
    TemplateId,
    |text| plain(text, 64, "must be 1 to 64 letters, digits, \".\", \"-\" or \"_\"")
);

identifier!(
    /// The name a merchant gives a campaign.
    CampaignId,
    |text| plain(text, 64, "must be 1 to 64 letters, digits, \".\", \"-\" or \"_\"")
);

identifier!(
    /// The name a merchant gives an offer within its campaign.
    OfferId,
    |text| plain(text, 64, "must be 1 to 64 letters, digits, \".\", \"-\" or \"_\"")
);

identifier!(
    /// The name a merchant gives a place: what its tills say as `location`, so any words will do.
    LocationId,
    |text| {
        if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) {
            return Err(InvalidIdentifier("must be 1 to 200 characters without control characters"));
        }
        Ok(())
    }
);

/// What makes a pass that pass, everywhere: the pair of pass type and serial number. Re-adding the same pair replaces
/// the pass on the phone (Apple, "Pass", `serialNumber`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PassIdentity {
    /// The pass type.
    pub pass_type_identifier: PassTypeIdentifier,
    /// The serial number within it.
    pub serial_number: SerialNumber,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_that_a_url_would_change_are_refused() {
        for bad in ["", "a/b", "a b", "a%2Fb", "..", ".", "ü", &"x".repeat(65)] {
            assert!(bad.parse::<SerialNumber>().is_err(), "{bad:?}");
        }
        for good in ["001", "A.b_c-9", &"x".repeat(64)] {
            assert!(good.parse::<SerialNumber>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn pass_type_identifiers_begin_with_pass() {
        for bad in ["pass.", "pass", "com.example", "pass.a/b", "pass.a b"] {
            assert!(bad.parse::<PassTypeIdentifier>().is_err(), "{bad:?}");
        }
        assert!("pass.example.passloop".parse::<PassTypeIdentifier>().is_ok());
    }

    #[test]
    fn stored_identifiers_are_checked_when_read() {
        assert!(serde_json::from_str::<SerialNumber>("\"a/b\"").is_err());
        assert_eq!(serde_json::to_string(&"7".parse::<SerialNumber>().unwrap()).unwrap(), "\"7\"");
    }
}
