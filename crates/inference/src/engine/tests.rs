use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use futures::FutureExt;
use ports::Cause;

use super::*;
use crate::ExecutionProvider;
use crate::session::Runner;

/// Says when it starts, and ends when it is told to.
struct Gate {
    started: Sender<()>,
    open: Receiver<()>,
}

impl Runner for Gate {
    fn run(&mut self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Cause> {
        self.started.send(())?;
        self.open.recv()?;
        Ok(inputs)
    }
}

const MANIFEST: &str = r#"{
    "manifest_version": 1, "name": "gate", "version": "1", "weights": "synthetic", "intended_use": "tests", "licence": "none",
    "attribution": "none", "parameters": 0, "model": "m", "golden": [{ "rows": 1, "inputs": [{ "name": "x", "lcg64_seed": 1 }],
    "expected": [{ "output": "y", "file": "m", "tolerance": 1 }] }],
    "files": [{ "path": "m", "size": 0, "sha256": "" }], "preprocessing": null, "normalisation": null,
    "inputs": [{ "name": "x", "type": "f32", "shape": ["batch", 2] }],
    "outputs": [{ "name": "y", "type": "f32", "shape": ["batch", 2] }]
}"#;

/// An engine of one model; without a queue it is still being loaded.
fn engine(queue: Option<Queue>, deadline: Duration) -> Engine {
    let loaded = OnceLock::new();
    if let Some(queue) = queue {
        let ready = Ready { queue, golden_check: String::new(), normalisation: None };
        assert!(loaded.set(Ok(ready)).is_ok());
    }
    let manifest = Manifest::parse(MANIFEST.as_bytes(), "gate");
    let model = Model { folder: PathBuf::new(), manifest, loaded };
    let settings = Settings {
        models_dir: PathBuf::new(),
        library: None,
        library_folders: Vec::new(),
        sessions_per_model: 1,
        queue_depth: 1,
        rows_max: 2,
        deadline,
        execution_provider: ExecutionProvider::Cpu,
    };
    let (sender, loading) = watch::channel(());
    // Kept open for the life of the test: the loader has not ended.
    std::mem::forget(sender);
    Engine { models: Arc::new(BTreeMap::from([("gate".to_owned(), model)])), settings, loader: None, loading }
}

fn gated(deadline: Duration) -> (Engine, Receiver<()>, Sender<()>) {
    let ((started, has_started), (opener, open)) = (channel(), channel());
    let queue = Queue::start("gate", vec![Gate { started, open }], 1).unwrap();
    (engine(Some(queue), deadline), has_started, opener)
}

fn x(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor { name: "x".to_owned(), shape: shape.to_vec(), data: data.to_vec() }
}

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_full_queue_is_unavailable_at_once() {
    let (engine, started, open) = gated(MINUTE);
    let mut running = engine.predict(PredictionRequest::new("gate", vec![x(&[1, 2], &[1.0, 2.0])]));
    assert!((&mut running).now_or_never().is_none());
    started.recv().unwrap();
    let mut waiting = engine.predict(PredictionRequest::new("gate", vec![x(&[1, 2], &[3.0, 4.0])]));
    assert!((&mut waiting).now_or_never().is_none());
    let refused = engine
        .predict(PredictionRequest::new("gate", vec![x(&[1, 2], &[5.0, 6.0])]))
        .now_or_never()
        .unwrap()
        .unwrap_err();
    assert_eq!((refused.kind(), refused.is_retryable()), (ErrorKind::Unavailable, true));
    open.send(()).unwrap();
    open.send(()).unwrap();
    assert_eq!(running.await.unwrap().outputs[0].data, [1.0, 2.0]);
    assert_eq!(waiting.await.unwrap().outputs[0].data, [3.0, 4.0]);
    assert_eq!(engine.executions("gate"), Some(2));
}

#[tokio::test]
async fn a_call_whose_future_is_dropped_costs_no_inference() {
    let (engine, started, open) = gated(MINUTE);
    let mut running = engine.predict(PredictionRequest::new("gate", vec![x(&[1, 2], &[1.0, 2.0])]));
    assert!((&mut running).now_or_never().is_none());
    started.recv().unwrap();
    assert!(
        engine
            .predict(PredictionRequest::new("gate", vec![x(&[1, 2], &[3.0, 4.0])]))
            .now_or_never()
            .is_none()
    );
    open.send(()).unwrap();
    running.await.unwrap();
    drop(open);
    drop(engine);
    // A second inference would have said that it started.
    assert!(started.recv().is_err());
}

#[tokio::test]
async fn a_request_past_its_deadline_is_unavailable() {
    let (engine, _started, open) = gated(Duration::ZERO);
    let error =
        engine.predict(PredictionRequest::new("gate", vec![x(&[1, 2], &[1.0, 2.0])])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop(open);
}

#[tokio::test]
async fn a_model_that_is_being_loaded_is_unavailable_and_says_so() {
    let engine = engine(None, MINUTE);
    let error =
        engine.predict(PredictionRequest::new("gate", vec![x(&[1, 2], &[1.0, 2.0])])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let statuses = engine.models().await;
    assert_eq!(statuses[0].state, ModelState::Unavailable { reason: "loading".to_owned() });
    assert_eq!(statuses[0].identity.as_ref().unwrap().name, "gate");
}

#[tokio::test]
async fn wrong_names_shapes_lengths_and_values_are_invalid_input() {
    let (engine, ..) = gated(MINUTE);
    let y = Tensor { name: "y".to_owned(), shape: vec![1, 2], data: vec![0.0; 2] };
    let cases = [
        ("nothing", vec![]),
        ("a wrong name", vec![y.clone()]),
        ("one too many", vec![x(&[1, 2], &[0.0; 2]), y]),
        ("the same twice", vec![x(&[1, 2], &[0.0; 2]), x(&[1, 2], &[0.0; 2])]),
        ("no shape", vec![x(&[], &[0.0; 2])]),
        ("no rows", vec![x(&[0, 2], &[])]),
        ("too many rows", vec![x(&[3, 2], &[0.0; 6])]),
        ("a flat shape", vec![x(&[2], &[0.0; 2])]),
        ("a deeper shape", vec![x(&[1, 1, 2], &[0.0; 2])]),
        ("a wider row", vec![x(&[1, 3], &[0.0; 3])]),
        ("less data than the shape says", vec![x(&[2, 2], &[0.0; 2])]),
        ("not a number", vec![x(&[1, 2], &[0.0, f32::NAN])]),
        ("infinity", vec![x(&[1, 2], &[f32::INFINITY, 0.0])]),
    ];
    for (what, inputs) in cases {
        let error = engine.predict(PredictionRequest::new("gate", inputs)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{what}");
    }
    assert_eq!(
        engine.predict(PredictionRequest::new("other", vec![])).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(engine.executions("gate"), Some(0));
}
