//! What a phone asks the service, and what it makes of the answers (reference 1.3, 1.5, 1.6).

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use jiff::Timestamp;
use passloop_tests::back_office::PASS_TYPE;
use serde_json::Value;

use super::{Cause, Contents, Kind, Phone, REPORTED_AFTER, Tag};
use crate::invariants::Invariant;
use crate::wallet::Package;
use crate::world::{PUBLIC_URL, lock};

/// Attempts of one task before the phone gives up (reference 1.5: ten levels of back-off).
const ATTEMPTS: u32 = 10;

impl Phone {
    /// L with the kept tag. The serial numbers that were named; `None`: the phone could not ask.
    pub(super) async fn list(self: &Arc<Phone>, contents: &mut Contents) -> Option<Vec<String>> {
        let world = self.world();
        let tag = contents.tag.clone();
        let query = tag.as_ref().map(|tag| format!("?passesUpdatedSince={}", tag.text)).unwrap_or_default();
        let path = format!("/v1/devices/{}/registrations/{PASS_TYPE}{query}", contents.device);
        let asked_at = world.now();
        let answer = self.persist("list", request(Method::GET, &path, &[], None), &[200, 204]).await?;
        contents.to_list = false;
        if answer.status() == 204 {
            if let Some(tag) = &mut contents.tag {
                tag.asked_at = asked_at;
            }
            return Some(Vec::new());
        }
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let (Some(serials), Some(fresh)) = (body["serialNumbers"].as_array(), body["lastUpdated"].as_str()) else {
            self.complains(&format!("Server response was malformed: {body}"));
            return Some(Vec::new());
        };
        let serials: Vec<&str> = serials.iter().filter_map(Value::as_str).collect();
        world.note(&self.name, || format!("is told of {serials:?}"));
        if tag.as_ref().is_some_and(|tag| tag.text == fresh) && !serials.is_empty() {
            self.complains(
                "Response to 'What changed?' included serial numbers but the lastUpdated tag remained the same",
            );
        }
        for serial in &serials {
            match contents.wallet.get(*serial) {
                Some(carried) if carried.updates => {
                    contents.to_fetch.insert((*serial).to_owned());
                }
                Some(_) | None if contents.leaving.contains(*serial) => {}
                Some(_) | None => {
                    self.complains(&format!("Update requested for unregistered serial number {serial}"));
                }
            }
        }
        // What was unchanged since before the last listing, the tag knew.
        let known_at = tag.as_ref().map(|tag| tag.asked_at);
        let named = serials.into_iter().map(str::to_owned).collect();
        contents.tag = Some(Tag { text: fresh.to_owned(), received_at: world.now(), asked_at });
        for serial in contents.to_fetch.clone() {
            let cause = known_at.map_or(Cause::Other, |known_at| Cause::Listed { known_at });
            self.fetch(contents, &serial, cause).await;
        }
        Some(named)
    }

    /// What was listed earlier, and could not be fetched then.
    pub(super) async fn fetch_listed(self: &Arc<Phone>, contents: &mut Contents) {
        for serial in contents.to_fetch.clone() {
            self.fetch(contents, &serial, Cause::Other).await;
        }
    }

    /// G, and what a phone makes of the answer (reference 1.3 G, 1.6).
    pub(super) async fn fetch(self: &Arc<Phone>, contents: &mut Contents, serial: &str, cause: Cause) {
        let world = self.world();
        let Some(carried) = contents.wallet.get(serial) else { return };
        let since = carried.last_modified.clone();
        let mut headers = vec![("authorization", self.authorization(&carried.package))];
        headers.extend(since.clone().map(|since| ("if-modified-since", since)));
        let path = format!("/v1/passes/{PASS_TYPE}/{serial}");
        let (begun, newest) = (tokio::time::Instant::now(), world.ledger().newest(serial));
        let Some(answer) = self.persist("get", request(Method::GET, &path, &headers, None), &[200, 304]).await else {
            return;
        };
        contents.to_fetch.remove(serial);
        lock(&self.asked).push((serial.to_owned(), world.now()));
        let carried = contents.wallet.get_mut(serial).expect("the pass");
        let Some(date) = header(&answer, "last-modified") else {
            return self.complains("Server returned the pass data but did not provide a 'last-modified' header");
        };
        let seconds = httpdate::parse_http_date(&date).ok().and_then(|date| Timestamp::try_from(date).ok());
        let Some(seconds) = seconds.map(Timestamp::as_second) else {
            return self.complains(&format!("Last-Modified is no date: {date}"));
        };
        if seconds < newest {
            let seen = format!("{serial} with the date {seconds}, although {newest} was told before it was asked for");
            world.breaks(Invariant::OneDateOneManifest, seen);
        }
        world.ledger().told(serial, seconds);
        let unchanged_since_known = match cause {
            Cause::Listed { known_at } => carried.renewed_at < known_at && carried.registered_at < known_at,
            Cause::Other => false,
        };
        let is_old = world.now().duration_since(carried.changed_at) >= REPORTED_AFTER;
        let reports_unchanged = unchanged_since_known && is_old && world.ledger().every_fetch_is_noted(serial);
        let unchanged = format!("Server requested update to serial number '{serial}', but the pass was unchanged");
        if answer.status() == 304 {
            if since.as_deref() != Some(date.as_str()) {
                world.breaks(Invariant::NotModified, format!("304 with {date} to a phone that holds {since:?}"));
            }
            if let Some(problem) = world.ledger().sent(serial, seconds, &carried.package.manifest) {
                world.breaks(Invariant::NotModified, format!("304 to a phone with another manifest: {problem}"));
            }
            if reports_unchanged {
                self.complains(&unchanged);
            }
            return;
        }
        let package = match Package::open(answer.body()) {
            Ok(package) => package,
            Err(problem) => return self.complains(&format!("Received invalid pass data ({problem})")),
        };
        if package.text("serialNumber") != serial || package.text("passTypeIdentifier") != PASS_TYPE {
            self.complains(&format!("Requested serial number {serial}, received {}", package.text("serialNumber")));
        }
        if package.text("authenticationToken") != carried.package.text("authenticationToken") {
            self.complains("an update changed the authentication token");
        }
        if let Some(problem) = world.ledger().sent(serial, seconds, &package.manifest) {
            world.breaks(Invariant::OneDateOneManifest, problem);
        }
        if let Some(barcode) = package.barcode() {
            world.ledger().secret("barcode", barcode);
            let burnt = world.ledger().burnt_at(barcode);
            if burnt.is_some_and(|burnt| burnt < begun) {
                let seen = format!("{} fetched {serial} with a barcode that was used before it asked", self.name);
                world.breaks(Invariant::NoLostWrite, seen);
            }
        }
        if package.manifest == carried.package.manifest {
            // A pass may look again as it did: what was changed meanwhile was taken back. Then its date is another.
            if since.as_deref() == Some(date.as_str()) {
                self.complains(
                    "Server ignored the 'if-modified-since' header and returned the full unchanged pass data",
                );
            } else if since.is_none() && reports_unchanged {
                self.complains(&unchanged);
            }
        } else {
            carried.changed_at = world.now();
            world.note(&self.name, || format!("shows {serial}, {date}"));
        }
        if since.as_deref() != Some(date.as_str()) {
            carried.renewed_at = world.now();
        }
        carried.last_modified = Some(date);
        carried.package = package;
    }

    /// Sends a request until it is answered as it should be (reference 1.5). `None`: the phone gives up for now.
    pub(super) async fn persist(&self, task: &str, request: Request<Bytes>, good: &[u16]) -> Option<Response<Bytes>> {
        let world = self.world();
        for attempt in 0..ATTEMPTS {
            let answer = world.call(request.clone()).await;
            let is_to_be_erased = world.ledger().is_to_be_erased(request.uri().path());
            if is_to_be_erased && answer.as_ref().is_none_or(|answer| answer.status().is_server_error()) {
                world.ledger().unheard.insert(self.name.clone());
            }
            if let Some(answer) = answer {
                let status = answer.status().as_u16();
                if good.contains(&status) {
                    return Some(answer);
                }
                match status {
                    401 if is_to_be_erased => return None,
                    // Its merchant took the link back.
                    404 if world.ledger().dying_links.contains(request.uri().path()) => return None,
                    401 => self.complains(&format!("{task}: Authentication failure")),
                    500.. => {}
                    _ => self.complains(&format!("{task}: Unexpected response code {status}")),
                }
            }
            let wait = 20_000 << attempt.min(5);
            world.pause(wait, wait + 20_000).await;
        }
        world.note(&self.name, || format!("gives up: {task}"));
        None
    }

    pub(super) fn authorization(&self, package: &Package) -> String {
        let scheme = match self.kind {
            Kind::Apple => "ApplePass",
            Kind::Android => "AndroidPass",
        };
        format!("{scheme} {}", package.text("authenticationToken"))
    }
}

/// A request to the service.
pub(crate) fn request(
    method: Method,
    path: &str,
    headers: &[(&'static str, String)],
    body: Option<String>,
) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(format!("{PUBLIC_URL}{path}"));
    request = request.header("host", "passes.simulated");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    request.body(Bytes::from(body.unwrap_or_default())).expect("a request")
}

/// A header of an answer.
pub(crate) fn header(answer: &Response<Bytes>, name: &str) -> Option<String> {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
