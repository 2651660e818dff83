//! A small model, as the server wants it: a perceptron of two hidden layers, whose ONNX file and manifest are written here.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Values of a row of the input, and of each hidden layer.
pub(crate) const WIDTH: usize = 512;
const OUTPUTS: usize = 8;
pub(crate) const NAME: &str = "small";
/// ONNX's number for 32-bit floats.
const FLOAT: u64 = 1;
const TOLERANCE: f64 = 1e-4;

/// Protocol Buffers, as far as an ONNX file needs them.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap_or(0));
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }
}

fn node(kind: &str, inputs: &[&str], output: &str) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
    node.text(2, output).text(3, output).text(4, kind)
}

fn weights(name: &str, rows: usize, columns: usize, values: &[f32]) -> Message {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = Message::default().number(1, rows as u64).number(1, columns as u64).number(2, FLOAT);
    tensor.text(8, name).bytes(9, &bytes)
}

fn rows_of(name: &str, width: usize) -> Message {
    let shape = Message::default().message(1, &Message::default().text(2, "batch"));
    let shape = shape.message(1, &Message::default().number(1, width as u64));
    let tensor = Message::default().number(1, FLOAT).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

/// The generator that manifests name, see `models/README.md`.
fn lcg64(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_possible_wrap, reason = "24 bits")]
        let centred = (state >> 40) as i64 - (1 << 23);
        centred as f32 / 4_194_304.0
    };
    (0..count).map(|_| next()).collect()
}

/// The product of a row with a matrix, in 64-bit floats: what the runtime's answers are checked against.
fn product(row: &[f64], matrix: &[f32], columns: usize) -> Vec<f64> {
    let column =
        |at: usize| row.iter().zip(matrix.iter().skip(at).step_by(columns)).map(|(a, b)| a * f64::from(*b));
    (0..columns).map(|at| column(at).sum()).collect()
}

/// Writes the model into `folder/small`.
pub(crate) fn write(folder: &Path) -> anyhow::Result<()> {
    let folder = folder.join(NAME);
    fs::create_dir_all(&folder)?;
    // So that what goes through a layer stays of the size that it had.
    let layer = |seed, columns: usize| -> Vec<f32> {
        lcg64(seed, WIDTH * columns).into_iter().map(|value| value / 16.0).collect()
    };
    let (first, second, third) = (layer(11, WIDTH), layer(12, WIDTH), layer(13, OUTPUTS));
    let nodes = [
        node("MatMul", &["x", "w1"], "a"),
        node("Relu", &["a"], "b"),
        node("MatMul", &["b", "w2"], "c"),
        node("Relu", &["c"], "d"),
        node("MatMul", &["d", "w3"], "y"),
    ];
    let graph = nodes.iter().fold(Message::default(), |graph, node| graph.message(1, node)).text(2, NAME);
    let graph = graph.message(5, &weights("w1", WIDTH, WIDTH, &first));
    let graph = graph.message(5, &weights("w2", WIDTH, WIDTH, &second));
    let graph = graph.message(5, &weights("w3", WIDTH, OUTPUTS, &third));
    let graph = graph.message(11, &rows_of("x", WIDTH)).message(12, &rows_of("y", OUTPUTS));
    let model = Message::default().number(1, 8).text(2, "clarity").message(7, &graph);
    let model = model.message(8, &Message::default().text(1, "").number(2, 18));

    let relu = |row: Vec<f64>| -> Vec<f64> { row.into_iter().map(|value| value.max(0.0)).collect() };
    let input: Vec<f64> = lcg64(1, WIDTH).into_iter().map(f64::from).collect();
    let hidden = relu(product(&relu(product(&input, &first, WIDTH)), &second, WIDTH));
    #[expect(clippy::cast_possible_truncation, reason = "golden vectors are 32-bit floats")]
    let expected =
        product(&hidden, &third, OUTPUTS).into_iter().flat_map(|value| (value as f32).to_le_bytes());
    let expected: Vec<u8> = expected.collect();

    let file = |path: &str, bytes: &[u8]| -> anyhow::Result<Value> {
        fs::write(folder.join(path), bytes)?;
        let mut digest = String::new();
        for byte in Sha256::digest(bytes) {
            write!(digest, "{byte:02x}")?;
        }
        Ok(json!({ "path": path, "size": bytes.len(), "sha256": digest }))
    };
    let files = [file("model.onnx", &model.0)?, file("golden-y.f32", &expected)?];
    let manifest = json!({
        "manifest_version": 1, "name": NAME, "version": "1", "weights": "synthetic",
        "intended_use": "measuring the server", "licence": "Apache-2.0", "attribution": "none",
        // What waits while a session is busy goes through it together; nobody waits for others to come.
        "batching": { "batch_rows_max": 8, "batch_delay_us": 0 },
        "parameters": WIDTH * (2 * WIDTH + OUTPUTS), "model": "model.onnx", "files": files,
        "inputs": [{ "name": "x", "type": "f32", "shape": ["batch", WIDTH] }],
        "outputs": [{ "name": "y", "type": "f32", "shape": ["batch", OUTPUTS] }],
        "golden": [{
            "rows": 1, "inputs": [{ "name": "x", "lcg64_seed": 1 }],
            "expected": [{ "output": "y", "file": "golden-y.f32", "tolerance": TOLERANCE }],
        }],
    });
    Ok(fs::write(folder.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?)?)
}
