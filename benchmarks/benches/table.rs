//! The whole table of `docs/performance.md`, as markdown. `benchmarks/run` builds it and gives it a core of its own.
//!
//! `--test` measures everything once, shortly: that it runs.

use std::time::Duration;

use passloop_benchmarks::{
    builder::{RawSignatures, read_hash_and_sum},
    campaign,
    chain::Identity,
    doors,
    fixture::{self, Builder},
    machine,
    measure::{Contender, Measured, in_turns, median},
    pushes::{Pusher, Round},
    redemption, stand_in,
    worker::{PAGE, Worker, peak_megabytes},
};

/// How long and how often everything is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    slice: Duration,
    pushes: usize,
    redemptions: usize,
    pages: usize,
    passes: usize,
}

fn main() {
    stand_in::if_this_is_one();
    // `cargo bench` says so; `cargo test --benches`, which asks whether everything runs, does not.
    let given = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    let brief = given("--test") || !given("--bench");
    let effort = if brief {
        Effort { rounds: 1, slice: Duration::from_millis(1), pushes: 1000, redemptions: 3, pages: 3, passes: 10 }
    } else {
        Effort {
            rounds: 15,
            slice: Duration::from_millis(100),
            pushes: 100_000,
            redemptions: 400,
            pages: 100,
            passes: 100_000,
        }
    };
    println!("{}\n", machine::description());
    passes(effort);
    functions(effort);
    pushes(effort);
    worker(effort);
    latency(effort);
    campaign(effort);
}

fn micros(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e6)
}

fn passes(effort: Effort) {
    let identity = Identity::make();
    let archive = fixture::template_zip();
    let template = fixture::template(&archive);
    let mut builder = Builder::new(fixture::look(&template), identity.signing());
    let mut unsigned = Builder::new(fixture::look(&template), identity.signing());
    let mut raw = RawSignatures::with(&identity.key());
    let size = builder.build().len();
    let measured = in_turns(
        effort.rounds,
        effort.slice,
        &mut [
            Contender::new("raw RSA-2048 signature, same OpenSSL", || raw.make()),
            Contender::new("pass: rendered, signed, packed", || drop(builder.build())),
            Contender::new("pass without its signature", || drop(unsigned.build_unsigned())),
            Contender::new("template: read, SHA-1, CRC-32", || {
                std::hint::black_box(read_hash_and_sum(&archive));
            }),
            Contender::new("template: prepared", || drop(fixture::look(&fixture::template(&archive)))),
        ],
    );
    let [raw, pass, unsigned, least, prepared] = &measured[..] else { return };
    println!("## Passes ({size} bytes each)\n");
    println!("| what | CPU us | per CPU second | wall us | of its limit |\n|---|---|---|---|---|");
    let row = |one: &Measured, limit: Option<&Measured>| {
        let ratio =
            limit.map_or("1".to_owned(), |limit| format!("{:.3}", limit.cpu.as_secs_f64() / one.cpu.as_secs_f64()));
        let per_second = one.per_cpu_second();
        println!("| {} | {} | {per_second:.0} | {} | {ratio} |", one.name, micros(one.cpu), micros(one.wall));
    };
    row(raw, None);
    row(pass, Some(raw));
    row(unsigned, None);
    row(least, None);
    row(prepared, Some(least));
    println!();
}

fn functions(effort: Effort) {
    println!("## Doors: AWS answers from memory\n");
    println!("| door | calls | CPU us, whole | of which the SDK | of its own |\n|---|---|---|---|---|");
    for door in doors::all() {
        let measured = in_turns(
            effort.rounds,
            effort.slice / 2,
            &mut [Contender::new("whole", || door.call()), Contender::new("SDK", || door.sdk_alone())],
        );
        let [whole, sdk] = &measured[..] else { return };
        let own = whole.cpu.saturating_sub(sdk.cpu);
        let calls = door.calls.join(", ");
        println!("| {} | {calls} | {} | {} | {} |", door.name, micros(whole.cpu), micros(sdk.cpu), micros(own));
    }
    println!();
}

fn pushes(effort: Effort) {
    let identity = Identity::make();
    let pusher = Pusher::start(&identity);
    pusher.send(effort.pushes / 10, 100);
    println!("## Pushes: `platform::apns`, one connection, loopback TLS\n");
    println!("| in flight | pushes a second | CPU us each | of the stand-in |\n|---|---|---|---|");
    let flights = [1, 100, 256, 1000];
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); flights.len()];
    for _ in 0..effort.rounds.div_ceil(3) {
        for (in_flight, rounds) in flights.into_iter().zip(&mut rounds) {
            rounds.push(pusher.send(if in_flight == 1 { effort.pushes / 10 } else { effort.pushes }, in_flight));
        }
    }
    for (in_flight, rounds) in flights.into_iter().zip(rounds) {
        let of = |part: fn(&Round) -> Duration| median(rounds.iter().map(part).collect());
        let (cpu, wall, stand_in) = (of(|round| round.cpu), of(|round| round.wall), of(|round| round.stand_in));
        let per_second = 1.0 / wall.as_secs_f64();
        println!("| {in_flight} | {per_second:.0} | {} | {} |", micros(cpu), micros(stand_in));
    }
    println!();
}

fn worker(effort: Effort) {
    let worker = Worker::start();
    worker.page();
    let before = peak_megabytes();
    let (mut whole, mut sdk) = (Vec::new(), Vec::new());
    for _ in 0..effort.pages {
        whole.push(worker.page() / PAGE);
        sdk.push(worker.sdk_alone() / PAGE);
    }
    let (whole, sdk) = (median(whole), median(sdk));
    println!("## The push worker: registrations read, pushed, progress noted\n");
    println!("| devices | CPU us each | of which the SDK | more memory at the end than after the first page |");
    println!("|---|---|---|---|");
    let devices = effort.pages * PAGE as usize;
    println!("| {devices} | {} | {} | {:.1} MB |\n", micros(whole), micros(sdk), peak_megabytes() - before);
}

fn latency(effort: Effort) {
    let mut waits = redemption::until_pushed(effort.redemptions);
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!("## From the till's request to the push at APNs, on the local service\n");
    println!("| redemptions | median ms | p99 ms |\n|---|---|---|");
    println!("| {} | {:.1} | {:.1} |", waits.len(), at(50), at(99));
}

fn campaign(effort: Effort) {
    let (answered, pushed) = campaign::change(effort.passes);
    println!("\n## A campaign-wide change, on the local service\n");
    println!(
        "| passes, one phone each | the merchant's answer after ms | the last push after ms | ms for each pass |\n|---|---|---|---|"
    );
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let each = milliseconds(pushed) / effort.passes as f64;
    println!("| {} | {:.0} | {:.0} | {each:.2} |", effort.passes, milliseconds(answered), milliseconds(pushed));
}
