//! Doors over an AWS that answers from memory, and the same calls of AWS by the SDK alone.

#![allow(missing_docs, unreachable_pub, reason = "what criterion's macros make")]

use criterion::{Criterion, criterion_group};
use passloop_benchmarks::doors;

fn doors(criterion: &mut Criterion) {
    for door in doors::all() {
        let mut group = criterion.benchmark_group(door.name.replace('`', ""));
        group.bench_function("whole", |bencher| bencher.iter(|| door.call()));
        group.bench_function("the SDK alone", |bencher| bencher.iter(|| door.sdk_alone()));
        group.finish();
    }
}

criterion_group!(benches, doors);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
