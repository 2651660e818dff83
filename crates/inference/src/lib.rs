//! The model server: verified ONNX models, run by ONNX Runtime on threads of their own.
//!
//! A model is a folder with a `manifest.json` (see `models/README.md`). It is ready only after its bytes matched their
//! declared sizes and SHA-256, its graph the declared inputs and outputs, and its answers the golden vectors. One that is not
//! ready is `Unavailable`, with a reason for the operator; the others work.

mod engine;
mod golden;
mod manifest;
mod queue;
mod runtime;
mod session;
mod store;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use engine::Engine;
pub use runtime::{LibraryError, OnnxRuntime, library_folders};

/// What runs the models. One that is named is used or the models are unavailable: nothing falls back to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionProvider {
    #[default]
    Cpu,
}

impl ExecutionProvider {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
        }
    }
}

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
    /// Rows that one request may carry.
    pub rows_max: usize,
    /// How long a request may take, its wait in the queue included.
    pub deadline: Duration,
    pub execution_provider: ExecutionProvider,
}
