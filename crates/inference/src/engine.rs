//! The models of a folder, behind the `Predictor` port.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;

use async_trait::async_trait;
use ports::{
    Error, ErrorKind, ModelIdentity, ModelState, ModelStatus, Normalisation, Prediction, PredictionRequest,
    Predictor, Result, Tensor,
};
use tokio::sync::watch;

use crate::manifest::{Manifest, Signature};
use crate::queue::Queue;
use crate::runtime::{LibraryError, OnnxRuntime};
use crate::session::OnnxSession;
use crate::{Settings, golden, store};

const OPERATION: &str = "predictor.predict";

/// The models of a folder. Dropping it ends their threads.
pub struct Engine {
    models: Arc<Models>,
    settings: Settings,
    loader: Option<JoinHandle<()>>,
    /// Closed when the loader has ended, in whatever way.
    loading: watch::Receiver<()>,
}

type Models = BTreeMap<String, Model>;

struct Model {
    folder: PathBuf,
    manifest: Result<Manifest, String>,
    /// Empty while it is being loaded.
    loaded: OnceLock<Result<Ready, String>>,
}

struct Ready {
    queue: Queue,
    golden_check: String,
    normalisation: Option<Arc<Normalisation>>,
}

impl Engine {
    /// Answers at once: the manifests are read, and a thread of its own reads, verifies and loads the models, which are
    /// unavailable until then.
    pub fn start(settings: Settings) -> Arc<Self> {
        Arc::new(Self::begin(settings))
    }

    /// Like [`Engine::start`], and waits until every model is ready or known to be unavailable. It blocks its thread.
    pub fn load(settings: Settings) -> Arc<Self> {
        let mut engine = Self::begin(settings);
        engine.join_loader();
        Arc::new(engine)
    }

    fn begin(settings: Settings) -> Self {
        let models = Arc::new(configured(&settings));
        let (held, loading) = watch::channel(());
        let (weak, ours) = (Arc::downgrade(&models), settings.clone());
        let load = move || {
            // Held until the end, and dropped also by a panic.
            let _held = held;
            load_all(&weak, &ours);
        };
        let loader = std::thread::Builder::new().name("infer-load".to_owned()).spawn(load);
        if let Err(error) = &loader {
            tracing::error!(%error, "the models cannot be loaded: no thread");
        }
        Self { models, settings, loader: loader.ok(), loading }
    }

    fn join_loader(&mut self) {
        if let Some(loader) = self.loader.take()
            && loader.join().is_err()
        {
            tracing::error!("the thread that loads the models had panicked");
        }
    }

    /// Waits until every model is ready or known to be unavailable.
    pub async fn loaded(&self) {
        // Nothing is ever sent: the channel closes when the loader ends.
        while self.loading.clone().changed().await.is_ok() {}
    }

    /// How often `model` was run, the golden vectors not counted; `None` if it is not ready.
    pub fn executions(&self, model: &str) -> Option<u64> {
        let ready = self.models.get(model)?.loaded.get()?.as_ref().ok()?;
        Some(ready.queue.executions())
    }

    async fn answer(
        &self,
        name: &str,
        model: &Model,
        request: PredictionRequest,
    ) -> Result<Prediction, Failure> {
        let PredictionRequest { inputs, outputs: wanted, .. } = request;
        let (Ok(manifest), Some(Ok(ready))) = (&model.manifest, model.loaded.get()) else {
            return Err(Failure::NotReady(format!("the model {name} is not ready")));
        };
        if let Some(unknown) =
            wanted.iter().find(|name| manifest.outputs.iter().all(|one| one.name != **name))
        {
            return Err(Failure::Invalid(format!("the model has no output {unknown}")));
        }
        let inputs = checked(inputs, &manifest.inputs, self.settings.rows_max)?;
        let answer = ready.queue.submit(inputs).map_err(|refused| Failure::Refused(refused.to_string()))?;
        // When the deadline passes the receiver is dropped, and with it the request leaves the queue.
        let answer = tokio::time::timeout(self.settings.deadline, answer).await;
        match answer {
            Ok(Ok(Ok(outputs))) => {
                let asked = wanted.iter().filter_map(|name| outputs.iter().find(|one| one.name == *name));
                let asked: Vec<Tensor> = asked.cloned().collect();
                let outputs = if wanted.is_empty() { outputs } else { asked };
                Ok(Prediction { outputs, model: manifest.identity() })
            }
            Ok(Ok(Err(cause))) => Err(Failure::Failed(cause)),
            Ok(Err(_)) => Err(Failure::Failed("the inference thread ended".into())),
            Err(elapsed) => Err(Failure::Expired(elapsed)),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Without this the loader would go on; now it ends after the model it is at.
        self.models = Arc::default();
        self.join_loader();
    }
}

#[async_trait]
impl Predictor for Engine {
    async fn predict(&self, request: PredictionRequest) -> Result<Prediction> {
        let Some((name, model)) = self.models.get_key_value(&request.model) else {
            return Err(Error::new(ErrorKind::NotFound, OPERATION));
        };
        let asked = request.version.as_deref();
        if asked.is_some() && asked != model.manifest.as_ref().ok().map(|one| one.version.as_str()) {
            return Err(Error::new(ErrorKind::NotFound, OPERATION));
        }
        let mut tally = Tally { model: name, outcome: "abandoned" };
        let answer = self.answer(name, model, request).await;
        tally.outcome = answer.as_ref().err().map_or("ok", Failure::outcome);
        answer.map_err(Error::from)
    }

    async fn models(&self) -> Vec<ModelStatus> {
        let over = self.loading.has_changed().is_err();
        self.models.iter().map(|(name, model)| model.status(name, &self.settings, over)).collect()
    }
}

/// Counts a request when it is over, also when its future was dropped.
struct Tally<'a> {
    model: &'a str,
    outcome: &'static str,
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        let labels = [("model", self.model.to_owned()), ("outcome", self.outcome.to_owned())];
        metrics::counter!("inference_requests_total", &labels).increment(1);
    }
}

/// Why there is no prediction.
enum Failure {
    NotReady(String),
    Invalid(String),
    Refused(String),
    Expired(tokio::time::error::Elapsed),
    Failed(ports::Cause),
}

impl Failure {
    fn outcome(&self) -> &'static str {
        match self {
            Self::NotReady(_) => "not_ready",
            Self::Invalid(_) => "invalid_input",
            Self::Refused(_) => "refused",
            Self::Expired(_) => "expired",
            Self::Failed(_) => "failed",
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Invalid(reason) => Self::new(ErrorKind::InvalidInput, OPERATION).with_cause(reason),
            Failure::NotReady(reason) | Failure::Refused(reason) => {
                Self::new(ErrorKind::Unavailable, OPERATION).with_cause(reason)
            }
            Failure::Expired(elapsed) => Self::new(ErrorKind::Unavailable, OPERATION).with_cause(elapsed),
            Failure::Failed(cause) => Self::new(ErrorKind::Unexpected, OPERATION).with_cause(cause),
        }
    }
}

impl Model {
    fn fill(&self, name: &str, runtime: &Result<OnnxRuntime, LibraryError>, settings: &Settings) {
        let loaded = match (&self.manifest, runtime) {
            (Err(reason), _) => Err(reason.clone()),
            (_, Err(error)) => Err(error.to_string()),
            (Ok(manifest), Ok(runtime)) => self.ready(manifest, runtime, settings),
        };
        match &loaded {
            Ok(ready) => tracing::info!(model = name, golden = ready.golden_check, "the model is ready"),
            Err(reason) => tracing::error!(model = name, reason, "the model is unavailable"),
        }
        metrics::gauge!("inference_model_ready", "model" => name.to_owned())
            .set(f64::from(u8::from(loaded.is_ok())));
        // It is empty: one thread fills it, once.
        self.loaded.get_or_init(|| loaded);
    }

    fn ready(
        &self,
        manifest: &Manifest,
        runtime: &OnnxRuntime,
        settings: &Settings,
    ) -> Result<Ready, String> {
        if settings.sessions_per_model == 0 || settings.queue_depth == 0 || settings.rows_max == 0 {
            return Err("sessions_per_model, queue_depth and rows_max must be above 0".to_owned());
        }
        let files = store::Files::read(&self.folder, &manifest.files)?;
        let normalisation = store::normalisation(manifest, &files)?.map(Arc::new);
        let cases = golden::cases(manifest, &files)?;
        let (bytes, in_file) = (files.bytes(&manifest.model)?, self.folder.join(&manifest.model));
        let named = |reason: String| format!("{}: {reason}", in_file.display());
        let mut sessions = Vec::new();
        let mut golden_check = String::new();
        for _ in 0..settings.sessions_per_model {
            let session = runtime
                .session(bytes, settings.execution_provider)
                .map_err(|error| named(error.to_string()))?;
            let mut session =
                OnnxSession::new(session, &manifest.inputs, &manifest.outputs).map_err(named)?;
            // Each session is checked, which also spares its first client the slow first run.
            golden_check = golden::check(&cases, &mut session).map_err(named)?;
            sessions.push(session);
        }
        let queue = Queue::start(&manifest.name, sessions, settings.queue_depth)
            .map_err(|error| error.to_string())?;
        Ok(Ready { queue, golden_check, normalisation })
    }

    fn status(&self, name: &str, settings: &Settings, loading_is_over: bool) -> ModelStatus {
        let identity: Option<ModelIdentity> = self.manifest.as_ref().ok().map(Manifest::identity);
        let (state, normalisation) = match self.loaded.get() {
            Some(Ok(ready)) => {
                let golden_check = ready.golden_check.clone();
                let execution_provider = settings.execution_provider.name().to_owned();
                (ModelState::Ready { golden_check, execution_provider }, ready.normalisation.clone())
            }
            Some(Err(reason)) => (ModelState::Unavailable { reason: reason.clone() }, None),
            None => {
                let reason = if loading_is_over { "loading it ended early: see the log" } else { "loading" };
                (ModelState::Unavailable { reason: reason.to_owned() }, None)
            }
        };
        let manifest = self.manifest.as_ref().ok();
        let signatures = |signatures: &[Signature]| signatures.iter().map(Signature::of_row).collect();
        ModelStatus {
            name: name.to_owned(),
            version: manifest.map(|one| one.version.clone()),
            active: true,
            identity,
            state,
            inputs: manifest.map(|one| signatures(&one.inputs)).unwrap_or_default(),
            outputs: manifest.map(|one| signatures(&one.outputs)).unwrap_or_default(),
            rows_max: settings.rows_max,
            normalisation,
            preprocessing: manifest.and_then(|one| one.preprocessing.clone()).map(Arc::new),
            calibration: None,
        }
    }
}

fn configured(settings: &Settings) -> Models {
    let folders = store::folders(&settings.models_dir).unwrap_or_else(|error| {
        tracing::error!(folder = %settings.models_dir.display(), %error, "the models' folder cannot be read");
        BTreeMap::new()
    });
    let models = folders.into_iter().map(|(name, folder)| {
        let manifest = store::manifest(&folder, &name);
        (name, Model { folder, manifest, loaded: OnceLock::new() })
    });
    models.collect()
}

/// Stops between two models when nobody holds them any more.
fn load_all(models: &Weak<Models>, settings: &Settings) {
    let names: Vec<String> =
        models.upgrade().map(|models| models.keys().cloned().collect()).unwrap_or_default();
    if names.is_empty() {
        return;
    }
    let runtime = OnnxRuntime::load(settings.library.as_deref(), &settings.library_folders);
    for name in names {
        let Some(models) = models.upgrade() else { return };
        if let Some(model) = models.get(&name) {
            model.fill(&name, &runtime, settings);
        }
    }
}

/// The inputs in the model's order, if each is there once, fits, and is finite.
fn checked(
    mut inputs: Vec<Tensor>,
    signatures: &[Signature],
    rows_max: usize,
) -> Result<Vec<Tensor>, Failure> {
    let invalid = |reason: String| Err(Failure::Invalid(reason));
    if inputs.len() != signatures.len() {
        return invalid(format!("{} inputs were given, the model has {}", inputs.len(), signatures.len()));
    }
    let mut ordered = Vec::with_capacity(inputs.len());
    for signature in signatures {
        let Some(at) = inputs.iter().position(|input| input.name == signature.name) else {
            return invalid(format!("the input {} is missing", signature.name));
        };
        ordered.push(inputs.swap_remove(at));
    }
    let rows = ordered.first().and_then(|input| input.shape.first()).copied().unwrap_or_default();
    if rows == 0 || rows > rows_max {
        return invalid(format!("the number of rows is not between 1 and {rows_max}"));
    }
    for (input, signature) in ordered.iter().zip(signatures) {
        if signature.rows_of(input) != Some(rows) {
            return invalid(format!(
                "the shape or length of {} is not {:?}",
                signature.name,
                signature.shape(rows)
            ));
        }
        if !input.data.iter().all(|value| value.is_finite()) {
            return invalid(format!("a value of {} is not finite", signature.name));
        }
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests;
