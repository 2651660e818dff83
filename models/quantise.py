#!/usr/bin/env python3
"""Quantises a model to 8-bit integers (static, QDQ) as a model folder of its own, and measures what that costs and brings.

usage: quantise.py models/retina-synthetic -o models/retina-synthetic-int8 [--pictures DIR] [--json]

The ranges are calibrated on photographs: those of --pictures, or drawn ones. The golden outputs stay those of the 32-bit model; their
tolerance becomes what the quantisation was measured to cost, doubled.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image

import draw_fundus
from golden_pat import lcg64
from package import write
from retina_preprocessing import prepare

CALIBRATION_SEEDS, TEST_SEEDS = range(400_000, 400_020), range(500_000, 500_040)
TIMED_RUNS = 200


class Reader(CalibrationDataReader):
    def __init__(self, name, inputs):
        self.left = iter([{name: row[None]} for row in inputs])

    def get_next(self):
        return next(self.left, None)


def session(graph):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def drawn(seeds, preprocessing):
    pairs = [(grade, seed) for seed in seeds for grade in range(5)]
    inputs = [prepare(np.asarray(draw_fundus.fundus(*pair)), preprocessing) for pair in pairs]
    return np.stack(inputs), np.array([grade for grade, _ in pairs])


def photographs(folder, preprocessing):
    inputs = []
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".tif", ".tiff")):
        made = prepare(np.asarray(Image.open(path).convert("RGB")), preprocessing)
        if made is not None:
            inputs.append(made)
    if not inputs:
        raise SystemExit(f"quantise.py: {folder} holds no photograph with a field of view")
    return np.stack(inputs)


def golden(source, manifest, quantised, folder):
    """The cases of the 32-bit model, with the tolerance that the quantised one needs."""
    files, cases = [], []
    for case in manifest["golden"]:
        inputs = {}
        for described, made in zip(manifest["inputs"], case["inputs"]):
            shape = (case["rows"], *described["shape"][1:])
            if "lcg64_seed" in made:
                values = lcg64(made["lcg64_seed"], int(np.prod(shape)))
            else:
                values = np.fromfile(source / made["file"], dtype="<f4")
                files.append(write(folder, made["file"], (source / made["file"]).read_bytes()))
            inputs[described["name"]] = values.reshape(shape).astype(np.float32)
        expected = []
        for one in case["expected"]:
            stored = np.fromfile(source / one["file"], dtype="<f4")
            made = quantised.run([one["output"]], inputs)[0].ravel()
            tolerance = float(f"{max(2 * np.abs(made - stored).max(), one['tolerance']):.2g}")
            expected.append(one | {"tolerance": tolerance})
            files.append(write(folder, one["file"], (source / one["file"]).read_bytes()))
        cases.append(case | {"expected": expected})
    return files, cases


def kappa(one, other):
    """Cohen's kappa with quadratic weights."""
    table = np.zeros((5, 5))
    np.add.at(table, (one, other), 1)
    grades = np.arange(5)
    weights = (grades[:, None] - grades) ** 2
    return 1 - (weights * table).sum() / (weights * np.outer(table.sum(1), table.sum(0)) / table.sum()).sum()


def referable(logits, temperature):
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    return powers[:, 2:].sum(axis=1) / powers.sum(axis=1)


def median_ms(made, name, row):
    times = []
    for _ in range(TIMED_RUNS):
        begun = time.perf_counter()
        made.run(["logits"], {name: row})
        times.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(times)


def compare(manifest, float_graph, int8_graph, output):
    name, temperature = manifest["inputs"][0]["name"], manifest["calibration"]["temperature"]
    inputs, grades = drawn(TEST_SEEDS, manifest["preprocessing"])
    figures, scores = {"pictures": len(inputs)}, {}
    for kind, graph in (("float32", float_graph), ("int8", int8_graph)):
        made = session(graph)
        scores[kind] = made.run(["logits"], {name: inputs})[0]
        figures[kind] = {
            "bytes": len(graph),
            "kappa": round(kappa(grades, scores[kind].argmax(axis=1)), 4),
            "median_ms": round(median_ms(made, name, inputs[:1]), 3),
        }
    same = scores["float32"].argmax(axis=1) == scores["int8"].argmax(axis=1)
    difference = np.abs(referable(scores["float32"], temperature) - referable(scores["int8"], temperature))
    figures["same_grade"] = round(float(same.mean()), 4)
    figures["referable_difference_max"] = round(float(difference.max()), 4)
    figures["model"] = output.name
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, metavar="MODEL_DIR")
    parser.add_argument("-o", "--output", required=True, type=pathlib.Path, metavar="DIR")
    parser.add_argument("--pictures", type=pathlib.Path, metavar="DIR", help="photographs to calibrate the ranges on (default: drawn ones)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.output.exists():
        parser.error(f"{arguments.output} exists: remove it, or name another folder")
    manifest = json.loads((arguments.model / "manifest.json").read_text())
    if "calibration" not in manifest or "size" not in manifest.get("preprocessing", {}):
        parser.error(f"{arguments.model} is not a retina model: its manifest has no preprocessing of photographs")
    float_graph = (arguments.model / manifest["model"]).read_bytes()
    rules, name = manifest["preprocessing"], manifest["inputs"][0]["name"]
    inputs = photographs(arguments.pictures, rules) if arguments.pictures else drawn(CALIBRATION_SEEDS, rules)[0]
    with tempfile.TemporaryDirectory() as temporary:
        made = pathlib.Path(temporary) / "model.onnx"
        quantize_static(
            arguments.model / manifest["model"], made, Reader(name, inputs), quant_format=QuantFormat.QDQ,
            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )
        int8_graph = made.read_bytes()
    folder = arguments.output
    graph_file = write(folder, "model.onnx", int8_graph)
    files, cases = golden(arguments.model, manifest, session(int8_graph), folder)
    method = f"int8 (static, QDQ) on {len(inputs)} {'photographs' if arguments.pictures else 'drawn pictures'}"
    manifest |= {
        "name": folder.resolve().name,
        "version": f"{manifest['version']}-int8",
        "attribution": f"{manifest['attribution']} Quantised by models/quantise.py to {method}.",
        "model": "model.onnx",
        "files": [graph_file, *files],
        "golden": cases,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    figures = compare(manifest, float_graph, int8_graph, folder)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print("| | bytes | weighted kappa | median ms, one image, one thread |\n|---|---|---|---|")
    for kind in ("float32", "int8"):
        print(f"| {kind} | {figures[kind]['bytes']:,} | {figures[kind]['kappa']} | {figures[kind]['median_ms']} |")
    print(f"\nOn {figures['pictures']} drawn pictures the same grade for {figures['same_grade']:.1%}; the referable probability differs by at "
          f"most {figures['referable_difference_max']}.")


if __name__ == "__main__":
    main()
