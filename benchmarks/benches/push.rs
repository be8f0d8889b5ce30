//! Pushes through `platform::apns` against a stand-in over loopback TLS.

#![allow(missing_docs, reason = "criterion's macros document nothing")]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group};
use passloop_benchmarks::{chain::Identity, pushes::Pusher, stand_in};

/// Pushes of one iteration.
const BATCH: usize = 1000;

fn push(criterion: &mut Criterion) {
    let identity = Identity::make();
    let pusher = Pusher::start(&identity);
    let mut group = criterion.benchmark_group("push");
    group.throughput(Throughput::Elements(BATCH as u64)).measurement_time(Duration::from_secs(5));
    for in_flight in [1, 100, 1000] {
        group
            .bench_function(format!("{in_flight} in flight"), |bencher| bencher.iter(|| pusher.send(BATCH, in_flight)));
    }
    if std::env::var_os("PUSH_ROUNDS").is_some() {
        for in_flight in [1, 100, 256, 1000] {
            let count = if in_flight == 1 { 20_000 } else { 200_000 };
            for _ in 0..3 {
                println!("{in_flight}: {:?}", pusher.send(count, in_flight));
            }
        }
    }
    group.finish();
}

criterion_group!(benches, push);

fn main() {
    stand_in::if_this_is_one();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
