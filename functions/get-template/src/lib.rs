//! `GET /merchant/v1/templates/{templateId}`: a version of a template, the newest unless another is asked for.

use domain::time;
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::identifiers::TemplateId;
use platform::{
    App, Audience, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure},
    input,
    keys::Role,
    store::StoredTemplate,
};
use serde_json::json;

/// The door.
pub const FUNCTION: Function = Function {
    name: "get-template",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    const UNKNOWN: Failure = Failure::NotFound("template or version");
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let mut query = input::query(&request);
    let version: Option<u64> = query.optional("version");
    let version = query.done(Some(version))?;
    let template_id: TemplateId = path_parameter(&request, "templateId").parse().map_err(|_| UNKNOWN)?;
    let newest = app.store.template(&merchant.merchant_id, &template_id).await?.ok_or(UNKNOWN)?;
    let template = match version {
        Some(version) if version != newest.version => {
            app.store.template_version(&merchant.merchant_id, &template_id, version).await?.ok_or(UNKNOWN)?
        }
        Some(_) | None => newest,
    };
    let StoredTemplate { template_id, version, sha256, warnings, created_at, .. } = template;
    let created_at = time::to_text(created_at);
    let body = json!({
        "templateId": template_id, "version": version, "sha256": sha256, "warnings": warnings, "createdAt": created_at,
    });
    Ok(answer::json(StatusCode::OK, &body))
}
