"""A hand-written server, as many teams have it: FastAPI on uvicorn, orjson, ONNX Runtime.

    fastapi_app.py REPOSITORY PORT

One asynchronous function, one session with one thread, no model of the body beyond what it needs:
the quick way to write it. Speaks as much of the v2 protocol as the benchmark sends (JSON).
"""
import pathlib
import sys

import numpy as np
import onnxruntime
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

DATATYPES = {"FP32": np.float32, "INT64": np.int64}
NAMES = {np.dtype(kind): name for name, kind in DATATYPES.items()}

app = FastAPI()
sessions = {}


def load(repository):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    for file in pathlib.Path(repository).glob("*/1/model.onnx"):
        sessions[file.parts[-3]] = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"])


@app.get("/v2/health/ready")
async def ready():
    return {"ready": True}


@app.post("/v2/models/{model}/infer")
async def infer(model: str, request: Request):
    session = sessions[model]
    body = orjson.loads(await request.body())
    inputs = {one["name"]: np.array(one["data"], DATATYPES[one["datatype"]]).reshape(one["shape"])
              for one in body["inputs"]}
    names = [output.name for output in session.get_outputs()]
    outputs = [{"name": name, "datatype": NAMES[value.dtype], "shape": value.shape,
                "data": value.ravel()}
               for name, value in zip(names, session.run(names, inputs), strict=True)]
    return Response(
        orjson.dumps({"model_name": model, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY),
        media_type="application/json")


if __name__ == "__main__":
    load(sys.argv[1])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
