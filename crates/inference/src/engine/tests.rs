use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use futures::FutureExt;
use ports::Priority;

use super::*;
use crate::files::Declared;
use crate::loader::Followed;
use crate::queue::{Limits, Threads};
use crate::session::Runner;

/// Says which outputs it is asked for when it starts, and ends when it is told to.
struct Gate {
    started: Sender<Vec<String>>,
    open: Receiver<()>,
}

impl Runner for Gate {
    fn run(&mut self, inputs: Vec<Tensor>, outputs: &[String]) -> Result<Vec<Tensor>, Cause> {
        self.started.send(outputs.to_vec())?;
        self.open.recv()?;
        let [Tensor { shape, data, .. }] = &inputs[..] else { return Err("one input".into()) };
        let output = |name: &String| Tensor { name: name.clone(), shape: shape.clone(), data: data.clone() };
        Ok(outputs.iter().map(output).collect())
    }
}

const MANIFEST: &str = r#"{
    "manifest_version": 2, "name": "gate", "version": "1", "weights": "synthetic", "intended_use": "tests", "licence": "none",
    "attribution": "none", "parameters": 0, "model": "m", "golden": [{ "rows": 1, "inputs": [{ "name": "x", "lcg64_seed": 1 }],
    "expected": [{ "output": "y", "file": "m", "tolerance": 1 }, { "output": "z", "file": "m", "tolerance": 1 }] }],
    "files": [{ "path": "m", "size": 0, "sha256": "" }], "preprocessing": { "unit": "m" }, "normalisation": null,
    "calibration": { "method": "none" }, "batching": { "rows_max": 2 },
    "inputs": [{ "name": "x", "type": "f32", "shape": ["batch", 2] }],
    "outputs": [{ "name": "y", "type": "f32", "shape": ["batch", 2] }, { "name": "z", "type": "f32", "shape": ["batch", 2], "on_request": true }]
}"#;

fn declared(version: &str) -> Arc<Declared> {
    let manifest = MANIFEST.replace(r#""version": "1""#, &format!(r#""version": "{version}""#));
    Arc::new(Declared::read(Some("gate"), manifest.as_bytes(), None, None).unwrap())
}

/// An engine of one model that is still being loaded.
fn engine(deadline: Duration, cache_bytes_max: u64) -> Engine {
    let settings = Settings { queue_depth: 1, deadline, cache_bytes_max, ..Settings::new("") };
    let models = Arc::new(Models::default());
    models.begin("gate", &declared("1"), true);
    let (orders, taken) = sync_channel::<Order>(1);
    Engine {
        models,
        cache: ResultCache::new(settings.cache_bytes_max),
        settings,
        store: None,
        orders: Some(orders),
        // It lives until the engine is dropped.
        loader: Some(std::thread::spawn(move || taken.iter().for_each(drop))),
        loading: watch::channel(()).1,
        stop: None,
    }
}

/// Lets a version of the model answer, as the active one.
fn ready(engine: &Engine, version: &str) -> (Receiver<Vec<String>>, Sender<()>) {
    let ((started, has_started), (opener, open)) = (channel(), channel());
    let limits =
        Limits { depth: 1, rows_waiting_max: 9, wait_max: MINUTE, batch_rows_max: 1, delay: Duration::ZERO };
    let declared = declared(version);
    let counters = engine.models.begin("gate", &declared, true);
    let threads = Threads::start(vec![Gate { started, open }], limits, counters).unwrap();
    let ready = Ready { threads, golden: String::new(), execution_provider: "cpu", normalisation: None };
    drop(engine.models.finish("gate", &declared, ready, true));
    (has_started, opener)
}

fn gated(deadline: Duration) -> (Engine, Receiver<Vec<String>>, Sender<()>) {
    let engine = engine(deadline, 0);
    let (started, open) = ready(&engine, "1");
    (engine, started, open)
}

async fn statistics(engine: &Engine, version: &str) -> ModelStatistics {
    engine.statistics().await.into_iter().find(|one| one.version == version).unwrap()
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
    let engine = engine(MINUTE, 0);
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

#[tokio::test]
async fn only_the_outputs_that_were_asked_for_are_computed_and_in_that_order() {
    let (engine, started, open) = gated(MINUTE);
    (0..3).for_each(|_| open.send(()).unwrap());
    for (asked, computed, given) in [
        (&[][..], &["y"][..], &["y"][..]),
        (&["z"], &["z"], &["z"]),
        // The same computation as in the model's order.
        (&["z", "y"], &["y", "z"], &["z", "y"]),
    ] {
        let outputs = asked.iter().map(|name| (*name).to_owned()).collect();
        let request =
            PredictionRequest { outputs, ..PredictionRequest::new("gate", vec![x(&[1, 2], &[1.0, 2.0])]) };
        let prediction = engine.predict(request).await.unwrap();
        assert_eq!(started.recv().unwrap(), computed);
        assert_eq!(prediction.outputs.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), given);
    }
    let unknown = PredictionRequest {
        outputs: vec!["w".to_owned()],
        ..PredictionRequest::new("gate", vec![x(&[1, 2], &[1.0, 2.0])])
    };
    assert_eq!(engine.predict(unknown).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn the_same_question_again_costs_no_inference_and_another_does() {
    let engine = engine(MINUTE, 1_000_000);
    let (_started, open) = ready(&engine, "1");
    (0..3).for_each(|_| open.send(()).unwrap());
    let ask = async |values: [f32; 2], outputs: &[&str]| {
        let outputs = outputs.iter().map(|name| (*name).to_owned()).collect();
        let request =
            PredictionRequest { outputs, ..PredictionRequest::new("gate", vec![x(&[1, 2], &values)]) };
        engine.predict(request).await.unwrap()
    };
    let first = ask([1.0, 2.0], &[]).await;
    assert_eq!(ask([1.0, 2.0], &[]).await, first);
    assert_eq!(ask([1.0, 2.0], &["y"]).await, first);
    assert_eq!(ask([1.0, 3.0], &[]).await.outputs[0].data, [1.0, 3.0]);
    assert_eq!(ask([1.0, 2.0], &["z"]).await.outputs[0].name, "z");
    let statistics = statistics(&engine, "1").await;
    assert_eq!((statistics.execution_count, statistics.inference_count), (3, 3));
    assert_eq!(
        (statistics.cache_hit.count, statistics.cache_miss.count, statistics.success.count),
        (2, 3, 5)
    );
    assert!(statistics.last_inference.is_some());
}

#[tokio::test]
async fn a_version_takes_the_place_of_another_without_a_refused_request() {
    let (engine, started, open) = gated(MINUTE);
    let mut running = engine.predict(PredictionRequest::new("gate", vec![x(&[1, 2], &[1.0, 2.0])]));
    assert!((&mut running).now_or_never().is_none());
    started.recv().unwrap();
    let mut waiting = engine.predict(PredictionRequest::new("gate", vec![x(&[1, 2], &[3.0, 4.0])]));
    assert!((&mut waiting).now_or_never().is_none());
    // Both were taken by the first version, which answers them before it ends.
    (0..2).for_each(|_| open.send(()).unwrap());
    let (_started, open_second) = ready(&engine, "2");
    open_second.send(()).unwrap();
    assert_eq!(running.await.unwrap().model.version, "1");
    assert_eq!(waiting.await.unwrap().model.version, "1");
    let answer = engine.predict(PredictionRequest::new("gate", vec![x(&[1, 2], &[5.0, 6.0])])).await.unwrap();
    assert_eq!(answer.model.version, "2");
    let of_first = PredictionRequest {
        version: Some("1".to_owned()),
        ..PredictionRequest::new("gate", vec![x(&[1, 2], &[5.0, 6.0])])
    };
    assert_eq!(engine.predict(of_first).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(
        (statistics(&engine, "1").await.success.count, statistics(&engine, "2").await.success.count),
        (2, 1)
    );
    let active: Vec<_> = engine.models().await.into_iter().map(|one| (one.version, one.active)).collect();
    assert_eq!(active, [(Some("2".to_owned()), true)]);
    let index: Vec<_> =
        engine.index().await.unwrap().into_iter().map(|one| (one.version, one.active)).collect();
    assert_eq!(index, [(Some("1".to_owned()), false), (Some("2".to_owned()), true)]);
}

#[tokio::test]
async fn a_request_that_found_a_version_which_then_ended_is_answered_by_the_next() {
    let (engine, ..) = gated(MINUTE);
    let found = engine.models.find("gate", None).unwrap();
    let (_started, open) = ready(&engine, "2");
    open.send(()).unwrap();
    let mut request = PredictionRequest::new("gate", vec![x(&[1, 2], &[5.0, 6.0])]);
    let Ok(answer) = engine.answer(found, &mut request).await else { panic!("the next one answers") };
    assert_eq!(answer.model.version, "2");
}

#[tokio::test]
async fn an_unloaded_model_is_unavailable_after_it_answered_what_it_had_taken() {
    let (engine, started, open) = gated(MINUTE);
    let mut running = engine.predict(PredictionRequest::new("gate", vec![x(&[1, 2], &[1.0, 2.0])]));
    assert!((&mut running).now_or_never().is_none());
    started.recv().unwrap();
    open.send(()).unwrap();
    engine.unload("gate", Some("1")).await.unwrap();
    assert!(running.await.is_ok());
    let refused = engine.predict(PredictionRequest::new("gate", vec![x(&[1, 2], &[1.0, 2.0])])).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(engine.models().await.is_empty());
    engine.unload("gate", None).await.unwrap();
    for (model, version) in [("gate", Some("9")), ("other", None)] {
        assert_eq!(engine.unload(model, version).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

/// Takes its thread with it.
struct Panics;

impl Runner for Panics {
    fn run(&mut self, _: Vec<Tensor>, _: &[String]) -> Result<Vec<Tensor>, Cause> {
        panic!("as a library might")
    }
}

#[tokio::test]
async fn a_model_whose_threads_have_ended_is_not_ready_and_is_loaded_again() {
    let engine = engine(MINUTE, 0);
    let limits =
        Limits { depth: 1, rows_waiting_max: 9, wait_max: MINUTE, batch_rows_max: 1, delay: Duration::ZERO };
    let counters = engine.models.begin("gate", &declared("1"), true);
    let threads = Threads::start(vec![Panics], limits, counters).unwrap();
    let ready = Ready { threads, golden: String::new(), execution_provider: "cpu", normalisation: None };
    drop(engine.models.finish("gate", &declared("1"), ready, true));
    let request = || PredictionRequest::new("gate", vec![x(&[1, 2], &[1.0, 2.0])]);
    assert!(engine.predict(request()).await.is_err());
    // The answer is dropped before the thread says that it has ended.
    while engine.models.ended().is_empty() {
        tokio::task::yield_now().await;
    }
    let ModelState::Unavailable { reason } = engine.models().await.remove(0).state else {
        panic!("nobody would answer")
    };
    assert!(reason.contains("threads have ended"), "{reason}");
    assert_eq!(engine.predict(request()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let (held, stop) = watch::channel(());
    let loader =
        Loader { models: Arc::clone(&engine.models), settings: engine.settings.clone(), store: None, stop };
    loader.revive(&mut Followed::new());
    drop(held);
    // It was tried: there is no such folder any more.
    let status = engine.models().await.remove(0);
    assert!(status.active);
    let ModelState::Unavailable { reason } = status.state else { panic!("it cannot be loaded") };
    assert!(reason.contains("there is no model gate 1"), "{reason}");
    assert!(engine.models.ended().is_empty());
}

#[tokio::test]
async fn what_is_no_name_is_refused_and_no_more_orders_wait_than_may() {
    let mut engine = engine(MINUTE, 0);
    for (model, version) in [("a b", None), ("gate", Some("../1")), ("", None)] {
        assert_eq!(engine.load(model, version).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let (orders, _held) = sync_channel(1);
    engine.orders = Some(orders);
    assert!(engine.load("gate", None).now_or_never().is_none());
    let refused = engine.load("gate", None).now_or_never().unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn every_way_to_fail_is_counted_by_its_reason() {
    let (engine, started, open) = gated(MINUTE);
    let request = || PredictionRequest::new("gate", vec![x(&[1, 2], &[1.0, 2.0])]);
    let mut running = engine.predict(request());
    assert!((&mut running).now_or_never().is_none());
    started.recv().unwrap();
    let mut left = engine.predict(PredictionRequest { priority: Priority::Batch, ..request() });
    assert!((&mut left).now_or_never().is_none());
    assert!(engine.predict(request()).await.is_err());
    drop(left);
    assert!(engine.predict(PredictionRequest::new("gate", vec![])).await.is_err());
    open.send(()).unwrap();
    running.await.unwrap();
    // Its gate is gone: the model fails.
    drop(open);
    assert_eq!(engine.predict(request()).await.unwrap_err().kind(), ErrorKind::Unexpected);
    engine.unload("gate", None).await.unwrap();
    assert!(engine.predict(request()).await.is_err());
    let statistics = statistics(&engine, "1").await;
    let failures: Vec<_> = statistics.failure.iter().map(|(reason, tally)| (*reason, tally.count)).collect();
    let once = [
        FailureReason::InvalidInput,
        FailureReason::Refused,
        FailureReason::Abandoned,
        FailureReason::NotReady,
        FailureReason::Failed,
    ];
    assert_eq!(failures, once.map(|reason| (reason, 1)));
    assert_eq!(statistics.success.count, 1);
}

#[tokio::test]
async fn the_status_says_what_the_manifest_says() {
    let (engine, ..) = gated(MINUTE);
    let status = engine.models().await.remove(0);
    assert_eq!((status.version.as_deref(), status.rows_max), (Some("1"), 2));
    assert_eq!((status.inputs[0].name.as_str(), &status.inputs[0].shape[..]), ("x", &[2][..]));
    let outputs: Vec<_> = status.outputs.iter().map(|one| (one.name.as_str(), one.on_request)).collect();
    assert_eq!(outputs, [("y", false), ("z", true)]);
    assert_eq!(status.preprocessing.unwrap()["unit"], "m");
    assert_eq!(status.calibration.unwrap()["method"], "none");
}
