//! Models: tensors in, tensors out, and which model it was.

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

/// A model that is configured.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelStatus {
    /// The name it is asked by.
    pub name: String,
    /// Which one it is; `None` where not even its manifest could be read.
    pub identity: Option<ModelIdentity>,
    /// Whether it can be used.
    pub state: ModelState,
    /// Its normalisation, where the manifest carries one.
    pub normalisation: Option<std::sync::Arc<Normalisation>>,
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

/// A model's answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Prediction {
    /// Its outputs.
    pub outputs: Vec<Tensor>,
    /// Which model it was.
    pub model: ModelIdentity,
}

/// Runs models.
///
/// # Contract
/// - The same inputs give the same outputs.
/// - A model that is not ready is `Unavailable`, a name that is not configured `NotFound`.
/// - Inputs of a wrong name, shape or length are `InvalidInput`, and so are values that are not finite.
/// - A full queue is `Unavailable` at once; a call whose future is dropped costs no inference.
#[async_trait]
pub trait Predictor: Send + Sync + 'static {
    /// Runs `model` on `inputs`.
    async fn predict(&self, model: &str, inputs: Vec<Tensor>) -> Result<Prediction>;

    /// The state of each configured model, as checked when it was loaded.
    async fn models(&self) -> Vec<ModelStatus>;
}
