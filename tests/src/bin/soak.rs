//! Many passes, and phones that all ask at once when the campaign changes:
//! `cargo run --release -p passloop-tests --bin soak -- --passes 100000 --waves 3`. By default 2,000 passes, 3 waves.
//!
//! The service is a process of its own (this program with the first argument `passloop`), so its memory is measured alone.
//! APNs is a stand-in here. Exit code 0 when nobody was answered wrongly, no registration was dropped, and the memory after
//! the last wave is what it was after the first but one.
#![expect(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a command of the tests")]

use std::io::{Cursor, Read as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use passloop_local::apns::StandIn;
use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, PASS_TYPE, two_offers};
use passloop_tests::process::{Outside, Process};
use passloop_tests::template_folder::TemplateFolder;
use passloop_tests::web_service::{Registration, WebService};
use reqwest::Client;
use serde_json::{Value, json};

const CAMPAIGN: &str = "soak";
/// Calls at once. Below the local service's 512 connections; API Gateway and Lambda admit a thousand.
const AT_ONCE: usize = 128;
/// One call may wait so long in a storm.
const PATIENCE: Duration = Duration::from_secs(60);
/// The memory after the last wave, in percent of that after the second: what was warm then is warm, and nothing more comes,
/// but for [`TOKEN_BYTES`].
const FLAT_PERCENT: u64 = 115;
/// The embedded DynamoDB remembers the token of each transaction for ten minutes, as AWS's does, with its answer; a list and
/// a fetch of something new are one transaction each.
const TOKEN_BYTES: u64 = 2048;

/// A phone that carries one pass.
struct Phone {
    number: usize,
    serial: String,
    authorization: String,
    tag: String,
    last_modified: String,
}

/// What one kind of call took, in microseconds, and how many went wrong.
#[derive(Default)]
struct Calls {
    took: Vec<u64>,
    errors: u64,
}

impl Calls {
    fn add(&mut self, took: Duration, good: bool) {
        self.took.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.errors += u64::from(!good);
    }

    fn print(&mut self, what: &str, elapsed: Duration) {
        self.took.sort_unstable();
        let at = |percent: usize| self.took.get((self.took.len() * percent / 100).min(self.took.len().max(1) - 1));
        let milliseconds = |percent| at(percent).map_or(0.0, |micros| *micros as f64 / 1000.0);
        let rate = self.took.len() as f64 / elapsed.as_secs_f64();
        println!(
            "{what:<26} {:>8} calls {:>6} errors {:>9.1} ms p50 {:>9.1} ms p99 {rate:>8.0} per second",
            self.took.len(),
            self.errors,
            milliseconds(50),
            milliseconds(99)
        );
    }
}

struct Soak {
    http: Client,
    base: String,
    office: BackOffice,
    service: Process,
    apns: StandIn,
    errors: u64,
    resident: Vec<u64>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == "passloop") {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        return passloop_local::cli::run(arguments, variables.collect());
    }
    let arguments: Vec<String> = arguments.filter_map(|argument| argument.into_string().ok()).collect();
    let given = |name: &str, otherwise: usize| {
        let value = arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
        value.map_or(Some(otherwise), |value| value.parse().ok())
    };
    let (Some(passes), Some(waves)) = (given("--passes", 2000), given("--waves", 3)) else {
        eprintln!("usage: soak [--passes N] [--waves N]");
        return ExitCode::from(2);
    };
    run(passes, waves)
}

#[tokio::main]
async fn run(passes: usize, waves: usize) -> ExitCode {
    let directory = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let mut soak = Soak::open(directory.path()).await;
    soak.note_memory("started");
    let mut phones = soak.add_passes(0, passes).await;
    soak.note_memory("passes are in Wallets");
    let newcomers = (passes / 50).max(1);
    for wave in 1..=waves {
        // Others add the pass while all ask: none of them may be turned away.
        let from = phones.len();
        let before = (soak.apns.received(), Timestamp::now());
        soak.change_campaign(wave).await;
        let (asked, added) = tokio::join!(
            storm(&soak.http, &soak.base, phones),
            add(&soak.http, &soak.base, &soak.office, from, newcomers)
        );
        phones = soak.told("wave", wave, asked);
        phones.extend(soak.told("new while they ask", wave, added));
        soak.wait_for_pushes(wave, from, before).await;
        soak.note_memory(&format!("wave {wave} is over"));
    }
    let registered = phones.len();
    soak.count_registrations(registered).await;
    let flat = match soak.resident.as_slice() {
        [_, _, _, warm, .., last] => {
            let transactions = 2 * phones.len() * (waves - 2);
            *last * 100 <= *warm * FLAT_PERCENT + transactions as u64 * TOKEN_BYTES * 100 / (1 << 20)
        }
        _ => true,
    };
    println!("{registered} phones, {} errors, memory flat: {flat}, in all {:.0?}", soak.errors, begun.elapsed());
    if soak.errors == 0 && flat { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Soak {
    async fn open(directory: &Path) -> Soak {
        let Outside { apns, variables, .. } = Outside::open(directory).await;
        let program = std::env::current_exe().unwrap();
        let service = Process::start(&program, &["passloop"], directory, variables).await;
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let base = service.described("baseUrl").to_owned();
        let office = BackOffice::new(&http, &base, service.described("merchantKey"));
        // Small images: what is measured is the service, not the disk.
        let folder = TemplateFolder::coupon().without("strip").without("used-strip").without("logo");
        office.put_template(CAMPAIGN, &folder).await.expect(201);
        let soak = Soak { http, base, office, service, apns, errors: 0, resident: Vec::new() };
        soak.change_campaign(0).await;
        soak
    }

    async fn change_campaign(&self, wave: usize) {
        let mut campaign = two_offers();
        campaign["templateId"] = json!(CAMPAIGN);
        campaign["redeemedOverlay"] = json!({});
        campaign["offers"][0]["overlay"] =
            json!({ "fields": { "news": { "value": format!("wave {wave}"), "changeMessage": "%@" } } });
        let put = self.office.put_campaign(CAMPAIGN, &campaign).await;
        assert!([200, 201].contains(&put.status), "{}", put.text());
    }

    async fn add_passes(&mut self, from: usize, count: usize) -> Vec<Phone> {
        let added = add(&self.http, &self.base, &self.office, from, count).await;
        self.told("issue, download, register", 0, added)
    }

    fn told(&mut self, what: &str, wave: usize, outcome: Outcome) -> Vec<Phone> {
        for (kind, mut calls) in outcome.calls {
            self.errors += calls.errors;
            let what = if wave == 0 { kind.to_owned() } else { format!("{what} {wave}: {kind}") };
            calls.print(&what, outcome.elapsed);
        }
        outcome.phones
    }

    /// Everybody who had the pass before the change is pushed. Which phones those were can be told as long as the stand-in
    /// remembers all pushes of the wave, how many there were at any time.
    async fn wait_for_pushes(&mut self, wave: usize, phones: usize, (before, since): (u64, Timestamp)) {
        let begun = Instant::now();
        let (mut last, mut quiet) = (0, Instant::now());
        while quiet.elapsed() < Duration::from_secs(5) {
            let now = self.apns.received();
            if now != last {
                (last, quiet) = (now, Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let mut pushes = self.apns.pushes();
        pushes.retain(|push| push.at >= since);
        let tokens: std::collections::HashSet<&str> = pushes.iter().map(|push| push.token.as_str()).collect();
        println!(
            "{:<26} {:>8} pushes of {phones} phones within {:.0?} of the last fetch",
            format!("pushes of wave {wave}"),
            last - before,
            begun.elapsed().saturating_sub(quiet.elapsed())
        );
        let remembered = last - before < passloop_local::apns::RecordedPush::KEPT as u64;
        let never = if remembered { phones.saturating_sub(tokens.len()) as u64 } else { 0 };
        let missed = never.max((phones as u64).saturating_sub(last - before));
        if missed > 0 {
            println!("BROKEN: {missed} phones were not pushed");
            self.errors += 1;
        }
    }

    /// As many devices as were answered 201.
    async fn count_registrations(&mut self, phones: usize) {
        let report = Answer::to(self.office.report(CAMPAIGN, "")).await.expect(200).json();
        if report["installed"]["now"] != phones {
            println!(
                "BROKEN: {phones} phones were told that they are registered, the report says {}",
                report["installed"]
            );
            self.errors += 1;
        }
    }

    fn note_memory(&mut self, when: &str) {
        let id = self.service.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let of = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
        };
        println!("{when:<26} {:>8} MB resident, {} MB at most", of("VmRSS:"), of("VmHWM:"));
        self.resident.push(of("VmRSS:"));
    }
}

/// What came of many calls at once.
struct Outcome {
    phones: Vec<Phone>,
    calls: Vec<(&'static str, Calls)>,
    elapsed: Duration,
}

/// Each phone asks what changed and fetches it.
async fn storm(http: &Client, base: &str, phones: Vec<Phone>) -> Outcome {
    let (mut lists, mut fetches) = (Calls::default(), Calls::default());
    let begun = Instant::now();
    let service = WebService::new(http, base);
    let asked = stream::iter(phones).map(|mut phone| {
        let service = service.clone();
        async move {
            let started = Instant::now();
            let tag = (!phone.tag.is_empty()).then_some(phone.tag.as_str());
            let list = service.list(&device(phone.number), PASS_TYPE, tag).await;
            let (listed, list_took) =
                (list.status == 200 && list.json()["serialNumbers"] == json!([phone.serial]), started.elapsed());
            if listed {
                phone.tag = list.json()["lastUpdated"].as_str().unwrap().to_owned();
            }
            let started = Instant::now();
            let pass =
                service.pass(PASS_TYPE, &phone.serial, Some(&phone.authorization), Some(&phone.last_modified)).await;
            let fetched = pass.status == 200 && pass.body.starts_with(b"PK");
            if let Some(date) = pass.header("last-modified") {
                phone.last_modified = date.to_owned();
            }
            (phone, (list_took, listed), (started.elapsed(), fetched))
        }
    });
    let mut asked = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
    let mut phones = Vec::new();
    while let Some((phone, (list_took, listed), (fetch_took, fetched))) = asked.next().await {
        lists.add(list_took, listed);
        fetches.add(fetch_took, fetched);
        phones.push(phone);
    }
    Outcome { phones, calls: vec![("list", lists), ("fetch", fetches)], elapsed: begun.elapsed() }
}

/// Passes are issued, downloaded and registered, each by a phone of its own.
async fn add(http: &Client, base: &str, office: &BackOffice, from: usize, count: usize) -> Outcome {
    let (mut issues, mut downloads, mut registrations) = (Calls::default(), Calls::default(), Calls::default());
    let begun = Instant::now();
    let service = WebService::new(http, base);
    let added = stream::iter(from..from + count).map(|number| {
        let (service, office, http) = (service.clone(), office.clone(), http.clone());
        async move {
            let started = Instant::now();
            let issued = office.issue_of(CAMPAIGN, &format!("customer {number}")).await;
            let issue_took = started.elapsed();
            let started = Instant::now();
            let package = Answer::to(http.get(&issued.download_url)).await.expect(200);
            let download_took = started.elapsed();
            let authorization = format!("ApplePass {}", secret(&package.body));
            let started = Instant::now();
            let device = device(number);
            let of = Registration { device: &device, pass_type: PASS_TYPE, serial: &issued.serial };
            let answer = service.register(of, Some(&authorization), &format!("{number:064x}")).await;
            let took = [issue_took, download_took, started.elapsed()];
            let phone = Phone {
                number,
                serial: issued.serial,
                authorization,
                tag: String::new(),
                last_modified: String::new(),
            };
            (phone, took, answer.status == 201)
        }
    });
    let mut added = std::pin::pin!(added.buffer_unordered(AT_ONCE / 2));
    let mut phones = Vec::new();
    while let Some((phone, [issue, download, register], registered)) = added.next().await {
        issues.add(issue, true);
        downloads.add(download, true);
        registrations.add(register, registered);
        phones.push(phone);
    }
    let calls = vec![("issue", issues), ("download", downloads), ("register", registrations)];
    Outcome { phones, calls, elapsed: begun.elapsed() }
}

fn device(number: usize) -> String {
    format!("{number:032x}")
}

/// The secret in a package, as a phone finds it.
fn secret(package: &[u8]) -> String {
    let mut archive = zip::ZipArchive::new(Cursor::new(package)).unwrap();
    let mut text = String::new();
    archive.by_name("pass.json").unwrap().read_to_string(&mut text).unwrap();
    let pass: Value = serde_json::from_str(&text).unwrap();
    pass["authenticationToken"].as_str().unwrap().to_owned()
}
