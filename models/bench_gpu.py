#!/usr/bin/env python3
"""Measures a model on a GPU (CUDA) by batches of 1 to 64 rows, beside the same on one CPU thread.

Needs onnxruntime-gpu. Without a GPU, or where the CUDA provider does not come up, it says "not measured" and why: nothing is
estimated, and the CPU is never measured in the GPU's place.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import time

import numpy as np
import onnxruntime

BATCHES = [1, 2, 4, 8, 16, 32, 64]
WARM_UPS, RUNS = 5, 30


class NotMeasured(Exception):
    """Why there is no figure."""


def session(graph, provider):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    made = onnxruntime.InferenceSession(graph, options, providers=[provider])
    # ONNX Runtime falls back to the CPU silently.
    if made.get_providers()[0] != provider:
        raise NotMeasured(f"{provider} did not come up: {made.get_providers()} did")
    return made


def device_name():
    try:
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise NotMeasured("nvidia-smi finds no GPU") from error


def median_ms(run):
    for _ in range(WARM_UPS):
        run()
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        run()
        times.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(times)


def by_batch(made, described, device):
    shape = described["shape"][1:]
    random = np.random.default_rng(1)
    for rows in BATCHES:
        x = random.normal(size=(rows, *shape)).astype(np.float32)
        bound = made.io_binding()
        # From the host's memory and back to it, as a server does.
        bound.bind_cpu_input(described["name"], x)
        for output in made.get_outputs():
            bound.bind_output(output.name, "cpu")
        ms = median_ms(lambda: made.run_with_iobinding(bound))
        yield {"device": device, "rows": rows, "median_ms": round(ms, 3), "rows_per_s": round(1e3 * rows / ms, 1)}


def measure(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise NotMeasured(f"onnxruntime {onnxruntime.__version__} has no CUDA provider: install onnxruntime-gpu")
    gpu = device_name()
    graph = (folder / manifest["model"]).read_bytes()
    figures = list(by_batch(session(graph, "CUDAExecutionProvider"), manifest["inputs"][0], gpu))
    figures += by_batch(session(graph, "CPUExecutionProvider"), manifest["inputs"][0], "one CPU thread")
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+", type=pathlib.Path, metavar="MODEL_DIR")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = []
    for folder in arguments.model:
        if not (folder / "manifest.json").is_file():
            parser.error(f"{folder} is not a model's folder: it has no manifest.json")
        try:
            results.append({"model": folder.name, "measured": True, "figures": measure(folder)})
        except NotMeasured as reason:
            results.append({"model": folder.name, "measured": False, "reason": str(reason)})
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    for result in results:
        if not result["measured"]:
            print(f"{result['model']}: not measured: {result['reason']}")
            continue
        print(f"{result['model']}\n\n| device | rows | median ms | rows/s |\n|---|---|---|---|")
        for one in result["figures"]:
            print(f"| {one['device']} | {one['rows']} | {one['median_ms']} | {one['rows_per_s']} |")


if __name__ == "__main__":
    main()
