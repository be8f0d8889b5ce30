//! `GET /p/{link}`: the landing page; `GET /p/{link}.pkpass`: the pass; `GET /p/{link}.svg` and `.png`: the link as a QR
//! code. HEAD asks the same and downloads nothing.
//!
//! A link is a bearer secret: whoever holds it can add the pass. Unknown, revoked, expired and used-up links are one
//! page, whatever of them is asked for.

use domain::{Campaign, Pass, PassState};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::secrets::LinkId;
use platform::{
    App, Audience, Fault, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure, header_text},
    language::Language,
    links,
};

mod download;
mod page;

use page::{Colors, Landing};

/// The door.
pub const FUNCTION: Function = Function {
    name: "open-link",
    handler: Handler::Http(Audience::Visitor, |app, request, now| Box::pin(handle(app, request, now))),
};

async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let text = path_parameter(&request, "link");
    let (id, wanted) = match text.rsplit_once('.') {
        Some((id, "pkpass")) => (id, Wanted::Package),
        Some((id, "svg")) => (id, Wanted::Svg),
        Some((id, "png")) => (id, Wanted::Png),
        Some(_) => return Err(gone(&request)),
        None => (text.as_str(), Wanted::Page),
    };
    // Ours have 22 characters; what is much longer is no key to look up.
    if id.is_empty() || id.len() > 128 {
        return Err(gone(&request));
    }
    let id = LinkId::new(id);
    let Some(found) = app.store.find_link(&id).await? else { return Err(gone(&request)) };
    let passes = app.store.pass_and_campaign(&found.identity).await?;
    let Some((stored, campaign)) = passes else { return Err(gone(&request)) };
    let (pass, campaign) = (&stored.pass, &campaign.campaign);
    let live = pass.live_link(found.downloads, now).filter(|link| link.id == id);
    let Some(link) = live else { return Err(gone(&request)) };
    let url = links::landing_url(app, &link.id);
    let mut response = match wanted {
        Wanted::Package => download::package(app, &request, (pass, link), campaign, now).await?,
        Wanted::Svg => {
            answer::bytes(StatusCode::OK, "image/svg+xml", page::qr_svg(&url).map_err(undrawn)?.into_bytes())
        }
        Wanted::Png => answer::bytes(StatusCode::OK, "image/png", page::qr_png(&url).map_err(undrawn)?),
        Wanted::Page => landing(app, &request, &url, pass, campaign, now).await?,
    };
    harden(&mut response);
    Ok(response)
}

/// What the visitor asks for.
enum Wanted {
    Page,
    Package,
    Svg,
    Png,
}

fn gone(request: &Request) -> Failure {
    match page::gone(language(request)) {
        Ok(page) => Failure::NoSuchLink { page },
        Err(error) => Failure::Fault(Fault::new("rendering the page of a dead link", error)),
    }
}

fn language(request: &Request) -> Language {
    Language::from_accept_language(header_text(request, header::ACCEPT_LANGUAGE).unwrap_or_default())
}

fn undrawn(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::new("drawing a QR code", error)
}

async fn landing(
    app: &App,
    request: &Request,
    url: &str,
    pass: &Pass,
    campaign: &Campaign,
    now: Timestamp,
) -> Result<Response<Body>, Failure> {
    let language = language(request);
    let shown = app.packages.shown(app, pass, campaign, language, now).await?;
    let offer = pass.offer(campaign)?;
    let state = match &pass.state {
        PassState::Redeemable if pass.is_expired(campaign, now)? => page::PassState::Expired,
        PassState::Redeemable if offer.redeemable_from.is_some_and(|from| now < from) => page::PassState::NotYet,
        PassState::Redeemable => page::PassState::Redeemable,
        PassState::Redeemed { .. } | PassState::Finished => page::PassState::Used,
        PassState::Voided { .. } => page::PassState::Voided,
    };
    let landing = Landing {
        organization: shown.text("organizationName"),
        title: shown.translated(&offer.title),
        description: shown.text("description"),
        colors: Colors::from_pass(shown.raw("backgroundColor"), shown.raw("foregroundColor"), shown.raw("labelColor")),
        download_path: &format!("{url}.pkpass"),
        link: url,
        device: page::device_from_user_agent(header_text(request, header::USER_AGENT).unwrap_or_default()),
        state,
        language,
    };
    let page = landing.render().map_err(|error| Fault::new("rendering the landing page", error))?;
    Ok(answer::html(StatusCode::OK, page))
}

/// Headers that keep a page with a secret in its address to itself.
fn harden(response: &mut Response<Body>) {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
        // The page differs by both.
        (header::VARY, "user-agent, accept-language"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) -> Result<(), Fault> {
    let value = HeaderValue::from_str(value).map_err(|error| Fault::new("writing a header", error))?;
    response.headers_mut().insert(name, value);
    Ok(())
}
