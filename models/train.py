#!/usr/bin/env python3
"""Trains the demonstration model, a gradient-boosting classifier on breast-cancer data.

  train.py          trains, measures, and writes the model, its expected answers and a request
  train.py --check  trains again and compares with the committed files; writes nothing

The expected answers come from scikit-learn in double precision, on inputs that were rounded to
float32 first, because that is what the served model is given. Labels must be identical and
probabilities within TOLERANCE wherever two answers are compared.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import (accuracy_score, brier_score_loss, confusion_matrix, log_loss,
                             roc_auc_score)
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split

HERE = Path(__file__).resolve().parent
MODEL = HERE / "repository" / "breast-cancer" / "1" / "model.onnx"
EXPECTED = HERE / "breast-cancer" / "expected.json"
REQUEST = HERE / "breast-cancer" / "request.json"

SEED = 0
HELD_OUT_SHARE = 0.25
EXPECTED_ROWS = 60
TOLERANCE = 1e-5
OPSETS = {"": 17, "ai.onnx.ml": 1}
IR_VERSION = 8  # the IR that came with opset 17: older runtimes load it too
BATCH = "batch"  # the name of the free dimension


def new_classifier():
    return GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=SEED)


def load_data():
    """The data set, its inputs as the served model will see them: float32."""
    data = load_breast_cancer()
    return data, data.data.astype(np.float32), data.target


def split(inputs, labels):
    """Train inputs, held-out inputs, train labels, held-out labels."""
    return train_test_split(inputs, labels, test_size=HELD_OUT_SHARE, stratify=labels,
                            random_state=SEED)


def export(classifier, feature_count):
    """The classifier as ONNX: X [batch, features] -> label [batch], probabilities [batch, 2]."""
    model = to_onnx(classifier, initial_types=[("X", FloatTensorType([None, feature_count]))],
                    options={"zipmap": False}, target_opset=OPSETS, name="breast-cancer")
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    model.ir_version = IR_VERSION
    model.opset_import.sort(key=lambda opset: opset.domain)  # else the bytes vary between runs
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def run_onnx(model, inputs):
    """Labels and probabilities from ONNX Runtime; `model` is a path or the model's bytes."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["label", "probabilities"], {"X": inputs})


def compare(what, answer, expected):
    """Prints how far `answer` is from `expected`, each (labels, probabilities); True if close."""
    differing = int(np.sum(np.asarray(answer[0]) != np.asarray(expected[0])))
    distance = float(np.max(np.abs(np.asarray(answer[1]) - np.asarray(expected[1]))))
    close = differing == 0 and distance <= TOLERANCE
    print(f"{what}: {len(expected[0])} rows, {differing} labels differ, "
          f"probabilities differ by at most {distance:.1e} (allowed {TOLERANCE:.0e}): "
          f"{'equal' if close else 'NOT EQUAL'}")
    return close


def print_metrics(classifier, inputs, labels, held_out, held_out_labels):
    """The numbers of the model card."""
    labels_found = classifier.predict(held_out)
    benign = classifier.predict_proba(held_out)[:, 1]
    matrix = confusion_matrix(held_out_labels, labels_found)
    folds = StratifiedKFold(n_splits=10, shuffle=True, random_state=SEED)
    scores = cross_val_score(new_classifier(), inputs, labels, cv=folds)
    print(f"held out: {len(held_out)} of {len(inputs)} rows")
    print(f"  accuracy                  {accuracy_score(held_out_labels, labels_found):.4f}")
    print(f"  ROC AUC                   {roc_auc_score(held_out_labels, benign):.4f}")
    print(f"  log loss                  {log_loss(held_out_labels, benign):.4f}")
    print(f"  Brier score               {brier_score_loss(held_out_labels, benign):.4f}")
    print(f"  malignant found malignant {matrix[0, 0]} of {matrix[0].sum()}")
    print(f"  benign found benign       {matrix[1, 1]} of {matrix[1].sum()}")
    print(f"10-fold cross-validation, all rows: accuracy {scores.mean():.4f} "
          f"(standard deviation {scores.std():.4f})")


def shortest(row):
    """A float32 row as the shortest decimals that read back as the same float32 values."""
    decimals = [float(str(value)) for value in row]
    assert np.array_equal(np.array(decimals, dtype=np.float32), row)
    return decimals


def dump(document, path):
    """Writes JSON that a person can read: a line a key, a line a row of a matrix."""

    def text(value, indent):
        inner = indent + "  "
        if isinstance(value, dict):
            parts = [f"{json.dumps(key)}: {text(item, inner)}" for key, item in value.items()]
            return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}}}"
        if isinstance(value, list) and value and isinstance(value[0], (list, dict)):
            parts = [json.dumps(item) for item in value]
            return "[\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}]"
        return json.dumps(value)

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(document, "") + "\n")


def write(data, model, rows, labels, probabilities):
    """Writes the three committed files."""
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    MODEL.write_bytes(model)
    dump({
        "model": "breast-cancer",
        "computed_by": "scikit-learn, predict and predict_proba in double precision",
        "tolerance": TOLERANCE,
        "feature_names": [str(name) for name in data.feature_names],
        "class_names": [str(name) for name in data.target_names],
        "inputs": {"X": [shortest(row) for row in rows]},
        "outputs": {"label": labels.tolist(), "probabilities": probabilities.tolist()},
    }, EXPECTED)
    dump({
        "inputs": [{"name": "X", "shape": [1, rows.shape[1]], "datatype": "FP32",
                    "data": shortest(rows[0])}],
    }, REQUEST)
    for path in (MODEL, EXPECTED, REQUEST):
        print(f"wrote {path.relative_to(HERE)}: {path.stat().st_size} bytes")


def check(classifier, model):
    """True if the retrained classifier and the committed model both give the committed answers."""
    expected = json.loads(EXPECTED.read_text())
    rows = np.array(expected["inputs"]["X"], dtype=np.float32)
    answers = expected["outputs"]["label"], expected["outputs"]["probabilities"]
    retrained = classifier.predict(rows), classifier.predict_proba(rows)
    results = [
        compare("retrained, scikit-learn", retrained, answers),
        compare("retrained, ONNX Runtime", run_onnx(model, rows), answers),
        compare("committed model, ONNX Runtime", run_onnx(str(MODEL), rows), answers),
    ]
    same = MODEL.read_bytes() == model
    print(f"retrained model file: {'the same bytes as' if same else 'differs in bytes from'} "
          f"{MODEL.relative_to(HERE)}")
    return all(results)


def main():
    parser = argparse.ArgumentParser(description="Trains the demonstration model.")
    parser.add_argument("--check", action="store_true",
                        help="compare with the committed files instead of writing them")
    arguments = parser.parse_args()

    data, inputs, labels = load_data()
    train, held_out, train_labels, held_out_labels = split(inputs, labels)
    classifier = new_classifier().fit(train, train_labels)
    model = export(classifier, inputs.shape[1])

    if arguments.check:
        agreed = check(classifier, model)
        print("check passed" if agreed else "check FAILED")
        return 0 if agreed else 1

    print_metrics(classifier, inputs, labels, held_out, held_out_labels)
    everything = classifier.predict(inputs), classifier.predict_proba(inputs)
    if not compare("exported, all rows", run_onnx(model, inputs), everything):
        return 1
    rows = held_out[:EXPECTED_ROWS]
    write(data, model, rows, classifier.predict(rows), classifier.predict_proba(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
