//! Preparing a template, making a pass and its parts, beside their limits.

#![allow(missing_docs, unreachable_pub, reason = "what criterion's macros make")]

use criterion::{Criterion, Throughput, criterion_group};
use passloop_benchmarks::{
    builder::{RawSignatures, read_hash_and_sum},
    chain::Identity,
    fixture::{self, Builder},
};

fn builder(criterion: &mut Criterion) {
    let identity = Identity::make();
    let archive = fixture::template_zip();
    let template = fixture::template(&archive);
    let mut builder = Builder::new(fixture::look(&template), identity.signing());
    let mut raw = RawSignatures::with(&identity.key());

    let mut group = criterion.benchmark_group("builder");
    group.throughput(Throughput::Elements(1));
    group.bench_function("a raw RSA-2048 signature", |bencher| bencher.iter(|| raw.make()));
    group.bench_function("a pass", |bencher| bencher.iter(|| builder.build()));
    group.bench_function("a pass without its signature", |bencher| bencher.iter(|| builder.build_unsigned()));
    group.bench_function("the signature of a pass", |bencher| bencher.iter(|| builder.sign()));
    group.finish();

    let mut group = criterion.benchmark_group("template");
    group.throughput(Throughput::Bytes(archive.len() as u64));
    group.bench_function("read, hashed and summed", |bencher| bencher.iter(|| read_hash_and_sum(&archive)));
    group.bench_function("prepared", |bencher| bencher.iter(|| fixture::look(&fixture::template(&archive))));
    group.finish();
}

criterion_group!(benches, builder);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
