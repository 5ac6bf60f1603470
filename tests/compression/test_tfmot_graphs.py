"""Whole models pruned by TensorFlow Model Optimization itself, mask by mask."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_strategies import compression
from tests.compression import tfmot_graphs

# In every run test_tfmot.py compares the masks of single weights.
pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]
SPARSITY = 0.6

ORACLE = """
import json, os, runpy, sys, warnings
warnings.simplefilter("ignore")
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tf_keras
import tensorflow_model_optimization as tfmot

shared = runpy.run_path(sys.argv[1])
sparsity = tfmot.sparsity.keras
answer = {}

def inputs(shape, dtype):
    return tf_keras.layers.InputLayer(shape, dtype=dtype)

for name, (model, options) in shared["graphs"](tf_keras, inputs).items():
    arguments = {"pruning_schedule": sparsity.ConstantSparsity(float(sys.argv[3]), 0)}
    if "block_size" in options:
        arguments["block_size"] = options["block_size"]
        arguments["block_pooling_type"] = options.get("block_pooling", "avg").upper()
    if "m_by_n" in options:
        arguments["sparsity_m_by_n"] = options["m_by_n"]
    pruned = sparsity.prune_low_magnitude(model, **arguments)
    masks = []
    for layer in pruned.layers:
        for weight, _, _ in getattr(layer, "pruning_vars", []):
            weight.assign(shared["value_for"](name, len(masks), weight.shape))
            mask = layer.pruning_obj._maybe_update_block_mask(weight)[1]
            masks.append(mask.numpy().tolist())
    answer[name] = masks
json.dump(answer, open(sys.argv[2], "w"))
"""


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    result = tmp_path_factory.mktemp("tfmot") / "masks.json"
    source = tfmot_graphs.__file__
    done = subprocess.run(
        [sys.executable, "-c", ORACLE, source, str(result), str(SPARSITY)],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(result.read_text())


def _inputs(shape, dtype):
    return keras.Input(shape, dtype=dtype)


def test_masks_of_whole_models_agree(oracle):
    """The same weights are pruned, at the same places, in the first pruning step."""
    graphs = tfmot_graphs.graphs(keras, _inputs)
    assert len(graphs) >= 8
    schedule = compression.ConstantSparsity(SPARSITY, begin_step=0)
    for name, (model, options) in graphs.items():
        before = [row["weight"] for row in compression.sparsity_report(model).rows]
        by_path = {weight.path: weight for weight in model.weights}
        pruned = [by_path[path] for path in before]
        for index, weight in enumerate(pruned):
            weight.assign(tfmot_graphs.value_for(name, index, weight.shape))
        compression.prune(model, schedule, **options)
        optimizer = keras.optimizers.SGD(0.0)
        trained = model.trainable_variables
        optimizer.apply([keras.ops.zeros(w.shape) for w in trained], trained)
        got = [keras.ops.convert_to_numpy(weight) != 0 for weight in pruned]
        assert len(got) == len(oracle[name]), name
        for ours, theirs in zip(got, oracle[name], strict=True):
            np.testing.assert_array_equal(ours, np.array(theirs) != 0, err_msg=name)
