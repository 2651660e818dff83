"""convert_pat.py against Keras 3, which shares no code with it: random weights, every size, every layout of the file."""

import json
import os
import subprocess
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import h5py
import keras
import numpy as np
import onnxruntime
import pytest
from keras import layers
from keras.src.legacy.saving import legacy_h5_format

import convert_pat
import golden_pat
import pat

MODELS = Path(convert_pat.__file__).parent
# Patch length, heads, layers, encoder's weights and weights-only file's bytes, from the paper and the published files.
PUBLISHED = {
    "s": (18, 6, 1, 274_720, 1_126_224),
    "m": (18, 12, 2, 993_440, 4_016_976),
    "l": (9, 12, 4, 1_984_192, 8_011_568),
}


class Positions(layers.Layer):
    """A block of sines and a block of cosines, as in the authors' code."""

    def call(self, x):
        rates = np.exp(np.arange(0, 96, 2) * -(np.log(10000.0) / 96))
        angles = np.arange(x.shape[1])[:, None] * rates[None, :]
        return x + np.concatenate([np.sin(angles), np.cos(angles)], axis=-1).astype("float32")


def transformer(tokens, heads, name):
    inputs = layers.Input((tokens, 96))
    attended, scores = layers.MultiHeadAttention(heads, 96, name=f"{name}_attention")(
        inputs, inputs, return_attention_scores=True
    )
    first = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(inputs + attended)
    hidden = layers.Dense(256, activation="relu", name=f"{name}_ff1")(first)
    fed = layers.Dense(96, name=f"{name}_ff2")(hidden)
    return keras.Model(inputs, [layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(first + fed), scores], name=f"{name}_transformer")


class Oracle:
    def __init__(self, size):
        patch, heads, blocks, _, _ = PUBLISHED[size]
        inputs = layers.Input((10080,))
        tokens = Positions()(layers.Dense(96, name="dense")(layers.Reshape((10080 // patch, patch))(inputs)))
        for layer in range(1, blocks + 1):
            tokens, scores = transformer(10080 // patch, heads, f"encoder_layer_{layer}")(tokens)
        self.encoder = keras.Model(inputs, tokens, name="encoder_model")
        self.profile = keras.Model(inputs, [tokens, scores])
        whole = layers.Input((10080,))
        pooled = layers.GlobalAveragePooling1D()(self.encoder(whole))
        hidden = layers.Dense(128, activation="relu", name="dense_128")(pooled)
        self.whole = keras.Model(whole, layers.Dense(1, activation="sigmoid", name="output")(hidden))
        random = np.random.default_rng(ord(size))
        # Keras begins with biases of 0 and gammas of 1, which would hide a converter that forgets them.
        for weight in self.whole.weights:
            weight.assign(np.asarray(weight) + random.normal(0, 0.05, weight.shape))
        self.x = random.normal(size=(2, 10080)).astype("float32")
        tokens, scores = (np.asarray(value) for value in self.profile(self.x))
        self.tokens, self.embedding = tokens, tokens.mean(axis=1)
        self.attention_profile = scores.mean(axis=(1, 2))
        self.probability = np.asarray(self.whole(self.x))


@pytest.fixture(scope="module", params=PUBLISHED)
def oracle(request):
    built = Oracle(request.param)
    built.size = request.param
    return built


def with_suffix(source, target):
    """The same file as Keras 2 writes it: each weight's name ends with `:0`."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                new[f"{name}:0"] = item[()]
        old.visititems(copy)
    return target


def layout(oracle, folder, kind):
    path = folder / f"{kind}.h5"
    kind, _, keras_2 = kind.partition(":")
    if kind == "whole":
        oracle.whole.save(path)
    else:
        with h5py.File(path, "w") as file:
            model = oracle.encoder if kind == "weights" else oracle.whole
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return with_suffix(path, folder / "keras2.h5") if keras_2 else path


def convert(path, size, output, *more, weights="published"):
    where_from = ["--weights", weights]
    command = [sys.executable, MODELS / "convert_pat.py", path, "--size", size, "-o", output, *where_from, *more]
    return subprocess.run(command, capture_output=True, text=True)


def run(graph, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x})))


def agrees(oracle, outputs):
    assert np.abs(outputs["embedding"] - oracle.embedding).max() <= 1e-5
    assert np.abs(outputs["attention_profile"] - oracle.attention_profile).max() <= 1e-6
    if "tokens" in outputs:
        assert np.abs(outputs["tokens"] - oracle.tokens).max() <= 1e-4
    if "probability" in outputs:
        assert np.abs(outputs["probability"] - oracle.probability).max() <= 1e-6
        # A head that does not look at its input would agree with itself, too.
        assert oracle.probability[0] != oracle.probability[1]


@pytest.mark.parametrize("kind", ["weights", "weights:0", "fine-tuned", "fine-tuned:0", "whole", "whole:0"])
def test_every_layout_agrees_with_keras(oracle, tmp_path, kind):
    weights = convert_pat.read_weights(layout(oracle, tmp_path, kind), pat.SIZES[oracle.size])
    outputs = run(pat.build(weights, pat.SIZES[oracle.size], "pat", "test"), oracle.x)
    assert ("probability" in outputs) == (not kind.startswith("weights"))
    agrees(oracle, outputs)


def test_the_command_writes_a_model_whose_golden_vectors_it_meets(oracle, tmp_path):
    folder = tmp_path / "pat-x"
    whole = layout(oracle, tmp_path, "whole:0")
    assert "encoders only" in convert(whole, oracle.size, folder).stderr and not folder.exists()
    done = convert(whole, oracle.size, folder, "--tokens", "--licence", "none", weights="trained")
    assert done.returncode == 0, done.stderr
    graph = (folder / "model.onnx").read_bytes()
    outputs = run(graph, oracle.x)
    assert list(outputs) == ["embedding", "attention_profile", "tokens", "probability"]
    agrees(oracle, outputs)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["parameters"] == PUBLISHED[oracle.size][3] + 12_545
    for case in manifest["golden"]:
        seed, rows = case["inputs"][0]["lcg64_seed"], case["rows"]
        outputs = run(graph, golden_pat.lcg64(seed, rows * 10080).reshape(rows, 10080).astype("float32"))
        for expected in case["expected"]:
            stored = np.fromfile(folder / expected["file"], dtype="<f4").reshape(outputs[expected["output"]].shape)
            assert np.abs(outputs[expected["output"]] - stored).max() <= expected["tolerance"]


def test_the_oracle_counts_and_weighs_what_was_published(oracle, tmp_path):
    assert oracle.encoder.count_params() == PUBLISHED[oracle.size][3]
    tensors = sum(1 for _ in pat.shapes(pat.SIZES[oracle.size]))
    assert tensors == 2 + 16 * PUBLISHED[oracle.size][2] == len(oracle.encoder.weights)
    # The published file is its weights and HDF5's own tables.
    overhead = PUBLISHED[oracle.size][4] - 4 * PUBLISHED[oracle.size][3]
    assert 0 < overhead < 100_000


@pytest.fixture
def small(tmp_path):
    """A weights-only file of PAT-S."""
    path = tmp_path / "small.h5"
    with h5py.File(path, "w") as file:
        for name, shape in pat.shapes(pat.SIZES["s"]).items():
            layer = name.split("/")[0]
            group = "dense" if layer == "dense" else layer.rsplit("_", 1)[0] + "_transformer"
            file[f"{group}/{name}:0"] = np.zeros(shape, dtype="float32")
    return path


def refusal(path, tmp_path, size="s"):
    done = convert(path, size, tmp_path / "made")
    assert done.returncode != 0
    assert not (tmp_path / "made").exists()
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_missing_tensor_is_named(small, tmp_path):
    with h5py.File(small, "a") as file:
        del file["encoder_layer_1_transformer/encoder_layer_1_ff1/bias:0"]
        del file["encoder_layer_1_transformer/encoder_layer_1_attention/key/kernel:0"]
    message = refusal(small, tmp_path)
    assert "encoder_layer_1_ff1/bias: it is missing" in message
    assert "encoder_layer_1_attention/key/kernel: it is missing" in message


def test_a_wrong_shape_is_named_with_both_shapes(small, tmp_path):
    with h5py.File(small, "a") as file:
        del file["dense/dense/kernel:0"]
        file["dense/dense/kernel:0"] = np.zeros((9, 96), dtype="float32")
    assert "dense/kernel: its shape is [9, 96], not [18, 96]" in refusal(small, tmp_path)


def test_another_size_is_refused_by_its_tensors(small, tmp_path):
    message = refusal(small, tmp_path, "l")
    assert "encoder_layer_1_attention/query/kernel: its shape is [96, 6, 96], not [96, 12, 96]" in message
    assert "encoder_layer_4_norm2/beta: it is missing" in message


def test_layers_that_this_size_has_not_are_not_dropped(small, tmp_path):
    with h5py.File(small, "a") as file:
        file["encoder_layer_2_transformer/encoder_layer_2_ff2/bias:0"] = np.zeros(96, dtype="float32")
    assert "encoder_layer_2_ff2/bias: this size has no such weight" in refusal(small, tmp_path)


def test_half_a_head_is_refused(small, tmp_path):
    with h5py.File(small, "a") as file:
        file["output/output/kernel:0"] = np.zeros((128, 1), dtype="float32")
    assert "dense_128/kernel: it is missing" in refusal(small, tmp_path)


def test_a_weight_that_is_not_finite_is_refused(small, tmp_path):
    with h5py.File(small, "a") as file:
        file["dense/dense/bias:0"][3] = np.nan
    assert "dense/bias: it holds values that are not finite" in refusal(small, tmp_path)


def test_what_is_no_keras_file_is_refused(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("not HDF5")
    assert "not an HDF5 file" in refusal(path, tmp_path)
    assert "not an HDF5 file" in refusal(tmp_path / "absent.h5", tmp_path)


def test_published_weights_carry_their_licence_and_the_normalisation_that_is_given(small, tmp_path):
    source = tmp_path / "normalisation"
    source.mkdir()
    (source / "mean.f32").write_bytes(np.arange(10080, dtype="<f4").tobytes())
    (source / "standard_deviation.f32").write_bytes(np.ones(10080, dtype="<f4").tobytes())
    (source / "normalisation.json").write_text(json.dumps({"unit": "counts/min", "method": "a cohort"}))
    done = convert(small, "s", tmp_path / "made", "--normalisation", source, "--json")
    manifest = json.loads(done.stdout)
    assert manifest["licence"] == "CC-BY-4.0" and "Ruan" in manifest["attribution"] and manifest["weights"] == "published"
    assert manifest["normalisation"]["unit"] == "counts/min"
    assert (tmp_path / "made/normalisation/mean.f32").read_bytes() == (source / "mean.f32").read_bytes()
    (source / "standard_deviation.f32").write_bytes(np.zeros(10080, dtype="<f4").tobytes())
    assert convert(small, "s", tmp_path / "again", "--normalisation", source).returncode != 0


def test_the_committed_model_is_what_its_script_makes():
    subprocess.run([sys.executable, MODELS / "make_pat.py", "--check"], check=True)
