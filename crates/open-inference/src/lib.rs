//! Bodies of the Open Inference Protocol v2 over HTTP, with the binary tensor extension: bytes in, tensors out, and back.
//!
//! The protocol: <https://github.com/kserve/open-inference-protocol>; the extension:
//! <https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol/binary-tensor-data-extension>.
//! Tensors are 32-bit floats (`FP32`) and nothing else. A body's size is for whoever reads it to limit; everything within it
//! is limited here, and what is reserved for it never depends on what it says of itself.
#![warn(missing_docs)]

mod data;
mod request;
mod response;

pub use request::{Request, RequestedOutput};
pub use response::{Encoded, Response};

/// Inputs, and named outputs, that one request may have.
pub const TENSORS_MAX: usize = 64;
/// Dimensions of a tensor, and so the depth of its data in JSON.
pub const DIMENSIONS_MAX: usize = 8;
/// Bytes of a tensor's name, and of a request's id.
pub const TEXT_BYTES_MAX: usize = 256;
/// The header that says how many bytes of a body are JSON; tensors follow them.
pub const HEADER_LENGTH: &str = "inference-header-content-length";
/// The one datatype, as the protocol writes it.
pub const DATATYPE: &str = "FP32";

/// A dense tensor, row-major. Does not print its values.
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

/// What is wrong with a request, or with what it asks for, in words for its sender. Names tensors, never their values.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Fault(String);

impl Fault {
    fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// How many values a tensor of this shape has; `None` where that is more than can be counted.
fn volume(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |volume, length| volume.checked_mul(*length))
}
