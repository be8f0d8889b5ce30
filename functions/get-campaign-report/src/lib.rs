//! `GET /merchant/v1/campaigns/{campaignId}/report`: what became of a campaign, from counts kept while it happened.

use http::{Response, StatusCode, header};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use lambda_http::{Body, Request, RequestExt};
use passkit::{
    identifiers::{CampaignId, InvalidIdentifier},
    problem::{Problem, Problems},
};
use platform::{
    App, Audience, Fault, Function, Handler,
    function::path_parameter,
    http::{self as answer, Failure, header_text},
    keys::Role,
    store::ROWS,
};

mod report;

use report::ReportView;

/// The door.
pub const FUNCTION: Function = Function {
    name: "get-campaign-report",
    handler: Handler::Http(Audience::Merchant, |app, request, now| Box::pin(handle(app, request, now))),
};

/// JSON, or CSV for whoever accepts that: the same numbers.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    let merchant = app.keys.authorise(app, &request, Role::Issue, now).await?;
    let campaign_id: CampaignId = path_parameter(&request, "campaignId")
        .parse()
        .map_err(|error: InvalidIdentifier| Failure::invalid("/campaignId", error.to_string()))?;
    let days = days(&request, now)?;
    let campaign = app.store.campaign(&merchant.merchant_id, &campaign_id).await?;
    let campaign = campaign.ok_or(Failure::NotFound("campaign"))?.campaign;
    let report = app.store.report(&merchant.merchant_id, &campaign_id, days).await?;
    let report = report.ok_or_else(|| {
        Failure::invalid(
            "/from",
            format!("these days have more than {ROWS} rows of an offer and a location; ask for fewer"),
        )
    })?;
    let view = ReportView::new(&campaign, &report, days, now);
    if header_text(&request, header::ACCEPT).is_some_and(prefers_csv) {
        let csv = view.csv().map_err(|error| Fault::new("writing a report", error))?;
        return Ok(answer::bytes(StatusCode::OK, "text/csv; charset=utf-8; header=present", csv));
    }
    Ok(answer::json(StatusCode::OK, &view))
}

/// Whether CSV is named, and not after JSON.
fn prefers_csv(accept: &str) -> bool {
    let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    kinds
        .into_iter()
        .find(|kind| kind == "text/csv" || kind == "application/json")
        .is_some_and(|kind| kind == "text/csv")
}

/// Before the first campaign; what lies before it is empty. Days are compared as text, which holds for years of four digits.
const EARLIEST: Date = Date::constant(1970, 1, 1);

/// The days asked for, both included; all of them, if nothing is said.
fn days(request: &Request, now: Timestamp) -> Result<(Date, Date), Failure> {
    let parameters = request.query_string_parameters();
    let mut problems = Problems::new();
    let mut day = |name: &str| match parameters.first(name).map(str::parse)? {
        Ok(day) => Some(day),
        Err(_) => {
            problems.push(Problem::new(format!("/{name}"), "must be a day such as 2026-11-23"));
            None
        }
    };
    let (from, until): (Option<Date>, Option<Date>) = (day("from"), day("until"));
    if from.zip(until).is_some_and(|(from, until)| until < from) {
        problems.push(Problem::new("/until", "must not be before from"));
    }
    let today = now.to_zoned(TimeZone::UTC).date();
    let from = from.unwrap_or(EARLIEST).max(EARLIEST);
    // After every clock that runs ahead. What is over before the earliest day has nothing.
    let until = until.unwrap_or_else(|| today.tomorrow().unwrap_or(today)).max(from);
    if problems.is_empty() { Ok((from, until)) } else { Err(Failure::Invalid(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_goes_to_whoever_asks_for_it() {
        for (accept, csv) in [
            ("text/csv", true),
            ("Text/CSV; charset=utf-8, */*", true),
            ("text/html, text/csv, application/json", true),
            ("application/json, text/csv", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(prefers_csv(accept), csv, "{accept}");
        }
    }
}
