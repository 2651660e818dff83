//! One week through PAT-S on one thread, beside its floor: the same multiplications and additions as bare matrix products.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use inference::{Engine, Settings};
use ndarray::Array2;
use ports::{PredictionRequest, Predictor, Tensor};

/// (how many, rows, inner, columns) of the products in the encoder of PAT-S: 514 million multiplications and additions.
const PRODUCTS: [(usize, usize, usize, usize); 7] = [
    (1, 560, 18, 96),
    (3, 560, 96, 576),
    (6, 560, 96, 560),
    (6, 560, 560, 96),
    (1, 560, 576, 96),
    (1, 560, 96, 256),
    (1, 560, 256, 96),
];

fn floor(criterion: &mut Criterion) {
    let matrix = |rows, columns| Array2::from_shape_fn((rows, columns), |(i, j)| ((i + 3 * j) % 7) as f32);
    let products =
        PRODUCTS.map(|(count, rows, inner, columns)| (count, matrix(rows, inner), matrix(inner, columns)));
    criterion.bench_function("matrix products of one week", |bencher| {
        bencher.iter(|| {
            for (count, a, b) in &products {
                for _ in 0..*count {
                    black_box(black_box(a).dot(b));
                }
            }
        });
    });
}

fn pat(criterion: &mut Criterion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let engine = Engine::load(Settings {
        library_folders: vec![root.join(".tools/onnxruntime")],
        deadline: Duration::from_mins(1),
        ..Settings::new(root.join("models"))
    });
    assert!(engine.executions("pat-s").is_some(), "pat-s is not ready: run `make onnxruntime`");
    let data = (0..10_080_u16).map(|minute| f32::from(minute % 97) / 48.0 - 1.0).collect();
    let week = Tensor { name: "x".to_owned(), shape: vec![1, 10_080], data };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { panic!("no tokio runtime") };
    criterion.bench_function("pat-s, one week", |bencher| {
        bencher.to_async(&runtime).iter(async || {
            assert!(engine.predict(PredictionRequest::new("pat-s", vec![week.clone()])).await.is_ok());
        });
    });
}

criterion_group!(benches, floor, pat);
criterion_main!(benches);
