"""Schedules and masks against TensorFlow Model Optimization itself.

It changes the environment when imported, so it runs in a process of its own.
"""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_strategies.compression import ConstantSparsity, PolynomialSparsity
from tests.compression.common import magnitude_mask

pytestmark = pytest.mark.tensorflow

ORACLE = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tensorflow as tf
from tensorflow_model_optimization.python.core.sparsity.keras import (
    pruning_impl, pruning_schedule)

job = json.load(open(sys.argv[1]))
rows = []
for kind, arguments in job["schedules"]:
    schedule = getattr(pruning_schedule, kind)(**arguments)
    for step in job["steps"]:
        due, sparsity = schedule(tf.constant(step, tf.int64))
        rows.append([bool(due), float(sparsity)])
masks = {}
for index, (values, sparsity) in enumerate(job["weights"]):
    weight = tf.Variable(np.array(values, "float32"))
    pruning = pruning_impl.Pruning(
        training_step_fn=lambda: tf.constant(0, tf.int64),
        pruning_vars=[(weight, tf.Variable(tf.ones_like(weight)), tf.Variable(0.0))],
        pruning_schedule=pruning_schedule.ConstantSparsity(sparsity, 0),
        block_size=[1, 1],
        block_pooling_type="AVG",
    )
    masks[str(index)] = pruning._update_mask(weight)[1].numpy().tolist()
json.dump({"rows": rows, "masks": masks}, open(sys.argv[2], "w"))
"""

SCHEDULES = [
    ("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 3, "frequency": 4}),
    (
        "ConstantSparsity",
        {"target_sparsity": 0.9, "begin_step": 0, "end_step": 20, "frequency": 10},
    ),
    (
        "PolynomialDecay",
        {
            "initial_sparsity": 0.1,
            "final_sparsity": 0.85,
            "begin_step": 5,
            "end_step": 45,
            "frequency": 5,
        },
    ),
    (
        "PolynomialDecay",
        {
            "initial_sparsity": 0.7,
            "final_sparsity": 0.3,
            "begin_step": 0,
            "end_step": 31,
            "power": 1,
            "frequency": 3,
        },
    ),
]
STEPS = list(range(60))


def _weights():
    rng = np.random.default_rng(0)
    for shape in ((7,), (8, 8), (3, 3, 4, 5), (1, 1), (31, 17)):
        for sparsity in (0.0, 0.5, 0.65, 0.99):
            yield rng.normal(size=shape).astype("float32"), sparsity
    yield rng.integers(-2, 3, size=(9, 9)).astype("float32"), 0.6


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfmot")
    weights = [(values.tolist(), sparsity) for values, sparsity in _weights()]
    job = {"schedules": SCHEDULES, "steps": STEPS, "weights": weights}
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [sys.executable, "-c", ORACLE, "job.json", "result.json"],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        cwd=folder,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "result.json").read_text())


def test_schedules_agree_at_every_step(oracle):
    names = {
        "ConstantSparsity": ConstantSparsity,
        "PolynomialDecay": PolynomialSparsity,
    }
    rows = iter(oracle["rows"])
    for kind, arguments in SCHEDULES:
        schedule = names[kind](**arguments)
        for step in STEPS:
            due, sparsity = next(rows)
            assert bool(schedule.should_prune(step)) == due, (kind, step)
            assert float(schedule(step)) == pytest.approx(sparsity, abs=1e-6)


def test_masks_agree(oracle):
    for index, (values, sparsity) in enumerate(_weights()):
        got = magnitude_mask(keras.ops.convert_to_tensor(values), sparsity)
        expected = np.array(oracle["masks"][str(index)]).astype(bool)
        np.testing.assert_array_equal(got, expected, err_msg=str(index))
