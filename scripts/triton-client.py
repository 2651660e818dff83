#!/usr/bin/env python3
"""Drives a model server with tritonclient, the client of Triton and KServe, as its users do: triton-client.py HOST:PORT MODEL_FOLDER.

The answers are held against the model's golden vectors, which NumPy computed. Ends with 0 after one line that says how much was
checked, and with 1 at the first difference."""

import json
import pathlib
import sys
import urllib.error
import urllib.request

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

checks = 0


def check(holds, what):
    global checks
    checks += 1
    if not holds:
        sys.exit(f"not so: {what}")


def refused(call, status, *words):
    """The words of a refusal, after its status and those that are expected were found."""
    try:
        call()
    except InferenceServerException as error:
        check(str(error.status()) == str(status), f"{error} is a {status}")
        for word in words:
            check(word in error.message(), f"`{error.message()}` says {word}")
        return
    sys.exit(f"not refused: {words}")


def lcg64(seed, count):
    """The input of a golden case, see models/README.md."""
    state, values = seed, np.empty(count, dtype=np.float32)
    for index in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values[index] = ((state >> 40) - 2**23) / 2**22
    return values


class Golden:
    """A case of the manifest: the input, and what each output has to be."""

    def __init__(self, folder, case):
        manifest = json.loads((folder / "manifest.json").read_text())
        shape = lambda one: [case["rows"], *one["shape"][1:]]
        [signature] = manifest["inputs"]
        self.name, self.shape = signature["name"], shape(signature)
        self.values = lcg64(case["inputs"][0]["lcg64_seed"], int(np.prod(self.shape))).reshape(self.shape)
        shapes = {one["name"]: shape(one) for one in manifest["outputs"]}
        self.expected = {
            one["output"]: (
                np.fromfile(folder / one["file"], dtype="<f4").reshape(shapes[one["output"]]),
                one["tolerance"],
            )
            for one in case["expected"]
        }

    def input(self, binary=True):
        tensor = triton.InferInput(self.name, self.shape, "FP32")
        tensor.set_data_from_numpy(self.values, binary_data=binary)
        return tensor

    def hold(self, result, names=None):
        response = result.get_response()
        names = list(self.expected) if names is None else names
        check([one["name"] for one in response["outputs"]] == names, f"the outputs are {names}")
        for name in names:
            expected, tolerance = self.expected[name]
            got = result.as_numpy(name)
            check(got is not None and got.shape == expected.shape, f"{name} has the shape {expected.shape}")
            check(np.abs(got - expected).max() <= tolerance, f"{name} is as the golden vectors have it")


def inferences(client, model, golden):
    for binary_in in [True, False]:
        for binary_out in [True, False]:
            for request, response in [(None, None), ("gzip", "gzip"), ("deflate", "deflate"), ("gzip", None), (None, "deflate")]:
                outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in golden.expected]
                result = client.infer(
                    model, [golden.input(binary_in)], outputs=outputs, request_id="a-7",
                    request_compression_algorithm=request, response_compression_algorithm=response,
                )
                check(result.get_response()["id"] == "a-7", "the id comes back")
                check(result.get_response()["model_name"] == model, "the model is named")
                for output in result.get_response()["outputs"]:
                    check(("data" in output) != binary_out, f"{output['name']} is in the form that was asked for")
                golden.hold(result)
    # Without a word on outputs, the client gets all of them, in binary.
    golden.hold(client.infer(model, [golden.input()]))
    backwards = list(reversed(golden.expected))
    mixed = [triton.InferRequestedOutput(name, binary_data=at == 0) for at, name in enumerate(backwards)]
    golden.hold(client.infer(model, [golden.input()], outputs=mixed), backwards)
    for name in golden.expected:
        golden.hold(client.infer(model, [golden.input()], outputs=[triton.InferRequestedOutput(name)]), [name])
    version = client.get_model_metadata(model)["versions"][0]
    golden.hold(client.infer(model, [golden.input()], model_version=version))
    for one in [client.async_infer(model, [golden.input()]) for _ in range(8)]:
        golden.hold(one.get_result())


def about(client, model, golden):
    check(client.is_server_live() and client.is_server_ready() and client.is_model_ready(model), "all is ready")
    check("binary_tensor_data" in client.get_server_metadata()["extensions"], "the server names its extensions")
    metadata = client.get_model_metadata(model)
    row = golden.shape[1:]
    check(metadata["inputs"] == [{"name": golden.name, "datatype": "FP32", "shape": [-1, *row]}], "the inputs")
    check([one["name"] for one in metadata["outputs"]] == list(golden.expected), "the outputs")
    config = client.get_model_config(model)
    check(config["input"] == [{"name": golden.name, "data_type": "TYPE_FP32", "dims": row}], "the configuration")
    check(config["max_batch_size"] >= 1, "the largest batch")


def faults(client, model, golden):
    refused(lambda: client.infer("nobody", [golden.input()]), 404, "no such model")
    refused(lambda: client.infer(model, [golden.input()], model_version="0"), 404, "version")
    refused(lambda: client.get_model_metadata("nobody"), 404, "no such model")
    check(not client.is_model_ready("nobody"), "a model that is not there is not ready")
    short = triton.InferInput(golden.name, [1, 3], "FP32")
    for binary in [True, False]:
        short.set_data_from_numpy(golden.values[:, :3], binary_data=binary)
        refused(lambda: client.infer(model, [short]), 400, golden.name)
    whole = triton.InferInput(golden.name, golden.shape, "INT64")
    whole.set_data_from_numpy(golden.values.astype(np.int64))
    refused(lambda: client.infer(model, [whole]), 400, "FP32", golden.name)
    other = triton.InferInput("other", golden.shape, "FP32")
    other.set_data_from_numpy(golden.values)
    refused(lambda: client.infer(model, [other]), 400)
    nowhere = np.full(golden.shape, np.nan, dtype=np.float32)
    nan = triton.InferInput(golden.name, golden.shape, "FP32")
    nan.set_data_from_numpy(nowhere)
    refused(lambda: client.infer(model, [nan]), 400)
    unknown = [triton.InferRequestedOutput("other")]
    refused(lambda: client.infer(model, [golden.input()], outputs=unknown), 400)
    classes = [triton.InferRequestedOutput(list(golden.expected)[0], class_count=3)]
    refused(lambda: client.infer(model, [golden.input()], outputs=classes), 400, "classification")


def repository(client, model, golden):
    states = lambda: {one["name"]: one["state"] for one in client.get_model_repository_index()}
    check(states()[model] == "READY", "the index has the model")
    client.unload_model(model)
    check(states()[model] == "UNAVAILABLE", "it was unloaded")
    check(not client.is_model_ready(model), "what was unloaded is not ready")
    refused(lambda: client.infer(model, [golden.input()]), 503)
    client.load_model(model)
    check(states()[model] == "READY", "it was loaded")
    golden.hold(client.infer(model, [golden.input()]))
    refused(lambda: client.load_model("nobody"), 404)
    refused(lambda: client.unload_model("nobody"), 404)
    refused(lambda: client.load_model(model, config="{}"), 400, "parameters")


def statistics(client, model, golden):
    def of_model():
        [one] = client.get_inference_statistics(model)["model_stats"]
        return one

    before = of_model()
    # Another input than before, so that no cache answers it.
    golden.values = golden.values[:, ::-1].copy()
    client.infer(model, [golden.input()])
    after = of_model()
    check(after["inference_count"] == before["inference_count"] + golden.shape[0], "rows are counted")
    check(after["execution_count"] == before["execution_count"] + 1, "executions are counted")
    for name in ["success", "queue", "compute_infer"]:
        was, is_now = (one["inference_stats"][name] for one in [before, after])
        check(is_now["count"] == was["count"] + 1 and is_now["ns"] > was["ns"], f"{name} is counted and timed")
    check(after["inference_stats"]["fail"]["count"] > 0, "what was refused is counted")
    check(after["last_inference"] > 0, "when was the last one")
    names = [one["name"] for one in client.get_inference_statistics()["model_stats"]]
    check(model in names, "the statistics of all models")


def others(address, model, golden):
    """What tritonclient does not do: bodies without JSON, and SageMaker's contract."""

    def post(path, body, headers):
        request = urllib.request.Request(f"http://{address}{path}", data=body, headers=headers)
        with urllib.request.urlopen(request) as response:
            return response.headers, response.read()

    infer = f"/v2/models/{model}/infer"
    headers, body = post(infer, golden.values.astype("<f4").tobytes(), {"Inference-Header-Content-Length": "0"})
    golden.hold(triton.InferenceServerClient.parse_response_body(body, header_length=int(headers["Inference-Header-Content-Length"])))
    with urllib.request.urlopen(f"http://{address}/ping") as response:
        check(response.status == 200, "SageMaker is told that all is well")
    sent = {"inputs": [{"name": golden.name, "shape": golden.shape, "datatype": "FP32", "data": golden.values.tolist()}]}
    headers, body = post("/invocations", json.dumps(sent).encode(), {"Content-Type": "application/json"})
    check(headers["Content-Type"] == "application/json", "JSON is answered in JSON")
    golden.hold(triton.InferenceServerClient.parse_response_body(body))
    # SageMaker passes no headers on: the media type says how much of a body is JSON.
    values = golden.values.astype("<f4").tobytes()
    of_values = {"binary_data_size": len(values)}
    sent = json.dumps({
        "inputs": [{"name": golden.name, "shape": golden.shape, "datatype": "FP32", "parameters": of_values}],
        "parameters": {"binary_data_output": True},
    }).encode()
    sagemaker = "application/vnd.sagemaker-triton.binary+json;json-header-size="
    headers, body = post("/invocations", sent + values, {"Content-Type": f"{sagemaker}{len(sent)}"})
    answered = headers["Content-Type"].replace(" ", "")
    check(answered.startswith(sagemaker), "binary is answered in binary, by SageMaker's media type")
    golden.hold(triton.InferenceServerClient.parse_response_body(body, header_length=int(answered[len(sagemaker):])))
    for wrong in ["", "x", f"1;json-header-size={len(sent)}"]:
        try:
            post("/invocations", sent + values, {"Content-Type": f"{sagemaker}{wrong}"})
            sys.exit("a media type without a length was accepted")
        except urllib.error.HTTPError as error:
            check(error.code == 400 and "json-header-size" in json.loads(error.read())["error"], "the error names the parameter")
    try:
        post("/invocations", b"{}", {"Content-Type": "application/json"})
        sys.exit("a body without inputs was accepted")
    except urllib.error.HTTPError as error:
        check(error.code == 400 and "inputs" in json.loads(error.read())["error"], "the error names what is missing")


def main():
    address, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    model = folder.name
    golden, *more = [Golden(folder, case) for case in json.loads((folder / "manifest.json").read_text())["golden"]]
    client = triton.InferenceServerClient(address, concurrency=4)
    about(client, model, golden)
    inferences(client, model, golden)
    for rows in more:
        rows.hold(client.infer(model, [rows.input()]))
    faults(client, model, golden)
    others(address, model, golden)
    repository(client, model, golden)
    statistics(client, model, golden)
    client.close()
    print(f"{checks} checks hold")


if __name__ == "__main__":
    main()
