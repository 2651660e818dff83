"""The preprocessing against its stored vectors, which crates/retina is held to as well, and against Pillow; and the committed
network against pictures that it was not trained on."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import draw_fundus
import make_retina_tests
import retina_preprocessing
from retina_preprocessing import prepare

MODEL = Path(draw_fundus.__file__).parent / "retina-synthetic"
VECTORS = json.loads((make_retina_tests.TESTS / "vectors/vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["file"])
def test_the_preprocessing_makes_the_stored_vectors(vector):
    pixels = np.asarray(Image.open(make_retina_tests.TESTS / "pictures" / vector["picture"]).convert("RGB"))
    made = prepare(pixels, vector["preprocessing"])
    stored = np.fromfile(make_retina_tests.TESTS / "vectors" / vector["file"], dtype="<f4").reshape(made.shape)
    scale = np.array(vector["preprocessing"]["standard_deviation"])[:, None, None]
    assert (np.abs(made - stored) * scale).max() <= 1 / 255


@pytest.mark.parametrize("size", [40, 96, 300])
def test_the_resizing_is_what_pillow_calls_bilinear(size):
    picture = draw_fundus.fundus(2, 5)
    ours = retina_preprocessing.square(np.asarray(picture), (0, 0, 160, 160), size)
    theirs = np.asarray(picture.resize((size, size), Image.BILINEAR), dtype=float)
    # Pillow rounds to 8 bits twice.
    assert np.abs(ours - theirs).max() <= 1.01


def test_the_blur_keeps_what_is_even_and_is_gaussian_elsewhere():
    even = np.full((40, 40, 3), 77.0)
    np.testing.assert_allclose(retina_preprocessing.blur(even, 3.0), even)
    point = np.zeros((41, 41, 3))
    point[20, 20] = 1.0
    blurred = retina_preprocessing.blur(point, 2.0)[..., 0]
    assert blurred[20, 23] / blurred[20, 20] == pytest.approx(np.exp(-9 / 8))


def kappa(confusion):
    grades = np.arange(5)
    weights = (grades[:, None] - grades) ** 2 / 16
    observed, n = confusion / confusion.sum(), confusion.sum()
    expected = np.outer(confusion.sum(1), confusion.sum(0)) / n**2
    return 1 - (weights * observed).sum() / (weights * expected).sum()


@pytest.fixture(scope="module")
def graded():
    """Grades, logits and maps of pictures whose seeds were neither trained nor calibrated on."""
    preprocessing = json.loads((MODEL / "manifest.json").read_text())["preprocessing"]
    drawn = [(grade, seed) for seed in range(900_000, 900_025) for grade in range(5)]
    inputs = np.stack([prepare(np.asarray(draw_fundus.fundus(*one)), preprocessing) for one in drawn])
    session = onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return np.array([grade for grade, _ in drawn]), dict(zip(names, session.run(names, {"image": inputs})))


def test_the_network_finds_what_was_drawn(graded):
    grades, outputs = graded
    confusion = np.zeros((5, 5))
    np.add.at(confusion, (grades, outputs["logits"].argmax(axis=1)), 1)
    assert kappa(confusion) > 0.8, confusion


def test_a_map_adds_up_to_its_logit(graded):
    _, outputs = graded
    means = outputs["class_activation"].mean(axis=(2, 3))
    biases = outputs["logits"] - means
    np.testing.assert_allclose(biases, np.broadcast_to(biases[0], biases.shape), atol=1e-4)
    # The map is the last feature map, weighted: it is of rank one in each channel, so the features must explain it.
    features = outputs["feature_map"].transpose(0, 2, 3, 1).reshape(-1, outputs["feature_map"].shape[1])
    maps = outputs["class_activation"].transpose(0, 2, 3, 1).reshape(-1, 5)
    weights, *_ = np.linalg.lstsq(features.astype(float), maps.astype(float), rcond=None)
    np.testing.assert_allclose(features @ weights, maps, atol=1e-3)
