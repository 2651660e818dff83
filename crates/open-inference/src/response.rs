//! Answers to inferences.

use serde::Serialize;

use crate::{DATATYPE, Fault, Tensor};

#[cfg(test)]
mod tests;

/// The answer to a request.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The request's id.
    pub id: Option<&'a str>,
    /// Which model gave the outputs.
    pub model_name: &'a str,
    /// Which of its versions.
    pub model_version: &'a str,
    /// The outputs.
    pub outputs: &'a [Tensor],
}

/// A body. Does not print itself.
pub struct Encoded {
    /// JSON, and after it the tensors that are binary, little-endian.
    pub body: Vec<u8>,
    /// How many bytes the JSON has, where tensors follow it: the value of `Inference-Header-Content-Length`.
    pub json_length: Option<usize>,
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoded({} bytes, {:?} of JSON)", self.body.len(), self.json_length)
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    model_name: &'a str,
    model_version: &'a str,
    outputs: Vec<WireOutput<'a>>,
}

#[derive(Serialize)]
struct WireOutput<'a> {
    name: &'a str,
    datatype: &'a str,
    shape: &'a [usize],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a [f32]>,
}

#[derive(Serialize)]
struct Parameters {
    binary_data_size: usize,
}

/// About what a number takes in JSON, and a name with its shape.
const NUMBER_BYTES: usize = 12;
const HEAD_BYTES: usize = 256;

impl Response<'_> {
    /// Writes the outputs for which `is_binary` says so in binary, and the others in JSON, which has no numbers that are not
    /// finite.
    pub fn encode(&self, is_binary: impl Fn(&str) -> bool) -> Result<Encoded, Fault> {
        let (binary, json): (Vec<&Tensor>, Vec<&Tensor>) =
            self.outputs.iter().partition(|output| is_binary(&output.name));
        if let Some(output) = json.iter().find(|output| output.data.iter().any(|value| !value.is_finite())) {
            return Err(Fault::new(format!(
                "the output {} has a value that JSON has no number for: ask for it in binary",
                output.name
            )));
        }
        let values = |tensors: &[&Tensor]| tensors.iter().map(|tensor| tensor.data.len()).sum::<usize>();
        let head = HEAD_BYTES * (1 + self.outputs.len());
        let mut body = Vec::with_capacity(head + NUMBER_BYTES * values(&json) + 4 * values(&binary));
        let outputs = self.outputs.iter().map(|output| {
            let is_binary = is_binary(&output.name);
            WireOutput {
                name: &output.name,
                datatype: DATATYPE,
                shape: &output.shape,
                parameters: is_binary.then_some(Parameters { binary_data_size: 4 * output.data.len() }),
                data: (!is_binary).then_some(&output.data),
            }
        });
        let (id, model_name, model_version) = (self.id, self.model_name, self.model_version);
        let wire = Wire { id, model_name, model_version, outputs: outputs.collect() };
        serde_json::to_writer(&mut body, &wire)
            .map_err(|error| Fault::new(format!("the answer cannot be written: {error}")))?;
        let json_length = (!binary.is_empty()).then_some(body.len());
        for output in binary {
            body.extend(output.data.iter().flat_map(|value| value.to_le_bytes()));
        }
        Ok(Encoded { body, json_length })
    }
}
