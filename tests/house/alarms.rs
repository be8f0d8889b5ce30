//! Alarms, metrics, and the runbook that says what to do.

use std::collections::BTreeSet;

use serde_norway::Value;

use crate::checkout::{self, quoted};
use crate::sources;
use crate::template::{Resource, Template, at, told};

const RUNBOOK: &str = "infra/runbook.md";
const OURS: &str = "Passloop";

fn alarms(template: &Template) -> Vec<Resource<'_>> {
    template.resources("AWS::CloudWatch::Alarm")
}

/// Namespace and name of every metric that an alarm looks at.
fn metrics_of(alarm: Resource<'_>) -> Vec<(String, String)> {
    let both = |metric: &Value| Some((told(at(metric, &["Namespace"])?), told(at(metric, &["MetricName"])?)));
    let own = alarm.property(&[]).and_then(both);
    let several = alarm.property(&["Metrics"]).and_then(Value::as_sequence).into_iter().flatten();
    own.into_iter().chain(several.filter_map(|part| both(at(part, &["MetricStat", "Metric"])?))).collect()
}

/// The names in the first column of a table of the runbook.
fn told_of(heading: &str) -> Vec<String> {
    let rows = checkout::rows(&checkout::text(RUNBOOK), heading);
    for row in &rows {
        assert!(row.iter().all(|cell| !cell.is_empty()), "an empty cell: {row:?}");
    }
    rows.iter().flat_map(|row| quoted(&row[0])).map(str::to_owned).collect()
}

/// The names of our metrics: the first argument of `telemetry::metric`, and what stands before a unit.
fn emitted() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, code) in sources::below("functions").into_iter().chain(sources::below("shared/platform/src")) {
        if code.contains("telemetry::metric") {
            let texts = code.split('"').skip(1).step_by(2);
            let metric = |text: &&str| text.starts_with(char::is_uppercase) && text.chars().all(char::is_alphanumeric);
            names.extend(texts.filter(metric).map(str::to_owned));
        }
    }
    // A dimension of DeviceReports.
    names.remove("Cause");
    names
}

/// Protects us from a function that fails and nobody hears of it.
#[test]
fn every_function_has_an_alarm() {
    let template = Template::read();
    for function in template.functions() {
        let watched = format!("!Ref {}", function.id);
        let watches = |alarm: &Resource<'_>| {
            let dimensions = alarm.property(&["Dimensions"]).and_then(Value::as_sequence).into_iter().flatten();
            dimensions.filter_map(|dimension| at(dimension, &["Value"])).any(|value| told(value) == watched)
                && metrics_of(*alarm) == [("AWS/Lambda".to_owned(), "Errors".to_owned())]
        };
        assert!(alarms(&template).iter().any(watches), "{}", function.id);
    }
}

/// Protects us from an alarm that rings where nobody is.
#[test]
fn every_alarm_is_sent() {
    for alarm in alarms(&Template::read()) {
        assert_eq!(alarm.told(&["AlarmActions"]), "!Ref AlarmTopic", "{}", alarm.id);
    }
}

/// Protects whoever is woken by an alarm from not knowing what it means, and the runbook from alarms that are gone.
#[test]
fn every_alarm_has_a_row_in_the_runbook() {
    let template = Template::read();
    let alarms: BTreeSet<_> = alarms(&template).iter().map(|alarm| alarm.id.to_owned()).collect();
    let told = told_of("## Alarms");
    let mut expected: BTreeSet<String> = told.iter().filter(|name| !name.starts_with('<')).cloned().collect();
    assert!(told.contains(&"<Function>Errors".to_owned()));
    expected.extend(template.functions().iter().map(|function| format!("{}Errors", function.id)));
    assert_eq!(alarms, expected);
}

/// Protects alarms from watching a metric that nobody writes, and metrics from being written for nobody.
#[test]
fn our_metrics_are_written_watched_and_told_of() {
    let template = Template::read();
    let filters = template.resources("AWS::Logs::MetricFilter");
    let filtered = filters.iter().map(|filter| {
        let transformations = filter.property(&["MetricTransformations"]).and_then(Value::as_sequence).expect("some");
        assert_eq!(at(&transformations[0], &["MetricNamespace"]).map(told).as_deref(), Some(OURS));
        told(at(&transformations[0], &["MetricName"]).expect("MetricName"))
    });
    let written: BTreeSet<_> = emitted().into_iter().chain(filtered).collect();
    let watched = alarms(&template).into_iter().flat_map(metrics_of);
    let watched: BTreeSet<_> = watched.filter(|(namespace, _)| namespace == OURS).map(|(_, name)| name).collect();
    assert!(watched.is_subset(&written), "watched {watched:?}, written {written:?}");
    assert_eq!(told_of("## Metrics").into_iter().collect::<BTreeSet<_>>(), written);
    let dashboard = template.resources("AWS::CloudWatch::Dashboard")[0].told(&["DashboardBody"]);
    for name in &written {
        assert!(dashboard.contains(&format!("\"{name}\"")) || dashboard.contains(&format!("\\\"{name}\\\"")), "{name}");
    }
}

/// Protects the dashboard from being refused, or from showing something that is not in this stack.
#[test]
fn the_dashboard_is_json_about_this_stack() {
    let template = Template::read();
    let body = template.resources("AWS::CloudWatch::Dashboard")[0].told(&["DashboardBody"]);
    let body = body.strip_prefix("!Sub ").expect("a !Sub");
    let dashboard: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert!(dashboard["widgets"].as_array().is_some_and(|widgets| !widgets.is_empty()));
    let resources = template.at(&["Resources"]).as_mapping().unwrap();
    let names = body.split("${").skip(1).map(|rest| rest.split(['}', '.']).next().unwrap());
    for name in names.filter(|name| !name.starts_with("AWS::")) {
        assert!(resources.contains_key(name), "{name}");
    }
    for function in template.functions() {
        assert!(body.contains(&format!("${{{}}}", function.id)), "{} is not on the dashboard", function.id);
    }
}
