#!/usr/bin/env python3
"""Makes models/pat-s: the encoder of PAT-S as an ONNX file, its normalisation, its golden vectors and its manifest.

usage: make_pat.py [--check]    --check makes it in a temporary folder and compares the bytes with models/pat-s

The architecture is the published one (Ruan et al. 2024, arXiv 2411.15240). The weights are NOT: they are drawn from a seeded
generator and were never trained, and the manifest says `synthetic`. Running this again writes the same bytes.
"""

import hashlib
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from synthetic_steps import MINUTES, cohort_normalisation

FOLDER = pathlib.Path(__file__).parent / "pat-s"
WEIGHT_SEED = 20241115
PATCH, WIDTH, HEADS, FEED_FORWARD, LAYERS = 18, 96, 6, 256, 1
TOKENS = MINUTES // PATCH
EPSILON = 1e-6
# (seed, rows): the second case has two rows, so that a graph which mixes rows up fails.
GOLDEN = [(1, 1), (2, 2)]
# Largest absolute deviation allowed of each output. The runtime's own is about a tenth of these.
TOLERANCE = {"embedding": 1e-5, "attention_profile": 1e-7}


def uniform(random, shape, limit):
    """Only exact arithmetic, so every machine draws the same bits."""
    return ((random.random(shape) * 2.0 - 1.0) * limit).astype(np.float32)


def draw_weights():
    """Named and shaped as in the published Keras files. Glorot-uniform kernels; biases and norms are drawn too, since a
    zero bias or a unit gamma would hide a graph that forgets them."""
    random = np.random.Generator(np.random.PCG64(WEIGHT_SEED))
    weights = {}

    def dense(name, kernel, bias, fan_in, fan_out):
        weights[f"{name}/kernel"] = uniform(random, kernel, math.sqrt(6.0 / (fan_in + fan_out)))
        weights[f"{name}/bias"] = uniform(random, bias, 0.05)

    dense("dense", (PATCH, WIDTH), (WIDTH,), PATCH, WIDTH)
    for layer in range(1, LAYERS + 1):
        name = f"encoder_layer_{layer}"
        for part in ("query", "key", "value"):
            dense(f"{name}_attention/{part}", (WIDTH, HEADS, WIDTH), (HEADS, WIDTH), WIDTH, HEADS * WIDTH)
        dense(f"{name}_attention/attention_output", (HEADS, WIDTH, WIDTH), (WIDTH,), HEADS * WIDTH, WIDTH)
        for norm in ("norm1", "norm2"):
            weights[f"{name}_{norm}/gamma"] = np.float32(1.0) + uniform(random, (WIDTH,), 0.05)
            weights[f"{name}_{norm}/beta"] = uniform(random, (WIDTH,), 0.05)
        dense(f"{name}_ff1", (WIDTH, FEED_FORWARD), (FEED_FORWARD,), WIDTH, FEED_FORWARD)
        dense(f"{name}_ff2", (FEED_FORWARD, WIDTH), (WIDTH,), FEED_FORWARD, WIDTH)
    return weights


def positions():
    """A block of sines, then a block of cosines: they are not interleaved."""
    rates = [math.exp(-2.0 * k * math.log(10000.0) / WIDTH) for k in range(WIDTH // 2)]
    rows = [[math.sin(i * w) for w in rates] + [math.cos(i * w) for w in rates] for i in range(TOKENS)]
    return np.array(rows, dtype=np.float32)


class Graph:
    """Collects nodes and constants; each call answers the name of what it made."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def shaped(self, value, shape, output):
        shape = self.constant(f"{output}/shape", np.array(shape, dtype=np.int64))
        return self.op("Reshape", [value, shape], output)


def affine(graph, value, name, rows, columns):
    """value x kernel + bias, the kernel flattened from the several axes that Keras keeps it in."""
    kernel = graph.shaped(f"{name}/kernel", [rows, columns], f"{name}/kernel_2d")
    bias = graph.shaped(f"{name}/bias", [columns], f"{name}/bias_1d")
    product = graph.op("MatMul", [value, kernel], f"{name}/product")
    return graph.op("Add", [product, bias], f"{name}/sum")


def attention(graph, value, name):
    """Keras' MultiHeadAttention with `key_dim` = WIDTH for each head, so the heads together are HEADS * WIDTH wide."""
    wide = HEADS * WIDTH
    heads = {}
    for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        flat = affine(graph, value, f"{name}/{part}", WIDTH, wide)
        split = graph.shaped(flat, [0, TOKENS, HEADS, WIDTH], f"{name}/{part}/split")
        heads[part] = graph.op("Transpose", [split], f"{name}/{part}/heads", perm=order)
    scale = graph.constant(f"{name}/scale", np.array(1.0 / math.sqrt(WIDTH), dtype=np.float32))
    query = graph.op("Mul", [heads["query"], scale], f"{name}/query/scaled")
    scores = graph.op("MatMul", [query, heads["key"]], f"{name}/scores")
    weights = graph.op("Softmax", [scores], f"{name}/weights", axis=-1)
    mixed = graph.op("MatMul", [weights, heads["value"]], f"{name}/mixed")
    back = graph.op("Transpose", [mixed], f"{name}/back", perm=[0, 2, 1, 3])
    joined = graph.shaped(back, [0, TOKENS, wide], f"{name}/joined")
    return affine(graph, joined, f"{name}/attention_output", wide, WIDTH), weights


def norm(graph, value, name):
    inputs = [value, f"{name}/gamma", f"{name}/beta"]
    return graph.op("LayerNormalization", inputs, f"{name}/out", axis=-1, epsilon=EPSILON)


def build(weights):
    graph = Graph()
    for name, array in weights.items():
        graph.constant(name, array)
    graph.constant("positions", positions())
    tokens = graph.shaped("x", [0, TOKENS, PATCH], "patches")
    tokens = affine(graph, tokens, "dense", PATCH, WIDTH)
    tokens = graph.op("Add", [tokens, "positions"], "tokens")
    for layer in range(1, LAYERS + 1):
        name = f"encoder_layer_{layer}"
        attended, attention_weights = attention(graph, tokens, f"{name}_attention")
        tokens = norm(graph, graph.op("Add", [tokens, attended], f"{name}/add1"), f"{name}_norm1")
        hidden = graph.op("Relu", [affine(graph, tokens, f"{name}_ff1", WIDTH, FEED_FORWARD)], f"{name}/relu")
        fed = affine(graph, hidden, f"{name}_ff2", FEED_FORWARD, WIDTH)
        tokens = norm(graph, graph.op("Add", [tokens, fed], f"{name}/add2"), f"{name}_norm2")
    over_tokens = graph.constant("over_tokens", np.array([1], dtype=np.int64))
    graph.op("ReduceMean", [tokens, over_tokens], "embedding", keepdims=0)
    # Raw attention is 7.5 MB a row here and 240 MB in PAT-L: only its mean over heads and queries leaves the graph.
    over_queries = graph.constant("over_heads_and_queries", np.array([1, 2], dtype=np.int64))
    graph.op("ReduceMean", [attention_weights, over_queries], "attention_profile", keepdims=0)

    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    outputs = [value("embedding", "batch", WIDTH), value("attention_profile", "batch", TOKENS)]
    made = helper.make_graph(graph.nodes, "pat-s", [value("x", "batch", MINUTES)], outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    model.producer_name = "make_pat.py"
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def write(folder, path, content):
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def golden_cases(folder, files):
    """Expected outputs come from golden_pat.py, which shares no code with this file and does not use ONNX Runtime."""
    cases = []
    for seed, rows in GOLDEN:
        script = pathlib.Path(__file__).with_name("golden_pat.py")
        command = [sys.executable, script, folder / "model.onnx", folder / "golden", str(seed), str(rows)]
        subprocess.run(command, check=True)
        expected = []
        for output, tolerance in TOLERANCE.items():
            path = f"golden/{output}-{seed}.f32"
            files.append(write(folder, path, (folder / path).read_bytes()))
            expected.append({"output": output, "file": path, "tolerance": tolerance})
        cases.append({"rows": rows, "inputs": [{"name": "x", "lcg64_seed": seed}], "expected": expected})
    return cases


def make(folder):
    weights = draw_weights()
    parameters = sum(array.size for array in weights.values())
    assert parameters == 274_720, parameters
    mean, standard_deviation, method = cohort_normalisation()
    files = [
        write(folder, "model.onnx", build(weights)),
        write(folder, "normalisation/mean.f32", mean.astype("<f4").tobytes()),
        write(folder, "normalisation/standard_deviation.f32", standard_deviation.astype("<f4").tobytes()),
    ]
    golden = golden_cases(folder, files)
    manifest = {
        "manifest_version": 1,
        "name": "pat-s",
        "version": "1.0.0-synthetic",
        "weights": "synthetic",
        "intended_use": "Shows that the way from steps to an embedding works. The weights are drawn at random and were never "
        "trained: the outputs mean nothing clinical and must not be used for a decision about a person.",
        "licence": "Apache-2.0",
        "attribution": "Architecture: PAT-S, the Pretrained Actigraphy Transformer, Ruan et al. 2024, arXiv 2411.15240. "
        "None of its authors' weights are in this file.",
        "parameters": parameters,
        "model": "model.onnx",
        "files": files,
        "inputs": [{"name": "x", "type": "f32", "shape": ["batch", MINUTES]}],
        "outputs": [
            {"name": "embedding", "type": "f32", "shape": ["batch", WIDTH]},
            {"name": "attention_profile", "type": "f32", "shape": ["batch", TOKENS]},
        ],
        "normalisation": {
            "unit": "steps/min",
            "mean": "normalisation/mean.f32",
            "standard_deviation": "normalisation/standard_deviation.f32",
            "method": method,
        },
        "preprocessing": {
            "week": "7 days of 1440 minutes; element 0 of the normalisation is Monday 00:00 local time",
            "coverage_min": 0.9,
            "missing_minutes": "none is invented: below coverage_min there is no score",
        },
        "golden": golden,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return [pathlib.Path(file["path"]) for file in files] + [pathlib.Path("manifest.json")]


def main():
    if sys.argv[1:] != ["--check"]:
        make(FOLDER)
        return
    with tempfile.TemporaryDirectory() as temporary:
        again = pathlib.Path(temporary)
        differ = [str(path) for path in make(again) if (again / path).read_bytes() != (FOLDER / path).read_bytes()]
    if differ:
        sys.exit(f"make_pat.py: not the committed bytes: {', '.join(differ)}")
    print("make_pat.py: the committed bytes are what this script makes")


if __name__ == "__main__":
    main()
