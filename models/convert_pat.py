#!/usr/bin/env python3
"""Converts a Keras file of PAT weights (.h5) to a model folder: ONNX graph, golden vectors, manifest.

It reads what the authors publish (weights only), what their fine-tuning writes (with the head), and a whole model's file, as
Keras 2 and as Keras 3 write them. Anything missing, of another shape or not of PAT is refused by name.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile

import h5py
import numpy as np

import pat
from package import PAT_PREPROCESSING, pat_golden, pat_signatures, write

ATTRIBUTION = (
    "PAT, the Pretrained Actigraphy Transformer, Ruan et al. 2024, arXiv 2411.15240; weights by its authors under CC BY 4.0, "
    "converted to ONNX without a change of value."
)
INTENDED_USE = {
    "published": "Research: an embedding of a week's activity. Pretrained on activity counts, so steps as input are "
    "experimental; it is no risk score of a person and must not be used for a decision about one.",
    "trained": "Research: an embedding of a week's activity, and with a head the probability that its trainer trained it for. "
    "It is no diagnosis and must not be used for a decision about a person.",
    "synthetic": "Shows that the way from activity to an embedding works. The weights were not trained on people: the outputs "
    "mean nothing clinical and must not be used for a decision about a person.",
}
# Groups that Keras puts around the names of weights, by the kind of the file.
AROUND = re.compile(r"^(model_weights|encoder_model|encoder_layer_\d+_transformer)$")
LAYER = re.compile(r"^(dense|dense_128|output|encoder_layer_\d+_(attention|norm1|norm2|ff1|ff2))$")


class Refused(Exception):
    """The file cannot be converted; the text says why, one line a fault."""


def weight_name(path):
    """`model_weights/dense/dense/kernel:0` is `dense/kernel`; None for what is no weight of PAT."""
    *groups, leaf = path.split("/")
    groups = [group for group in groups if not AROUND.match(group)]
    # Keras puts a layer's weights, which begin with the layer's name, into a group of that name.
    if len(groups) > 1 and groups[0] == groups[1]:
        groups = groups[1:]
    if not groups or not LAYER.match(groups[0]):
        return None
    return "/".join([*groups, leaf.removesuffix(":0")])


def read_weights(path, size):
    """The weights of a Keras file, checked and in the graph's order."""
    found, foreign = {}, []

    def visit(name, item):
        if not isinstance(item, h5py.Dataset) or name.split("/")[0] in ("optimizer_weights", "top_level_model_weights"):
            return
        weight = weight_name(name)
        if weight is None:
            foreign.append(name)
        elif weight in found:
            raise Refused(f"{name}: the file holds {weight} twice")
        else:
            found[weight] = item[()]

    try:
        with h5py.File(path, "r") as file:
            if any(name.startswith(("_layer_checkpoint_dependencies", "layers")) for name in file):
                raise Refused(
                    "this is Keras 3's .weights.h5, which does not name the weights: save the model by model.save('FILE.h5')"
                )
            file.visititems(visit)
    except OSError as error:
        raise Refused(f"{path} is not an HDF5 file that can be read: {error}") from error
    expected = pat.shapes(size)
    if any(name in pat.HEAD_SHAPES for name in found):
        expected = expected | pat.HEAD_SHAPES
    return checked(found, foreign, expected)


def checked(found, foreign, expected):
    """`found` in the order of `expected`; every fault at once, each naming its tensor."""
    faults = [f"{name}: it is no weight of PAT" for name in foreign]
    faults += [f"{name}: this size has no such weight" for name in found if name not in expected]
    for name, shape in expected.items():
        array = found.get(name)
        if array is None:
            faults.append(f"{name}: it is missing")
        elif array.shape != shape:
            faults.append(f"{name}: its shape is {list(array.shape)}, not {list(shape)}")
        elif array.dtype.kind != "f":
            faults.append(f"{name}: it holds {array.dtype}, not floats")
        elif not np.isfinite(array.astype(np.float32)).all():
            faults.append(f"{name}: it holds values that are not finite 32-bit floats")
    if faults:
        raise Refused("\n".join(faults))
    return {name: found[name].astype(np.float32) for name in expected}


def normalisation(folder, source, files):
    """Copies what `clarity models fit-normalisation` wrote; answers its part of the manifest."""
    try:
        described = json.loads((source / "normalisation.json").read_text())
        vectors = {name: (source / f"{name}.f32").read_bytes() for name in ("mean", "standard_deviation")}
    except OSError as error:
        raise Refused(f"{source} is not what `clarity models fit-normalisation` writes: {error}") from error
    for name, content in vectors.items():
        values = np.frombuffer(content, dtype="<f4") if len(content) % 4 == 0 else np.empty(0)
        if values.size != pat.MINUTES or not np.isfinite(values).all() or (name != "mean" and not (values > 0).all()):
            raise Refused(f"{source}/{name}.f32: it is not {pat.MINUTES} finite values (deviations above 0)")
        files.append(write(folder, f"normalisation/{name}.f32", content))
    paths = {name: f"normalisation/{name}.f32" for name in vectors}
    return {"unit": described["unit"], **paths, "method": described["method"]}


def convert(arguments, folder):
    """Writes the model into `folder`; answers its manifest."""
    size = pat.SIZES[arguments.size]
    weights = read_weights(arguments.file, size)
    head = "output/kernel" in weights
    if head and arguments.weights == "published":
        raise Refused(f"{arguments.file} has a head, and the authors publish encoders only: say --weights trained")
    name = arguments.output.resolve().name
    files = [write(folder, "model.onnx", pat.build(weights, size, name, "convert_pat.py", arguments.tokens))]
    manifest = {
        "manifest_version": 2 if arguments.tokens else 1,
        "name": name,
        "version": arguments.version,
        "weights": arguments.weights,
        "intended_use": arguments.intended_use or INTENDED_USE[arguments.weights],
        "licence": arguments.licence,
        "attribution": arguments.attribution or ATTRIBUTION,
        "parameters": sum(array.size for array in weights.values()),
        "model": "model.onnx",
        "files": files,
        **pat_signatures(size, head, arguments.tokens),
    }
    if arguments.normalisation:
        manifest["normalisation"] = normalisation(folder, arguments.normalisation, files)
    manifest["preprocessing"] = PAT_PREPROCESSING
    manifest["golden"] = pat_golden(folder, files, pat.output_shapes(size, head, arguments.tokens))
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path, metavar="FILE.h5")
    parser.add_argument("--size", required=True, choices=pat.SIZES)
    parser.add_argument("-o", "--output", required=True, type=pathlib.Path, metavar="DIR", help="its name is the model's name")
    parser.add_argument("--weights", choices=INTENDED_USE, required=True, help="where they come from; published is the authors' encoder")
    parser.add_argument("--version", default="1.0.0", help="of the model (default: 1.0.0)")
    parser.add_argument("--licence", help="default for published weights: CC-BY-4.0; must be given for others")
    parser.add_argument("--attribution", help="default: the authors of PAT")
    parser.add_argument("--intended-use")
    parser.add_argument("--normalisation", type=pathlib.Path, metavar="DIR", help="what `clarity models fit-normalisation` wrote")
    parser.add_argument("--tokens", action="store_true", help="also output the tokens [batch, N, 96], where a request names them")
    parser.add_argument("--json", action="store_true", help="print the manifest")
    parsed = parser.parse_args(arguments)
    if parsed.licence is None:
        if parsed.weights != "published":
            parser.error(f"--licence must be given with --weights {parsed.weights}")
        parsed.licence = "CC-BY-4.0"
    if parsed.output.exists():
        parser.error(f"{parsed.output} exists: remove it, or name another folder")
    return parsed


def main(arguments=None):
    arguments = parse(arguments)
    parent = arguments.output.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    # A conversion that fails leaves nothing that looks like a model.
    folder = pathlib.Path(tempfile.mkdtemp(dir=parent, prefix=".convert-pat-"))
    try:
        manifest = convert(arguments, folder)
        folder.chmod(0o755)
        os.replace(folder, arguments.output)
    except Refused as refused:
        sys.exit(f"convert_pat.py: {arguments.file} is no PAT-{arguments.size.upper()} file:\n{refused}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        print(json.dumps(manifest, indent=2))
        return
    outputs = ", ".join(output["name"] for output in manifest["outputs"])
    print(f"{arguments.output}: {manifest['parameters']} weights ({manifest['weights']}), outputs {outputs}")
    if "normalisation" not in manifest:
        print("It carries no normalisation, and the server embeds nothing without one: `clarity models fit-normalisation` makes one.")


if __name__ == "__main__":
    main()
