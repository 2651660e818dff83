//! The model server: verified ONNX models, run by ONNX Runtime on threads of their own.
//!
//! A model is a folder with a `manifest.json` (see `models/README.md`). It is ready only after its bytes matched their
//! declared sizes and SHA-256, its graph the declared inputs and outputs, and its answers the golden vectors. One that is not
//! ready is `Unavailable`, with a reason for the operator; the others work.

mod batch;
mod cache;
mod catalogue;
mod counters;
mod engine;
mod files;
mod golden;
mod loader;
mod manifest;
mod models;
mod package;
mod providers;
mod queue;
mod runtime;
mod session;
mod signature;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use catalogue::{Entry, Source, catalogue};
pub use counters::describe;
pub use engine::Engine;
pub use manifest::Batching;
pub use package::{Check, Package};
pub use providers::ExecutionProvider;
pub use runtime::{LibraryError, OnnxRuntime, library_folders};
pub use signature::SigningKey;
pub use store::{Activation, ModelStore};

/// What the composition root decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Each folder in it that has a `manifest.json` is a model, asked for by the folder's name.
    pub models_dir: PathBuf,
    /// The ONNX Runtime library. When it is given, no other place is tried.
    pub library: Option<PathBuf>,
    /// Where else to look for the library, in this order; see [`library_folders`].
    pub library_folders: Vec<PathBuf>,
    /// Threads of a model, each with a session of its own.
    pub sessions_per_model: usize,
    /// Requests of a model that may wait; one more is refused at once.
    pub queue_depth: usize,
    /// Rows of a model that may wait.
    pub queue_rows_max: usize,
    /// How long a request may have to wait, by what the rows before it will take; one that would wait longer is refused at once.
    pub queue_wait_max: Duration,
    /// Rows that one request may carry, where neither `batching` nor the manifest says how many.
    pub rows_max: usize,
    /// How long a request may take, its wait in the queue included.
    pub deadline: Duration,
    /// What runs the models.
    pub execution_provider: ExecutionProvider,
    /// The most memory of a device's arena, in bytes.
    pub device_memory_bytes_max: usize,
    /// The most bytes of answers that are kept for the same question; 0 for none.
    pub cache_bytes_max: u64,
    /// By model, in the place of what its manifest says.
    pub batching: BTreeMap<String, Batching>,
    /// When given, a model without a valid signature of this key is unavailable.
    pub signing_key: Option<SigningKey>,
    /// How often the store is asked which versions are active.
    pub refresh: Duration,
}

impl Settings {
    /// The models of a folder on the processor, one thread each, with nothing signed and nothing kept.
    pub fn new(models_dir: impl Into<PathBuf>) -> Self {
        Self {
            models_dir: models_dir.into(),
            library: None,
            library_folders: Vec::new(),
            sessions_per_model: 1,
            queue_depth: 32,
            queue_rows_max: 128,
            queue_wait_max: Duration::from_secs(10),
            rows_max: 16,
            deadline: Duration::from_secs(10),
            execution_provider: ExecutionProvider::Cpu,
            device_memory_bytes_max: 2 << 30,
            cache_bytes_max: 0,
            batching: BTreeMap::new(),
            signing_key: None,
            refresh: Duration::from_secs(10),
        }
    }
}
