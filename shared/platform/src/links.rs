//! Links at the doors: their terms in a request, and their address.

use domain::{LinkTerms, link::MAXIMUM_DOWNLOADS, time};
use jiff::Timestamp;
use passkit::{
    problem::{Problem, Problems},
    secrets::LinkId,
};

use crate::{App, input::Fields};

/// The address of a link's landing page; with `.pkpass` the package, with `.svg` and `.png` the QR code.
pub fn landing_url(app: &App, id: &LinkId) -> String {
    format!("{}/p/{}", app.config.public_url, id.expose())
}

/// Takes `linkExpiresAt` and `downloadLimit`, each of which may be absent or null: no such term.
pub fn terms(fields: &mut Fields) -> LinkTerms {
    let expires_at: Option<Timestamp> = fields.time("linkExpiresAt");
    let expires_at = expires_at.map(time::to_milliseconds);
    let download_limit: Option<u32> = fields.optional("downloadLimit");
    if download_limit.is_some_and(|limit| !(1..=MAXIMUM_DOWNLOADS).contains(&limit)) {
        fields.wrong("downloadLimit", format!("must be from 1 to {MAXIMUM_DOWNLOADS}"));
    }
    LinkTerms { expires_at, download_limit }
}

/// What is wrong with terms under which a link would be dead when it is made. Apart from [`terms`] because a request
/// that is repeated later, when the link has expired, still gets its first answer.
pub fn problems_of_terms(terms: &LinkTerms, now: Timestamp) -> Problems {
    let over = terms.expires_at.filter(|expires_at| *expires_at <= now);
    let message = "must be in the future, or null for a link that never expires";
    over.map(|_| Problem::new("/linkExpiresAt", message)).into_iter().collect()
}
