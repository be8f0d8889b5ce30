//! `GET /merchant/v1/passes/{passTypeIdentifier}/{serialNumber}/mail`: words and HTML for a mail that hands out the pass.
//!
//! We send no mail: the merchant does, from their own address. `?badgeUrl=https://…` is the operator's own copy of
//! Apple's badge, which takes the place of the text link.

use domain::{PassState, Refusal};
use http::{HeaderValue, Response, StatusCode, Uri, header};
use jiff::Timestamp;
use lambda_http::{Body, Request, RequestExt};
use platform::{
    App, Audience, Fault, Function, Handler,
    http::{self as answer, Failure, header_text},
    keys::Role,
    language::Language,
    links, merchant,
};
use serde_json::json;

mod mail;

use mail::Mail;

/// The door.
pub const FUNCTION: Function = Function {
    name: "get-pass-mail",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Bytes of a badge's address: what every mail program takes.
const BADGE_URL_LIMIT: usize = 2000;

/// A mail in the language of `Accept-Language`, for a pass that can still be added and used.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let identity = merchant::pass_identity(&request)?;
    let badge_url = badge_url(&request)?;
    let (stored, campaign) = merchant::pass(app, &merchant, &identity).await?;
    let (pass, campaign) = (&stored.pass, &campaign.campaign);
    let offer = pass.offer(campaign)?;
    // The landing page offers such a pass to nobody.
    if let PassState::Voided { .. } = pass.state {
        return Err(Refusal::Voided.into());
    }
    if let Some(end) = pass.expires_at(campaign)?
        && pass.state == PassState::Redeemable
        && now >= end
    {
        return Err(Refusal::Expired(end).into());
    }
    let downloads = app.store.counts(pass).await?.downloads;
    let link = pass.live_link(downloads, now).ok_or(Failure::NoLink)?;
    let language = Language::from_accept_language(header_text(&request, header::ACCEPT_LANGUAGE).unwrap_or_default());
    let shown = app.packages.shown(app, pass, campaign, language, now).await?;
    let mail = Mail {
        organization: shown.text("organizationName"),
        title: shown.translated(&offer.title),
        description: shown.text("description"),
        landing_url: &links::landing_url(app, &link.id),
        badge_url: badge_url.as_deref(),
        language,
    };
    let html = mail.html().map_err(|error| Fault::new("rendering a mail", error))?;
    let body = json!({ "subject": mail.subject(), "text": mail.text(), "html": html });
    let mut response = answer::json(StatusCode::OK, &body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    Ok(response)
}

/// The `badgeUrl` of the query: an https URL with a host, without credentials.
fn badge_url(request: &Request) -> Result<Option<String>, Failure> {
    let parameters = request.query_string_parameters();
    let Some(text) = parameters.first("badgeUrl") else { return Ok(None) };
    let refused = |message: &str| Err(Failure::invalid("/badgeUrl", message));
    if text.len() > BADGE_URL_LIMIT {
        return refused("must have at most 2000 bytes");
    }
    let uri = text.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("https"));
    match uri.as_ref().and_then(Uri::authority) {
        Some(authority) if !authority.host().is_empty() && !authority.as_str().contains('@') => {
            Ok(Some(text.to_owned()))
        }
        Some(_) | None => refused("must be an https:// URL of your copy of Apple's badge"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn asked(url: Option<&str>) -> Result<Option<String>, Failure> {
        let parameters = url.map(|url| ("badgeUrl".to_owned(), vec![url.to_owned()]));
        let parameters: HashMap<_, _> = parameters.into_iter().collect();
        badge_url(&http::Request::new(Body::Empty).with_query_string_parameters(parameters))
    }

    #[test]
    fn a_badge_comes_over_https_or_not_at_all() {
        let long = format!("https://example.com/{}", "x".repeat(BADGE_URL_LIMIT));
        let bad = [
            "",
            "badge.svg",
            "/badge.svg",
            "http://example.com/badge.svg",
            "javascript:alert(1)",
            "data:image/svg+xml,<svg>",
            "https://",
            "https:///badge.svg",
            "https://apple.com@evil.example/badge.svg",
            "https://example.com/a b",
            "https://example.com/\"><script>",
            long.as_str(),
        ];
        for bad in bad {
            assert!(matches!(asked(Some(bad)), Err(Failure::Invalid(_))), "{bad}");
        }
        let good = "https://cdn.example.com/badges/US-UK_Add_to_Apple_Wallet.svg?v=2";
        assert_eq!(asked(Some(good)).unwrap().as_deref(), Some(good));
        assert_eq!(asked(None).unwrap(), None);
    }
}
