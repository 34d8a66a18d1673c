#!/usr/bin/env python3
"""Writes the ONNX models that the tests serve.

  make_models.py OUTDIR            writes OUTDIR, a model repository whose models all load, and
                                   OUTDIR-broken, one whose models must be refused; does
                                   nothing when this script is the one that wrote them
  make_models.py OUTDIR --verify   then runs each model in ONNX Runtime and checks its answers

Needs onnx and numpy; --verify needs onnxruntime and ml_dtypes too. Every model is a row of the
tables MODELS and BROKEN: how it is built, and inputs with the answers it must give. Inputs are
called INPUT0, INPUT1, ... and outputs OUTPUT0, OUTPUT1, ... (but for the model `wide`); free
dimensions have names, and `rows` is the batch dimension of the models that have one.
"""

import argparse
import hashlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 8  # the IR that came with opset 17: every ONNX Runtime since 1.12 loads it
OPSET = 17
SEED = 20240131

MLP_SIZES = (64, 128, 32, 8)
SLOW_SIZE = 64

DATATYPES = {  # the datatypes that the v2 protocol and ONNX Runtime share: v2 name -> ONNX name
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "fp16": "FLOAT16",
    "bf16": "BFLOAT16", "fp32": "FLOAT", "fp64": "DOUBLE", "bytes": "STRING",
}


# ---- building blocks --------------------------------------------------------------------------

def tensor_info(name, onnx_type, shape):
    return helper.make_tensor_value_info(name, getattr(TensorProto, onnx_type), shape)


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array, order="C"), name)


def node(op, inputs, outputs, **attributes):
    """A node; `inputs` and `outputs` are names separated by spaces."""
    return helper.make_node(op, inputs.split(" "), outputs.split(" "), **attributes)


def model(nodes, inputs, outputs, constants=(), opset=OPSET):
    """A model; `inputs` and `outputs` are (name, ONNX type, shape)."""
    graph = helper.make_graph(nodes, "test", [tensor_info(*value) for value in inputs],
                              [tensor_info(*value) for value in outputs], list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)],
                             ir_version=IR_VERSION, producer_name="make_models")


def elementwise(op, onnx_type="FLOAT", shape=("rows", "columns")):
    """One input, one output of the same type and shape, one node."""
    return model([node(op, "INPUT0", "OUTPUT0")],
                 [("INPUT0", onnx_type, shape)], [("OUTPUT0", onnx_type, shape)])


# ---- models that load -------------------------------------------------------------------------

def add_sub(batch="rows"):
    shape = (batch, 16)
    return model([node("Add", "INPUT0 INPUT1", "OUTPUT0"), node("Sub", "INPUT0 INPUT1", "OUTPUT1")],
                 [("INPUT0", "FLOAT", shape), ("INPUT1", "FLOAT", shape)],
                 [("OUTPUT0", "FLOAT", shape), ("OUTPUT1", "FLOAT", shape)])


def mlp_weights():
    random = np.random.RandomState(SEED)
    return [(random.randn(wide, narrow).astype(np.float32) / np.float32(np.sqrt(wide)),
             random.randn(narrow).astype(np.float32))
            for wide, narrow in zip(MLP_SIZES, MLP_SIZES[1:])]


def mlp():
    nodes, constants, value = [], [], "INPUT0"
    layers = mlp_weights()
    for index, (weight, bias) in enumerate(layers):
        last = index == len(layers) - 1
        constants += [constant(f"weight{index}", weight), constant(f"bias{index}", bias)]
        nodes.append(node("Gemm", f"{value} weight{index} bias{index}",
                          "OUTPUT0" if last else f"linear{index}"))
        if not last:
            nodes.append(node("Relu", f"linear{index}", f"relu{index}"))
            value = f"relu{index}"
    return model(nodes, [("INPUT0", "FLOAT", ("rows", MLP_SIZES[0]))],
                 [("OUTPUT0", "FLOAT", ("rows", MLP_SIZES[-1]))], constants)


def mlp_answer(rows):
    layers = mlp_weights()
    for weight, bias in layers[:-1]:
        rows = np.maximum(rows @ weight + bias, 0)
    return rows @ layers[-1][0] + layers[-1][1]


def counting_loop():
    """A Loop over `trips` that multiplies 64x64 matrices and counts its iterations in `count`.

    The state is all ones and the other factor a permutation, so each product's mean is exactly
    one, the count is exact up to 2^24, and nothing can be folded away beforehand. Measured with
    one thread on a shared 2-core x86-64 machine: 20 us for a run, and 9 to 12 us an iteration
    (1,000: 11 ms; 100,000: 0.9 to 1.1 s); two threads are slower.
    """
    size = (SLOW_SIZE, SLOW_SIZE)
    body = helper.make_graph(
        [node("MatMul", "state permutation", "next_state"),
         node("ReduceMean", "next_state", "mean", keepdims=0),
         node("Add", "total mean", "next_total"),
         node("Identity", "go_on", "still_go_on")],
        "body",
        [tensor_info("iteration", "INT64", ()), tensor_info("go_on", "BOOL", ()),
         tensor_info("state", "FLOAT", size), tensor_info("total", "FLOAT", ())],
        [tensor_info("still_go_on", "BOOL", ()), tensor_info("next_state", "FLOAT", size),
         tensor_info("next_total", "FLOAT", ())])
    constants = [constant("ones", np.ones(size, np.float32)),
                 constant("zero", np.float32(0)),
                 constant("true", np.array(True)),
                 constant("permutation", np.roll(np.eye(SLOW_SIZE, dtype=np.float32), 1, axis=0))]
    loop = node("Loop", "trips true ones zero", "last_state count", body=body)
    return loop, constants


def slow():
    loop, constants = counting_loop()
    constants.append(constant("one_value", np.array([1], np.int64)))
    return model([node("Squeeze", "INPUT0", "trips"), loop,
                  node("Reshape", "count one_value", "OUTPUT0")],
                 [("INPUT0", "INT64", (1,))], [("OUTPUT0", "FLOAT", (1,))], constants)


def slow_batch():
    loop, constants = counting_loop()
    return model([node("ReduceMax", "INPUT0", "trips", keepdims=0), loop,
                  node("Cast", "count", "whole", to=TensorProto.INT64),
                  node("Min", "INPUT0 whole", "OUTPUT0")],
                 [("INPUT0", "INT64", ("rows", 1))], [("OUTPUT0", "INT64", ("rows", 1))], constants)


def odd_names():
    shape, first, second = ("rows", 4), "module/block.1/input:0", "x.0"
    output = "save_infer_model/scale_0.tmp_1"
    return model([node("Add", f"{first} {second}", output)],
                 [(first, "FLOAT", shape), (second, "FLOAT", shape)], [(output, "FLOAT", shape)])


def minus_mean():
    shape = ("rows", 4)
    return model([node("ReduceMean", "INPUT0", "mean", axes=[0]),
                  node("Sub", "INPUT0 mean", "OUTPUT0")],
                 [("INPUT0", "FLOAT", shape)], [("OUTPUT0", "FLOAT", shape)])


def plus(number, shape=("rows", 4)):
    return model([node("Add", "INPUT0 number", "OUTPUT0")],
                 [("INPUT0", "FLOAT", shape)], [("OUTPUT0", "FLOAT", shape)],
                 [constant("number", np.float32(number))])


def mixed():
    return model([node("Cast", "INPUT0", "whole", to=TensorProto.FLOAT),
                  node("Add", "whole INPUT1", "OUTPUT0"),
                  node("Identity", "INPUT2", "OUTPUT1"), node("Shape", "INPUT1", "OUTPUT2")],
                 [("INPUT0", "INT32", ("rows", 2)), ("INPUT1", "FLOAT", ("rows", 2)),
                  ("INPUT2", "STRING", ("rows", "words"))],
                 [("OUTPUT0", "FLOAT", ("rows", 2)), ("OUTPUT1", "STRING", ("rows", "words")),
                  ("OUTPUT2", "INT64", (2,))])


def lookup():
    return model([node("Gather", "table INPUT0", "OUTPUT0")],
                 [("INPUT0", "INT64", ("rows",))], [("OUTPUT0", "FLOAT", ("rows",))],
                 [constant("table", np.array([10, 20, 30, 40], np.float32))])


def attention():
    """Self-attention without weights: its memory grows with the square of its one input's length,
    which is what makes models of variable shapes large (4096 x 8: 128 KiB in, 64 MiB within)."""
    shape = ("length", 8)
    return model([node("Transpose", "INPUT0", "across", perm=[1, 0]),
                  node("MatMul", "INPUT0 across", "scores"),
                  node("Softmax", "scores", "weights", axis=-1),
                  node("MatMul", "weights INPUT0", "OUTPUT0")],
                 [("INPUT0", "FLOAT", shape)], [("OUTPUT0", "FLOAT", shape)])


def attention_answer(rows):
    scores = np.exp(rows @ rows.T - (rows @ rows.T).max(axis=1, keepdims=True))
    return (scores / scores.sum(axis=1, keepdims=True)) @ rows


def positions():
    return model([node("NonZero", "INPUT0", "OUTPUT0")],
                 [("INPUT0", "FLOAT", ("rows", "columns"))], [("OUTPUT0", "INT64", (2, "found"))])


# ---- models that must not load ----------------------------------------------------------------

def half(whole):
    content = whole.SerializeToString(deterministic=True)
    return content[:len(content) // 2]


def mistyped():
    shape = ("rows", 4)
    return model([node("Add", "INPUT0 INPUT1", "OUTPUT0")],
                 [("INPUT0", "FLOAT", shape), ("INPUT1", "INT64", shape)],
                 [("OUTPUT0", "FLOAT", shape)])


def sequence_output():
    """Valid ONNX that ONNX Runtime runs, but the v2 protocol has no sequences."""
    broken = elementwise("Identity")
    del broken.graph.node[:], broken.graph.output[:]
    broken.graph.node.append(node("SequenceConstruct", "INPUT0", "OUTPUT0"))
    broken.graph.output.append(helper.make_tensor_sequence_value_info(
        "OUTPUT0", TensorProto.FLOAT, ("rows", "columns")))
    return broken


def external_data(location):
    """`plus` whose number lies in the file `location`, which is not written here."""
    broken = plus(1)
    number = broken.graph.initializer[0]
    number.ClearField("raw_data")
    number.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        entry = number.external_data.add()
        entry.key, entry.value = key, value
    return broken


# ---- the tables -------------------------------------------------------------------------------

@dataclass
class Case:
    """One input, and the answer it must give: arrays by name, or None if the run must fail."""
    inputs: dict
    outputs: dict | None


@dataclass
class Model:
    name: str
    build: Callable
    about: str
    cases: Callable = list  # returns the cases, so that nothing is computed when up to date
    version: str = "1"
    weights_file: str | None = None  # write the weights to this file beside the model
    tolerance: float = 0.0


@dataclass
class Broken:
    folder: str
    about: str
    content: Callable | None = None  # returns a model, or bytes; None: no model.onnx at all
    loads: bool = False  # ONNX Runtime itself can load it: the server must refuse


def case(inputs, *outputs):
    """A case whose inputs are INPUT0, INPUT1, ... and whose outputs are OUTPUT0, OUTPUT1, ..."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    return Case({f"INPUT{index}": value for index, value in enumerate(inputs)},
                {f"OUTPUT{index}": value for index, value in enumerate(outputs)})


def floats(*shape):
    """Consecutive quarters around 0, so that sums and differences are exact in FP32."""
    count = int(np.prod(shape))
    return (np.arange(count, dtype=np.float32) / 4 - count // 8).reshape(shape)


def sample(datatype):
    """Values of a datatype with its extremes, of shape [2, 3]."""
    if datatype == "bool":
        values = np.array([True, False, True, True, False, False])
    elif datatype == "bytes":
        values = np.array(["", "a", "Zürich", "\x01\x7f", "日本", "x" * 300], dtype=object)
    elif datatype == "bf16":
        import ml_dtypes
        values = np.array([0, -0.0, 1.5, -3, np.inf, 3.389e38], dtype=ml_dtypes.bfloat16)
    elif datatype in ("fp16", "fp32", "fp64"):
        kind = np.dtype({"fp16": np.float16, "fp32": np.float32, "fp64": np.float64}[datatype])
        limits = np.finfo(kind)
        values = np.array([0, -0.0, 1.5, limits.min, limits.max, limits.smallest_subnormal], kind)
    else:
        limits = np.iinfo(datatype)
        values = np.array([0, 1, 2, limits.max - 1, limits.max, limits.min], datatype)
    return values.reshape(2, 3)


def same(*arrays):
    """Cases in which the only output must equal the only input."""
    return [case(array, array) for array in arrays]


def identity(datatype):
    return Model(f"identity_{datatype}", lambda: elementwise("Identity", DATATYPES[datatype]),
                 f"any {datatype.upper()} matrix back", lambda: same(sample(datatype)))


def add_sub_case(rows):
    left, right = floats(rows, 16), floats(rows, 16)[:, ::-1].copy()
    return [case((left, right), left + right, left - right)]


def mlp_cases():
    rows = np.random.RandomState(SEED + 1).randn(5, MLP_SIZES[0]).astype(np.float32)
    return [case(rows, mlp_answer(rows)), case(rows[:1], mlp_answer(rows[:1]))]


def int64s(*values):
    return np.array(values, np.int64)


def wide_case():
    return [Case({"module/block.1/input:0": floats(2, 4), "x.0": floats(2, 4)},
                 {"save_infer_model/scale_0.tmp_1": 2 * floats(2, 4)})]


def mixed_case():
    words = np.array([["a", "", "ß"], ["b", "cc", "d"]], dtype=object)
    whole = np.array([[1, -2], [3, 4]], np.int32)
    return [case((whole, floats(2, 2), words),
                 whole.astype(np.float32) + floats(2, 2), words, int64s(2, 2))]


MODELS = [
    *(identity(datatype) for datatype in DATATYPES),
    Model("identity_scalar", lambda: elementwise("Identity", "FLOAT", ()), "rank 0: shape []",
          lambda: same(np.array(2.5, np.float32))),
    Model("identity_zero", lambda: elementwise("Identity"), "for shapes with a 0: [0,3], [2,0]",
          lambda: same(floats(0, 3), floats(2, 0), floats(0, 0))),
    Model("add_sub", add_sub, "OUTPUT0 the sum, OUTPUT1 the difference", lambda: add_sub_case(3)),
    Model("fixed16", lambda: add_sub(batch=1), "add_sub of fixed shape: cannot be batched",
          lambda: add_sub_case(1)),
    Model("mlp", mlp, "layers of 64-128-32-8, ReLU between", mlp_cases, tolerance=1e-5),
    Model("external", mlp, "mlp with its weights in weights.bin", mlp_cases, tolerance=1e-5,
          weights_file="weights.bin"),
    Model("slow", slow, "INPUT0 iterations of a 64x64 MatMul; OUTPUT0 their count",
          lambda: [case(int64s(n), np.array([n], np.float32)) for n in (0, 1, 1000)]),
    Model("slow_batch", slow_batch, "slow with rows: max(INPUT0) iterations; INPUT0 back",
          lambda: same(int64s(3, 1, 200).reshape(3, 1))),
    Model("wide", odd_names, "names with dots, slashes and a colon; the sum", wide_case),
    Model("seqmix", minus_mean, "minus the mean of the rows: wrong if rows are batched",
          lambda: [case(floats(4, 4), floats(4, 4) - floats(4, 4).mean(axis=0))]),
    Model("multi_free", lambda: plus(1, ("rows", "length", 3)), "two free dimensions; plus 1",
          lambda: [case(floats(2, 5, 3), floats(2, 5, 3) + 1)]),
    Model("nonfinite", lambda: elementwise("Log", shape=("rows",)), "log: 0 is -Inf, -1 is NaN",
          lambda: [case(np.array([1, 0, -1, np.inf], np.float32),
                        np.array([0, -np.inf, np.nan, np.inf], np.float32))]),
    Model("mixed", mixed, "INT32 + FP32, BYTES back, the shape as INT64", mixed_case),
    Model("lookup", lookup, "OUTPUT0 = table[INPUT0]; an index over 3 fails in the run",
          lambda: [case(int64s(0, 3, -1), np.array([10, 40, 40], np.float32)),
                   Case({"INPUT0": int64s(0, 4)}, None)]),
    Model("attention", attention, "softmax(X X^T) X: memory grows with the square of the length",
          lambda: [case(floats(5, 8) / 8, attention_answer(floats(5, 8) / 8))], tolerance=1e-5),
    Model("positions", positions, "where INPUT0 is not 0: output shape depends on the data",
          lambda: [case(np.eye(2, dtype=np.float32), np.array([[0, 1], [0, 1]])),
                   case(np.zeros((2, 2), np.float32), np.zeros((2, 0), np.int64))]),
    *(Model("versions", lambda number=number: plus(number), f"plus {number}",
            lambda number=number: [case(floats(2, 4), floats(2, 4) + number)], version=str(number))
      for number in (1, 2, 10)),
]

BROKEN = [
    Broken("truncated/1", "the first half of mlp", lambda: half(mlp())),
    Broken("random/1", "4096 random bytes", lambda: np.random.RandomState(SEED).bytes(4096)),
    Broken("empty/1", "0 bytes", lambda: b""),
    Broken("text/1", "an HTML page", lambda: b"<!doctype html><title>404</title>\n"),
    Broken("missing/1", "no model.onnx"),
    Broken("unsupported/1", "an operator that does not exist",
           lambda: elementwise("NoSuchOperator")),
    Broken("future_opset/1", "opset 99",
           lambda: model([node("Identity", "INPUT0", "OUTPUT0")], [("INPUT0", "FLOAT", ("rows",))],
                         [("OUTPUT0", "FLOAT", ("rows",))], opset=99)),
    Broken("mistyped/1", "FP32 + INT64", mistyped),
    Broken("external_missing/1", "external data in a file that is not there",
           lambda: external_data("weights.bin")),
    # ONNX Runtime 1.31 refuses this one; 1.21 loads it.
    Broken("external_escape/1", "external data outside the model's folder",
           lambda: external_data("../../truncated/1/model.onnx")),
    Broken("sequence/1", "an output that is a sequence", sequence_output, loads=True),
    Broken("badname $x/1", "a model name that is not allowed", lambda: plus(1), loads=True),
    Broken("badversion/v1", "a version that is no number", lambda: plus(1), loads=True),
    Broken("noversion", "model.onnx without a version folder", lambda: plus(1), loads=True),
]


# ---- writing ----------------------------------------------------------------------------------

def write_model(row, folder):
    folder.mkdir(parents=True)
    built = row.build()
    onnx.checker.check_model(built, full_check=True)
    if row.weights_file:
        onnx.save_model(built, folder / "model.onnx", save_as_external_data=True,
                        all_tensors_to_one_file=True, location=row.weights_file, size_threshold=0)
    else:
        (folder / "model.onnx").write_bytes(built.SerializeToString(deterministic=True))


def write_broken(row, folder):
    folder.mkdir(parents=True)
    if row.content is None:
        (folder / ".keep").touch()
        return
    content = row.content()
    if not isinstance(content, bytes):
        content = content.SerializeToString(deterministic=True)
    (folder / "model.onnx").write_bytes(content)


def files_of(folder):
    return ", ".join(f"{path.name} {path.stat().st_size}" for path in sorted(folder.iterdir()))


def write_all(out, out_broken, stamp, fingerprint):
    """Writes both folders anew. The stamp is emptied first and filled last."""
    for folder in (out, out_broken):
        if folder.exists() and any(folder.iterdir()) and not stamp.exists():
            raise SystemExit(f"make_models: {folder} is not empty and was not made by this script")
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text("")
    for folder in (out, out_broken):
        shutil.rmtree(folder, ignore_errors=True)
    for row in MODELS:
        write_model(row, out / row.name / row.version)
    for row in BROKEN:
        write_broken(row, out_broken / row.folder)
    stamp.write_text(fingerprint)


# ---- verifying --------------------------------------------------------------------------------

def run(session, inputs, outputs):
    """The arrays of the named outputs. BF16 goes in and out as raw words of its inputs' shape."""
    import onnxruntime
    if not any(getattr(value, "dtype", None) == "bfloat16" for value in inputs.values()):
        return session.run(outputs, inputs)

    def as_bfloat16(words):
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(words, TensorProto.BFLOAT16)

    binding, like = session.io_binding(), next(iter(inputs.values()))
    words_in = {name: value.view(np.uint16) for name, value in inputs.items()}
    words_out = {name: np.empty(like.shape, np.uint16) for name in outputs}
    for name, words in words_in.items():
        binding.bind_ortvalue_input(name, as_bfloat16(words))
    for name, words in words_out.items():
        binding.bind_ortvalue_output(name, as_bfloat16(words))
    session.run_with_iobinding(binding)
    return [words.view(like.dtype) for words in words_out.values()]


def equal(found, expected, tolerance):
    found, expected = np.asarray(found), np.asarray(expected)
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    if tolerance:
        return bool(np.allclose(found, expected, rtol=0, atol=tolerance))
    if expected.dtype == object or not np.issubdtype(expected.dtype, np.inexact):
        return bool(np.all(found == expected))
    return bool(np.array_equal(found, expected, equal_nan=True))


def verify_model(row, path):
    """What is wrong with the model at `path`, or None."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for number, one in enumerate(row.cases()):
        names = list(one.outputs) if one.outputs is not None else None
        try:
            found = run(session, one.inputs, names)
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            if one.outputs is not None:
                return f"case {number}: {error}"
            continue
        if one.outputs is None:
            return f"case {number}: ran, but must fail"
        for name, value in zip(names, found):
            if not equal(value, one.outputs[name], row.tolerance):
                return f"case {number}: {name} is {value!r}, expected {one.outputs[name]!r}"
    return None


def verify_broken(row, path):
    import onnxruntime
    try:
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception:  # ONNX Runtime's own exceptions share no base class
        return "fails, but should load" if row.loads else None
    return None if row.loads else "loads, but must not"


def verify_all(out, out_broken):
    """Prints a table; returns how many rows are wrong."""
    import onnxruntime
    onnxruntime.set_default_logger_severity(4)
    results = []
    for row in MODELS:
        folder = out / row.name / row.version
        cases = f"{len(row.cases())} answers right"
        results.append((f"{row.name}/{row.version}", folder, row.about, cases,
                        verify_model(row, folder / "model.onnx")))
    for row in BROKEN:
        folder = out_broken / row.folder
        good = "only the server can refuse it" if row.loads else "refused"
        results.append((row.folder, folder, row.about, good,
                        verify_broken(row, folder / "model.onnx")))
    print(f"ONNX Runtime {onnxruntime.__version__}")
    for name, folder, about, good, wrong in results:
        print(f"{name:20} {about:62} {files_of(folder):36} {f'WRONG: {wrong}' if wrong else good}")
    return sum(wrong is not None for *_, wrong in results)


def main():
    parser = argparse.ArgumentParser(description="Writes the ONNX models that the tests serve.")
    parser.add_argument("outdir", type=Path, help="where to write; OUTDIR-broken is written too")
    parser.add_argument("--verify", action="store_true", help="run every model in ONNX Runtime")
    arguments = parser.parse_args()

    out = arguments.outdir.absolute()
    out_broken, stamp = out.with_name(out.name + "-broken"), out.with_name(out.name + ".stamp")
    fingerprint = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    current = stamp.exists() and stamp.read_text() == fingerprint
    if not (current and out.is_dir() and out_broken.is_dir()):
        write_all(out, out_broken, stamp, fingerprint)
        print(f"make_models: wrote {len(MODELS)} models to {out}, {len(BROKEN)} to {out_broken}")
    return 1 if arguments.verify and verify_all(out, out_broken) else 0


if __name__ == "__main__":
    sys.exit(main())
