"""Which models of public bug reports get through: exported, refused, and why.

    scripts/benchmark export_survey [--only REGEX] [--peer]

Each of the models in `_survey_models.py` is exported to float32 with its check, by
`export.to_tflite`. The peer is TensorFlow's converter with LiteRT's own operations, as
the documentation of LiteRT shows it, and one run of what it makes.
"""

import argparse
import os
import pathlib
import re
import sys
import tempfile
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import _survey_models

from keras_strategies import export

# What a refusal must say: something that the user can do.
_ADVICE = re.compile(
    r"\b(use|write|give|pass|replace|set|leave|export|compute|take)\b", re.I
)


def _outcome(make, folder):
    """`(outcome, remark)` of the package's export."""
    keras.utils.set_random_seed(0)
    model = make()
    try:
        result = export.to_tflite(model, f"{folder}/model.tflite")
    except export.ExportError as error:
        text = " ".join(str(error).split())
        outcome = error.reason if _ADVICE.search(text) else f"{error.reason}, no advice"
        return outcome, text
    remarks = [text for text in result.warnings if "made-up" not in text]
    return "exported", " ".join(remarks)


def _peer_outcome(make, folder):
    """`(outcome, remark)` of TensorFlow's converter and one run of its file."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    keras.utils.set_random_seed(0)
    try:
        model = make()
        model.export(f"{folder}/saved", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(f"{folder}/saved")
        interpreter = Interpreter(model_content=converter.convert(), num_threads=1)
        runner = interpreter.get_signature_runner()
        feed = {
            name: np.ones([max(n, 1) for n in entry["shape"]], entry["dtype"])
            for name, entry in runner.get_input_details().items()
        }
        runner(**feed)
    except Exception as error:  # whatever stops a user
        return "failed", " ".join(str(error).split())[:100]
    return "exported", ""


def main() -> None:
    """Exports them all and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="regular expression on the names")
    parser.add_argument("--peer", action="store_true", help="the peer as well")
    arguments = parser.parse_args()
    makers = _survey_models.models()
    chosen = {n: make for n, make in makers.items() if re.search(arguments.only, n)}
    counts: dict[str, int] = {}
    passed_by_peer, started = 0, time.perf_counter()
    print("| Model | Result | Remark |\n|---|---|---|")
    for name, make in chosen.items():
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome, remark = _outcome(make, folder)
            counts[outcome] = counts.get(outcome, 0) + 1
            if arguments.peer:
                passed_by_peer += _peer_outcome(make, folder)[0] == "exported"
        if outcome != "exported":
            print(f"| {name} | {outcome} | {remark[:300]} |", flush=True)
    seconds = time.perf_counter() - started
    print(f"\n{len(chosen)} models in {seconds:.0f} s: {counts}", end="")
    print(f"; the peer: {passed_by_peer}" if arguments.peer else "")


if __name__ == "__main__":
    main()
