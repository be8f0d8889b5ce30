//! `GET /p/{link}`: the landing page; `GET /p/{link}.pkpass`: the pass; `GET /p/{link}.svg`: the link as a QR code.
//!
//! A link is a bearer secret: whoever holds it can add the pass. Unknown, expired and used-up links are one page.

use domain::{Campaign, Pass, PassState};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::secrets::LinkId;
use platform::{
    App, Audience, Fault, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure, header_text},
};
use serde_json::Value;

mod page;

use page::{Colors, Landing};

/// The door.
pub const FUNCTION: Function = Function {
    name: "open-link",
    handler: Handler::Http(Audience::Visitor, |app, request, now| Box::pin(handle(app, request, now))),
};

async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let text = path_parameter(&request, "link");
    let (link, wanted) = match text.rsplit_once('.') {
        Some((link, "pkpass")) => (link, Wanted::Package),
        Some((link, "svg")) => (link, Wanted::QrCode),
        Some(_) => return Err(gone(&request)),
        None => (text.as_str(), Wanted::Page),
    };
    // Ours have 22 characters; what is much longer is no key to look up.
    if link.is_empty() || link.len() > 128 {
        return Err(gone(&request));
    }
    let Some(identity) = app.store.find_link(&LinkId::new(link)).await? else { return Err(gone(&request)) };
    let Some((stored, campaign)) = app.store.pass_and_campaign(&identity).await? else { return Err(gone(&request)) };
    let (pass, campaign) = (&stored.pass, &campaign.campaign);
    let mut response = match wanted {
        Wanted::Package => package(app, pass, campaign, now).await?,
        Wanted::QrCode => qr_code(&landing_url(app, pass))?,
        Wanted::Page => landing(app, &request, pass, campaign, now).await?,
    };
    harden(&mut response);
    Ok(response)
}

/// What the visitor asks for.
enum Wanted {
    Page,
    Package,
    QrCode,
}

fn gone(request: &Request) -> Failure {
    match page::gone(language(request)) {
        Ok(page) => Failure::NoSuchLink { page },
        Err(error) => Failure::Fault(Fault::new("rendering the page of a dead link", error)),
    }
}

fn language(request: &Request) -> page::Language {
    page::language_from_accept_language(header_text(request, header::ACCEPT_LANGUAGE).unwrap_or_default())
}

fn landing_url(app: &App, pass: &Pass) -> String {
    format!("{}/p/{}", app.config.public_url, pass.link.expose())
}

async fn package(app: &App, pass: &Pass, campaign: &Campaign, now: Timestamp) -> Result<Response<Body>, Failure> {
    let package = app.packages.package(app, pass, campaign, now).await?;
    let mut response = answer::bytes(StatusCode::OK, "application/vnd.apple.pkpass", package);
    // A serial number holds nothing that a quoted file name would have to escape.
    let disposition = format!("attachment; filename=\"{}.pkpass\"", pass.identity.serial_number);
    set(&mut response, header::CONTENT_DISPOSITION, &disposition)?;
    set(&mut response, header::LAST_MODIFIED, &pass.last_modified(campaign).to_header())?;
    Ok(response)
}

fn qr_code(link: &str) -> Result<Response<Body>, Failure> {
    let svg = page::qr_svg(link).map_err(|error| Fault::new("drawing a QR code", error))?;
    Ok(answer::bytes(StatusCode::OK, "image/svg+xml", svg.into_bytes()))
}

async fn landing(
    app: &App,
    request: &Request,
    pass: &Pass,
    campaign: &Campaign,
    now: Timestamp,
) -> Result<Response<Body>, Failure> {
    let shown = app.packages.pass_json(app, pass, campaign, now).await?;
    let text = |name: &str| shown.get(name).and_then(Value::as_str);
    let offer = pass.offer(campaign)?;
    let state = match &pass.state {
        PassState::Redeemable if offer.is_over(now) => page::PassState::Expired,
        PassState::Redeemable => page::PassState::Redeemable,
        PassState::Redeemed { .. } | PassState::Finished => page::PassState::Used,
        PassState::Voided { .. } => page::PassState::Voided,
    };
    let link = landing_url(app, pass);
    let landing = Landing {
        organization: text("organizationName").unwrap_or_default(),
        title: &offer.title,
        description: text("description").unwrap_or_default(),
        colors: Colors::from_pass(text("backgroundColor"), text("foregroundColor"), text("labelColor")),
        download_path: &format!("{link}.pkpass"),
        link: &link,
        device: page::device_from_user_agent(header_text(request, header::USER_AGENT).unwrap_or_default()),
        state,
        language: language(request),
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
