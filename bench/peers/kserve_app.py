"""KServe's Python server with a custom model around ONNX Runtime: REST and gRPC.

    kserve_app.py REPOSITORY HTTP_PORT GRPC_PORT
"""
import pathlib
import sys

import onnxruntime
from kserve import InferOutput, InferResponse, Model, ModelServer
from kserve.utils.numpy_codec import from_np_dtype


class OnnxModel(Model):
    def __init__(self, name, file):
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        self.ready = True

    def predict(self, payload, headers=None):
        inputs = {one.name: one.as_numpy() for one in payload.inputs}
        outputs = []
        for name, value in zip(self.names, self.session.run(self.names, inputs), strict=True):
            output = InferOutput(name, list(value.shape), from_np_dtype(value.dtype))
            output.set_data_from_numpy(value, binary_data=False)
            outputs.append(output)
        return InferResponse(response_id=payload.id or "", model_name=self.name,
                             infer_outputs=outputs)


if __name__ == "__main__":
    repository, http_port, grpc_port = sys.argv[1:]
    sys.argv[1:] = []
    ModelServer(http_port=int(http_port), grpc_port=int(grpc_port), workers=1,
                enable_docs_url=False).start(
        [OnnxModel(file.parts[-3], file)
         for file in sorted(pathlib.Path(repository).glob("*/1/model.onnx"))])
