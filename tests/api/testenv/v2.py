"""Requests and answers of the v2 protocol, written and read by hand (no client library)."""

import json
import struct

import numpy as np

DATATYPES = {  # v2 name -> numpy type; BF16 travels as its raw words, BYTES as bytes objects
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32,
    "UINT64": np.uint64, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32,
    "INT64": np.int64, "FP16": np.float16, "BF16": np.uint16, "FP32": np.float32,
    "FP64": np.float64, "BYTES": np.object_,
}


def tensor(name, datatype, shape, data, **parameters):
    """One JSON input."""
    made = {"name": name, "datatype": datatype, "shape": list(shape), "data": data}
    if parameters:
        made["parameters"] = parameters
    return made


def array_tensor(name, array, datatype="FP32"):
    """A numpy array as JSON input, nested."""
    return tensor(name, datatype, array.shape, array.tolist())


def request(*inputs, **rest):
    return {"inputs": list(inputs), **rest}


def pack(datatype, values):
    """The bytes of a tensor in the binary extension."""
    if datatype == "BYTES":
        flat = [value.encode() if isinstance(value, str) else bytes(value)
                for value in np.asarray(values, dtype=object).reshape(-1)]
        return b"".join(struct.pack("<I", len(value)) + value for value in flat)
    return np.ascontiguousarray(values, DATATYPES[datatype]).tobytes()


def unpack(datatype, shape, data):
    if datatype == "BYTES":
        values, at = [], 0
        while at < len(data):
            (length,) = struct.unpack_from("<I", data, at)
            values.append(data[at + 4:at + 4 + length])
            at += 4 + length
        assert at == len(data)
        made = np.empty(len(values), object)
        made[:] = values
        return made.reshape(shape)
    return np.frombuffer(data, DATATYPES[datatype]).reshape(shape)


def binary(*inputs, outputs=None, **rest):
    """A body of the binary extension and its headers. Inputs: (name, datatype, shape, bytes), or
    dicts that stay JSON."""
    listed, blobs = [], b""
    for one in inputs:
        if isinstance(one, dict):
            listed.append(one)
            continue
        name, datatype, shape, data = one
        listed.append({"name": name, "datatype": datatype, "shape": list(shape),
                       "parameters": {"binary_data_size": len(data)}})
        blobs += data
    document = {"inputs": listed, **rest}
    if outputs is not None:
        document["outputs"] = outputs
    head = json.dumps(document).encode()
    return head + blobs, {"Inference-Header-Content-Length": str(len(head)),
                          "Content-Type": "application/octet-stream"}


def answer(reply):
    """The outputs of an answer: name -> numpy array, or the JSON data where they came as JSON.
    Checks what every answer must keep."""
    assert reply.status == 200, (reply.status, reply.body[:500])
    length = reply.header("Inference-Header-Content-Length")
    if length is None:
        assert reply.header("Content-Type") == "application/json", reply.headers
        document, rest = json.loads(reply.body), b""
    else:
        assert reply.header("Content-Type") == "application/octet-stream", reply.headers
        document, rest = json.loads(reply.body[:int(length)]), reply.body[int(length):]
    found = {}
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        count = int(np.prod(output["shape"], dtype=object))
        if size is None:
            found[output["name"]] = output["data"]
            assert len(output["data"]) == count or not count, output
            continue
        assert isinstance(size, int) and "data" not in output, output
        found[output["name"]] = unpack(output["datatype"], output["shape"], rest[:size])
        rest = rest[size:]
    assert rest == b"", f"{len(rest)} bytes too many"
    return found


def bf16_words(values):
    """BF16 words of numbers, rounded to nearest, ties to even."""
    words = np.asarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((words + 0x7FFF + ((words >> 16) & 1)) >> 16).astype(np.uint16)


def bf16_floats(words):
    return (np.asarray(words, np.uint32) << 16).view(np.float32)
