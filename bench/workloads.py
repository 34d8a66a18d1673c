"""What is asked of the servers: three models, one request each, and what bare Run needs for it."""
import json
import pathlib
import random
import struct
import subprocess

from machine import ROOT, BenchError

FORMATS = {"FP32": "f", "INT64": "q"}
IMAGE_SHAPE = (1, 3, 48, 192)
TEXT_TOKENS = 32


class Workload:
    """`inputs`: (name, datatype, shape, flat values). `title`: for tables."""

    def __init__(self, name, title, model, file, inputs):
        self.name, self.title, self.model, self.file = name, title, model, pathlib.Path(file)
        self.inputs = inputs

    def write(self, folder):
        """The request as a v2 JSON body, and each input as bare_run reads it."""
        self.request = folder / f"{self.name}.json"
        self.request.write_text(json.dumps({"inputs": [
            {"name": name, "datatype": datatype, "shape": shape, "data": values}
            for name, datatype, shape, values in self.inputs]}, separators=(",", ":")))
        self.bare_inputs = []
        for number, (name, datatype, shape, values) in enumerate(self.inputs):
            file = folder / f"{self.name}-{number}.bin"
            file.write_bytes(struct.pack(f"<{len(values)}{FORMATS[datatype]}", *values))
            self.bare_inputs.append(f"{name}:{datatype}:{'x'.join(map(str, shape))}:{file}")


def pixels(count, seed):
    """Reals between -1 and 1 with four digits, as a client sends a normalised image."""
    made = random.Random(seed)
    return [round(made.uniform(-1, 1), 4) for _ in range(count)]


def cache():
    done = subprocess.run([ROOT / "tools/deps.sh", "bench-models"], capture_output=True, text=True,
                          check=True)
    return pathlib.Path(done.stdout.strip())


def demonstration():
    request = json.loads((ROOT / "models/breast-cancer/request.json").read_text())
    inputs = [(one["name"], one["datatype"], one["shape"], one["data"])
              for one in request["inputs"]]
    return Workload("tabular", "tabular (trees, 30 values)", "breast-cancer",
                    ROOT / "models/repository/breast-cancer/1/model.onnx", inputs)


def all_of_them(folder):
    """The workloads, written below `folder`, and a repository with their models there."""
    models = cache()
    words = [101, *range(2000, 2000 + TEXT_TOKENS - 2), 102]
    text = Workload(
        "text", "text (MiniLM int8, 32 tokens)", "text", models / "text/1/model.onnx",
        [("input_ids", "INT64", [1, TEXT_TOKENS], words),
         ("attention_mask", "INT64", [1, TEXT_TOKENS], [1] * TEXT_TOKENS),
         ("token_type_ids", "INT64", [1, TEXT_TOKENS], [0] * TEXT_TOKENS)])
    size = 1
    for dimension in IMAGE_SHAPE:
        size *= dimension
    image = Workload("image", "image (MobileNetV3-like, 48×192)", "image",
                     models / "image/1/model.onnx",
                     [("x", "FP32", list(IMAGE_SHAPE), pixels(size, 7))])
    found = [demonstration(), text, image]
    repository = folder / "repository"
    for workload in found:
        if not workload.file.is_file():
            raise BenchError(f"the model of '{workload.name}' is missing: tools/deps.sh bench")
        workload.write(folder)
        version = repository / workload.model / "1"
        version.mkdir(parents=True, exist_ok=True)
        link = version / "model.onnx"
        link.unlink(missing_ok=True)
        link.write_bytes(workload.file.read_bytes())
    return found, repository
