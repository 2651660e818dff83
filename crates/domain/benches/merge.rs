//! Merging a year of steps of three devices: day by day, as the daily measures do, beside adding up all of them, which is the
//! least that can be done with the readings and gives the wrong sum.

mod processor_time;

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::{
    ids::SampleId,
    measures::merge::{SourcePriority, total},
    metric::Metric,
    sample::{Sample, Source, Value},
    time::{Interval, LocalClock},
};
use uuid::Uuid;

use crate::processor_time::ProcessorTime;

const DAYS: i64 = 365;
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

/// A device's steps from 7:00 to 23:00: a reading of some minutes, and then a pause, by a fixed generator.
fn year(product_type: &str, minutes: i64, seed: u64) -> Vec<Vec<Sample>> {
    let source = Arc::new(Source { product_type: Some(product_type.to_owned()), ..Source::default() });
    let clock = Arc::new(LocalClock { offset_seconds: 0, zone: None });
    let mut noise = seed;
    let mut next = |below: u64| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((noise >> 33) % below).cast_signed()
    };
    let mut day = |day: i64| {
        let (mut samples, mut at) = (Vec::new(), day * DAY_MS + 420 * MINUTE_MS);
        while at < day * DAY_MS + 1380 * MINUTE_MS {
            let end = at + minutes * MINUTE_MS - next(30_000);
            let interval = Interval::new(at, end).unwrap_or_else(|error| panic!("{error}"));
            samples.push(Sample {
                id: SampleId(Uuid::from_u128(u128::from(at.unsigned_abs()) << 64 | u128::from(seed))),
                metric: Metric::STEP_COUNT,
                interval,
                value: Value::Quantity(next(120) as f64),
                clock: Arc::clone(&clock),
                source: Arc::clone(&source),
                metadata: None,
            });
            at = end + next(4) * MINUTE_MS;
        }
        samples
    };
    (0..DAYS).map(&mut day).collect()
}

fn bench(criterion: &mut Criterion<ProcessorTime>) {
    let devices = [year("Watch6,2", 1, 1), year("Ring4,1", 5, 2), year("iPhone15,2", 3, 3)];
    let days: Vec<(Interval, Vec<&Sample>)> = (0..DAYS)
        .zip(0..)
        .filter_map(|(day, index): (i64, usize)| {
            let window = Interval::new(day * DAY_MS, (day + 1) * DAY_MS).ok()?;
            Some((window, devices.iter().flat_map(|device| &device[index]).collect()))
        })
        .collect();
    let priority = SourcePriority::default();
    let readings: usize = days.iter().map(|(_, samples)| samples.len()).sum();
    let mut group = criterion.benchmark_group("merge_year_of_three_sources");
    group.sample_size(20).throughput(Throughput::Elements(readings as u64));
    let merged = || -> f64 {
        let of_day = |(window, samples): &(Interval, Vec<&Sample>)| total(samples, *window, &priority);
        days.iter().filter_map(of_day).map(|total| total.value).sum()
    };
    let added = || -> f64 {
        let value = |sample: &&Sample| match sample.value {
            Value::Quantity(value) => value,
            Value::Category(_) => 0.0,
        };
        days.iter().flat_map(|(_, samples)| samples.iter().map(value)).sum()
    };
    group.bench_function("by_interval", |b| b.iter(|| black_box(merged())));
    group.bench_function("floor_sum_of_all", |b| b.iter(|| black_box(added())));
    group.finish();
}

criterion_group! { name = benches; config = Criterion::default().with_measurement(ProcessorTime); targets = bench }
criterion_main!(benches);
