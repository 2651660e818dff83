//! The models of a folder and of a store, behind the ports.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use async_trait::async_trait;
use ports::{
    Cause, Error, ErrorKind, FailureReason, ModelRepository, ModelState, ModelStatistics, ModelStatus,
    Prediction, PredictionRequest, Predictor, Result, Tensor,
};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::Settings;
use crate::cache::{Key, ResultCache};
use crate::counters::{Counters, Outcome};
use crate::loader::{Loader, Order};
use crate::manifest::{Manifest, Signature, is_plain};
use crate::models::{self, Found, Models, Served};
use crate::package::{Read, Ready, batching};
use crate::queue::{Question, Refused};
use crate::store::ModelStore;

const OPERATION: &str = "predictor.predict";
/// Orders to load a model that may wait for the one that is being loaded.
const ORDERS_MAX: usize = 32;

/// The models of a folder and of a store. Dropping it ends their threads.
pub struct Engine {
    models: Arc<Models>,
    settings: Settings,
    store: Option<ModelStore>,
    cache: Option<ResultCache>,
    orders: Option<SyncSender<Order>>,
    loader: Option<JoinHandle<()>>,
    /// Closed when what is configured was loaded, or the loader has ended in whatever way.
    loading: watch::Receiver<()>,
    /// Dropped to end the loader.
    stop: Option<watch::Sender<()>>,
}

impl Engine {
    /// Answers at once: a thread of its own reads, verifies and loads the models, which are unavailable until then.
    pub fn start(settings: Settings) -> Arc<Self> {
        Arc::new(Self::begin(settings, None))
    }

    /// Like [`Engine::start`], with the models that `store` holds too, and the versions that it says are active; those are
    /// followed. Needs to be called in a tokio runtime, which goes on to run while the engine lives.
    pub fn start_with(settings: Settings, store: ModelStore) -> Arc<Self> {
        Arc::new(Self::begin(settings, Some((store, Handle::current()))))
    }

    /// Without any model, for who predicts nothing: no thread, no runtime, no memory of theirs.
    pub fn without_models(settings: Settings) -> Arc<Self> {
        let (_, loading) = watch::channel(());
        let cache = ResultCache::new(settings.cache_bytes_max);
        let models = Arc::default();
        Arc::new(Self {
            models,
            settings,
            store: None,
            cache,
            orders: None,
            loader: None,
            loading,
            stop: None,
        })
    }

    /// Like [`Engine::start`], and waits until every model is ready or known to be unavailable. It blocks its thread.
    pub fn load(settings: Settings) -> Arc<Self> {
        let engine = Self::begin(settings, None);
        let mut loading = engine.loading.clone();
        // A thread of its own, since this one may be a runtime's, where nothing may block on a future.
        let waited = std::thread::scope(|scope| {
            scope
                .spawn(|| futures::executor::block_on(async { while loading.changed().await.is_ok() {} }))
                .join()
        });
        if waited.is_err() {
            tracing::error!("nobody could wait for the models");
        }
        Arc::new(engine)
    }

    fn begin(settings: Settings, store: Option<(ModelStore, Handle)>) -> Self {
        let models: Arc<Models> = Arc::default();
        let ((held, loading), (stop, stopped), (orders, taken)) =
            (watch::channel(()), watch::channel(()), sync_channel(ORDERS_MAX));
        let cache = ResultCache::new(settings.cache_bytes_max);
        let kept = store.as_ref().map(|(store, _)| store.clone());
        let loader = Loader { models: Arc::clone(&models), settings: settings.clone(), store, stop: stopped };
        loader.declare_folders();
        let loader =
            std::thread::Builder::new().name("infer-load".to_owned()).spawn(move || loader.run(&taken, held));
        if let Err(error) = &loader {
            tracing::error!(%error, "the models cannot be loaded: no thread");
        }
        Self {
            models,
            settings,
            store: kept,
            cache,
            orders: Some(orders),
            loader: loader.ok(),
            loading,
            stop: Some(stop),
        }
    }

    /// Waits until every configured model is ready or known to be unavailable.
    pub async fn loaded(&self) {
        // Nothing is ever sent: the channel closes when the loader is through.
        while self.loading.clone().changed().await.is_ok() {}
    }

    /// How often the active version of `model` was run, the golden vectors not counted; `None` if it is not ready.
    pub fn executions(&self, model: &str) -> Option<u64> {
        let found = self.models.find(model, None)?;
        found.served.ok().map(|_| found.counters.statistics().execution_count)
    }

    fn statuses(&self) -> Vec<(bool, ModelStatus)> {
        let is_over = self.loader.as_ref().is_none_or(JoinHandle::is_finished);
        self.models.statuses(&self.settings, is_over)
    }

    /// Asks the version that was found, and the one in its place where it was unloaded in between.
    async fn answer(&self, found: Found, request: &mut PredictionRequest) -> Result<Prediction, Failure> {
        let mut served = found.served.map_err(Failure::NotReady)?;
        loop {
            match self.attempt(&served, &found.counters, request).await {
                Err(Failure::Ended) => {
                    let now = self.models.find(&request.model, request.version.as_deref());
                    let now = now.and_then(|found| found.served.ok());
                    let other = now.filter(|now| !now.queue.is(&served.queue));
                    served = other.ok_or_else(|| Failure::NotReady(Refused::Ended.to_string()))?;
                }
                answer => return answer,
            }
        }
    }

    async fn attempt(
        &self,
        served: &Served,
        counters: &Counters,
        request: &mut PredictionRequest,
    ) -> Result<Prediction, Failure> {
        let manifest = &served.declared.manifest;
        let question = self.question(served, request)?;
        let cache = self.cache.as_ref().filter(|_| manifest.cache);
        let key = cache.map(|_| {
            let names = question.outputs.iter().map(String::as_str);
            Key::of(&served.declared.sha256, &question.inputs, names)
        });
        if let (Some(cache), Some(key)) = (cache, &key) {
            let looked = Instant::now();
            if let Some(outputs) = cache.get(key) {
                counters.hit(looked.elapsed());
                return Ok(prediction(manifest, outputs.to_vec(), &request.outputs));
            }
            counters.missed(looked.elapsed());
        }
        let receiver = match served.queue.submit(question) {
            Ok(receiver) => receiver,
            Err((Refused::Full, _)) => return Err(Failure::Refused),
            Err((Refused::Ended, question)) => {
                request.inputs = question.inputs;
                return Err(Failure::Ended);
            }
        };
        // When the deadline passes the receiver is dropped, and with it the request leaves the queue.
        let outputs = match tokio::time::timeout(self.settings.deadline, receiver).await {
            Ok(Ok(Ok(outputs))) => outputs,
            Ok(Ok(Err(cause))) => return Err(Failure::Failed(cause)),
            Ok(Err(_)) => return Err(Failure::Failed("the inference thread ended".into())),
            Err(elapsed) => return Err(Failure::Expired(elapsed)),
        };
        if let (Some(cache), Some(key)) = (cache, key) {
            cache.put(key, outputs.clone());
        }
        Ok(prediction(manifest, outputs, &request.outputs))
    }

    fn question(&self, served: &Served, request: &mut PredictionRequest) -> Result<Question, Failure> {
        let manifest = &served.declared.manifest;
        let (usual, all) = manifest.output_names();
        let asked = &request.outputs;
        if let Some(unknown) = asked.iter().find(|name| !all.contains(name)) {
            return Err(Failure::Invalid(format!("the model has no output {unknown}")));
        }
        let outputs = if asked.is_empty() {
            usual
        } else {
            all.iter().filter(|name| asked.contains(name)).cloned().collect()
        };
        let rows_max = batching(&served.declared, &self.settings).rows_max.unwrap_or(self.settings.rows_max);
        let inputs = checked(std::mem::take(&mut request.inputs), &manifest.inputs, rows_max)?;
        let rows = inputs.first().and_then(|input| input.shape.first()).copied().unwrap_or_default();
        Ok(Question { inputs, rows, outputs, priority: request.priority })
    }

    /// Drops models that are over where that blocks nobody: they answer what they had taken.
    async fn drain(over: Vec<Ready>) {
        if let Err(error) = tokio::task::spawn_blocking(move || drop(over)).await {
            tracing::error!(%error, "a model that was unloaded did not end");
        }
    }
}

/// The outputs in the order that was asked for, or in the model's.
fn prediction(manifest: &Manifest, mut outputs: Vec<Tensor>, asked: &[String]) -> Prediction {
    if !asked.is_empty() {
        outputs =
            asked.iter().filter_map(|name| outputs.iter().find(|one| one.name == *name).cloned()).collect();
    }
    Prediction { outputs, model: manifest.identity() }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The loader ends after the model it is at, and waits for the store no longer.
        drop((self.orders.take(), self.stop.take()));
        if let Some(loader) = self.loader.take()
            && loader.join().is_err()
        {
            tracing::error!("the thread that loads the models had panicked");
        }
    }
}

#[async_trait]
impl Predictor for Engine {
    async fn predict(&self, mut request: PredictionRequest) -> Result<Prediction> {
        let found = self.models.find(&request.model, request.version.as_deref());
        let found = found.ok_or_else(|| Error::new(ErrorKind::NotFound, OPERATION))?;
        let outcome = Outcome::of(Arc::clone(&found.counters));
        let answer = self.answer(found, &mut request).await;
        outcome.is(answer.as_ref().err().map(Failure::reason));
        answer.map_err(Error::from)
    }

    async fn models(&self) -> Vec<ModelStatus> {
        self.statuses().into_iter().filter_map(|(is_wanted, status)| is_wanted.then_some(status)).collect()
    }
}

#[async_trait]
impl ModelRepository for Engine {
    async fn index(&self) -> Result<Vec<ModelStatus>> {
        let mut all: Vec<_> = self.statuses().into_iter().map(|(_, status)| status).collect();
        let Some(store) = &self.store else { return Ok(all) };
        for (name, versions) in store.versions().await? {
            for version in versions {
                let is_known = |one: &ModelStatus| one.name == name && one.version.as_ref() == Some(&version);
                if all.iter().any(is_known) {
                    continue;
                }
                let read = Read::store(store, (&name, &version), self.settings.signing_key.as_ref()).await;
                let mut status =
                    models::known(&name, read.as_ref().ok().map(|read| &*read.declared), &self.settings);
                status.version = Some(version);
                if let Err(error) = read {
                    let reason = std::error::Error::source(&error)
                        .map_or_else(|| error.to_string(), ToString::to_string);
                    status.state = ModelState::Unavailable { reason };
                }
                all.push(status);
            }
        }
        all.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
        Ok(all)
    }

    async fn load(&self, model: &str, version: Option<&str>) -> Result<()> {
        if !is_plain(model) || version.is_some_and(|version| !is_plain(version)) {
            let words = "that is no name of a model, or of a version";
            return Err(Error::new(ErrorKind::InvalidInput, "models.load").with_cause(words));
        }
        let unavailable =
            |words: &'static str| Error::new(ErrorKind::Unavailable, "models.load").with_cause(words);
        let ended = || unavailable("the loader has ended");
        let (done, answer) = oneshot::channel();
        let order = Order { model: model.to_owned(), version: version.map(str::to_owned), done };
        let orders = self.orders.as_ref().ok_or_else(ended)?;
        orders.try_send(order).map_err(|refused| match refused {
            TrySendError::Full(_) => unavailable("too many models are to be loaded: ask again later"),
            TrySendError::Disconnected(_) => ended(),
        })?;
        answer.await.map_err(|_ended| ended())?
    }

    async fn unload(&self, model: &str, version: Option<&str>) -> Result<()> {
        let over = self.models.unload(model, version);
        Self::drain(over.ok_or_else(|| Error::new(ErrorKind::NotFound, "models.unload"))?).await;
        Ok(())
    }

    async fn statistics(&self) -> Vec<ModelStatistics> {
        let models = self.models.read();
        let versions = models.values().flat_map(|versions| versions.known.values());
        versions.map(|version| version.counters.statistics()).collect()
    }
}

/// Why there is no prediction.
enum Failure {
    NotReady(String),
    /// It was unloaded after it was found.
    Ended,
    Invalid(String),
    Refused,
    Expired(tokio::time::error::Elapsed),
    Failed(Cause),
}

impl Failure {
    fn reason(&self) -> FailureReason {
        match self {
            Self::NotReady(_) | Self::Ended => FailureReason::NotReady,
            Self::Invalid(_) => FailureReason::InvalidInput,
            Self::Refused => FailureReason::Refused,
            Self::Expired(_) => FailureReason::Expired,
            Self::Failed(_) => FailureReason::Failed,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = |kind, cause: Cause| Self::new(kind, OPERATION).with_cause(cause);
        match failure {
            Failure::Invalid(reason) => error(ErrorKind::InvalidInput, reason.into()),
            Failure::NotReady(reason) => error(ErrorKind::Unavailable, reason.into()),
            Failure::Ended => error(ErrorKind::Unavailable, Refused::Ended.into()),
            Failure::Refused => error(ErrorKind::Unavailable, Refused::Full.into()),
            Failure::Expired(elapsed) => error(ErrorKind::Unavailable, elapsed.into()),
            Failure::Failed(cause) => error(ErrorKind::Unexpected, cause),
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
        return invalid(format!("{rows} rows were given, one request may have 1 to {rows_max}"));
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
