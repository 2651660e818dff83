#!/usr/bin/env python3
"""Makes models/pat-s: the encoder of PAT-S as an ONNX file, its normalisation, its golden vectors and its manifest.

--check makes it in a temporary folder and compares the bytes with models/pat-s. Another size is made into a folder of its own, for
benchmarks.

The architecture is the published one (Ruan et al. 2024, arXiv 2411.15240). The weights are NOT: they are drawn from a seeded
generator and were never trained, and the manifest says `synthetic`. Running this again writes the same bytes.
"""

import argparse
import json
import math
import pathlib
import sys
import tempfile

import numpy as np

import pat
from package import PAT_PREPROCESSING, pat_golden, pat_signatures, write
from synthetic_steps import cohort_normalisation

FOLDER = pathlib.Path(__file__).parent / "pat-s"
WEIGHT_SEED = 20241115


def uniform(random, shape, limit):
    """Only exact arithmetic, so every machine draws the same bits."""
    return ((random.random(shape) * 2.0 - 1.0) * limit).astype(np.float32)


def draw_weights(size):
    """Named and shaped as in the published Keras files. Glorot-uniform kernels; biases and norms are drawn too, since a
    zero bias or a unit gamma would hide a graph that forgets them."""
    random = np.random.Generator(np.random.PCG64(WEIGHT_SEED))
    weights = {}
    for name, shape in pat.shapes(size).items():
        if not name.endswith("/kernel"):
            offset = 1.0 if name.endswith("/gamma") else 0.0
            weights[name] = np.float32(offset) + uniform(random, shape, 0.05)
            continue
        # The heads' own dimension belongs to the fan out, but in `attention_output` to the fan in.
        split = 2 if "attention_output" in name else 1
        fans = math.prod(shape[:split]) + math.prod(shape[split:])
        weights[name] = uniform(random, shape, math.sqrt(6.0 / fans))
    return weights


def make(folder, letter="s"):
    size, name = pat.SIZES[letter], f"pat-{letter}"
    weights = draw_weights(size)
    parameters = sum(array.size for array in weights.values())
    assert parameters == size.parameters, parameters
    mean, standard_deviation, method = cohort_normalisation()
    files = [
        write(folder, "model.onnx", pat.build(weights, size, name, "make_pat.py")),
        write(folder, "normalisation/mean.f32", mean.astype("<f4").tobytes()),
        write(folder, "normalisation/standard_deviation.f32", standard_deviation.astype("<f4").tobytes()),
    ]
    golden = pat_golden(folder, files, pat.output_shapes(size))
    manifest = {
        "manifest_version": 1,
        "name": name,
        "version": "1.0.0-synthetic",
        "weights": "synthetic",
        "intended_use": "Shows that the way from steps to an embedding works. The weights are drawn at random and were never "
        "trained: the outputs mean nothing clinical and must not be used for a decision about a person.",
        "licence": "Apache-2.0",
        "attribution": f"Architecture: {name.upper()}, the Pretrained Actigraphy Transformer, Ruan et al. 2024, arXiv 2411.15240. "
        "None of its authors' weights are in this file.",
        "parameters": parameters,
        "model": "model.onnx",
        "files": files,
        **pat_signatures(size),
        "normalisation": {
            "unit": "steps/min",
            "mean": "normalisation/mean.f32",
            "standard_deviation": "normalisation/standard_deviation.f32",
            "method": method,
        },
        "preprocessing": PAT_PREPROCESSING,
        "golden": golden,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return [pathlib.Path(file["path"]) for file in files] + [pathlib.Path("manifest.json")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--size", choices=sorted(pat.SIZES), default="s")
    parser.add_argument("-o", "--output", type=pathlib.Path, metavar="DIR", help="needed for another size than s")
    arguments = parser.parse_args()
    if not arguments.check:
        if arguments.size != "s" and not arguments.output:
            parser.error("--size needs -o DIR: models/pat-s is the one that is kept")
        make(arguments.output or FOLDER, arguments.size)
        return
    with tempfile.TemporaryDirectory() as temporary:
        again = pathlib.Path(temporary)
        differ = [str(path) for path in make(again) if (again / path).read_bytes() != (FOLDER / path).read_bytes()]
    if differ:
        sys.exit(f"make_pat.py: not the committed bytes: {', '.join(differ)}")
    print("make_pat.py: the committed bytes are what this script makes")


if __name__ == "__main__":
    main()
