//! `POST /v1/log`: what devices have to say (Apple, "Log a Message"), and what it means.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::Duration,
};

use futures_util::future::join_all;
use http::{Response, StatusCode};
use jiff::Timestamp;
use lambda_http::{Body, Request};
use passkit::{
    identifiers::{DeviceLibraryIdentifier, PassIdentity},
    log_doctor::{self, Cause, Diagnosis},
    web_service::parse_log,
};
use platform::{
    App, Audience, Fault, Function, Handler,
    http::{self as answer, Failure, PHONE_LIMIT},
    telemetry::{self, Unit},
};

/// The door.
pub const FUNCTION: Function = Function {
    name: "log-message",
    handler: Handler::Http(Audience::Phone, |app, request, now| Box::pin(handle(app, request, now))),
};

/// Diagnoses written by one call, each in two calls of the store. A phone merges about fifty lines, mostly of one cause.
const DIAGNOSES: usize = 8;
/// Unknown lines of different shapes kept by one call, each in one call of the store. With the diagnoses that makes at
/// most 24 calls, all at once.
const SHAPES: usize = 8;
/// A phone's answer waits no longer; what is not written by then is lost, and the phone's next complaint says it again.
const PATIENCE: Duration = Duration::from_secs(3);
/// The metric of what devices report, by cause.
const METRIC: &str = "DeviceReports";
/// The cause of a line that the doctor does not know.
const UNKNOWN: &str = "unknown";

/// Always 200: a phone repeats the call until it gets one. The lines come from anyone, hold identifiers, and are never
/// logged.
async fn handle(app: &App, request: Request, now: Timestamp) -> Result<Response<Body>, Failure> {
    // What is longer than a phone sends is no log of a phone.
    if let Ok(body) = answer::body(&request, PHONE_LIMIT) {
        let findings = Findings::of(&parse_log(body));
        for (cause, lines) in &findings.lines {
            telemetry::metric(METRIC, Unit::Count, f64::from(*lines), &[("Cause", cause)], now);
        }
        findings.keep(app, now).await;
    }
    Ok(answer::empty(StatusCode::OK))
}

/// What the lines of one call say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    /// How many lines have which cause.
    lines: BTreeMap<&'static str, u32>,
    /// What belongs into a history.
    diagnoses: BTreeSet<(PassIdentity, DeviceLibraryIdentifier, Cause)>,
    /// How many unknown lines have which shape.
    shapes: BTreeMap<String, u32>,
}

impl Findings {
    fn of(lines: &[String]) -> Findings {
        let mut findings = Findings::default();
        for line in lines.iter().filter(|line| !line.trim().is_empty()) {
            let cause = match log_doctor::diagnose(line) {
                Some(Diagnosis { cause, device, pass }) => {
                    if let (Some(pass), Some(device)) = (pass, device)
                        && findings.diagnoses.len() < DIAGNOSES
                    {
                        findings.diagnoses.insert((pass, device, cause));
                    }
                    cause.name()
                }
                None => {
                    let shape = log_doctor::shape(line);
                    if findings.shapes.len() < SHAPES || findings.shapes.contains_key(&shape) {
                        *findings.shapes.entry(shape).or_default() += 1;
                    }
                    UNKNOWN
                }
            };
            *findings.lines.entry(cause).or_default() += 1;
        }
        findings
    }

    async fn keep(&self, app: &App, now: Timestamp) {
        let diagnoses =
            self.diagnoses.iter().map(|(pass, device, cause)| app.store.diagnose(pass, device, *cause, now));
        let reports = self.shapes.iter().map(|(shape, lines)| app.store.keep_report(shape, *lines, now));
        let all = async { tokio::join!(settle(diagnoses), settle(reports)) };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!("the store was too slow for what devices report");
        }
    }
}

/// Does all of it; a fault is ours to know, not the phone's.
async fn settle(writes: impl Iterator<Item = impl Future<Output = Result<(), Fault>>>) {
    for fault in join_all(writes).await.into_iter().filter_map(Result::err) {
        tracing::warn!(fault = fault.chain(), "what a device reports was not kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(serial: usize, text: &str) -> String {
        format!(
            "[2022-02-10 12:49:07 -0600] Get pass task (for device d, pass type pass.a, serial number {serial}; with web \
             service url https://h) encountered error: {text}"
        )
    }

    #[test]
    fn every_line_counts_and_every_diagnosis_is_told_once() {
        let lines = [
            line(1, "Authentication failure"),
            line(1, "Authentication failure"),
            line(2, "Authentication failure"),
            "Web service error for pass.a (https://h): Server response was malformed".to_owned(),
            line(1, "The network connection was lost."),
            line(2, "The network connection was lost."),
            "  ".to_owned(),
        ];
        let findings = Findings::of(&lines);
        let counts = BTreeMap::from([("authentication-failure", 3), ("malformed-response", 1), (UNKNOWN, 2)]);
        assert_eq!(findings.lines, counts);
        assert_eq!(findings.diagnoses.len(), 2);
        assert_eq!(findings.shapes.values().collect::<Vec<_>>(), [&2]);
    }

    #[test]
    fn one_call_writes_a_bounded_number_of_things() {
        let known = (0..100).map(|serial| line(serial, "Authentication failure"));
        let words = ["red", "blue", "green", "pink", "grey", "black", "white", "brown", "gold", "violet"];
        let unknown = words.iter().map(|word| format!("the {word} line"));
        let findings = Findings::of(&known.chain(unknown).collect::<Vec<_>>());
        assert_eq!((findings.diagnoses.len(), findings.shapes.len()), (DIAGNOSES, SHAPES));
        assert_eq!((findings.lines["authentication-failure"], findings.lines[UNKNOWN]), (100, 10));
    }
}
