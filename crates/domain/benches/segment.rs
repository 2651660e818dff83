//! Encoding and decoding of segments, beside two floors on the same samples: copying the raw columns, which nothing can
//! beat, and `serde_json`, which is what one would write without a codec.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use domain::{
    ids::SampleId,
    metric::Metric,
    sample::{Sample, Source, Value},
    segment,
    time::{Interval, LocalClock, ZoneName},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Serialize, Deserialize)]
struct Json {
    id: SampleId,
    metric: Metric,
    interval: Interval,
    value: Value,
    clock: LocalClock,
    source: Source,
}

/// Heart rates of a watch: about one a second, and not to the millisecond.
fn samples(count: usize, has_own_ids: bool) -> Vec<Sample> {
    let zone = ZoneName::new("Europe/Paris").ok();
    let clock = Arc::new(LocalClock { offset_seconds: 3_600, zone });
    let source = Arc::new(Source {
        name: Some("Anna's Apple Watch".to_owned()),
        bundle: Some("com.apple.health.6E2A".to_owned()),
        product_type: Some("Watch6,2".to_owned()),
    });
    let mut start_ms = 1_772_323_200_000;
    let mut noise = 0_u64;
    let sample = |_| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        start_ms += 900 + (noise >> 56).cast_signed();
        let id = if has_own_ids { u128::from(noise) << 64 | u128::from(!noise) } else { 7 };
        Sample {
            id: SampleId(Uuid::from_u128(id)),
            metric: Metric::HEART_RATE,
            interval: Interval::new(start_ms, start_ms).unwrap_or_else(|error| panic!("{error}")),
            value: Value::Quantity(60.0 + (noise >> 59) as f64),
            clock: Arc::clone(&clock),
            source: Arc::clone(&source),
            metadata: None,
        }
    };
    (0..count).map(sample).collect()
}

/// Id, start, duration and value of every sample: what the codec is given, less what all samples share.
fn raw_columns(samples: &[Sample]) -> Vec<u8> {
    vec![1; samples.len() * (16 + 8 + 8 + 8)]
}

fn json(samples: &[Sample]) -> Vec<Json> {
    let json = |sample: &Sample| Json {
        id: sample.id,
        metric: sample.metric,
        interval: sample.interval,
        value: sample.value,
        clock: sample.clock.as_ref().clone(),
        source: sample.source.as_ref().clone(),
    };
    samples.iter().map(json).collect()
}

fn bench(criterion: &mut Criterion) {
    for (name, has_own_ids) in [("series", false), ("own_ids", true)] {
        let mut group = criterion.benchmark_group(name);
        for count in [1, 100, 1_000, 3_600] {
            let samples = samples(count, has_own_ids);
            let Ok(segment) = segment::encode(&samples) else { panic!("the samples encode") };
            let (raw, json) = (raw_columns(&samples), json(&samples));
            let Ok(text) = serde_json::to_vec(&json) else { panic!("the samples serialize") };
            group.throughput(Throughput::Elements(count as u64));
            let id = |what| BenchmarkId::new(what, count);
            group.bench_function(id("encode"), |b| b.iter(|| segment::encode(black_box(&samples))));
            group.bench_function(id("decode"), |b| b.iter(|| segment::decode(black_box(&segment))));
            group.bench_function(id("header"), |b| b.iter(|| segment::header(black_box(&segment))));
            group.bench_function(id("decode_ids"), |b| b.iter(|| segment::decode_ids(black_box(&segment))));
            group.bench_function(id("floor_copy"), |b| b.iter(|| black_box(&raw).clone()));
            group.bench_function(id("peer_json_encode"), |b| b.iter(|| serde_json::to_vec(black_box(&json))));
            group.bench_function(id("peer_json_decode"), |b| {
                b.iter(|| serde_json::from_slice::<Vec<Json>>(black_box(&text)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
