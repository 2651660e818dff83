#!/usr/bin/env python3
"""Trains models/retina-synthetic: a small network that grades the photographs of draw_fundus.py, and only those.

usage: train_retina.py [--output DIR] [--epochs N] [--quick]    --quick: few pictures, to see that the script runs

Needs requirements-tests.txt. Writes the ONNX graph, golden vectors, manifest and model card. Training is not the same to the bit
on every machine; pictures, splits and first weights come from fixed seeds.
"""

import argparse
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import draw_fundus
from golden_retina import forward
from package import signature, write
from retina_preprocessing import prepare

FOLDER = pathlib.Path(__file__).parent / "retina-synthetic"
GRADES = 5
# Channels of each 3x3 convolution and its stride.
LAYERS = [(16, 2), (32, 2), (48, 2), (64, 1)]
SIZE = 96
MAP = 12
BATCH = 50
PREPROCESSING = {
    "field_of_view": {"threshold": 16, "share_min": 0.02},
    "size": SIZE,
    "mean": [0.45, 0.22, 0.12],
    "standard_deviation": [0.28, 0.16, 0.12],
}
# Seeds of the pictures: first and one after the last, of each grade.
SPLITS = {"training": (0, 280), "calibration": (100_000, 100_060), "held_out": (200_000, 200_080)}


def pictures(seeds):
    """Inputs and grades, as the server would make them of the photographs."""
    pairs = [(grade, seed) for seed in range(*seeds) for grade in range(GRADES)]
    inputs = [prepare(np.asarray(draw_fundus.fundus(grade, seed)), PREPROCESSING) for grade, seed in pairs]
    return np.stack(inputs), np.array([grade for grade, _ in pairs])


def first_weights(random):
    weights, channels = {}, 3
    for index, (out, _) in enumerate(LAYERS, start=1):
        scale = np.sqrt(2.0 / (9 * channels))
        weights[f"conv{index}/kernel"] = (random.normal(size=(out, channels, 3, 3)) * scale).astype(np.float32)
        weights[f"conv{index}/bias"] = np.zeros(out, dtype=np.float32)
        channels = out
    weights["grades/kernel"] = (random.normal(size=(GRADES, channels, 1, 1)) * 0.05).astype(np.float32)
    weights["grades/bias"] = np.zeros(GRADES, dtype=np.float32)
    return weights


def logits(weights, x):
    for index, (_, stride) in enumerate(LAYERS, start=1):
        x = jax.lax.conv_general_dilated(x, weights[f"conv{index}/kernel"], (stride, stride), [(1, 1), (1, 1)])
        x = jax.nn.relu(x + weights[f"conv{index}/bias"][:, None, None])
    return x.mean(axis=(2, 3)) @ weights["grades/kernel"][:, :, 0, 0].T + weights["grades/bias"]


def loss(weights, x, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits(weights, x)), y[:, None], axis=1).mean()


@jax.jit
def step(weights, state, x, y, rate):
    """Adam (Kingma and Ba 2015)."""
    value, gradients = jax.value_and_grad(loss)(weights, x, y)
    count = state["count"] + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state["first"], gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state["second"], gradients)
    weights = jax.tree.map(
        lambda w, m, v: w - rate * (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8), weights, first, second
    )
    return weights, {"count": count, "first": first, "second": second}, value


def turned(random, x):
    """The same retina mirrored is a retina of the same grade."""
    return x[:, :, :: random.choice([-1, 1]), :: random.choice([-1, 1])]


def train(x, y, epochs):
    random = np.random.Generator(np.random.PCG64(6))
    weights = first_weights(random)
    zeros = jax.tree.map(np.zeros_like, weights)
    state = {"count": 0, "first": zeros, "second": zeros}
    for epoch in range(epochs):
        rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
        order, values = random.permutation(len(x)), []
        for begin in range(0, len(x) - BATCH + 1, BATCH):
            chosen = order[begin : begin + BATCH]
            weights, state, value = step(weights, state, turned(random, x[chosen]), y[chosen], rate)
            values.append(value)
        print(f"epoch {epoch + 1}/{epochs}: loss {float(np.mean(values)):.4f}", flush=True)
    return {name: np.asarray(array) for name, array in weights.items()}


def temperature_of(scores, y):
    """The temperature of the smallest negative log likelihood (Guo et al. 2017), to a hundredth."""

    def likelihood(temperature):
        scaled = scores / temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        return (np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(y)), y]).mean()

    return min((round(0.01 * step, 2) for step in range(20, 501)), key=likelihood)


def quadratic_kappa(confusion):
    """Cohen's kappa with quadratic weights (Cohen 1968)."""
    grades = np.arange(len(confusion))
    weights = (grades[:, None] - grades) ** 2
    expected = np.outer(confusion.sum(axis=1), confusion.sum(axis=0)) / confusion.sum()
    return 1.0 - (weights * confusion).sum() / (weights * expected).sum()


def confusion_of(scores, y):
    confusion = np.zeros((GRADES, GRADES), dtype=int)
    np.add.at(confusion, (y, scores.argmax(axis=1)), 1)
    return confusion


def graph(weights):
    """The last layer is a 1x1 convolution of the last feature map: its mean over places is the score of a grade, so the map
    of a grade, before the mean, is exactly its class activation (Zhou et al. 2016)."""
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    constants.append(numpy_helper.from_array(np.array([2, 3], dtype=np.int64), "over_places"))
    nodes, value = [], "image"
    for index, (_, stride) in enumerate(LAYERS, start=1):
        made = f"conv{index}/sum"
        inputs = [value, f"conv{index}/kernel", f"conv{index}/bias"]
        nodes.append(helper.make_node("Conv", inputs, [made], pads=[1, 1, 1, 1], strides=[stride, stride]))
        value = "feature_map" if index == len(LAYERS) else f"conv{index}/out"
        nodes.append(helper.make_node("Relu", [made], [value]))
    nodes.append(helper.make_node("Conv", ["feature_map", "grades/kernel"], ["class_activation"]))
    nodes.append(helper.make_node("ReduceMean", ["class_activation", "over_places"], ["means"], keepdims=0))
    nodes.append(helper.make_node("Add", ["means", "grades/bias"], ["logits"]))

    def described(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    outputs = [
        described("logits", GRADES),
        described("class_activation", GRADES, MAP, MAP),
        described("feature_map", LAYERS[-1][0], MAP, MAP),
    ]
    made = helper.make_graph(nodes, "retina-synthetic", [described("image", 3, SIZE, SIZE)], outputs, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    model.producer_name = "train_retina.py"
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def package(folder, weights, calibrated):
    temperature, fitted_on = calibrated
    files = [write(folder, "model.onnx", graph(weights))]
    outputs = {"logits": [GRADES], "class_activation": [GRADES, MAP, MAP], "feature_map": [LAYERS[-1][0], MAP, MAP]}
    golden = []
    # Two rows, so that a graph which mixes rows up fails.
    for seed, rows in ((1, 1), (2, 2)):
        expected, values = [], forward(weights, seed, (rows, 3, SIZE, SIZE), [stride for _, stride in LAYERS])
        for name, array in values.items():
            path = f"golden/{name}-{seed}.f32"
            files.append(write(folder, path, array.astype("<f4").tobytes()))
            # float32 against float64, relative to how large the values are.
            expected.append({"output": name, "file": path, "tolerance": float(f"{2e-6 * max(1.0, np.abs(array).max()):.1e}")})
        golden.append({"rows": rows, "inputs": [{"name": "image", "lcg64_seed": seed}], "expected": expected})
    manifest = {
        "manifest_version": 2,
        "name": folder.resolve().name,
        "version": "1.0.0-synthetic",
        "weights": "synthetic",
        "intended_use": "Shows that the way from a fundus photograph to a grade works. It was trained on drawn pictures only and knows "
        "no eye: its outputs mean nothing clinical and must not be used for a decision about a person.",
        "licence": "Apache-2.0",
        "attribution": "Trained by models/train_retina.py on pictures of models/draw_fundus.py.",
        "parameters": sum(array.size for array in weights.values()),
        "model": "model.onnx",
        "files": files,
        "inputs": [signature("image", [3, SIZE, SIZE])],
        "outputs": [signature(name, shape, name == "feature_map") for name, shape in outputs.items()],
        "preprocessing": PREPROCESSING,
        "calibration": {
            "method": "temperature",
            "temperature": temperature,
            "fitted_on": f"{fitted_on} drawn pictures that were not trained on (draw_fundus.py); not on eyes",
            "referable_threshold": 0.5,
            "abstain": {"low": 0.35, "high": 0.65, "entropy_bits_max": 1.5},
        },
        "golden": golden,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def card(folder, figures):
    confusion = figures["confusion"]
    lines = "\n".join(f"| {grade} | " + " | ".join(str(count) for count in row) + " |" for grade, row in enumerate(confusion))
    referable = confusion[2:, 2:].sum() / confusion[2:].sum()
    specific = confusion[:2, :2].sum() / confusion[:2].sum()
    (folder / "MODEL_CARD.md").write_text(f"""# retina-synthetic

**Trained on drawn pictures only. It knows no eye: the outputs mean nothing clinical.**

- **What it is.** Four 3x3 convolutions and a 1x1 convolution whose mean over places scores the five ICDR grades;
  {figures["parameters"]:,} parameters. ONNX, opset 18, 32-bit floats.
- **Input** `image` [batch, 3, {SIZE}, {SIZE}]: made of a photograph by the manifest's `preprocessing`
  (`../retina_preprocessing.py` and `crates/retina`, which tests hold to each other within 1/255).
- **Outputs** `logits` [batch, 5]; `class_activation` [batch, 5, {MAP}, {MAP}]: what each place adds to each grade, so that its mean over places
  plus the grade's bias is the grade's logit; `feature_map` [batch, {LAYERS[-1][0]}, {MAP}, {MAP}].
- **Trained on** {figures["training"]:,} pictures of `../draw_fundus.py`, {figures["epochs"]} epochs (`../train_retina.py`): {figures["cpu"]:.0f} s of CPU time. What was
  drawn follows rules like those of the International Clinical Diabetic Retinopathy scale (Wilkinson et al. 2003): microaneurysms; haemorrhages and
  exudates; many haemorrhages in each quadrant; new vessels or a preretinal haemorrhage.
- **Calibration.** Temperature {figures["temperature"]} (Guo et al. 2017), fitted to {figures["calibration"]} other drawn pictures.
- **Evaluation** on {figures["held_out"]} held-out drawn pictures, {figures["held_out"] // GRADES} of each grade: quadratic weighted kappa **{figures["kappa"]:.3f}**, accuracy {figures["accuracy"]:.3f};
  referable (grade 2 and above) sensitivity {referable:.3f}, specificity {specific:.3f}. Drawn as (rows) and graded as (columns):

| | 0 | 1 | 2 | 3 | 4 |
|---|---|---|---|---|---|
{lines}

- **What it confuses.** Grades 0 and 1 most: some drawn microaneurysms are smaller and paler than what {SIZE} pixels show. That is
  meant: a picture book that is always told apart would show nothing of calibration and abstention.
- **Intended use.** To show that the way from a photograph to a grade works. Not for a decision about a person: it has never seen a
  photograph, and how well it would do on one is not known.
- **Licence.** Apache-2.0.
""")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER)
    parser.add_argument("--epochs", type=int, default=32)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    started = time.process_time()
    sets = {}
    for name, (first, end) in SPLITS.items():
        sets[name] = pictures((first, first + 10) if arguments.quick else (first, end))
        print(f"{name}: {len(sets[name][0])} pictures, {time.process_time() - started:.0f} s", flush=True)
    epochs = 1 if arguments.quick else arguments.epochs
    weights = train(*sets["training"], epochs)

    def scores(name):
        return np.asarray(logits(weights, sets[name][0]))

    temperature = temperature_of(scores("calibration"), sets["calibration"][1])
    confusion = confusion_of(scores("held_out"), sets["held_out"][1])
    kappa = quadratic_kappa(confusion)
    print(f"held out: kappa {kappa:.3f}\n{confusion}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    package(arguments.output, weights, (temperature, len(sets["calibration"][0])))
    figures = {
        "parameters": sum(array.size for array in weights.values()),
        "training": len(sets["training"][0]),
        "calibration": len(sets["calibration"][0]),
        "held_out": len(sets["held_out"][0]),
        "epochs": epochs,
        "cpu": time.process_time() - started,
        "temperature": temperature,
        "confusion": confusion,
        "kappa": kappa,
        "accuracy": np.trace(confusion) / confusion.sum(),
    }
    card(arguments.output, figures)


if __name__ == "__main__":
    main()
