//! One ONNX Runtime session, seen as tensors in and tensors out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ort::memory::MemoryInfo;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionOutputs};
use ort::value::{Outlet, TensorElementType, ValueType};
use ports::{Cause, Tensor};

use crate::manifest::{ElementType, Signature};

/// Something that computes. The queue knows no more of a model than this.
pub(crate) trait Runner: Send + 'static {
    /// The outputs of these names, which are in the model's order.
    fn run(&mut self, inputs: Vec<Tensor>, outputs: &[String]) -> Result<Vec<Tensor>, Cause>;
}

const SELECTIONS_MAX: usize = 64;

pub(crate) struct OnnxSession {
    session: Session,
    /// Where a device that is not the processor leaves outputs for it: memory that both reach.
    host: Option<MemoryInfo<'static>>,
    /// What says which outputs are computed, by the outputs that were asked for before.
    selections: Selections,
    /// What more rows than these took is given back after their run: an arena keeps the most that it ever needed.
    rows_kept: usize,
}

impl OnnxSession {
    /// Takes a session whose inputs and outputs are the declared ones, in the same order. With `host`, inputs are copied to the
    /// device and outputs to that memory by the device (I/O binding).
    pub(crate) fn new(
        session: Session,
        host: Option<MemoryInfo<'static>>,
        inputs: &[Signature],
        outputs: &[Signature],
    ) -> Result<Self, String> {
        agree("inputs", session.inputs(), inputs)?;
        agree("outputs", session.outputs(), outputs)?;
        Ok(Self { session, host, selections: BTreeMap::new(), rows_kept: usize::MAX })
    }

    /// Keeps the memory of runs with up to so many rows. On the processor; a device's memory has a limit.
    pub(crate) fn keep_memory_of(mut self, rows: usize) -> Self {
        self.rows_kept = rows;
        self
    }
}

/// By the outputs, and whether memory is given back.
type Selections = BTreeMap<(Vec<String>, bool), RunOptions<HasSelectedOutputs>>;

fn selection<'a>(
    selections: &'a mut Selections,
    outputs: &[String],
    gives_back: bool,
) -> ort::Result<&'a RunOptions<HasSelectedOutputs>> {
    let key = (outputs.to_vec(), gives_back);
    // There are only so many, but a client decides which.
    if selections.len() == SELECTIONS_MAX && !selections.contains_key(&key) {
        selections.clear();
    }
    Ok(match selections.entry(key) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let selector = outputs.iter().fold(OutputSelector::no_default(), OutputSelector::with);
            let mut options = RunOptions::new()?.with_outputs(selector);
            if gives_back {
                options.set("memory.enable_memory_arena_shrinkage", "cpu:0")?;
            }
            new.insert(options)
        }
    })
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
    fn run(&mut self, inputs: Vec<Tensor>, outputs: &[String]) -> Result<Vec<Tensor>, Cause> {
        let rows = inputs.iter().filter_map(|input| input.shape.first().copied()).max().unwrap_or(1);
        let mut values = Vec::with_capacity(inputs.len());
        for Tensor { name, shape, data } in inputs {
            values.push((name, ort::value::Tensor::from_array((shape, data))?));
        }
        let Some(host) = &self.host else {
            let options = selection(&mut self.selections, outputs, rows > self.rows_kept)?;
            return tensors(&self.session.run_with_options(values, options)?);
        };
        // A binding keeps the outputs of its last run, so that one for all runs would keep the largest batch.
        let mut binding = self.session.create_binding()?;
        for (name, value) in &values {
            binding.bind_input(name, value)?;
        }
        for name in outputs {
            binding.bind_output_to_device(name, host)?;
        }
        binding.synchronize_inputs()?;
        let outputs = self.session.run_binding(&binding)?;
        binding.synchronize_outputs()?;
        tensors(&outputs)
    }
}

fn tensors(outputs: &SessionOutputs<'_>) -> Result<Vec<Tensor>, Cause> {
    let mut tensors = Vec::with_capacity(outputs.len());
    for (name, value) in outputs {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ort::memory::{AllocationDevice, AllocatorType, MemoryType};

    use super::*;
    use crate::manifest::Manifest;
    use crate::providers::{self, ExecutionProvider};
    use crate::runtime::OnnxRuntime;

    /// The way of a GPU, on the processor: inputs and outputs are bound.
    #[test]
    fn a_bound_session_answers_as_one_that_is_not() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let runtime = OnnxRuntime::load(None, &[root.join("../../.tools/onnxruntime")]).unwrap();
        let folder = root.join("tests/fixtures/doubling");
        let manifest = Manifest::parse(&std::fs::read(folder.join("manifest.json")).unwrap(), None).unwrap();
        let model = std::fs::read(folder.join("model.onnx")).unwrap();
        let session = |host| {
            let opened = providers::open(&runtime, &model, ExecutionProvider::Cpu, 1 << 30).unwrap();
            OnnxSession::new(opened.session, host, &manifest.inputs, &manifest.outputs).unwrap()
        };
        let memory = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default);
        let (mut bound, mut plain) = (session(Some(memory.unwrap())), session(None));
        for rows in [1, 3, 2] {
            let data: Vec<f32> = (0..rows * 2).map(|value| value as f32).collect();
            let x = Tensor { name: "x".to_owned(), shape: vec![rows, 2], data };
            for outputs in [&["y"][..], &["z"], &["y", "z"]] {
                let outputs: Vec<_> = outputs.iter().map(|name| (*name).to_owned()).collect();
                let answer = bound.run(vec![x.clone()], &outputs).unwrap();
                assert_eq!(answer.iter().map(|one| one.name.clone()).collect::<Vec<_>>(), outputs);
                assert_eq!(answer, plain.run(vec![x.clone()], &outputs).unwrap());
            }
        }
    }
}
