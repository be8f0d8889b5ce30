//! Ours among the peers (`benchmarks/peers/run`): answers each line of standard input, a number, with the CPU and wall
//! seconds that so many operations took.

#![allow(clippy::panic, reason = "a benchmark that fails has no other answer")]

use std::{
    fs,
    io::BufRead,
    path::Path,
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;
use passloop_benchmarks::{
    builder::RawSignatures,
    chain::Identity,
    fixture::{self, Builder},
    pushes::Pusher,
    stand_in,
};
use serde_json::json;

fn main() {
    stand_in::if_this_is_one();
    let arguments: Vec<String> = std::env::args().collect();
    let [_, role, directory, ..] = &arguments[..] else {
        // `cargo test --benches` calls every benchmark so.
        return;
    };
    let directory = Path::new(directory);
    if role == "fixture" {
        fs::create_dir_all(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        Identity::make().keep(directory);
        fixture::write_folder(&directory.join("coupon.pass"));
        return;
    }
    let identity = Identity::kept(directory);
    match role.as_str() {
        "passes" => {
            let template = fixture::template(&fixture::template_zip());
            let mut builder = Builder::new(fixture::look(&template), identity.signing());
            turns(json!({ "ready": true }), |count| (0..count).for_each(|_| drop(builder.build())));
        }
        "signatures" => {
            let mut raw = RawSignatures::with(&identity.key());
            turns(json!({ "ready": true }), |count| (0..count).for_each(|_| raw.make()));
        }
        "pushes" => {
            let pusher = Pusher::start(&identity);
            pusher.keep_certificate(directory);
            turns(json!({ "port": pusher.port() }), |count| {
                pusher.send(count, 100);
            });
        }
        other => panic!("{other} is no role"),
    }
}

fn turns(ready: serde_json::Value, mut operation: impl FnMut(usize)) {
    println!("{ready}");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let count = line.trim().parse().unwrap_or_default();
        let (cpu, wall) = (ThreadTime::now(), Instant::now());
        operation(count);
        let seconds = |taken: Duration| taken.as_secs_f64();
        println!("{}", json!({ "cpu": seconds(cpu.elapsed()), "wall": seconds(wall.elapsed()) }));
    }
}
