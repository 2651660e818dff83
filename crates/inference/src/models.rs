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
            (State::Ready(ready), Some(declared)) => {
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
        let known = versions.known.entry(version.clone()).or_insert_with(|| Version::new(name, version));
        if !matches!(known.state, State::Ready(_)) {
            known.declared = Some(Arc::clone(declared));
            known.state = State::Loading;
        }
        let counters = Arc::clone(&known.counters);
        if is_active && versions.active.is_none() {
            versions.active = Some(version.clone());
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
        let known = versions.known.entry(version.clone()).or_insert_with(|| Version::new(name, version));
        known.declared = Some(Arc::clone(declared));
        known.counters.ready(true);
        let mut over = vec![std::mem::replace(&mut known.state, State::Ready(ready))];
        if is_active
            && let Some(before) = versions.active.replace(version.clone()).filter(|one| one != version)
            && let Some(before) = versions.known.get_mut(&before)
        {
            before.counters.ready(false);
            over.push(std::mem::replace(&mut before.state, State::Idle));
        }
        over.into_iter().filter_map(State::into_ready).collect()
    }

    /// It cannot be used. One that answers goes on as it was.
    pub(crate) fn fail(&self, name: &str, version: &str, reason: String, is_active: bool) {
        let mut models = self.write();
        let versions = models.entry(name.to_owned()).or_default();
        let known = versions.known.entry(version.to_owned()).or_insert_with(|| Version::new(name, version));
        if !matches!(known.state, State::Ready(_)) {
            known.counters.ready(false);
            known.state = State::Unavailable(reason);
        }
        if is_active && versions.active.is_none() {
            versions.active = Some(version.to_owned());
        }
    }

    /// Another version than those that are known is to be the active one: those that do not answer are not loaded.
    pub(crate) fn set_aside(&self, name: &str) {
        if let Some(versions) = self.write().get_mut(name) {
            versions.active = None;
            for version in versions.known.values_mut().filter(|one| !matches!(one.state, State::Ready(_))) {
                version.state = State::Idle;
            }
        }
    }

    /// Nobody can say which version is to answer.
    pub(crate) fn wait_for_store(&self, name: &str, reason: &str) {
        if let Some(versions) = self.write().get_mut(name) {
            for version in versions.known.values_mut().filter(|one| !matches!(one.state, State::Ready(_))) {
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
                (!matches!(known.state, State::Idle), known.status((name, active), settings, is_over))
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

    fn status(&self, (name, active): (&str, bool), settings: &Settings, is_over: bool) -> ModelStatus {
        let mut status = known(name, self.declared.as_deref(), settings);
        status.active = active;
        status.state = match &self.state {
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
