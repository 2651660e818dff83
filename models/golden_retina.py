"""The golden outputs of the retina network in plain NumPy, in 64-bit floats: without JAX and without ONNX Runtime."""

import numpy as np

from golden_pat import lcg64


def convolve(x, kernel, stride):
    """A 3x3 convolution with a border of zeros."""
    wide = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    rows, columns = x.shape[2] // stride, x.shape[3] // stride
    total = 0.0
    for dy in range(3):
        for dx in range(3):
            part = wide[:, :, dy : dy + rows * stride : stride, dx : dx + columns * stride : stride]
            total = total + np.einsum("bchw,oc->bohw", part, kernel[:, :, dy, dx], optimize=True)
    return total


def forward(weights, seed, shape, strides):
    """The outputs for an input of the given seed, by name."""
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    x = lcg64(seed, int(np.prod(shape))).reshape(shape)
    for layer, stride in enumerate(strides, start=1):
        summed = convolve(x, weights[f"conv{layer}/kernel"], stride) + weights[f"conv{layer}/bias"][:, None, None]
        x = np.maximum(summed, 0.0)
    activation = np.einsum("bchw,oc->bohw", x, weights["grades/kernel"][:, :, 0, 0])
    logits = activation.mean(axis=(2, 3)) + weights["grades/bias"]
    return {"logits": logits, "class_activation": activation, "feature_map": x}
