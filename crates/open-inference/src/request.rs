//! Requests for an inference.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{
    Deserialize,
    de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{DATATYPE, DIMENSIONS_MAX, Fault, TENSORS_MAX, TEXT_BYTES_MAX, Tensor, data::Data, volume};

#[cfg(test)]
mod tests;

/// A request for an inference.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// What its sender calls it.
    pub id: Option<String>,
    /// The tensors, in the order of the request.
    pub inputs: Vec<Tensor>,
    /// The outputs that are wanted; none stands for all that the model gives by default.
    pub outputs: Vec<RequestedOutput>,
    /// Whether outputs that are not named are wanted in binary.
    pub wants_binary: bool,
    /// 1 is the most urgent; 0, and none, the model's default.
    pub priority: Option<u64>,
    /// How long its sender waits for it.
    pub timeout: Option<Duration>,
}

/// An output that a request names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestedOutput {
    /// Its name in the model.
    pub name: String,
    /// Whether it is wanted in binary.
    pub is_binary: bool,
}

impl Request {
    /// Reads a body whose first `json_length` bytes are JSON, and the rest the tensors that the JSON says are binary;
    /// without it, all of the body is JSON.
    pub fn parse(body: &[u8], json_length: Option<usize>) -> Result<Self, Fault> {
        let (json, tensors) = body
            .split_at_checked(json_length.unwrap_or(body.len()))
            .ok_or_else(|| Fault::new("Inference-Header-Content-Length is larger than the body"))?;
        let Object(wire) = serde_json::from_slice::<Object<Wire>>(json).map_err(|error| words(&error))?;
        wire.request(tensors)
    }

    /// Takes a whole body as the one tensor of a model with one input, called `name`: what
    /// `Inference-Header-Content-Length: 0` stands for. At most one length of its shape may be left open (`None`).
    pub fn raw(body: &[u8], name: &str, shape: &[Option<usize>]) -> Result<Self, Fault> {
        let wrong = || {
            let bytes = body.len();
            Fault::new(format!(
                "{bytes} bytes are no tensor of the shape of the input {name}: send the JSON as well"
            ))
        };
        if shape.iter().filter(|length| length.is_none()).count() > 1 || !body.len().is_multiple_of(4) {
            return Err(wrong());
        }
        let fixed: Vec<usize> = shape.iter().copied().flatten().collect();
        let open = volume(&fixed).and_then(|row| (body.len() / 4).checked_div(row)).ok_or_else(wrong)?;
        let shape: Vec<usize> = shape.iter().map(|length| length.unwrap_or(open)).collect();
        if volume(&shape) != Some(body.len() / 4) {
            return Err(wrong());
        }
        let input = Tensor { name: name.to_owned(), shape, data: floats(body) };
        let (id, outputs, priority, timeout) = (None, Vec::new(), None, None);
        Ok(Self { id, inputs: vec![input], outputs, wants_binary: true, priority, timeout })
    }

    /// Whether the output of this name is wanted in binary.
    pub fn wants_binary(&self, output: &str) -> bool {
        let named = self.outputs.iter().find(|named| named.name == output);
        named.map_or(self.wants_binary, |named| named.is_binary)
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[derive(Deserialize)]
struct Wire {
    id: Option<String>,
    #[serde(default)]
    parameters: Object<Parameters>,
    inputs: Few<Object<WireInput>, TENSORS_MAX>,
    #[serde(default)]
    outputs: Few<Object<WireOutput>, TENSORS_MAX>,
}

#[derive(Default, Deserialize)]
struct Parameters {
    binary_data_output: Option<bool>,
    priority: Option<u64>,
    /// In microseconds.
    timeout: Option<u64>,
}

#[derive(Deserialize)]
struct WireInput {
    name: String,
    shape: Few<i64, DIMENSIONS_MAX>,
    datatype: String,
    #[serde(default)]
    parameters: Object<InputParameters>,
    data: Option<Data>,
}

#[derive(Default, Deserialize)]
struct InputParameters {
    binary_data_size: Option<u64>,
    shared_memory_region: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct WireOutput {
    name: String,
    #[serde(default)]
    parameters: Object<OutputParameters>,
}

#[derive(Default, Deserialize)]
struct OutputParameters {
    binary_data: Option<bool>,
    classification: Option<IgnoredAny>,
    shared_memory_region: Option<IgnoredAny>,
}

impl Wire {
    fn request(self, mut tensors: &[u8]) -> Result<Request, Fault> {
        let Parameters { binary_data_output, priority, timeout } = self.parameters.0;
        let wants_binary = binary_data_output.unwrap_or(false);
        if self.id.as_ref().is_some_and(|id| id.len() > TEXT_BYTES_MAX) {
            return Err(Fault::new(format!("an id has at most {TEXT_BYTES_MAX} bytes")));
        }
        let inputs = self.inputs.0.into_iter().map(|input| input.0.tensor(&mut tensors));
        let inputs: Vec<Tensor> = inputs.collect::<Result<_, _>>()?;
        if !tensors.is_empty() {
            let rest = tensors.len();
            return Err(Fault::new(format!("{rest} bytes follow the last input: see binary_data_size")));
        }
        let outputs = self.outputs.0.into_iter().map(|output| output.0.requested(wants_binary));
        Ok(Request {
            id: self.id.filter(|id| !id.is_empty()),
            inputs,
            outputs: outputs.collect::<Result<_, _>>()?,
            wants_binary,
            priority,
            timeout: timeout.filter(|time| *time > 0).map(Duration::from_micros),
        })
    }
}

impl WireInput {
    /// The tensor, whose values are in JSON, or are taken off `tensors`.
    fn tensor(self, tensors: &mut &[u8]) -> Result<Tensor, Fault> {
        let name = checked(self.name)?;
        if self.datatype != DATATYPE {
            // The datatype may be anything: it is not repeated.
            return Err(Fault::new(format!(
                "the input {name} is not of the datatype {DATATYPE}, which is the only one here"
            )));
        }
        let shape = self.shape.0.into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>();
        let Ok(shape) = shape else {
            return Err(Fault::new(format!("the shape of the input {name} has a length below 0")));
        };
        let volume = volume(&shape);
        let Some(bytes) = volume.and_then(|volume| volume.checked_mul(4)) else {
            return Err(Fault::new(format!("the shape of the input {name} is too large")));
        };
        let InputParameters { binary_data_size, shared_memory_region } = self.parameters.0;
        if shared_memory_region.is_some() {
            return Err(Fault::new(format!(
                "the input {name} is in shared memory, which there is none of here"
            )));
        }
        let data = match (self.data, binary_data_size) {
            (Some(data), None) if volume == Some(data.values.len()) && is_of(&data, &shape) => data.values,
            (Some(data), None) => {
                let got: Vec<usize> = data.shape().collect();
                return Err(Fault::new(format!(
                    "the input {name} has data of the shape {got:?}, not {shape:?}"
                )));
            }
            (None, Some(size)) => {
                if usize::try_from(size).ok() != Some(bytes) {
                    return Err(Fault::new(format!(
                        "the input {name} has a binary_data_size of {size}, but its shape takes {bytes} bytes"
                    )));
                }
                let Some((own, rest)) = tensors.split_at_checked(bytes) else {
                    return Err(Fault::new(format!("the body ends within the input {name}")));
                };
                *tensors = rest;
                floats(own)
            }
            (Some(_), Some(_)) => {
                return Err(Fault::new(format!("the input {name} has both data and binary_data_size")));
            }
            (None, None) => {
                return Err(Fault::new(format!("the input {name} has neither data nor binary_data_size")));
            }
        };
        Ok(Tensor { name, shape, data })
    }
}

/// Whether data is flat, or nested as its shape says.
fn is_of(data: &Data, shape: &[usize]) -> bool {
    data.shape().count() == 1 || data.shape().eq(shape.iter().copied())
}

impl WireOutput {
    fn requested(self, is_binary: bool) -> Result<RequestedOutput, Fault> {
        let name = checked(self.name)?;
        let OutputParameters { binary_data, classification, shared_memory_region } = self.parameters.0;
        if classification.is_some() || shared_memory_region.is_some() {
            return Err(Fault::new(format!(
                "the output {name} asks for classification or shared memory, which there is none of here"
            )));
        }
        Ok(RequestedOutput { name, is_binary: binary_data.unwrap_or(is_binary) })
    }
}

fn checked(name: String) -> Result<String, Fault> {
    if name.len() > TEXT_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(Fault::new(format!(
            "a name has at most {TEXT_BYTES_MAX} bytes and no control characters"
        )));
    }
    Ok(name)
}

/// What serde says, without what the sender wrote.
fn words(error: &serde_json::Error) -> Fault {
    let words = error.to_string();
    let expected = words.rsplit_once(", expected ").map(|(_, expected)| format!("expected {expected}"));
    Fault(format!("the request's JSON cannot be read: {}", expected.unwrap_or(words)))
}

/// An array of at most `MAX` elements: reading ends at one more, so that what is built is never more than is allowed.
struct Few<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for Few<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Few<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
            type Value = Few<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
                let mut few = Vec::new();
                while let Some(element) = elements.next_element()? {
                    if few.len() == MAX {
                        return Err(A::Error::custom(format_args!(
                            "there are at most {TENSORS_MAX} inputs, {TENSORS_MAX} outputs, and {DIMENSIONS_MAX} dimensions"
                        )));
                    }
                    few.push(element);
                }
                Ok(Few(few))
            }
        }

        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

/// A JSON object. serde would take an array as well, by the order in which our fields happen to stand.
#[derive(Default)]
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}
