//! One structured line per event, never a secret.

use std::{
    io::{self, Write},
    time::Duration,
};

use ::http::{Method, StatusCode};
use jiff::Timestamp;
use lambda_http::{Request, RequestExt, request::RequestContext};
use serde_json::{Map, Value, json};
use tracing::{Event, Metadata, Subscriber, field};
use tracing_subscriber::{
    Layer,
    filter::{FilterExt, Targets, filter_fn},
    fmt,
    layer::Context,
    prelude::*,
};

use crate::Fault;

/// Where metrics go: a line of theirs is printed as it is, whatever `RUST_LOG` says.
const METRICS: &str = "passloop::metrics";
/// The namespace of every metric in CloudWatch.
const NAMESPACE: &str = "Passloop";

/// JSON lines on standard output, those that pass the filter: what CloudWatch Logs reads.
pub fn start(filter: Targets) {
    let lines = fmt::layer().json().flatten_event(true).with_target(false).with_current_span(false);
    let lines = lines.with_filter(filter.and(filter_fn(is_metric).not()));
    let metrics = MetricLines.with_filter(filter_fn(is_metric));
    // A second call finds the first one's subscriber in place, and that is as good.
    let _ = tracing_subscriber::registry().with(lines).with(metrics).try_init();
}

fn is_metric(metadata: &Metadata<'_>) -> bool {
    metadata.target() == METRICS
}

/// What a metric counts in, as CloudWatch calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Seconds.
    Seconds,
    /// What CloudWatch has no unit for, such as days.
    None,
}

/// One value of a metric. Each has a row in `infra/runbook.md`.
pub fn metric(name: &str, unit: Unit, value: f64, dimensions: &[(&str, &str)], now: Timestamp) {
    metrics(&[(name, unit, value)], dimensions, now);
}

/// Values of several metrics of one moment, as one line of CloudWatch's Embedded Metric Format. Dimensions are few and
/// their values come from small sets: every combination is a metric that costs money.
pub fn metrics(values: &[(&str, Unit, f64)], dimensions: &[(&str, &str)], now: Timestamp) {
    let line = metric_line(values, dimensions, now);
    tracing::info!(target: METRICS, line);
}

/// The line (AWS, "Specification: CloudWatch embedded metric format").
fn metric_line(values: &[(&str, Unit, f64)], dimensions: &[(&str, &str)], now: Timestamp) -> String {
    let names: Vec<&str> = dimensions.iter().map(|(dimension, _)| *dimension).collect();
    let mut line: Map<String, Value> =
        dimensions.iter().map(|(dimension, value)| ((*dimension).to_owned(), json!(value))).collect();
    let mut definitions = Vec::with_capacity(values.len());
    for (name, unit, value) in values {
        let unit = match unit {
            Unit::Count => "Count",
            Unit::Seconds => "Seconds",
            Unit::None => "None",
        };
        definitions.push(json!({ "Name": name, "Unit": unit }));
        line.insert((*name).to_owned(), json!(value));
    }
    let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [names], "Metrics": definitions });
    line.insert("_aws".to_owned(), json!({ "Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive] }));
    Value::Object(line).to_string()
}

/// Prints metric lines bare: CloudWatch reads them only so.
struct MetricLines;

impl<S: Subscriber> Layer<S> for MetricLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = MetricLine(None);
        event.record(&mut line);
        if let Some(line) = line.0 {
            // Without standard output there is nobody to tell.
            let _ = writeln!(io::stdout().lock(), "{line}");
        }
    }
}

/// The text of a metric's event.
struct MetricLine(Option<String>);

impl field::Visit for MetricLine {
    fn record_str(&mut self, field: &field::Field, value: &str) {
        if field.name() == "line" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &field::Field, _: &dyn std::fmt::Debug) {}
}

/// API Gateway's id of the request.
pub fn request_id(request: &Request) -> String {
    let context = request.request_context_ref();
    let id = context.and_then(|context| match context {
        RequestContext::ApiGatewayV2(context) => context.request_id.clone(),
        #[allow(unreachable_patterns, clippy::wildcard_enum_match_arm, reason = "the enum is non-exhaustive")]
        _ => None,
    });
    id.unwrap_or_default()
}

/// One HTTP invocation ended. The path is not logged: it holds identifiers; the function's name says the route.
pub fn answered(
    function: &str,
    method: &Method,
    status: StatusCode,
    failure: Option<&str>,
    took: Duration,
    request_id: &str,
) {
    let (status, milliseconds) = (status.as_u16(), took.as_secs_f64() * 1000.0);
    if status >= 500 {
        tracing::error!(function, %method, status, failure, milliseconds, request_id, "answered");
    } else {
        tracing::info!(function, %method, status, failure, milliseconds, request_id, "answered");
    }
}

/// One message or one scheduled run ended.
pub fn worked(function: &str, fault: Option<&Fault>, took: Duration) {
    let milliseconds = took.as_secs_f64() * 1000.0;
    match fault {
        Some(fault) => tracing::error!(function, fault = fault.chain(), milliseconds, "failed"),
        None => tracing::info!(function, milliseconds, "worked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_a_line_of_the_embedded_metric_format() {
        let now = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
        let line = metric_line(&[("DeviceReports", Unit::Count, 3.0)], &[("Cause", "spurious-push")], now);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            line,
            json!({
                "_aws": {
                    "Timestamp": 1_700_000_000_123_i64,
                    "CloudWatchMetrics": [{
                        "Namespace": "Passloop",
                        "Dimensions": [["Cause"]],
                        "Metrics": [{ "Name": "DeviceReports", "Unit": "Count" }] }] },
                "Cause": "spurious-push",
                "DeviceReports": 3.0 })
        );
    }

    #[test]
    fn several_metrics_of_one_moment_are_one_line() {
        let line = metric_line(&[("A", Unit::Seconds, 1.5), ("B", Unit::None, -2.0)], &[], Timestamp::UNIX_EPOCH);
        let line: Value = serde_json::from_str(&line).unwrap();
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Dimensions"], json!([[]]));
        assert_eq!(directive["Metrics"], json!([{ "Name": "A", "Unit": "Seconds" }, { "Name": "B", "Unit": "None" }]));
        assert_eq!((&line["A"], &line["B"]), (&json!(1.5), &json!(-2.0)));
    }
}
