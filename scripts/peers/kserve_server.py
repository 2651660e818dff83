#!/usr/bin/env python3
"""An ONNX model under KServe's model server, as plainly as its documentation has it: kserve_server.py MODEL HTTP_PORT GRPC_PORT ..."""

import sys

import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class OnnxModel(Model):
    def __init__(self, name, path):
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.ready = True

    async def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        outputs = self.session.run(None, {one.name: one.as_numpy() for one in payload.inputs})
        encoded = []
        for signature, values in zip(self.session.get_outputs(), outputs):
            output = InferOutput(name=signature.name, shape=list(values.shape), datatype="FP32")
            output.set_data_from_numpy(values, binary_data=bool(payload.use_binary_outputs))
            encoded.append(output)
        return InferResponse(response_id=payload.id or "", model_name=self.name, infer_outputs=encoded, use_binary_outputs=bool(payload.use_binary_outputs))


if __name__ == "__main__":
    path, http_port, grpc_port = sys.argv[1:4]
    server = ModelServer(http_port=int(http_port), grpc_port=int(grpc_port), enable_grpc=False, workers=1, access_log_format=None)
    server.start([OnnxModel("small", path)])
