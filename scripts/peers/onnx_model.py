"""An ONNX model for MLServer, as plainly as its documentation has it: one session of one thread."""

import numpy
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        inputs = {one.name: NumpyCodec.decode_input(one).astype(numpy.float32) for one in payload.inputs}
        outputs = self.session.run(None, inputs)
        names = [one.name for one in self.session.get_outputs()]
        encoded = [NumpyCodec.encode_output(name, values) for name, values in zip(names, outputs)]
        return InferenceResponse(model_name=self.name, outputs=encoded)
