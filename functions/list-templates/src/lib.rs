//! `GET /merchant/v1/templates`: the merchant's templates by name, each in its newest version.

use domain::time;
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::identifiers::TemplateId;
use platform::{
    App, Audience, Function, Handler,
    http::{self as answer, Failure},
    input,
    keys::Role,
    store::StoredTemplate,
};
use serde_json::{Value, json};

/// The door.
pub const FUNCTION: Function = Function {
    name: "list-templates",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// One page of 100 templates; the cursor is the name of the last.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let mut query = input::query(&request);
    let after: Option<TemplateId> = query.optional("cursor");
    let after = query.done(Some(after))?;
    let (templates, next) = app.store.templates(&merchant.merchant_id, after.as_ref()).await?;
    let templates: Vec<Value> = templates.iter().map(show).collect();
    Ok(answer::json(StatusCode::OK, &json!({ "templates": templates, "nextCursor": next })))
}

fn show(template: &StoredTemplate) -> Value {
    let StoredTemplate { template_id, version, sha256, created_at, .. } = template;
    let created_at = time::to_text(*created_at);
    json!({ "templateId": template_id, "version": version, "sha256": sha256, "createdAt": created_at })
}
