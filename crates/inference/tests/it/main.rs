//! The engine with the real ONNX Runtime library and the committed model.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops where something is not as it must be"
)]

mod races;
mod stored;
mod tampering;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use inference::{Engine, Settings};
use ports::{ErrorKind, ModelState, ModelStatus, PredictionRequest, Predictor, Tensor, Weights};

const WEEK: usize = 10_080;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn settings(models_dir: &Path) -> Settings {
    let tools = root().join(".tools/onnxruntime");
    let library = ["libonnxruntime.so", "libonnxruntime.dylib"].map(|name| tools.join(name));
    let library = library.into_iter().find(|path| path.is_file());
    assert!(library.is_some(), "these tests need the ONNX Runtime library in .tools: run `make onnxruntime`");
    Settings { library, deadline: Duration::from_mins(1), rows_max: 4, ..Settings::new(models_dir) }
}

fn pat_s() -> Arc<Engine> {
    Engine::load(settings(&root().join("models")))
}

async fn status(engine: &Engine, name: &str) -> ModelStatus {
    engine.models().await.into_iter().find(|status| status.name == name).expect("the model is configured")
}

fn floats(path: &str) -> Vec<f32> {
    let bytes = std::fs::read(root().join("models/pat-s").join(path)).unwrap();
    bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

/// The generator that models/README.md states.
fn week(seed: u64, rows: usize) -> Tensor {
    let mut state = seed;
    let data = (0..rows * WEEK).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 - 8_388_608.0) / 4_194_304.0
    });
    Tensor { name: "x".to_owned(), shape: vec![rows, WEEK], data: data.collect() }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[tokio::test]
async fn the_answers_are_those_of_the_independent_implementation() {
    let engine = pat_s();
    let state = status(&engine, "pat-s").await.state;
    assert!(
        matches!(state, ModelState::Ready { ref execution_provider, .. } if execution_provider == "cpu"),
        "{state:?}"
    );
    println!("{state:?}");
    for (seed, rows) in [(1, 1), (2, 2)] {
        let prediction =
            engine.predict(PredictionRequest::new("pat-s", vec![week(seed, rows)])).await.unwrap();
        let [embedding, profile] = &prediction.outputs[..] else { panic!("two outputs") };
        assert_eq!((embedding.name.as_str(), &embedding.shape[..]), ("embedding", &[rows, 96][..]));
        assert_eq!((profile.name.as_str(), &profile.shape[..]), ("attention_profile", &[rows, 560][..]));
        let off = largest_difference(&embedding.data, &floats(&format!("golden/embedding-{seed}.f32")));
        assert!(off < 1e-5, "{off}");
        let off = largest_difference(&profile.data, &floats(&format!("golden/attention_profile-{seed}.f32")));
        assert!(off < 1e-7, "{off}");
        assert_eq!((prediction.model.name.as_str(), prediction.model.weights), ("pat-s", Weights::Synthetic));
        assert_eq!(prediction.model.sha256.len(), 64);
    }
}

#[tokio::test]
async fn the_same_input_gives_the_same_bits_on_every_session() {
    let mut settings = settings(&root().join("models"));
    settings.sessions_per_model = 2;
    let engine = Engine::load(settings);
    let calls = (0..8).map(|_| engine.predict(PredictionRequest::new("pat-s", vec![week(3, 1)])));
    let answers = futures::future::try_join_all(calls).await.unwrap();
    let bits = |tensor: &Tensor| tensor.data.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    for answer in &answers {
        assert_eq!(bits(&answer.outputs[0]), bits(&answers[0].outputs[0]));
        assert_eq!(bits(&answer.outputs[1]), bits(&answers[0].outputs[1]));
    }
    assert_eq!(engine.executions("pat-s"), Some(8));
}

#[tokio::test]
async fn a_batch_of_three_is_three_singles() {
    let engine = pat_s();
    let batch = week(4, 3);
    let together = engine.predict(PredictionRequest::new("pat-s", vec![batch.clone()])).await.unwrap();
    for (row, data) in batch.data.chunks_exact(WEEK).enumerate() {
        let single = Tensor { name: "x".to_owned(), shape: vec![1, WEEK], data: data.to_vec() };
        let alone = engine.predict(PredictionRequest::new("pat-s", vec![single])).await.unwrap();
        for (one, all) in alone.outputs.iter().zip(&together.outputs) {
            let width = one.data.len();
            let off = largest_difference(&one.data, &all.data[row * width..][..width]);
            assert!(off < 1e-5, "{} of row {row} is off by {off}", one.name);
        }
    }
    assert_eq!(engine.executions("pat-s"), Some(4));
}

#[tokio::test]
async fn the_normalisation_is_the_one_in_the_files() {
    let normalisation = status(&pat_s(), "pat-s").await.normalisation.expect("pat-s carries one");
    assert_eq!(normalisation.unit, "steps/min");
    assert_eq!(normalisation.mean, floats("normalisation/mean.f32"));
    assert_eq!(normalisation.standard_deviation, floats("normalisation/standard_deviation.f32"));
    assert_eq!((normalisation.mean.len(), normalisation.standard_deviation.len()), (WEEK, WEEK));
    assert!(normalisation.method.starts_with("synthetic"), "{}", normalisation.method);
}

#[tokio::test]
async fn a_started_engine_becomes_ready_by_itself() {
    let engine = Engine::start(settings(&root().join("models")));
    engine.loaded().await;
    assert!(matches!(status(&engine, "pat-s").await.state, ModelState::Ready { .. }));
}

#[tokio::test]
async fn an_engine_that_is_dropped_while_it_loads_ends() {
    drop(Engine::start(settings(&root().join("models"))));
}

#[tokio::test]
async fn without_a_library_the_models_are_unavailable_and_say_where_it_was_looked_for() {
    let mut settings = settings(&root().join("models"));
    settings.library = Some(PathBuf::from("/nowhere/libonnxruntime.so"));
    let engine = Engine::load(settings);
    let ModelState::Unavailable { reason } = status(&engine, "pat-s").await.state else {
        panic!("there is no library")
    };
    assert!(reason.contains("/nowhere/libonnxruntime.so") && reason.contains("make onnxruntime"), "{reason}");
    let error = engine.predict(PredictionRequest::new("pat-s", vec![week(1, 1)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_folder_without_models_has_none() {
    let empty = tempfile::tempdir().unwrap();
    for folder in [empty.path().to_path_buf(), empty.path().join("absent")] {
        let engine = Engine::load(settings(&folder));
        assert!(engine.models().await.is_empty());
        assert_eq!(
            engine.predict(PredictionRequest::new("pat-s", vec![])).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}
