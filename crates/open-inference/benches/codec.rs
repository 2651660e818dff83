//! A week of minutes, 10,080 numbers: read from JSON and from binary, and written, beside their floors.
#![expect(clippy::expect_used, reason = "a benchmark ends where something fails")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use open_inference::{Request, Response, Tensor};

const VALUES: usize = 10_080;

/// What a z-scored week looks like: shortest decimals of 32-bit floats, some short and most long.
fn week() -> Vec<f32> {
    let value = |minute: usize| {
        let phase = minute as f32 / 1440.0 * std::f32::consts::TAU;
        if minute.is_multiple_of(3) { -0.5 } else { (phase.sin() * 1.7) + (minute % 17) as f32 * 0.01 }
    };
    (0..VALUES).map(value).collect()
}

fn codec(criterion: &mut Criterion) {
    let values = week();
    let array = serde_json::to_string(&values).expect("numbers");
    let json =
        format!(r#"{{"inputs":[{{"name":"x","shape":[1,{VALUES}],"datatype":"FP32","data":{array}}}]}}"#);
    let head = format!(
        r#"{{"inputs":[{{"name":"x","shape":[1,{VALUES}],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}]}}"#,
        4 * VALUES
    );
    let tail: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let binary = [head.as_bytes(), &tail].concat();

    let mut group = criterion.benchmark_group("read 10,080 floats");
    group.throughput(Throughput::Elements(VALUES as u64));
    group.bench_function("JSON, a request", |bencher| {
        bencher.iter(|| Request::parse(black_box(json.as_bytes()), None).expect("a request"));
    });
    group.bench_function("JSON, floor: Vec<f32> of the array alone", |bencher| {
        bencher.iter(|| serde_json::from_slice::<Vec<f32>>(black_box(array.as_bytes())).expect("numbers"));
    });
    group.bench_function("JSON, a tree (serde_json::Value)", |bencher| {
        bencher
            .iter(|| serde_json::from_slice::<serde_json::Value>(black_box(json.as_bytes())).expect("JSON"));
    });
    group.bench_function("binary, a request", |bencher| {
        bencher.iter(|| Request::parse(black_box(&binary), Some(head.len())).expect("a request"));
    });
    group.bench_function("binary, floor: copy", |bencher| bencher.iter(|| black_box(&tail).clone()));
    group.finish();

    let outputs = [Tensor { name: "y".to_owned(), shape: vec![1, VALUES], data: values.clone() }];
    let response = Response { id: None, model_name: "m", model_version: "1", outputs: &outputs };
    let mut group = criterion.benchmark_group("write 10,080 floats");
    group.throughput(Throughput::Elements(VALUES as u64));
    group.bench_function("JSON", |bencher| bencher.iter(|| response.encode(|_| false).expect("an answer")));
    group.bench_function("JSON, floor: the array alone", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&values)).expect("numbers"));
    });
    group.bench_function("binary", |bencher| bencher.iter(|| response.encode(|_| true).expect("an answer")));
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
