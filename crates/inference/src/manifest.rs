//! What a model's `manifest.json` says, and what it must say.

use std::collections::BTreeSet;
use std::path::{Component, Path};
use std::sync::Arc;

use ports::{ModelIdentity, Tensor, TensorSignature, Weights};
use serde::{Deserialize, Serialize};

/// Version 2 has what version 1 has, and the fields that say so.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=2;

/// Rows of one request, and of a golden case, as in the configuration.
const ROWS_MAX: usize = 4_096;
/// Rows of one execution that requests share, as in the configuration.
const BATCH_ROWS_MAX: usize = 256;
/// A generated input is held in memory: 256 MiB.
const GOLDEN_VALUES_MAX: usize = 1 << 26;

/// What a name or a version may be: a part of a path, a URL and an object's key.
pub(crate) fn is_plain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.')
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "some fields are for people, and are declared so that a misspelt one is refused"
)]
pub(crate) struct Manifest {
    #[serde(rename = "manifest_version")]
    format: u32,
    pub(crate) name: String,
    pub(crate) version: String,
    weights: Weights,
    intended_use: String,
    licence: String,
    attribution: String,
    parameters: u64,
    pub(crate) model: String,
    pub(crate) files: Vec<File>,
    pub(crate) inputs: Vec<Signature>,
    pub(crate) outputs: Vec<Signature>,
    pub(crate) normalisation: Option<NormalisationFiles>,
    pub(crate) preprocessing: Option<Arc<serde_json::Value>>,
    /// Since version 2.
    pub(crate) calibration: Option<Arc<serde_json::Value>>,
    /// Since version 2.
    #[serde(default)]
    pub(crate) batching: Batching,
    /// Since version 2.
    #[serde(default = "yes")]
    pub(crate) cache: bool,
    pub(crate) golden: Vec<GoldenCase>,
}

fn yes() -> bool {
    true
}

/// How rows of several requests are put together. What is absent is what the server's settings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batching {
    /// The most rows of one request; one with more is refused.
    pub rows_max: Option<usize>,
    /// The most rows of one execution that several requests share; 1 keeps each to itself.
    pub batch_rows_max: Option<usize>,
    /// How long a request waits for others to join it, in microseconds.
    pub batch_delay_us: Option<u64>,
}

impl Batching {
    /// These, and where they say nothing, `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            rows_max: self.rows_max.or(other.rows_max),
            batch_rows_max: self.batch_rows_max.or(other.batch_rows_max),
            batch_delay_us: self.batch_delay_us.or(other.batch_delay_us),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

/// An input or an output: rows of a fixed shape.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signature {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) element: ElementType,
    shape: Vec<Dimension>,
    /// Whether it is computed only when it is asked for by name. Since version 2, and for outputs only.
    #[serde(default)]
    pub(crate) on_request: bool,
}

/// What a tensor holds. Others than 32-bit floats are refused here, where the manifest names them.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ElementType {
    F32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Dimension {
    Fixed(usize),
    Named(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NormalisationFiles {
    pub(crate) unit: String,
    pub(crate) mean: String,
    pub(crate) standard_deviation: String,
    pub(crate) method: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoldenCase {
    pub(crate) rows: usize,
    pub(crate) inputs: Vec<GoldenInput>,
    pub(crate) expected: Vec<Expected>,
}

/// An input of a golden case: from the generator of [`crate::golden::lcg64`], or stored.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoldenInput {
    pub(crate) name: String,
    pub(crate) lcg64_seed: Option<u64>,
    pub(crate) file: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) output: String,
    pub(crate) file: String,
    /// The largest absolute deviation.
    pub(crate) tolerance: f32,
}

impl Signature {
    /// The shape of one row.
    pub(crate) fn row(&self) -> impl Iterator<Item = usize> {
        self.shape.iter().filter_map(|dimension| match dimension {
            Dimension::Fixed(length) => Some(*length),
            Dimension::Named(_) => None,
        })
    }

    pub(crate) fn of_row(&self) -> TensorSignature {
        TensorSignature { name: self.name.clone(), shape: self.row().collect(), on_request: self.on_request }
    }

    /// How ONNX Runtime writes this shape: the rows, of which there can be any number, as -1.
    pub(crate) fn onnx_shape(&self) -> Vec<i64> {
        std::iter::once(-1)
            .chain(self.row().map(|length| i64::try_from(length).unwrap_or(i64::MAX)))
            .collect()
    }

    pub(crate) fn shape(&self, rows: usize) -> Vec<usize> {
        std::iter::once(rows).chain(self.row()).collect()
    }

    /// Values in `rows` rows; `None` where that is more than can be counted.
    pub(crate) fn len(&self, rows: usize) -> Option<usize> {
        self.shape(rows).into_iter().try_fold(1_usize, usize::checked_mul)
    }

    /// The number of rows, if `tensor` has this signature.
    pub(crate) fn rows_of(&self, tensor: &Tensor) -> Option<usize> {
        let rows = *tensor.shape.first()?;
        let fits = tensor.name == self.name
            && tensor.shape == self.shape(rows)
            && self.len(rows) == Some(tensor.data.len());
        fits.then_some(rows)
    }

    fn check(&self) -> Result<(), String> {
        let [Dimension::Named(first), rest @ ..] = &self.shape[..] else {
            return Err(format!("the shape of {} does not begin with \"batch\"", self.name));
        };
        let fixed = rest.iter().all(|dimension| matches!(dimension, Dimension::Fixed(length) if *length > 0));
        if first != "batch" || !fixed || self.len(1).is_none() {
            return Err(format!("the shape of {} is not \"batch\" and then numbers above 0", self.name));
        }
        Ok(())
    }
}

impl Manifest {
    /// Reads and checks a manifest, of the model `name` where that is known. The error is a reason for the operator.
    pub(crate) fn parse(text: &[u8], name: Option<&str>) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            #[serde(rename = "manifest_version")]
            format: u32,
        }
        let versioned: Versioned = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if !VERSIONS.contains(&versioned.format) {
            let (first, last) = (VERSIONS.start(), VERSIONS.end());
            return Err(format!(
                "manifest_version is {}; this server reads {first} to {last}",
                versioned.format
            ));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        manifest.check(name)?;
        Ok(manifest)
    }

    pub(crate) fn identity(&self) -> ModelIdentity {
        let sha256 = self.files.iter().find(|file| file.path == self.model).map(|file| file.sha256.clone());
        ModelIdentity {
            name: self.name.clone(),
            version: self.version.clone(),
            sha256: sha256.unwrap_or_default(),
            weights: self.weights,
            intended_use: self.intended_use.clone(),
            licence: self.licence.clone(),
        }
    }

    fn check(&self, name: Option<&str>) -> Result<(), String> {
        if let Some(name) = name
            && self.name != name
        {
            return Err(format!("it names the model `{}`, but lies in the folder `{name}`", self.name));
        }
        if !is_plain(&self.name) || !is_plain(&self.version) {
            let (name, version) = (&self.name, &self.version);
            return Err(format!(
                "name {name:?} and version {version:?} must be 1 to 64 of a-z A-Z 0-9 . _ - and not begin with a dot"
            ));
        }
        if self.licence.is_empty() || self.intended_use.is_empty() {
            return Err("licence and intended_use must not be blank".to_owned());
        }
        if self.inputs.is_empty() || self.outputs.is_empty() {
            return Err("a model has at least one input and one output".to_owned());
        }
        self.inputs.iter().chain(&self.outputs).try_for_each(Signature::check)?;
        if self.inputs.iter().any(|input| input.on_request) || self.outputs.iter().all(|one| one.on_request) {
            return Err("inputs cannot be on request, and not every output can".to_owned());
        }
        let Batching { rows_max, batch_rows_max, .. } = self.batching;
        let fits = |rows: Option<usize>, max| rows.is_none_or(|rows| (1..=max).contains(&rows));
        if !fits(rows_max, ROWS_MAX) || !fits(batch_rows_max, BATCH_ROWS_MAX) {
            return Err(format!(
                "batching: rows_max must be 1 to {ROWS_MAX}, and batch_rows_max 1 to {BATCH_ROWS_MAX}"
            ));
        }
        self.check_files()?;
        self.check_golden()
    }

    /// A file that is used but not listed would be used without having been verified.
    fn check_files(&self) -> Result<(), String> {
        let mut listed = BTreeSet::new();
        for file in &self.files {
            let inside = Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_)));
            if !inside || !listed.insert(file.path.as_str()) {
                return Err(format!("files: {} is outside the folder or listed twice", file.path));
            }
        }
        let normalisation = self.normalisation.iter().flat_map(|one| [&one.mean, &one.standard_deviation]);
        let golden = self.golden.iter().flat_map(|case| {
            let inputs = case.inputs.iter().filter_map(|input| input.file.as_ref());
            inputs.chain(case.expected.iter().map(|expected| &expected.file))
        });
        match [&self.model]
            .into_iter()
            .chain(normalisation)
            .chain(golden)
            .find(|path| !listed.contains(path.as_str()))
        {
            Some(path) => Err(format!("{path} is used but has no entry in files")),
            None => Ok(()),
        }
    }

    /// The outputs that are given where none is asked for, and all, both in the model's order.
    pub(crate) fn output_names(&self) -> (Arc<[String]>, Arc<[String]>) {
        let names = |on_request: bool| {
            let outputs = self.outputs.iter().filter(|output| on_request || !output.on_request);
            outputs.map(|output| output.name.clone()).collect()
        };
        (names(false), names(true))
    }

    fn check_golden(&self) -> Result<(), String> {
        for case in &self.golden {
            let named =
                case.inputs.iter().map(|input| &input.name).eq(self.inputs.iter().map(|input| &input.name));
            let one_source =
                case.inputs.iter().all(|input| input.lcg64_seed.is_some() != input.file.is_some());
            let count =
                |signature: &Signature| signature.len(case.rows).filter(|count| *count <= GOLDEN_VALUES_MAX);
            if case.rows > ROWS_MAX || self.inputs.iter().any(|input| count(input).is_none()) {
                return Err(format!(
                    "a golden case has at most {ROWS_MAX} rows, and {GOLDEN_VALUES_MAX} values of an input"
                ));
            }
            if case.rows == 0 || !named || !one_source {
                return Err("a golden case needs rows, and each input from a seed or from a file".to_owned());
            }
            if let Some(bad) =
                case.expected.iter().find(|one| !(one.tolerance > 0.0 && one.tolerance.is_finite()))
            {
                return Err(format!("the tolerance of {} is not above 0", bad.output));
            }
        }
        let compared = |output: &Signature| {
            self.golden.iter().flat_map(|case| &case.expected).any(|one| one.output == output.name)
        };
        match self.outputs.iter().find(|output| !compared(output)) {
            Some(output) => Err(format!("no golden vector checks the output {}", output.name)),
            None => Ok(()),
        }
    }
}
