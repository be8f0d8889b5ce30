//! Many passes against a local service that is killed halfway: `cargo run -p passloop-tests --bin many -- 20000`.
//!
//! Uploads that many rows, kills the service (SIGKILL) when half of them are answered, starts it again over what is on
//! disk, waits for the end, and checks every answer: in order, none missing, no pass made twice. The service is this same
//! program as a process of its own. Prints what it took.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test: a broken expectation ends the run"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use passloop_local::{Clock, Local, Options, Persistence, Sample, Schedule};
use passloop_tests::answer::Answer;
use passloop_tests::back_office::{BackOffice, CAMPAIGN, Issued};
use passloop_tests::batches::CSV;
use reqwest::Client;
use serde_json::{Value, json};

/// How long a start, or a batch that stands still, is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", directory, address] => serve(directory.as_ref(), address.parse().expect("an address")).await,
        [] => run(20_000).await,
        [rows] => run(rows.parse().expect("how many rows")).await,
        [..] => println!("many [ROWS]"),
    }
}

/// The service, until it is killed.
async fn serve(directory: &Path, listen: SocketAddr) {
    let options = Options {
        listen,
        data_dir: directory.to_owned(),
        persistence: Persistence::OnDisk,
        public_url: None,
        clock: Clock::system(),
        variables: BTreeMap::new(),
        schedule: Schedule::ByClock,
        sample: Sample::Load,
    };
    let _service = Local::start(options).await.expect("the service starts");
    std::future::pending::<()>().await;
}

/// A running service; it is killed with its owner.
struct Service {
    process: Child,
    office: BackOffice,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.process.kill().expect("a process that can be killed");
        self.process.wait().expect("a process that ends");
    }
}

async fn start(directory: &Path, address: SocketAddr, http: &Client) -> Service {
    let ready = directory.join("local.json");
    // One that was killed leaves it.
    let _ = std::fs::remove_file(&ready);
    let own = std::env::current_exe().unwrap();
    let process = Command::new(own).arg("serve").arg(directory).arg(address.to_string()).spawn().unwrap();
    let begun = Instant::now();
    let description: Value = loop {
        if let Ok(text) = std::fs::read(&ready) {
            break serde_json::from_slice(&text).unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "the service does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let (base, key) = (description["baseUrl"].as_str().unwrap(), description["merchantKey"].as_str().unwrap());
    Service { process, office: BackOffice::new(http, base, key) }
}

/// Every second row names a serial number.
fn csv(rows: usize) -> String {
    let mut text = "serialNumber,holder.name,holder.email\n".to_owned();
    for row in 1..=rows {
        let serial = if row % 2 == 0 { format!("guest-{row}") } else { String::new() };
        writeln!(text, "{serial},\"Guest, the {row}th\",guest-{row}@example.com").unwrap();
    }
    text
}

/// Asks until so many rows are answered.
async fn reached(office: &BackOffice, id: &str, rows: u64) -> Value {
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        let batch = office.batch_now(id).await.expect(200).json();
        let read = batch["rowsRead"].as_u64().unwrap();
        if read >= rows || batch["state"] != "running" {
            return batch;
        }
        if read > last {
            (last, moved) = (read, Instant::now());
        }
        assert!(moved.elapsed() < PATIENCE, "stands still: {batch}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn issued(office: &BackOffice) -> u64 {
    Answer::to(office.report(CAMPAIGN, "")).await.expect(200).json()["issued"].as_u64().unwrap()
}

async fn run(rows: usize) {
    let directory = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let http = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let service = start(directory.path(), address, &http).await;
    let before = issued(&service.office).await;
    let text = csv(rows);
    let query = format!("?campaignId={CAMPAIGN}");
    let order = service.office.announce_batch("many", &query, "csv", text.len()).await.expect(201).json();
    let id = order["batchId"].as_str().unwrap();
    let put = http.put(order["upload"]["url"].as_str().unwrap()).header("Content-Type", CSV);
    Answer::to(put.body(text)).await.expect(200);

    let begun = Instant::now();
    service.office.start_batch(id).await.expect(202);
    let half = reached(&service.office, id, rows as u64 / 2).await;
    let to_half = begun.elapsed();
    drop(service);
    println!("killed after {to_half:.1?} and {} of {rows} rows", half["rowsRead"]);

    let service = start(directory.path(), address, &http).await;
    let office = &service.office;
    let resumed = Instant::now();
    let over = reached(office, id, u64::MAX).await;
    let rest = resumed.elapsed();
    println!("the rest took {rest:.1?}: {:.0} rows a second", rows as f64 / (to_half + rest).as_secs_f64());
    assert_eq!(
        (&over["state"], &over["issued"], &over["failed"]),
        (&json!("finished"), &json!(rows), &json!(0)),
        "{over}"
    );
    let again = office.announce_batch("many", &query, "csv", csv(rows).len()).await.expect(201);
    assert_eq!(again.json(), order, "the same key is the same batch");

    let answers = office.batch_answers(&http, id).await;
    let distinct = |member: &str| -> usize {
        answers.iter().map(|answer| answer[member].as_str().unwrap()).collect::<BTreeSet<_>>().len()
    };
    assert_eq!((answers.len(), distinct("serialNumber"), distinct("barcode")), (rows, rows, rows));
    assert_eq!(issued(office).await - before, rows as u64, "each row made one pass");
    for answer in answers.iter().step_by((rows / 50).max(1)) {
        let row = answer["row"].as_u64().unwrap();
        let pass = office.get(&Issued::read(answer)).await;
        assert_eq!(pass["holder"]["email"], format!("guest-{row}@example.com"));
        assert_eq!(pass["barcode"], answer["barcode"]);
    }
    println!("{rows} rows, {rows} passes, every answer in its place, no doubles");
}
