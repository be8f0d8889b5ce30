//! Secrets that travel with a pass. None of them can be printed by accident, and they are compared in constant time.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

macro_rules! secret {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Clone, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text; the caller has made or parsed it.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The secret itself: for the wire and the store, never for a log.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq for $name {
            /// Constant-time in the content; the length is not a secret. An empty secret equals nothing, itself
            /// included, so that a missing value can never authorise.
            fn eq(&self, other: &Self) -> bool {
                !self.0.is_empty() && bool::from(self.0.as_bytes().ct_eq(other.0.as_bytes()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

secret!(
    /// `authenticationToken` of a pass: what the device sends as `Authorization: ApplePass <token>`. At least 16
    /// characters (PassKit Package Format Reference); ours have 43 (256 random bits).
    AuthenticationToken
);
secret!(
    /// A device's address at APNs: hexadecimal, of no promised length (Apple, "Register a Pass for Update Notifications").
    PushToken
);
secret!(
    /// What a till scans: unguessable, new with every offer.
    Barcode
);
secret!(
    /// The unguessable part of a landing page's URL: whoever holds it can add the pass.
    LinkId
);

secret!(
    /// What deliveries to a webhook are signed with: `whsec_` and base64 (Standard Webhooks).
    WebhookSecret
);
secret!(
    /// The key for somebody else's API.
    ApiKey
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let token = AuthenticationToken::new("vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc");
        assert_eq!(format!("{token:?}"), "AuthenticationToken(…)");
    }

    #[test]
    fn an_empty_secret_matches_nothing() {
        assert_ne!(AuthenticationToken::new(""), AuthenticationToken::new(""));
        assert_eq!(AuthenticationToken::new("a"), AuthenticationToken::new("a"));
        assert_ne!(AuthenticationToken::new("a"), AuthenticationToken::new("ab"));
    }
}
