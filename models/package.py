"""Writes the parts of a model's folder: files with their hashes, the golden cases of a PAT model."""

import hashlib
import pathlib
import subprocess
import sys

import pat

# (seed, rows): the second case has two rows, so that a graph which mixes rows up fails.
GOLDEN = [(1, 1), (2, 2)]
# Largest absolute deviation allowed of each output. The runtime's own is about a tenth of these.
TOLERANCE = {"embedding": 1e-5, "attention_profile": 1e-7, "tokens": 1e-4, "probability": 1e-6}


def write(folder, path, content):
    """Writes a file and answers its entry in the manifest."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def signature(name, shape, on_request=False):
    described = {"name": name, "type": "f32", "shape": ["batch", *shape]}
    return described | {"on_request": True} if on_request else described


def pat_signatures(size, head=False, tokens=False):
    """The manifest's `inputs` and `outputs`."""
    outputs = pat.output_shapes(size, head, tokens)
    return {
        "inputs": [signature("x", [pat.MINUTES])],
        "outputs": [signature(name, shape, name == "tokens") for name, shape in outputs.items()],
    }


def pat_golden(folder, files, outputs):
    """Expected outputs come from golden_pat.py, which shares no code with pat.py and does not use ONNX Runtime."""
    cases = []
    for seed, rows in GOLDEN:
        script = pathlib.Path(__file__).with_name("golden_pat.py")
        command = [sys.executable, script, folder / "model.onnx", folder / "golden", str(seed), str(rows), *outputs]
        subprocess.run(command, check=True)
        expected = []
        for output in outputs:
            path = f"golden/{output}-{seed}.f32"
            files.append(write(folder, path, (folder / path).read_bytes()))
            expected.append({"output": output, "file": path, "tolerance": TOLERANCE[output]})
        cases.append({"rows": rows, "inputs": [{"name": "x", "lcg64_seed": seed}], "expected": expected})
    return cases


PAT_PREPROCESSING = {
    "week": "7 days of 1440 minutes; element 0 of the normalisation is Monday 00:00 local time",
    "coverage_min": 0.9,
    "missing_minutes": "none is invented: below coverage_min there is no score",
}
