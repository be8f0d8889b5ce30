//! The package behind a link, and the count of downloads.

use domain::{Campaign, Link, Pass};
use http::{Method, Response, StatusCode, header};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use platform::{
    App, Fault,
    http::{self as answer, Failure},
    store::{Download, Told},
};

use crate::{gone, set};

/// The package of the pass as it is now. A download is a GET that is answered; to ask by HEAD costs none. It is counted
/// when the package is ready, so a failure before uses up nothing.
pub(crate) async fn package(
    app: &App,
    request: &Request,
    (pass, link): (&Pass, &Link),
    campaign: &Campaign,
    now: Timestamp,
) -> Result<Response<Body>, Failure> {
    let package = app.packages.package(app, pass, campaign, now).await?;
    if *request.method() == Method::GET {
        match app.store.count_download(link).await {
            Ok(Download::Counted) => {
                let shows = pass.effective_version(campaign);
                if let Err(fault) = app.store.tell_once(pass, Told::Downloaded, shows, now).await {
                    tracing::warn!(fault = fault.chain(), "a download is not in the history");
                }
            }
            Ok(Download::Refused) => return Err(gone(request)),
            Err(fault) => uncounted(link, fault)?,
        }
    }
    let mut response = answer::bytes(StatusCode::OK, "application/vnd.apple.pkpass", package);
    // A serial number holds nothing that a quoted file name would have to escape.
    let disposition = format!("attachment; filename=\"{}.pkpass\"", pass.identity.serial_number);
    set(&mut response, header::CONTENT_DISPOSITION, &disposition)?;
    Ok(response)
}

/// A link without a limit is counted for the merchant's eye only. One that a crowd opens at once is one hot item, and
/// the crowd gets its passes although the count falls behind.
fn uncounted(link: &Link, fault: Fault) -> Result<(), Fault> {
    if link.terms.download_limit.is_some() {
        return Err(fault);
    }
    tracing::warn!(fault = fault.chain(), "a download was not counted");
    Ok(())
}
