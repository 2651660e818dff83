#!/usr/bin/env python3
"""Computes the golden outputs of a PAT encoder in plain NumPy, in 64-bit floats.

It reads nothing but the named weights out of the ONNX file, and follows the paper and Keras' definition of multi-head
attention. It shares no code with make_pat.py and does not use ONNX Runtime, so that a fault in the graph or in the runtime
shows as a difference.

usage: golden_pat.py MODEL.onnx FOLDER SEED ROWS OUTPUT...
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import numpy_helper

WEEK = 10_080


def lcg64(seed, count):
    """The inputs: state = state * 6364136223846793005 + 1442695040888963407 (mod 2^64), starting at the seed; the upper 24 bits
    after each step, less 2^23, over 2^22. Each value is in [-2, 2) and exact in 32-bit floats."""
    state, values = seed, np.empty(count)
    for index in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values[index] = ((state >> 40) - 2**23) / 2**22
    return values


def layer_norm(x, gamma, beta):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6) * gamma + beta


def softmax(x):
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def encode(w, x):
    """The outputs of each row of x, by name."""
    patch, width = w["dense/kernel"].shape
    x = x.reshape(len(x), WEEK // patch, patch) @ w["dense/kernel"] + w["dense/bias"]
    angles = np.arange(WEEK // patch)[:, None] * 10000.0 ** (-2.0 * np.arange(width // 2) / width)
    x = x + np.hstack([np.sin(angles), np.cos(angles)])
    layer = 1
    while f"encoder_layer_{layer}_ff1/kernel" in w:
        name = f"encoder_layer_{layer}"

        def project(part):
            prefix = f"{name}_attention/{part}"
            return np.einsum("btd,dhk->bthk", x, w[f"{prefix}/kernel"], optimize=True) + w[f"{prefix}/bias"]

        query, key, value = project("query"), project("key"), project("value")
        scores = np.einsum("bqhk,bthk->bhqt", query, key, optimize=True) / np.sqrt(query.shape[-1])
        attention = softmax(scores)
        mixed = np.einsum("bhqt,bthk->bqhk", attention, value, optimize=True)
        kernel, bias = (w[f"{name}_attention/attention_output/{part}"] for part in ("kernel", "bias"))
        attended = np.einsum("bqhk,hkd->bqd", mixed, kernel, optimize=True) + bias
        x = layer_norm(x + attended, w[f"{name}_norm1/gamma"], w[f"{name}_norm1/beta"])
        hidden = np.maximum(x @ w[f"{name}_ff1/kernel"] + w[f"{name}_ff1/bias"], 0.0)
        fed = hidden @ w[f"{name}_ff2/kernel"] + w[f"{name}_ff2/bias"]
        x = layer_norm(x + fed, w[f"{name}_norm2/gamma"], w[f"{name}_norm2/beta"])
        layer += 1
    outputs = {"tokens": x, "embedding": x.mean(axis=1), "attention_profile": attention.mean(axis=(1, 2))}
    if "output/kernel" in w:
        hidden = np.maximum(outputs["embedding"] @ w["dense_128/kernel"] + w["dense_128/bias"], 0.0)
        outputs["probability"] = 1.0 / (1.0 + np.exp(-(hidden @ w["output/kernel"] + w["output/bias"])))
    return outputs


def main():
    model, folder, seed, rows = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    kinds = ("/kernel", "/bias", "/gamma", "/beta")
    found = [one for one in onnx.load(model).graph.initializer if one.name.endswith(kinds)]
    weights = {one.name: numpy_helper.to_array(one).astype(np.float64) for one in found}
    outputs = encode(weights, lcg64(seed, rows * WEEK).reshape(rows, WEEK))
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[5:]:
        (folder / f"{name}-{seed}.f32").write_bytes(outputs[name].astype("<f4").tobytes())


if __name__ == "__main__":
    main()
