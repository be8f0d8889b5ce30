//! Pushes through `platform::apns` against a stand-in over loopback TLS, and the push worker's whole page.

#![allow(missing_docs, unreachable_pub, reason = "what criterion's macros make")]

use criterion::{Criterion, Throughput, criterion_group};
use passloop_benchmarks::{
    chain::Identity,
    pushes::Pusher,
    stand_in,
    worker::{PAGE, Worker},
};

/// Pushes of one iteration.
const BATCH: usize = 1000;

fn push(criterion: &mut Criterion) {
    let identity = Identity::make();
    let pusher = Pusher::start(&identity);
    let mut group = criterion.benchmark_group("push");
    group.throughput(Throughput::Elements(BATCH as u64));
    for in_flight in [1, 100, 1000] {
        let name = format!("{in_flight} in flight");
        group.bench_function(name, |bencher| bencher.iter(|| pusher.send(BATCH, in_flight)));
    }
    group.finish();

    let worker = Worker::start();
    let mut group = criterion.benchmark_group("push-updates");
    group.throughput(Throughput::Elements(PAGE.into()));
    group.bench_function("a page of registrations", |bencher| bencher.iter(|| worker.page()));
    group.finish();
}

criterion_group!(benches, push);

fn main() {
    stand_in::if_this_is_one();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
