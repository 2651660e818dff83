//! Which models and versions there are, and what state each is in.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ports::{ModelState, ModelStatus, TensorSignature};

use crate::Settings;
use crate::counters::Counters;
use crate::files::Declared;
use crate::manifest::Signature;
use crate::package::{Ready, batching};
use crate::queue::Queue;

/// While it is read, verified and opened.
pub(crate) const LOADING: &str = "loading";

/// Every model that is known, by name.
#[derive(Default)]
pub(crate) struct Models(RwLock<BTreeMap<String, Versions>>);

/// The versions of one model, by version; one whose manifest cannot be read is under the empty one.
#[derive(Default)]
pub(crate) struct Versions {
    pub(crate) active: Option<String>,
    pub(crate) known: BTreeMap<String, Version>,
}

pub(crate) struct Version {
    pub(crate) declared: Option<Arc<Declared>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) state: State,
}

pub(crate) enum State {
    /// Nobody asked for it, or it was unloaded.
    Idle,
    Loading,
    Unavailable(String),
    Ready(Ready),
}

/// What is needed to answer, apart from the threads: those belong to [`Models`] alone, so that no request ends them.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) declared: Arc<Declared>,
    pub(crate) queue: Queue,
}

/// What is known of a version that was asked for.
pub(crate) struct Found {
    pub(crate) counters: Arc<Counters>,
    /// The reason where it cannot answer.
    pub(crate) served: Result<Served, String>,
}

impl Versions {
    fn version(&mut self, name: &str, version: &str) -> &mut Version {
        self.known.entry(version.to_owned()).or_insert_with(|| Version::new(name, version))
    }

    /// Makes `version` the one that is meant, unless the one that was answers.
    fn prefer(&mut self, version: &str) {
        if let Some(before) = self.active.clone().filter(|one| one != version) {
            if self.known.get(&before).is_some_and(Version::answers) {
                return;
            }
            drop(self.retire(&before));
        }
        self.active = Some(version.to_owned());
    }

    /// Takes a version out of service. What could not even be read is nothing to keep.
    fn retire(&mut self, version: &str) -> Option<Ready> {
        let one = self.known.get_mut(version)?;
        one.counters.ready(false);
        let over = std::mem::replace(&mut one.state, State::Idle).into_ready();
        if version.is_empty() {
            self.known.remove(version);
        }
        over
    }
}

impl Models {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Versions>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Versions>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version, or the active one; `None` if nobody knows it.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Option<Found> {
        let models = self.read();
        let versions = models.get(name)?;
        let Some(version) = version.or(versions.active.as_deref()) else {
            let (_, any) = versions.known.first_key_value()?;
            let reason = format!("no version of the model {name} is active yet");
            return Some(Found { counters: Arc::clone(&any.counters), served: Err(reason) });
        };
        let found = versions.known.get(version)?;
        let served = match (&found.state, &found.declared) {
            (State::Ready(ready), Some(declared)) if found.answers() => {
                Ok(Served { declared: Arc::clone(declared), queue: ready.threads.queue().clone() })
            }
            (State::Idle, _) => Err(format!("the model {name} {version} is not loaded")),
            _ => Err(format!("the model {name} {version} is not ready")),
        };
        Some(Found { counters: Arc::clone(&found.counters), served })
    }

    /// The version is to be loaded: where it does not answer already, it is being loaded.
    pub(crate) fn begin(&self, name: &str, declared: &Arc<Declared>, is_active: bool) -> Arc<Counters> {
        let version = &declared.manifest.version;
        let mut models = self.write();
        let versions = models.entry(name.to_owned()).or_default();
        let known = versions.version(name, version);
        if !known.answers() {
            known.declared = Some(Arc::clone(declared));
            known.state = State::Loading;
        }
        let counters = Arc::clone(&known.counters);
        if is_active {
            versions.prefer(version);
        }
        counters
    }

    /// It answers from now on; as the active one, it takes the place of the one that was. What is returned no longer gets
    /// requests, and is to be dropped where blocking is no harm.
    #[must_use]
    pub(crate) fn finish(
        &self,
        name: &str,
        declared: &Arc<Declared>,
        ready: Ready,
        is_active: bool,
    ) -> Vec<Ready> {
        let version = &declared.manifest.version;
        let mut models = self.write();
        let versions = models.entry(name.to_owned()).or_default();
        let known = versions.version(name, version);
        known.declared = Some(Arc::clone(declared));
        known.counters.ready(true);
        let mut over = vec![std::mem::replace(&mut known.state, State::Ready(ready)).into_ready()];
        if is_active {
            if let Some(before) = versions.active.replace(version.clone()).filter(|one| one != version) {
                over.push(versions.retire(&before));
            }
            // What could not be read before was, if it was about this one.
            over.push(versions.retire(""));
        }
        over.into_iter().flatten().collect()
    }

    /// It cannot be used. One that answers goes on as it was; one that nobody knows, and that is not to be the active one, stays
    /// unknown: whoever asks for versions that there are not does not make them.
    pub(crate) fn fail(&self, name: &str, version: &str, reason: String, is_active: bool) {
        let mut models = self.write();
        let is_known = |models: &BTreeMap<String, Versions>| {
            models.get(name).is_some_and(|versions| versions.known.contains_key(version))
        };
        if !is_active && !is_known(&models) {
            return;
        }
        let versions = models.entry(name.to_owned()).or_default();
        let known = versions.version(name, version);
        if !known.answers() {
            known.counters.ready(false);
            known.state = State::Unavailable(reason);
        }
        if is_active {
            versions.prefer(version);
        }
    }

    /// It was not loaded, and could be another time.
    pub(crate) fn forget(&self, name: &str, version: &str) {
        if let Some(known) = self.write().get_mut(name).and_then(|versions| versions.known.get_mut(version))
            && matches!(known.state, State::Loading)
        {
            known.state = State::Idle;
        }
    }

    /// `version` is to be the active one: others that do not answer are not loaded.
    pub(crate) fn expect(&self, name: &str, version: &str) {
        let mut models = self.write();
        let versions = models.entry(name.to_owned()).or_default();
        for one in versions.known.values_mut().filter(|one| !one.answers()) {
            one.state = State::Idle;
        }
        versions.prefer(version);
        let known = versions.version(name, version);
        if !known.answers() {
            known.state = State::Loading;
        }
    }

    /// The versions that were ready and whose threads have ended since.
    pub(crate) fn ended(&self) -> Vec<(String, String)> {
        let models = self.read();
        let all = models.iter().flat_map(|(name, versions)| {
            let ended = |one: &Version| matches!(one.state, State::Ready(_)) && !one.answers();
            let ended = versions.known.iter().filter(move |(_, one)| ended(one));
            ended.map(move |(version, _)| (name.clone(), version.clone()))
        });
        all.collect()
    }

    /// Nobody can say which version is to answer.
    pub(crate) fn wait_for_store(&self, name: &str, reason: &str) {
        if let Some(versions) = self.write().get_mut(name) {
            for version in versions.known.values_mut().filter(|one| !one.answers()) {
                version.state = State::Unavailable(reason.to_owned());
            }
        }
    }

    /// Takes a version out of service, or all; `None` if nobody knows it.
    pub(crate) fn unload(&self, name: &str, version: Option<&str>) -> Option<Vec<Ready>> {
        let mut models = self.write();
        let versions = models.get_mut(name)?;
        if version.is_some_and(|version| !versions.known.contains_key(version)) {
            return None;
        }
        let mut over = Vec::new();
        for (known, one) in &mut versions.known {
            if version.is_none_or(|version| version == known) {
                one.counters.ready(false);
                over.extend(std::mem::replace(&mut one.state, State::Idle).into_ready());
            }
        }
        Some(over)
    }

    /// Everything that is known; `is_over` says that nothing is loading any more.
    pub(crate) fn statuses(&self, settings: &Settings, is_over: bool) -> Vec<(bool, ModelStatus)> {
        let models = self.read();
        let all = models.iter().flat_map(|(name, versions)| {
            versions.known.iter().map(move |(version, known)| {
                let active = versions.active.as_ref() == Some(version);
                let mut status = known.status((name, active), settings, is_over);
                if status.version.is_none() && !version.is_empty() {
                    status.version = Some(version.clone());
                }
                (!matches!(known.state, State::Idle), status)
            })
        });
        all.collect()
    }
}

impl State {
    fn into_ready(self) -> Option<Ready> {
        match self {
            Self::Ready(ready) => Some(ready),
            Self::Idle | Self::Loading | Self::Unavailable(_) => None,
        }
    }
}

impl Version {
    pub(crate) fn new(name: &str, version: &str) -> Self {
        Self { declared: None, counters: Counters::new(name, version), state: State::Idle }
    }

    /// Whether it is ready, and its threads are there.
    fn answers(&self) -> bool {
        matches!(&self.state, State::Ready(ready) if !ready.threads.queue().is_closed())
    }

    fn status(&self, (name, active): (&str, bool), settings: &Settings, is_over: bool) -> ModelStatus {
        let mut status = known(name, self.declared.as_deref(), settings);
        status.active = active;
        status.state = match &self.state {
            State::Ready(_) if !self.answers() => unavailable("its threads have ended: see the log"),
            State::Ready(Ready { golden, execution_provider, normalisation, .. }) => {
                status.normalisation.clone_from(normalisation);
                ModelState::Ready {
                    golden_check: golden.clone(),
                    execution_provider: (*execution_provider).to_owned(),
                }
            }
            State::Unavailable(reason) => ModelState::Unavailable { reason: reason.clone() },
            State::Loading if is_over => unavailable("loading it ended early: see the log"),
            State::Loading => unavailable(LOADING),
            State::Idle => unavailable("not loaded"),
        };
        status
    }
}

fn unavailable(reason: &str) -> ModelState {
    ModelState::Unavailable { reason: reason.to_owned() }
}

/// What a manifest says of a version that is not loaded.
pub(crate) fn known(name: &str, declared: Option<&Declared>, settings: &Settings) -> ModelStatus {
    let rows = |signatures: &[Signature]| -> Vec<TensorSignature> {
        signatures.iter().map(Signature::of_row).collect()
    };
    let manifest = declared.map(|declared| &declared.manifest);
    let rows_max = declared.and_then(|declared| batching(declared, settings).rows_max);
    ModelStatus {
        name: name.to_owned(),
        version: manifest.map(|one| one.version.clone()),
        active: false,
        identity: manifest.map(crate::manifest::Manifest::identity),
        state: unavailable("not loaded"),
        inputs: manifest.map(|one| rows(&one.inputs)).unwrap_or_default(),
        outputs: manifest.map(|one| rows(&one.outputs)).unwrap_or_default(),
        rows_max: rows_max.unwrap_or(settings.rows_max),
        normalisation: None,
        preprocessing: manifest.and_then(|one| one.preprocessing.clone()),
        calibration: manifest.and_then(|one| one.calibration.clone()),
    }
}
