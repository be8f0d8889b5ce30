//! Which seeds are played, on how many threads, and what is said of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use passloop_local::Doors;
use passloop_local::certificates::{Authority, Chain, Validity};
use passloop_local::template::Template;
use passloop_tests::back_office::PASS_TYPE;
use passloop_tests::world::TEAM;
use tempfile::TempDir;

use crate::invariants::Broken;
use crate::scenario;

/// Lines of the trace that are shown of a failing seed: the last ones, where it broke.
const TRACE_LINES: usize = 250;

/// What came of one seed.
pub(crate) struct Played {
    pub(crate) broken: Option<Broken>,
    pub(crate) trace: Vec<String>,
}

/// Certificates and routes, made once for all.
struct Common {
    identities: TempDir,
    doors: Doors,
}

fn common() -> &'static Common {
    static COMMON: OnceLock<Common> = OnceLock::new();
    COMMON.get_or_init(|| {
        // Valid at any time of the simulation, which is always the same.
        let always = Validity { from_days: -7_300, to_days: 14_600 };
        let identities = TempDir::new().expect("a directory");
        let root = Authority::root(always).expect("a root");
        let wwdr = root.intermediate(always).expect("an intermediate");
        let pass = wwdr.issue(PASS_TYPE, TEAM, always).expect("a certificate");
        Chain { root, wwdr, pass }.write(identities.path()).expect("written certificates");
        let doors = Doors::new(&Template::embedded().expect("template.yaml")).expect("doors");
        Common { identities, doors }
    })
}

/// Plays one seed.
pub(crate) fn play(seed: u64) -> Played {
    let common = common();
    let identities: PathBuf = common.identities.path().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a run time");
    let world = runtime.block_on(scenario::play(seed, &common.doors, identities));
    Played { broken: world.broken(), trace: world.trace() }
}

/// Plays them on as many threads as the machine has. Answers those that broke.
pub(crate) fn play_all(seeds: &[u64]) -> Vec<u64> {
    let begun = Instant::now();
    common();
    let (next, failing) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let happened = Mutex::new(BTreeMap::<String, u64>::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let stop_at_first = std::env::var_os("STOP_AT_FIRST").is_some();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed) as usize;
                    let Some(seed) = seeds.get(place).copied() else { return };
                    let failing = || failing.lock().unwrap_or_else(PoisonError::into_inner);
                    if stop_at_first && !failing().is_empty() {
                        return;
                    }
                    let played = std::panic::catch_unwind(|| play(seed));
                    if let Ok(played) = &played {
                        let mut happened = happened.lock().unwrap_or_else(PoisonError::into_inner);
                        for line in &played.trace {
                            *happened.entry(kind(line)).or_default() += 1;
                        }
                    }
                    match played {
                        Ok(Played { broken: None, trace }) => {
                            if std::env::var_os("TRACE").is_some() {
                                eprintln!("\nseed {seed}: holds");
                                trace.iter().for_each(|line| eprintln!("  {line}"));
                            }
                        }
                        Ok(Played { broken: Some(broken), trace }) => {
                            let mut failing = failing();
                            failing.push(seed);
                            report(seed, &broken.to_string(), &trace, failing.len());
                        }
                        Err(_) => {
                            let mut failing = failing();
                            failing.push(seed);
                            report(seed, "the run panicked (see above)", &[], failing.len());
                        }
                    }
                }
            });
        }
    });
    let (count, took) = (seeds.len(), begun.elapsed().as_secs_f64());
    let failing = failing.into_inner().unwrap_or_else(PoisonError::into_inner);
    eprintln!(
        "simulation: {count} seeds in {took:.1} s, {:.1} seeds a second on {threads} threads; {} failed {failing:?}",
        count as f64 / took,
        failing.len()
    );
    let happened = happened.into_inner().unwrap_or_else(PoisonError::into_inner);
    let all: Vec<String> = happened.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    eprintln!("simulation: {}", all.join(", "));
    failing
}

/// What kind of thing a line of the trace tells, so that it can be counted: what never happens is not tested.
fn kind(line: &str) -> String {
    // "01 12:00:03.787 till: sale-3 is answered 201 …"
    let told = line.splitn(3, ' ').nth(2).unwrap_or_default();
    let (who, what) = told.split_once(": ").unwrap_or((told, ""));
    let words: Vec<&str> = what.split(' ').collect();
    let word = |place: usize| words.get(place).copied().unwrap_or_default();
    match who {
        "till" => format!("till/{}{}{}", word(3), if word(4).is_empty() { "" } else { "/" }, word(4)),
        "fault" => format!("fault/{}", words.last().copied().unwrap_or_default()),
        "office" => format!("office/{}", if word(0) == "has" { word(1) } else { word(0) }),
        "neighbour" => format!("neighbour/{}", word(2)),
        "listener" => format!("listener/{}", word(0)),
        "APNs" => format!("APNs/{}", if word(0) == "a" { "push" } else { word(0) }),
        phone if phone.starts_with("phone") => {
            format!("phone/{}", if word(0) == "is" || word(0) == "has" { word(1) } else { word(0) })
        }
        who => who.to_owned(),
    }
}

fn report(seed: u64, broken: &str, trace: &[String], failed: usize) {
    eprintln!("\nseed {seed}: {broken}");
    eprintln!("replay: SEEDS={seed} cargo test -p passloop-tests --test simulation -- --nocapture");
    // The first few in full; of many the sentence is enough.
    if failed <= 2 || std::env::var_os("TRACE").is_some() {
        let from = if std::env::var_os("TRACE").is_some() { 0 } else { trace.len().saturating_sub(TRACE_LINES) };
        for line in &trace[from..] {
            eprintln!("  {line}");
        }
    }
}

/// The seeds that the environment names in `SEEDS`: `17`, `0..2000`, or both separated by commas.
pub(crate) fn named() -> Option<Vec<u64>> {
    let text = std::env::var("SEEDS").ok()?;
    let each = text.split(',').flat_map(|part| {
        let part = part.trim();
        let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("SEEDS={text} is no seed"));
        match part.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => number(part)..number(part) + 1,
        }
    });
    Some(each.collect())
}
