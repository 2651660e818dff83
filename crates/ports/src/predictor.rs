//! Models: tensors in, tensors out, and which model it was.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Result;

/// A dense tensor of 32-bit floats, row-major. Does not print its values.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    /// Its name in the model.
    pub name: String,
    /// Its shape; the product is the length of `data`.
    pub shape: Vec<usize>,
    /// Its values.
    pub data: Vec<f32>,
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({}, {:?})", self.name, self.shape)
    }
}

/// Where a model's weights come from. Synthetic ones are labelled so in every answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// The authors' own.
    Published,
    /// Trained by whoever runs this service.
    Trained,
    /// Made to show that the way works: its outputs mean nothing clinical.
    Synthetic,
}

/// Which model gave an answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// Its name, such as `pat-s`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the model file, in hex.
    pub sha256: String,
    /// Where its weights come from.
    pub weights: Weights,
    /// What it is for, from its manifest.
    pub intended_use: String,
    /// Its licence.
    pub licence: String,
}

/// Whether a model can be used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ModelState {
    /// Bytes, shapes and golden vectors were checked.
    Ready {
        /// The largest deviation from a golden output, and the tolerance, as text.
        golden_check: String,
        /// What runs it, such as `cpu`.
        execution_provider: String,
    },
    /// It cannot, and why.
    Unavailable {
        /// For the operator.
        reason: String,
    },
}

/// What one row of an input or an output is: 32-bit floats of this shape.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TensorSignature {
    /// Its name in the model.
    pub name: String,
    /// The shape of one row; a tensor has the number of rows before it.
    pub shape: Vec<usize>,
    /// Whether it is computed only when it is asked for by name. Never for an input.
    pub on_request: bool,
}

/// A version of a model, loaded or known.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelStatus {
    /// The name it is asked by.
    pub name: String,
    /// Its version; `None` where not even its manifest could be read.
    pub version: Option<String>,
    /// Whether a request that names no version is answered by it.
    pub active: bool,
    /// Which one it is; `None` where not even its manifest could be read.
    pub identity: Option<ModelIdentity>,
    /// Whether it can be used.
    pub state: ModelState,
    /// What it takes, in the model's order; empty where its manifest could not be read.
    pub inputs: Vec<TensorSignature>,
    /// What it gives, in the model's order; empty where its manifest could not be read.
    pub outputs: Vec<TensorSignature>,
    /// The most rows of one request.
    pub rows_max: usize,
    /// Its normalisation, where the manifest carries one.
    pub normalisation: Option<Arc<Normalisation>>,
    /// How its input is made, as the manifest says it: part of the model.
    pub preprocessing: Option<Arc<serde_json::Value>>,
    /// How its outputs become probabilities and decisions, as the manifest says it.
    pub calibration: Option<Arc<serde_json::Value>>,
}

/// A frozen normalisation: element-wise `(x - mean) / standard_deviation`.
#[derive(Clone, PartialEq, Debug)]
pub struct Normalisation {
    /// Unit of the values before normalisation.
    pub unit: String,
    /// One mean an element.
    pub mean: Vec<f32>,
    /// One standard deviation an element, each above 0.
    pub standard_deviation: Vec<f32>,
    /// What the vectors were computed over.
    pub method: String,
}

/// Who waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Priority {
    /// Somebody does: such requests go first.
    #[default]
    Interactive,
    /// A job does: such requests wait for the others, but not for ever.
    Batch,
}

/// What is asked of a model.
#[derive(Clone, PartialEq, Debug)]
pub struct PredictionRequest {
    /// The model's name.
    pub model: String,
    /// Its version; `None` is the active one.
    pub version: Option<String>,
    /// Every input of the model, in any order.
    pub inputs: Vec<Tensor>,
    /// The outputs that are wanted, and in which order; none are those that are not on request only.
    pub outputs: Vec<String>,
    /// Who waits.
    pub priority: Priority,
}

impl PredictionRequest {
    /// Asks the active version of `model` for its usual outputs, for somebody who waits.
    pub fn new(model: impl Into<String>, inputs: Vec<Tensor>) -> Self {
        let (model, version, outputs) = (model.into(), None, Vec::new());
        Self { model, version, inputs, outputs, priority: Priority::Interactive }
    }
}

/// A model's answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Prediction {
    /// Its outputs: those that were asked for, in that order, or the usual ones in the model's order.
    pub outputs: Vec<Tensor>,
    /// Which model it was.
    pub model: ModelIdentity,
}

/// Runs models.
///
/// # Contract
/// - The same inputs give the same outputs.
/// - A version that is not ready is `Unavailable`, a name or version that is not known `NotFound`.
/// - Inputs of a wrong name, shape or length are `InvalidInput`, and so are values that are not finite, outputs that the model
///   does not have, and more rows than one request may carry.
/// - A full queue is `Unavailable` at once; a call whose future is dropped costs no inference.
#[async_trait]
pub trait Predictor: Send + Sync + 'static {
    /// Runs a model.
    async fn predict(&self, request: PredictionRequest) -> Result<Prediction>;

    /// The state of each version that is loaded or was to be.
    async fn models(&self) -> Vec<ModelStatus>;
}
