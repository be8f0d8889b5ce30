//! The link of a pass: whoever holds it can add the pass, for as long as its terms say (contract, section 4, Links).
//!
//! The terms live with the pass and never change for one link: other terms are another link. What changes with every
//! download, the count, lives with the link alone, so that a link opened by many is no write of the pass.

use jiff::Timestamp;
use passkit::secrets::LinkId;

use crate::pass::Pass;

/// The greatest download limit.
pub const MAXIMUM_DOWNLOADS: u32 = 1_000_000;

/// How long and how often a link gives the pass away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkTerms {
    /// From then on it is dead; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// How many downloads it answers; `None`: any number, because people add a pass again that they deleted.
    pub download_limit: Option<u32>,
}

/// A link.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// The secret in its address.
    pub id: LinkId,
    /// Its terms.
    pub terms: LinkTerms,
}

impl LinkTerms {
    /// Whether a link under these terms, downloaded so often, still leads to its pass.
    pub fn are_met(&self, downloads: u64, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
            && self.download_limit.is_none_or(|limit| downloads < u64::from(limit))
    }
}

impl Pass {
    /// The pass with another link, or none. Phones cannot tell, so neither version nor date grows, and copies that are
    /// installed go on.
    pub fn with_link(&self, link: Option<Link>) -> Pass {
        Pass { link, ..self.clone() }
    }

    /// The link, if it leads to the pass after so many downloads.
    pub fn live_link(&self, downloads: u64, now: Timestamp) -> Option<&Link> {
        self.link.as_ref().filter(|link| link.terms.are_met(downloads, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_link_without_terms_never_ends() {
        assert!(LinkTerms::default().are_met(u64::MAX, Timestamp::MAX));
    }

    #[test]
    fn a_link_is_dead_from_the_moment_it_expires() {
        let terms = LinkTerms { expires_at: Some(at("2026-11-23T12:00:00Z")), download_limit: None };
        assert!(terms.are_met(0, at("2026-11-23T11:59:59.999Z")));
        assert!(!terms.are_met(0, at("2026-11-23T12:00:00Z")));
    }

    #[test]
    fn a_limit_of_three_leaves_three_downloads() {
        let terms = LinkTerms { expires_at: None, download_limit: Some(3) };
        let open: Vec<bool> = (0..5).map(|downloads| terms.are_met(downloads, Timestamp::MIN)).collect();
        assert_eq!(open, [true, true, true, false, false]);
    }
}
