//! The thread that reads, verifies and opens models: at the start, when it is told to, and when another version was activated.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use ports::{Error, ErrorKind, ObjectKey, Result};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::files::{self, Declared};
use crate::models::Models;
use crate::package::{Package, Read};
use crate::store::{Activation, ModelStore, Newest};
use crate::{Settings, signature::SigningKey};

/// That a version is to be loaded, or the active one, and who waits for it.
pub(crate) struct Order {
    pub(crate) model: String,
    pub(crate) version: Option<String>,
    pub(crate) done: oneshot::Sender<Result<()>>,
}

pub(crate) struct Loader {
    pub(crate) models: Arc<Models>,
    pub(crate) settings: Settings,
    pub(crate) store: Option<(ModelStore, Handle)>,
    /// Closed when the engine is dropped.
    pub(crate) stop: watch::Receiver<()>,
}

/// The activations that were followed, by model.
pub(crate) type Followed = BTreeMap<String, ObjectKey>;

fn unreadable(reason: String) -> Error {
    Error::new(ErrorKind::Corrupt, "models.load").with_cause(reason)
}

fn unknown(name: &str, version: &str) -> Error {
    Error::new(ErrorKind::NotFound, "models.load").with_cause(format!("there is no model {name} {version}"))
}

fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "models.load").with_cause("the server stops")
}

/// The whole chain: the operator wants to know which file it is.
fn words(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

impl Loader {
    /// Loads what is configured, drops `held`, and then follows `orders` and the store's activations until the engine is dropped.
    pub(crate) fn run(&self, orders: &Receiver<Order>, held: watch::Sender<()>) {
        let mut followed = Followed::new();
        let mut is_begun = self.begin(&mut followed);
        drop(held);
        let mut refreshed = Instant::now();
        loop {
            match orders.recv_timeout(self.settings.refresh.saturating_sub(refreshed.elapsed())) {
                // Whoever asked has left.
                Ok(order) if order.done.is_closed() => {}
                Ok(Order { model, version, done }) => {
                    let loaded = self.load(&model, version.as_deref(), &mut followed);
                    if done.send(loaded).is_err() {
                        tracing::debug!(model, "nobody waited for the model");
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // However many orders there are, the store's turn comes.
            if refreshed.elapsed() >= self.settings.refresh {
                if is_begun {
                    self.follow(&mut followed);
                } else {
                    is_begun = self.begin(&mut followed);
                }
                self.revive(&mut followed);
                refreshed = Instant::now();
            }
        }
    }

    /// Loads the versions again whose threads have ended: a run that panicked takes its thread with it.
    pub(crate) fn revive(&self, followed: &mut Followed) {
        for (name, version) in self.models.ended() {
            tracing::error!(model = name, version, "the model's threads have ended: it is loaded again");
            if let Err(error) = self.load_version(&name, &version) {
                self.models.fail(&name, &version, words(&error), false);
                if error.is_retryable() {
                    followed.remove(&name);
                }
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.has_changed().is_err()
    }

    /// Waits for the store, but not when the engine is dropped: then nobody may be there to let it go on.
    fn wait<T>(&self, handle: &Handle, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let mut stop = self.stop.clone();
        handle.block_on(async {
            tokio::select! {
                biased;
                _closed = stop.changed() => Err(stopped()),
                answer = answer => answer,
            }
        })
    }

    /// Makes every model of the folder known, as being loaded, so that nobody is told that there is no such model.
    pub(crate) fn declare_folders(&self) {
        for (name, folder) in self.folders() {
            match Read::folder(&folder, Some(&name), self.key()) {
                Ok(read) => drop(self.models.begin(&name, &read.declared, true)),
                Err(reason) => self.models.fail(&name, "", reason, true),
            }
        }
    }

    fn folders(&self) -> BTreeMap<String, PathBuf> {
        files::folders(&self.settings.models_dir).unwrap_or_else(|error| {
            let folder = self.settings.models_dir.display();
            tracing::error!(%folder, %error, "the models' folder cannot be read");
            BTreeMap::new()
        })
    }

    /// Loads every model: the version that was activated, or else the folder's. False where the store does not say which:
    /// then a folder's model is not served in the place of the one that should be.
    fn begin(&self, followed: &mut Followed) -> bool {
        let folders = self.folders();
        let activated = self
            .store
            .as_ref()
            .map_or_else(|| Ok(BTreeMap::new()), |(store, handle)| self.wait(handle, store.newest()));
        let activated = match activated {
            Ok(activated) => activated,
            Err(error) => {
                let reason =
                    format!("the object store does not say which version is active: {}", words(&error));
                tracing::error!(reason, "models are unavailable");
                for name in folders.keys() {
                    self.models.wait_for_store(name, &reason);
                }
                return false;
            }
        };
        // The folder's version of a model of which another is active stays known, and is not loaded.
        for (name, newest) in &activated {
            if let Ok(activation) = self.activation(name, newest) {
                self.models.expect(name, &activation.version);
            }
        }
        for (name, folder) in &folders {
            if !self.is_stopped() && !activated.contains_key(name) {
                // It is logged, and kept as the version's state.
                let _reported = self.load_folder(name, folder, true);
            }
        }
        self.follow_all(&activated, followed);
        true
    }

    fn key(&self) -> Option<&SigningKey> {
        self.settings.signing_key.as_ref()
    }

    fn load(&self, name: &str, version: Option<&str>, followed: &mut Followed) -> Result<()> {
        if let Some(version) = version {
            return self.load_version(name, version);
        }
        if let Some((store, handle)) = &self.store
            && let Some(newest) = self.wait(handle, store.newest())?.remove(name)
        {
            return self.load_activated(name, &newest, followed);
        }
        let folder = self.folders().remove(name).ok_or_else(|| unknown(name, ""))?;
        self.load_folder(name, &folder, true)
    }

    fn load_version(&self, name: &str, version: &str) -> Result<()> {
        if self.store.is_some() {
            match self.load_stored((name, version), None, false) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                loaded => return loaded,
            }
        }
        let folder = self.folders().remove(name).ok_or_else(|| unknown(name, version))?;
        let read = Read::folder(&folder, Some(name), self.key()).map_err(unreadable)?;
        if read.declared.manifest.version != version {
            return Err(unknown(name, version));
        }
        self.load_folder(name, &folder, false)
    }

    fn load_folder(&self, name: &str, folder: &Path, is_active: bool) -> Result<()> {
        match Read::folder(folder, Some(name), self.key()) {
            Ok(read) => {
                let declared = Arc::clone(&read.declared);
                self.start(&declared, is_active, || Package::in_folder(read, folder).map_err(unreadable))
            }
            Err(reason) => {
                tracing::error!(model = name, reason, "the model is unavailable");
                self.models.fail(name, "", reason.clone(), is_active);
                Err(unreadable(reason))
            }
        }
    }

    /// Which version is active. Where that cannot be read the model is not one that nobody knows: it is unavailable.
    fn activation(&self, name: &str, newest: &Newest) -> Result<Activation> {
        let Some((store, handle)) = &self.store else {
            return Err(Error::new(ErrorKind::NotFound, "models.load"));
        };
        self.wait(handle, store.activation(newest)).inspect_err(|error| {
            let reason = format!("its activation cannot be read: {}", words(error));
            tracing::error!(model = name, reason, "the model is unavailable");
            self.models.fail(name, "", reason, true);
        })
    }

    fn load_activated(&self, name: &str, newest: &Newest, followed: &mut Followed) -> Result<()> {
        // Not followed where it cannot be read: it is tried again.
        let Activation { version, manifest_sha256, .. } = self.activation(name, newest)?;
        let loaded = self.load_stored((name, &version), Some(&manifest_sha256), true);
        // What may be otherwise next time is tried again; a model that is wrong stays so.
        if loaded.as_ref().err().is_none_or(|error| !error.is_retryable()) {
            followed.insert(name.to_owned(), newest.key.clone());
        }
        loaded
    }

    fn load_stored(
        &self,
        (name, version): (&str, &str),
        manifest_sha256: Option<&str>,
        is_active: bool,
    ) -> Result<()> {
        let Some((store, handle)) = &self.store else {
            return Err(Error::new(ErrorKind::NotFound, "models.load"));
        };
        let read = self.wait(handle, Read::store(store, (name, version), self.key())).and_then(|read| {
            match manifest_sha256 {
                Some(activated) if activated != read.declared.sha256 => {
                    Err(unreadable("the stored manifest is not the one that was activated".to_owned()))
                }
                _ => Ok(read),
            }
        });
        match read {
            Ok(read) => {
                let declared = Arc::clone(&read.declared);
                self.start(&declared, is_active, || self.wait(handle, Package::in_store(read, store)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !is_active => Err(error),
            Err(error) => {
                self.failed((name, version), &error, is_active);
                Err(error)
            }
        }
    }

    /// Keeps why a version cannot be used, but not what may be otherwise next time, unless it is the active one's.
    fn failed(&self, (name, version): (&str, &str), error: &Error, is_active: bool) {
        let reason = words(error);
        tracing::error!(model = name, version, reason, "the version is unavailable");
        if is_active || !error.is_retryable() {
            self.models.fail(name, version, reason, is_active);
        } else {
            self.models.forget(name, version);
        }
    }

    /// Reads the files, opens the model, checks it, and lets it answer.
    fn start(
        &self,
        declared: &Arc<Declared>,
        is_active: bool,
        package: impl FnOnce() -> Result<Package>,
    ) -> Result<()> {
        let (name, version) = (&declared.manifest.name, &declared.manifest.version);
        let counters = self.models.begin(name, declared, is_active);
        let started =
            package().and_then(|package| package.start(&self.settings, counters).map_err(unreadable));
        match started {
            Ok(ready) => {
                let (golden, provider) = (&ready.golden, ready.execution_provider);
                tracing::info!(model = name, version, golden, provider, "the model is ready");
                drop(self.models.finish(name, declared, ready, is_active));
                Ok(())
            }
            Err(error) => {
                self.failed((name, version), &error, is_active);
                Err(error)
            }
        }
    }

    /// Loads what was activated since, wherever that was.
    fn follow(&self, followed: &mut Followed) {
        let Some((store, handle)) = &self.store else { return };
        match self.wait(handle, store.newest()) {
            Ok(activated) => self.follow_all(&activated, followed),
            Err(error) => tracing::warn!(reason = words(&error), "the models' activations cannot be read"),
        }
    }

    fn follow_all(&self, activated: &BTreeMap<String, Newest>, followed: &mut Followed) {
        for (name, newest) in activated {
            if !self.is_stopped() && followed.get(name) != Some(&newest.key) {
                // It is logged, and kept as the version's state.
                let _reported = self.load_activated(name, newest, followed);
            }
        }
    }
}
