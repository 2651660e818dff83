//! A version of a model, from where it lies to threads that answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ports::{Error, ErrorKind, ModelIdentity, Normalisation, Result};

use crate::counters::Counters;
use crate::files::{self, Declared, Files};
use crate::manifest::Batching;
use crate::queue::{Limits, Threads};
use crate::runtime::OnnxRuntime;
use crate::session::OnnxSession;
use crate::signature::SigningKey;
use crate::store::{Bundle, ModelStore};
use crate::{ExecutionProvider, Settings, golden, providers};

/// The bytes of a version of a model, which are what its manifest says, and which are signed where a key is configured.
pub struct Package {
    pub(crate) declared: Arc<Declared>,
    files: Files,
    manifest: Vec<u8>,
    bundle: Option<Vec<u8>>,
    is_verified: bool,
    /// Where the model file is, for errors.
    place: String,
}

impl std::fmt::Debug for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Package({} {})", self.declared.manifest.name, self.declared.manifest.version)
    }
}

/// What a check of a model found.
#[derive(Clone, Debug)]
pub struct Check {
    /// The largest deviation from each golden output, and the tolerance, as text.
    pub golden: String,
    /// What ran it.
    pub execution_provider: &'static str,
}

/// A manifest, its bytes, and its bundle.
pub(crate) struct Read {
    pub(crate) declared: Arc<Declared>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) bundle: Option<Vec<u8>>,
    /// Whether there was a key to verify the bundle with.
    pub(crate) is_verified: bool,
}

impl Read {
    pub(crate) fn folder(
        folder: &Path,
        name: Option<&str>,
        key: Option<&SigningKey>,
    ) -> Result<Self, String> {
        let (manifest, bundle) = files::of_folder(folder)?;
        let declared = Declared::read(name, &manifest, bundle.as_deref(), key)
            .map_err(|reason| format!("{}/{reason}", folder.display()))?;
        Ok(Self { declared: Arc::new(declared), manifest, bundle, is_verified: key.is_some() })
    }

    /// `NotFound` where the version is not stored, `Corrupt` where it is not what it should be.
    pub(crate) async fn store(
        store: &ModelStore,
        (name, version): (&str, &str),
        key: Option<&SigningKey>,
    ) -> Result<Self> {
        let corrupt = |reason: String| {
            Error::new(ErrorKind::Corrupt, "models.read").with_cause(format!("{name} {version}: {reason}"))
        };
        let (manifest, bundle) = store.manifest(name, version).await?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "models.read")
                .with_cause(format!("{name} {version} is not stored"))
        })?;
        let declared = Declared::read(Some(name), &manifest, bundle.as_deref(), key).map_err(corrupt)?;
        if declared.manifest.version != version {
            return Err(corrupt(format!("its manifest is of version {}", declared.manifest.version)));
        }
        Ok(Self { declared: Arc::new(declared), manifest, bundle, is_verified: key.is_some() })
    }
}

impl Package {
    /// Of a folder, whatever that is called.
    pub fn of_folder(folder: &Path, key: Option<&SigningKey>) -> Result<Self, String> {
        Self::in_folder(Read::folder(folder, None, key)?, folder)
    }

    pub(crate) fn in_folder(read: Read, folder: &Path) -> Result<Self, String> {
        let files = Files::read(folder, &read.declared.manifest.files)?;
        let place = folder.join(&read.declared.manifest.model).display().to_string();
        let Read { declared, manifest, bundle, is_verified } = read;
        Ok(Self { declared, files, manifest, bundle, is_verified, place })
    }

    /// Of a store. `Corrupt` where it is not what its manifest says.
    pub async fn of_store(
        store: &ModelStore,
        name: &str,
        version: &str,
        key: Option<&SigningKey>,
    ) -> Result<Self> {
        Self::in_store(Read::store(store, (name, version), key).await?, store).await
    }

    pub(crate) async fn in_store(read: Read, store: &ModelStore) -> Result<Self> {
        let Read { declared, manifest, bundle, is_verified } = read;
        let place = format!("{} {}", declared.manifest.name, declared.manifest.version);
        let mut blobs = Vec::new();
        for file in &declared.manifest.files {
            blobs.push((format!("{place}: {}", file.path), store.blob(&file.sha256, file.size).await?));
        }
        let mut blobs = blobs.into_iter();
        let files = Files::verified(&declared.manifest.files, |_| blobs.next().ok_or_else(String::new))
            .map_err(|reason| Error::new(ErrorKind::Corrupt, "models.read").with_cause(reason))?;
        let place = format!("{place}: {}", declared.manifest.model);
        Ok(Self { declared, files, manifest, bundle, is_verified, place })
    }

    /// Which model it is.
    pub fn identity(&self) -> ModelIdentity {
        self.declared.manifest.identity()
    }

    /// Whether it has a signature; whether that is right was checked if there was a key.
    pub fn is_signed(&self) -> bool {
        self.bundle.is_some()
    }

    /// How many bytes its files have.
    pub fn size_bytes(&self) -> u64 {
        self.declared.manifest.files.iter().map(|file| file.size).sum()
    }

    /// Opens the model and runs its golden vectors. It blocks its thread.
    pub fn check(&self, settings: &Settings) -> Result<Check, String> {
        let settings = Settings { sessions_per_model: 1, ..settings.clone() };
        let Opened { golden, execution_provider, .. } = self.sessions(&settings)?;
        Ok(Check { golden, execution_provider })
    }

    /// Stores it. A version is never replaced: the same one again is fine, another is a `Conflict`.
    pub async fn add_to(&self, store: &ModelStore) -> Result<()> {
        let is_verified = self.is_verified;
        let bundle = self.bundle.as_deref().map(|bytes| Bundle { bytes, is_verified });
        store.add(&self.declared, &self.files, (&self.manifest, bundle)).await
    }

    fn sessions(&self, settings: &Settings) -> Result<Opened, String> {
        let runtime = OnnxRuntime::load(settings.library.as_deref(), &settings.library_folders)
            .map_err(|error| error.to_string())?;
        let manifest = &self.declared.manifest;
        let cases = golden::cases(manifest, &self.files)?;
        let model = self.files.bytes(&manifest.model)?;
        let (_, outputs) = manifest.output_names();
        let named = |reason: String| format!("{}: {reason}", self.place);
        let memory = settings.device_memory_bytes_max;
        let batching = self.batching(settings);
        let batched = batching.batch_rows_max.unwrap_or(1);
        let rows_max = batching.rows_max.unwrap_or(settings.rows_max).max(batched);
        let (mut provider, mut golden, mut sessions) =
            (settings.execution_provider, String::new(), Vec::new());
        for _ in 0..settings.sessions_per_model {
            let opened = providers::open(&runtime, model, provider, memory).map_err(named)?;
            // What the first session got, the others get too.
            provider = opened.provider;
            let session = OnnxSession::new(opened.session, opened.host, &manifest.inputs, &manifest.outputs)
                .map_err(named)?;
            let mut session = session.keep_memory_of(batched);
            golden = golden::check(&cases, &mut session, &outputs).map_err(named)?;
            // The processor keeps memory for what is put together here only, so only that is tried; a device chooses its kernels at
            // the first run of each size that a client may send.
            let largest = if provider == ExecutionProvider::Cpu { batched } else { rows_max };
            golden::warm(golden::sizes(largest, manifest), &cases, &mut session, &outputs).map_err(named)?;
            sessions.push(session);
        }
        Ok(Opened { sessions, golden, execution_provider: provider.name() })
    }

    /// What the configuration says of this model, or else its manifest.
    fn batching(&self, settings: &Settings) -> Batching {
        batching(&self.declared, settings)
    }

    /// Threads that answer, after everything about the model was checked. It blocks its thread.
    pub(crate) fn start(&self, settings: &Settings, counters: Arc<Counters>) -> Result<Ready, String> {
        if settings.sessions_per_model == 0 || settings.queue_depth == 0 || settings.rows_max == 0 {
            return Err("sessions_per_model, queue_depth and rows_max must be above 0".to_owned());
        }
        let normalisation = files::normalisation(&self.declared.manifest, &self.files)?;
        let Opened { sessions, golden, execution_provider } = self.sessions(settings)?;
        let batching = self.batching(settings);
        let rows_max = batching.rows_max.unwrap_or(settings.rows_max);
        let limits = Limits {
            depth: settings.queue_depth,
            // One request must fit into an empty queue, or it would be refused for ever.
            rows_waiting_max: settings.queue_rows_max.max(rows_max),
            wait_max: settings.queue_wait_max.min(settings.deadline),
            batch_rows_max: batching.batch_rows_max.unwrap_or(1),
            delay: Duration::from_micros(batching.batch_delay_us.unwrap_or(0)),
        };
        let threads = Threads::start(sessions, limits, counters).map_err(|error| error.to_string())?;
        Ok(Ready { threads, golden, execution_provider, normalisation })
    }
}

pub(crate) fn batching(declared: &Declared, settings: &Settings) -> Batching {
    let configured = settings.batching.get(&declared.manifest.name).copied().unwrap_or_default();
    configured.or(declared.manifest.batching)
}

struct Opened {
    sessions: Vec<OnnxSession>,
    golden: String,
    execution_provider: &'static str,
}

/// A model that answers.
pub(crate) struct Ready {
    pub(crate) threads: Threads,
    pub(crate) golden: String,
    pub(crate) execution_provider: &'static str,
    pub(crate) normalisation: Option<Arc<Normalisation>>,
}
