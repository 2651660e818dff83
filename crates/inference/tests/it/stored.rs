//! Models in the object store: added, activated, rolled back and removed, signed or not, and followed by running engines.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adapters_local::memory::MemoryObjectStore;
use conformance::ManualClock;
use inference::{Engine, ExecutionProvider, ModelStore, Package, Settings, SigningKey, Source, catalogue};
use jiff::Timestamp;
use ports::{
    Clock, ErrorKind, ModelRepository, ModelState, ObjectKey, ObjectStore, PredictionRequest, Predictor,
    PutOptions, Tensor,
    objects::{collect, once},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::settings;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub(crate) fn key() -> SigningKey {
    SigningKey::from_pem(&std::fs::read_to_string(fixtures().join("signing_key.pem")).unwrap()).unwrap()
}

/// A copy of the signed model, changed.
pub(crate) fn doubling(models: &Path, change: impl FnOnce(&Path)) -> PathBuf {
    let folder = models.join("doubling");
    std::fs::create_dir_all(folder.join("golden")).unwrap();
    for file in ["manifest.json", "model.onnx", "model.sig", "golden/x.f32", "golden/y.f32", "golden/z.f32"] {
        std::fs::copy(fixtures().join("doubling").join(file), folder.join(file)).unwrap();
    }
    change(&folder);
    folder
}

pub(crate) fn edit(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("manifest.json");
    let mut manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(path, manifest.to_string()).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

pub(crate) fn objects() -> Arc<dyn ObjectStore> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    Arc::new(MemoryObjectStore::new(clock, ("http://localhost".to_owned(), b"presign".to_vec().into())))
}

/// No models in a folder, and a store that is asked only when somebody says so.
fn settings_of_store() -> Settings {
    Settings { refresh: Duration::from_hours(1), ..settings(Path::new("/nowhere")) }
}

/// A store with a version of the model for each of `versions`.
pub(crate) async fn stored(versions: &[&str]) -> (Arc<dyn ObjectStore>, ModelStore) {
    let objects = objects();
    let store = ModelStore::new(Arc::clone(&objects));
    for version in versions {
        let models = TempDir::new().unwrap();
        let folder =
            doubling(models.path(), |folder| edit(folder, |manifest| manifest["version"] = json!(version)));
        Package::of_folder(&folder, None).unwrap().add_to(&store).await.unwrap();
    }
    (objects, store)
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn request(version: Option<&str>) -> PredictionRequest {
    let x = Tensor { name: "x".to_owned(), shape: vec![1, 2], data: vec![3.0, -1.5] };
    PredictionRequest { version: version.map(str::to_owned), ..PredictionRequest::new("doubling", vec![x]) }
}

/// The version that answers; its answer is right.
async fn answering(engine: &Engine, version: Option<&str>) -> Result<String, ErrorKind> {
    let prediction = engine.predict(request(version)).await.map_err(|error| error.kind())?;
    assert_eq!(prediction.outputs[0].data, [6.0, -3.0]);
    assert_eq!(prediction.outputs.len(), 1, "z is on request");
    Ok(prediction.model.version)
}

async fn reason(engine: &Engine) -> String {
    let status = engine.models().await.into_iter().find(|status| status.name == "doubling").unwrap();
    match status.state {
        ModelState::Unavailable { reason } => reason,
        ready @ ModelState::Ready { .. } => panic!("{ready:?}"),
    }
}

#[tokio::test]
async fn the_active_version_answers_and_an_activation_is_followed_without_a_restart() {
    let (_, store) = stored(&["1.0.0", "1.1.0"]).await;
    store.activate("doubling", "1.0.0", now()).await.unwrap();
    let engine = Engine::start_with(settings_of_store(), store.clone());
    engine.loaded().await;
    assert_eq!(answering(&engine, None).await.unwrap(), "1.0.0");
    let activation = store.activate("doubling", "1.1.0", now()).await.unwrap();
    assert_eq!(activation.predecessor.as_deref(), Some("1.0.0"));
    // As a server does that is asked to, or whose turn it is to look.
    engine.load("doubling", None).await.unwrap();
    assert_eq!(answering(&engine, None).await.unwrap(), "1.1.0");
    assert_eq!(answering(&engine, Some("1.0.0")).await.unwrap_err(), ErrorKind::Unavailable);
    assert_eq!(store.rollback("doubling", now()).await.unwrap().version, "1.0.0");
    engine.load("doubling", None).await.unwrap();
    assert_eq!(answering(&engine, None).await.unwrap(), "1.0.0");
    // Both at once, where somebody asks for it.
    engine.load("doubling", Some("1.1.0")).await.unwrap();
    assert_eq!(answering(&engine, Some("1.1.0")).await.unwrap(), "1.1.0");
    assert_eq!(answering(&engine, None).await.unwrap(), "1.0.0");
    assert_eq!(engine.load("doubling", Some("9")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(engine.load("other", None).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_looks_for_activations_by_itself() {
    let (_, store) = stored(&["1.0.0", "1.1.0"]).await;
    store.activate("doubling", "1.0.0", now()).await.unwrap();
    let settings = Settings { refresh: Duration::from_millis(1), ..settings_of_store() };
    let engine = Engine::start_with(settings, store.clone());
    engine.loaded().await;
    store.activate("doubling", "1.1.0", now()).await.unwrap();
    while answering(&engine, None).await.unwrap() != "1.1.0" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_version_that_is_wrong_never_takes_the_place_of_one_that_answers() {
    let (objects, store) = stored(&["1.0.0"]).await;
    store.activate("doubling", "1.0.0", now()).await.unwrap();
    let engine = Engine::start_with(settings_of_store(), store.clone());
    engine.loaded().await;
    // Its golden vectors are not what the model gives, and its files are as its manifest says.
    let models = TempDir::new().unwrap();
    let folder = doubling(models.path(), |folder| {
        let bytes = [3.0_f32, -4.0, 0.5, 8.5].map(f32::to_le_bytes).concat();
        std::fs::write(folder.join("golden/y.f32"), &bytes).unwrap();
        edit(folder, |manifest| {
            manifest["version"] = json!("2.0.0");
            manifest["files"][2]["sha256"] = json!(hex::encode(Sha256::digest(&bytes)));
        });
    });
    let package = Package::of_folder(&folder, None).unwrap();
    assert!(package.check(&settings_of_store()).unwrap_err().contains("golden: y is off by"));
    package.add_to(&store).await.unwrap();
    store.activate("doubling", "2.0.0", now()).await.unwrap();
    assert_eq!(engine.load("doubling", None).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(answering(&engine, None).await.unwrap(), "1.0.0");
    let wrong = engine
        .index()
        .await
        .unwrap()
        .into_iter()
        .find(|one| one.version.as_deref() == Some("2.0.0"))
        .unwrap();
    assert!(
        matches!(wrong.state, ModelState::Unavailable { ref reason } if reason.contains("golden")),
        "{wrong:?}"
    );
    // Whoever asks whether to send requests here looks at the active version.
    let statuses = engine.models().await;
    let [active] = &statuses.iter().filter(|one| one.active).collect::<Vec<_>>()[..] else {
        panic!("{statuses:?}")
    };
    assert_eq!(active.version.as_deref(), Some("1.0.0"));
    assert!(matches!(active.state, ModelState::Ready { .. }), "{active:?}");
    // A server that starts now has no version that it may use.
    let late = Engine::start_with(settings_of_store(), store.clone());
    late.loaded().await;
    assert_eq!(answering(&late, None).await.unwrap_err(), ErrorKind::Unavailable);
    assert!(reason(&late).await.contains("golden"));
    // Nor one whose stored bytes are others.
    store.rollback("doubling", now()).await.unwrap();
    let blob = format!(
        "models/blobs/sha256/{}",
        hex::encode(Sha256::digest(std::fs::read(folder.join("model.onnx")).unwrap()))
    );
    let blob = ObjectKey::new(blob).unwrap();
    let mut bytes =
        collect(objects.get(&blob, None).await.unwrap().unwrap().body, 1000).await.unwrap().to_vec();
    bytes[60] ^= 1;
    objects.put(&blob, once(bytes), PutOptions::default()).await.unwrap();
    let late = Engine::start_with(settings_of_store(), store);
    late.loaded().await;
    let reason = reason(&late).await;
    assert!(reason.contains("model.onnx: its sha-256"), "{reason}");
    assert_eq!(answering(&engine, None).await.unwrap(), "1.0.0");
}

#[tokio::test]
async fn what_is_asked_for_and_is_not_there_does_not_become_a_version() {
    let (objects, store) = stored(&["1.0.0", "1.1.0"]).await;
    store.activate("doubling", "1.0.0", now()).await.unwrap();
    let engine = Engine::start_with(settings_of_store(), store);
    engine.loaded().await;
    let manifest = ObjectKey::new("models/manifests/doubling/3.0.0.json").unwrap();
    objects.put(&manifest, once("{"), PutOptions::default()).await.unwrap();
    for (model, version, kind) in [
        ("doubling", "a typo", ErrorKind::InvalidInput),
        ("../doubling", "1.0.0", ErrorKind::InvalidInput),
        ("doubling", "2.0.0", ErrorKind::NotFound),
        ("doublin", "1.0.0", ErrorKind::NotFound),
        ("doubling", "3.0.0", ErrorKind::Corrupt),
    ] {
        assert_eq!(engine.load(model, Some(version)).await.unwrap_err().kind(), kind, "{model} {version}");
    }
    let known: Vec<_> = engine.statistics().await.into_iter().map(|one| (one.name, one.version)).collect();
    assert_eq!(known, [("doubling".to_owned(), "1.0.0".to_owned())]);
    assert_eq!(engine.models().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_that_cannot_be_read_makes_the_model_unavailable_until_it_can() {
    let models = TempDir::new().unwrap();
    doubling(models.path(), |_| {});
    let (objects, store) = stored(&["1.1.0"]).await;
    store.activate("doubling", "1.1.0", now()).await.unwrap();
    let key = objects.list("models/active/", None, 9).await.unwrap().items.remove(0).key;
    let right = collect(objects.get(&key, None).await.unwrap().unwrap().body, 1000).await.unwrap();
    objects.put(&key, once("{"), PutOptions::default()).await.unwrap();
    let settings = Settings {
        models_dir: models.path().to_path_buf(),
        refresh: Duration::from_millis(1),
        ..settings_of_store()
    };
    let engine = Engine::start_with(settings, store);
    engine.loaded().await;
    // Neither forgotten nor answered by the folder's, which was replaced.
    assert_eq!(answering(&engine, None).await.unwrap_err(), ErrorKind::Unavailable);
    let statuses = engine.models().await;
    assert_eq!(statuses.iter().map(|one| one.active).collect::<Vec<_>>(), [true]);
    let reason = reason(&engine).await;
    assert!(reason.contains("its activation cannot be read"), "{reason}");
    objects.put(&key, once(right), PutOptions::default()).await.unwrap();
    while answering(&engine, None).await != Ok("1.1.0".to_owned()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(engine.models().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_do_not_keep_an_engine_from_looking_for_activations() {
    let (_, store) = stored(&["1.0.0", "1.1.0"]).await;
    store.activate("doubling", "1.0.0", now()).await.unwrap();
    let settings = Settings { refresh: Duration::from_millis(50), ..settings_of_store() };
    let engine = Engine::start_with(settings, store.clone());
    engine.loaded().await;
    store.activate("doubling", "1.1.0", now()).await.unwrap();
    // There is always one that waits.
    let order = async || while !matches!(engine.load("other", Some("1")).await, Ok(())) {};
    let orders = futures::future::join(order(), order());
    let followed = async {
        while answering(&engine, None).await.unwrap() != "1.1.0" {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _never = orders => panic!("there is no such model"),
        () = followed => {}
    }
}

#[tokio::test]
async fn a_stored_version_answers_in_the_place_of_the_folders() {
    let models = TempDir::new().unwrap();
    doubling(models.path(), |folder| std::fs::remove_file(folder.join("model.sig")).unwrap());
    let settings = Settings { models_dir: models.path().to_path_buf(), ..settings_of_store() };
    let (_, store) = stored(&["1.1.0"]).await;
    let engine = Engine::start_with(settings.clone(), store.clone());
    engine.loaded().await;
    assert_eq!(answering(&engine, None).await.unwrap(), "1.0.0");
    store.activate("doubling", "1.1.0", now()).await.unwrap();
    engine.load("doubling", None).await.unwrap();
    assert_eq!(answering(&engine, None).await.unwrap(), "1.1.0");
    let late = Engine::start_with(settings.clone(), store.clone());
    late.loaded().await;
    assert_eq!(answering(&late, None).await.unwrap(), "1.1.0");
    assert_eq!(answering(&late, Some("1.0.0")).await.unwrap_err(), ErrorKind::Unavailable);
    late.load("doubling", Some("1.0.0")).await.unwrap();
    assert_eq!(answering(&late, Some("1.0.0")).await.unwrap(), "1.0.0");
    let listed = catalogue(&settings, &store).await.unwrap();
    let listed: Vec<_> =
        listed.into_iter().map(|one| (one.version.unwrap(), one.source, one.is_active)).collect();
    assert_eq!(
        listed,
        [("1.0.0".to_owned(), Source::Folder, false), ("1.1.0".to_owned(), Source::Store, true)]
    );
}

#[tokio::test]
async fn versions_are_never_replaced_and_activations_race_to_one() {
    let (objects, store) = stored(&["1.0.0", "1.1.0", "2.0.0"]).await;
    let models = TempDir::new().unwrap();
    let same =
        doubling(models.path(), |folder| edit(folder, |manifest| manifest["version"] = json!("1.0.0")));
    Package::of_folder(&same, None).unwrap().add_to(&store).await.unwrap();
    let other =
        doubling(models.path(), |folder| edit(folder, |manifest| manifest["licence"] = json!("other")));
    let error = Package::of_folder(&other, None).unwrap().add_to(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(store.activate("doubling", "9", now()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.rollback("doubling", now()).await.unwrap_err().kind(), ErrorKind::NotFound);
    store.activate("doubling", "1.0.0", now()).await.unwrap();
    assert_eq!(store.rollback("doubling", now()).await.unwrap_err().kind(), ErrorKind::NotFound);
    // What is active stays so, and keeps what was before it.
    let second = store.activate("doubling", "1.1.0", now()).await.unwrap();
    assert_eq!(store.activate("doubling", "1.1.0", now()).await.unwrap(), second);
    assert_eq!(store.rollback("doubling", now()).await.unwrap().version, "1.0.0");
    // However they fall, each that says it is the active one has an activation, and each that is not knows it.
    let activations = async || objects.list("models/active/", None, 99).await.unwrap().items.len();
    let before = activations().await;
    let racing = (0..8).map(|_| store.activate("doubling", "1.1.0", now()));
    let answers = futures::future::join_all(racing).await;
    assert_eq!(activations().await, before + 1);
    let (won, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(!won.is_empty());
    assert!(
        won.iter().flatten().all(|one| one.version == "1.1.0" && one.predecessor.as_deref() == Some("1.0.0"))
    );
    for refused in refused.into_iter().filter_map(Result::err) {
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    }
    let (one, two) =
        tokio::join!(store.activate("doubling", "1.0.0", now()), store.activate("doubling", "2.0.0", now()));
    let accepted = [one, two].into_iter().flatten().count();
    assert_eq!(activations().await, before + 1 + accepted);
    assert!(accepted > 0);
}

#[tokio::test]
async fn each_rollback_goes_one_further_back_and_an_activation_again_is_none() {
    let (objects, store) = stored(&["1", "2", "3"]).await;
    for version in ["1", "2", "3", "3"] {
        store.activate("doubling", version, now()).await.unwrap();
    }
    assert_eq!(objects.list("models/active/", None, 99).await.unwrap().items.len(), 3);
    let again = store.activate("doubling", "3", now()).await.unwrap();
    assert_eq!(again.predecessor.as_deref(), Some("2"));
    for (version, predecessor) in [("2", Some("1")), ("1", None)] {
        let back = store.rollback("doubling", now()).await.unwrap();
        assert_eq!((back.version.as_str(), back.predecessor.as_deref()), (version, predecessor));
    }
    assert_eq!(store.rollback("doubling", now()).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn removing_a_version_removes_the_files_that_no_other_has() {
    let (objects, store) = stored(&["1.0.0", "1.1.0"]).await;
    store.activate("doubling", "1.1.0", now()).await.unwrap();
    assert_eq!(store.remove("doubling", "1.1.0").await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(store.remove("doubling", "9").await.unwrap_err().kind(), ErrorKind::NotFound);
    // Both versions have the same four files.
    assert_eq!(store.remove("doubling", "1.0.0").await.unwrap(), 0);
    assert_eq!(objects.list("models/blobs/", None, 100).await.unwrap().items.len(), 4);
    let other = ModelStore::new(Arc::clone(&objects));
    let models = TempDir::new().unwrap();
    let folder = doubling(models.path(), |folder| edit(folder, |manifest| manifest["version"] = json!("2")));
    Package::of_folder(&folder, None).unwrap().add_to(&other).await.unwrap();
    other.activate("doubling", "2", now()).await.unwrap();
    other.remove("doubling", "1.1.0").await.unwrap();
    let names = |prefix: &'static str| async {
        objects
            .list(prefix, None, 100)
            .await
            .unwrap()
            .items
            .into_iter()
            .map(|meta| meta.key.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("models/manifests/").await,
        ["models/manifests/doubling/2.json", "models/manifests/doubling/2.sig"]
    );
    Package::of_store(&other, "doubling", "2", None).await.unwrap().check(&settings_of_store()).unwrap();
}

#[tokio::test]
async fn with_a_key_only_what_it_signed_is_used() {
    async fn loaded(change: impl FnOnce(&Path)) -> Result<String, String> {
        let models = TempDir::new().unwrap();
        doubling(models.path(), change);
        let settings = Settings {
            signing_key: Some(key()),
            models_dir: models.path().to_path_buf(),
            ..settings_of_store()
        };
        let engine = Engine::load(settings);
        match answering(&engine, None).await {
            Ok(version) => Ok(version),
            Err(_) => Err(reason(&engine).await),
        }
    }
    assert_eq!(loaded(|_| {}).await.unwrap(), "1.0.0");
    let forged = |path: &'static str| {
        move |folder: &Path| {
            let bundle = folder.join("model.sig");
            let mut json: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
            let text = json.pointer(path).unwrap().as_str().unwrap().to_owned();
            // Another character of base64, so that it decodes.
            let other = if &text[40..41] == "A" { "B" } else { "A" };
            *json.pointer_mut(path).unwrap() = json!(format!("{}{other}{}", &text[..40], &text[41..]));
            std::fs::write(bundle, json.to_string()).unwrap();
        }
    };
    let reasons = [
        (
            loaded(|folder| std::fs::remove_file(folder.join("model.sig")).unwrap()).await,
            "model.sig: it is missing",
        ),
        (loaded(|folder| flip(&folder.join("model.onnx"))).await, "model.onnx: its sha-256"),
        (loaded(|folder| flip(&folder.join("golden/z.f32"))).await, "golden/z.f32: its sha-256"),
        (loaded(|folder| flip(&folder.join("manifest.json"))).await, "it is not for this manifest.json"),
        // One who can change the manifest with the file still cannot sign it.
        (
            loaded(|folder| edit(folder, |manifest| manifest["licence"] = json!("mine"))).await,
            "it is not for this manifest.json",
        ),
        (loaded(forged("/dsseEnvelope/payload")).await, "its signature is not the configured key's"),
        (loaded(forged("/dsseEnvelope/signatures/0/sig")).await, "its signature is not the configured key's"),
    ];
    for (loaded, expected) in reasons {
        let reason = loaded.unwrap_err();
        assert!(reason.contains(expected), "{reason} should say {expected}");
    }
}

#[tokio::test]
async fn a_stored_version_carries_its_signature() {
    let models = TempDir::new().unwrap();
    let folder = doubling(models.path(), |_| {});
    let (objects, store) = stored(&["1.1.0"]).await;
    Package::of_folder(&folder, Some(&key())).unwrap().add_to(&store).await.unwrap();
    store.activate("doubling", "1.0.0", now()).await.unwrap();
    let settings = Settings { signing_key: Some(key()), ..settings_of_store() };
    let engine = Engine::start_with(settings.clone(), store.clone());
    engine.loaded().await;
    assert_eq!(answering(&engine, None).await.unwrap(), "1.0.0");
    // The other one's signature is for another manifest.
    store.activate("doubling", "1.1.0", now()).await.unwrap();
    assert_eq!(engine.load("doubling", None).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(answering(&engine, None).await.unwrap(), "1.0.0");
    objects.delete(&ObjectKey::new("models/manifests/doubling/1.0.0.sig").unwrap()).await.unwrap();
    store.rollback("doubling", now()).await.unwrap();
    let late = Engine::start_with(settings, store);
    late.loaded().await;
    assert!(reason(&late).await.contains("model.sig: it is missing"));
}

#[tokio::test]
async fn a_provider_that_was_named_and_is_not_there_is_an_error_and_auto_says_what_it_got() {
    let models = TempDir::new().unwrap();
    doubling(models.path(), |_| {});
    let with = |execution_provider| {
        Engine::load(Settings {
            execution_provider,
            models_dir: models.path().to_path_buf(),
            ..settings_of_store()
        })
    };
    // The library that `make onnxruntime` fetches on Linux has none of these.
    for (provider, name) in [
        (ExecutionProvider::Cuda, "cuda"),
        (ExecutionProvider::Tensorrt, "tensorrt"),
        (ExecutionProvider::Coreml, "coreml"),
        (ExecutionProvider::Openvino, "openvino"),
    ] {
        if cfg!(target_os = "linux") {
            let reason = reason(&with(provider)).await;
            assert!(reason.contains(&format!("execution provider {name}:")), "{reason}");
        }
    }
    let auto = with(ExecutionProvider::Auto);
    let status = auto.models().await.remove(0);
    let ModelState::Ready { execution_provider, .. } = status.state else { panic!("{:?}", status.state) };
    if cfg!(target_os = "linux") {
        assert_eq!(execution_provider, "cpu");
    }
    assert!(answering(&auto, None).await.is_ok());
}

#[tokio::test]
async fn requests_at_the_same_time_share_executions_and_their_answers_are_their_own() {
    let models = TempDir::new().unwrap();
    doubling(models.path(), |folder| {
        edit(folder, |manifest| manifest["batching"]["batch_delay_us"] = json!(50_000));
    });
    let engine = Engine::load(Settings {
        models_dir: models.path().to_path_buf(),
        queue_depth: 100,
        ..settings_of_store()
    });
    let ask = |value: f32| {
        let x = Tensor { name: "x".to_owned(), shape: vec![1, 2], data: vec![value, -value] };
        engine.predict(PredictionRequest::new("doubling", vec![x]))
    };
    // Two executions of eight rows each, which is what fits.
    let answers = futures::future::try_join_all((0..16_u8).map(|value| ask(f32::from(value)))).await.unwrap();
    for (value, answer) in (0..16_u8).map(f32::from).zip(answers) {
        assert_eq!(answer.outputs[0].data, [2.0 * value, -2.0 * value]);
        assert_eq!(answer.outputs[0].shape, [1, 2]);
    }
    let statistics = engine.statistics().await.remove(0);
    assert_eq!(statistics.inference_count, 16);
    assert!(statistics.execution_count < 16, "{statistics:?}");
}
