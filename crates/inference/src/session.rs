//! One ONNX Runtime session, seen as tensors in and tensors out.

use ort::session::Session;
use ort::value::{Outlet, TensorElementType, ValueType};
use ports::{Cause, Tensor};

use crate::manifest::{ElementType, Signature};

/// Something that computes. The queue knows no more of a model than this.
pub(crate) trait Runner: Send + 'static {
    fn run(&mut self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Cause>;
}

pub(crate) struct OnnxSession(Session);

impl OnnxSession {
    /// Takes a session whose inputs and outputs are the declared ones, in the same order.
    pub(crate) fn new(session: Session, inputs: &[Signature], outputs: &[Signature]) -> Result<Self, String> {
        agree("inputs", session.inputs(), inputs)?;
        agree("outputs", session.outputs(), outputs)?;
        Ok(Self(session))
    }
}

fn agree(what: &str, actual: &[Outlet], declared: &[Signature]) -> Result<(), String> {
    if actual.len() != declared.len() {
        return Err(format!(
            "the manifest declares {} {what}, the model has {}",
            declared.len(),
            actual.len()
        ));
    }
    match actual.iter().zip(declared).find(|(actual, declared)| !same(actual, declared)) {
        Some((actual, declared)) => {
            let shape = declared.onnx_shape();
            let (name, dtype) = (actual.name(), actual.dtype());
            Err(format!(
                "{what}: the manifest declares {} {shape:?}, the model has {name} {dtype:?}",
                declared.name
            ))
        }
        None => Ok(()),
    }
}

fn same(actual: &Outlet, declared: &Signature) -> bool {
    let expected = match declared.element {
        ElementType::F32 => TensorElementType::Float32,
    };
    match actual.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            actual.name() == declared.name && *ty == expected && shape[..] == declared.onnx_shape()[..]
        }
        _ => false,
    }
}

impl Runner for OnnxSession {
    fn run(&mut self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Cause> {
        let mut values = Vec::with_capacity(inputs.len());
        for Tensor { name, shape, data } in inputs {
            values.push((name, ort::value::Tensor::from_array((shape, data))?));
        }
        let mut tensors = Vec::new();
        for (name, value) in &self.0.run(values)? {
            let (shape, data) = value.try_extract_tensor::<f32>()?;
            // A NaN must not travel on as if it were a result.
            if !data.iter().all(|value| value.is_finite()) {
                return Err(format!("the output {name} has a value that is not finite").into());
            }
            let shape = shape.iter().map(|length| usize::try_from(*length)).collect::<Result<_, _>>()?;
            tensors.push(Tensor { name: name.to_owned(), shape, data: data.to_vec() });
        }
        Ok(tensors)
    }
}
