"""Zeros and shared values in the `.tflite` files, and TFMOT's own for comparison.

TFMOT changes the environment when imported, so it runs in a process of its own.
"""

import gzip
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_strategies import compression, export
from tests.compression.combined import (
    both,
    clustered,
    cnn,
    compiled,
    digits,
    kernels,
)

pytestmark = pytest.mark.tensorflow
layers = keras.layers

READ = """
def weights_of(path):
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    found = []
    for detail in interpreter.get_tensor_details():
        if detail["dtype"] is not np.int8 or len(detail["shape"]) < 2:
            continue
        try:
            values = interpreter.get_tensor(detail["index"])
        except ValueError:
            continue
        parameters = detail["quantization_parameters"]
        if parameters["quantized_dimension"] == 0 and detail["shape"][0] > 1:
            scales = [float(scale) for scale in parameters["scales"]]
            found.append((values, scales))
    return found
"""
exec(READ)


def exported(aware, path, x):
    export.to_tflite(aware, path, quantization="dynamic", verify=x[:100])
    return weights_of(path)  # noqa: F821


@pytest.mark.slow
def test_pcqat_end_to_end(tmp_path):
    """prune, cluster, quantize, export: as few values at the end as in the middle."""
    (x, y), test = digits()
    model = compiled(cnn(), 3e-3)
    model.fit(x, y, epochs=6, verbose=0)
    compiled(model)
    schedule = compression.ConstantSparsity(0.6, 0, frequency=1)
    compression.prune(model, schedule).fit(x, y, epochs=2, verbose=0)
    compiled(compression.strip(model))
    compression.cluster(model, 16, preserve_sparsity=True)
    model.fit(x, y, epochs=2, verbose=0)
    compression.strip(model)
    zeros = sorted(int((kernel == 0).sum()) for kernel in kernels(model).values())
    before = model.evaluate(*test, verbose=0)[1]
    aware = compiled(compression.quantize_aware(model, preserve="both"), 3e-4)
    aware.fit(x, y, epochs=2, verbose=0)
    compression.strip(aware)
    assert aware.evaluate(*test, verbose=0)[1] > before - 0.02 > 0.85
    found = exported(aware, tmp_path / "aware.tflite", x)
    assert sorted(int((values == 0).sum()) for values, _ in found) == zeros
    assert all(np.unique(values).size <= 16 for values, _ in found)


@pytest.mark.parametrize(
    "scheme", ["int8", pytest.param("int8_per_tensor", marks=pytest.mark.slow)]
)
def test_values_and_scales_in_the_file(scheme, tmp_path):
    (x, _), _ = digits()
    model = both(cnn(), 8)
    norm = model.get_layer("batch_normalization")
    norm.gamma.assign(np.random.default_rng(0).uniform(0.5, 2, 8))
    aware = compression.quantize_aware(model, scheme=scheme, preserve="both")
    aware(x[:200], training=True)
    found = exported(aware, tmp_path / "aware.tflite", x)
    assert len(found) == 4
    for values, scales in found:
        assert np.unique(values).size <= 8
        assert (values == 0).mean() == pytest.approx(0.5, abs=0.02)
        if scheme == "int8" and values.shape == (8, 3, 3, 1):
            norm = aware.get_layer("conv").batch_norm
            deviation = np.sqrt(norm.moving_variance + norm.epsilon)
            spread = np.array(norm.gamma) / deviation
            ratios = np.sort(np.array(scales) / spread)
            assert ratios[-1] / ratios[0] == pytest.approx(1, abs=1e-4)
        else:
            assert len(set(scales)) == 1


def test_a_shared_range_makes_the_download_small(tmp_path):
    (x, _), _ = digits()
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu", name="large"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )
    kernel = model.get_layer("large").kernel
    kernel.assign(kernel * np.random.default_rng(0).uniform(0.2, 1, 64))
    clustered(model, 16)
    sizes = {}
    for preserve in (None, "clusters"):
        aware = compression.quantize_aware(model, preserve=preserve)
        aware(x[:200], training=True)
        path = tmp_path / f"{preserve}.tflite"
        found = exported(aware, path, x)
        sizes[preserve] = len(gzip.compress(path.read_bytes()))
        if preserve is None:
            assert max(np.unique(values).size for values, _ in found) > 64
    assert sizes["clusters"] < 0.85 * sizes[None]


@pytest.mark.slow
def test_negative_gammas_mirror_the_values(tmp_path):
    (x, _), _ = digits()
    model = both(cnn(), 8)
    norm = model.get_layer("batch_normalization")
    norm.gamma.assign([-1.0] + 7 * [1.0])
    aware = compression.quantize_aware(model, preserve="both")
    aware(x[:200], training=True)
    found = exported(aware, tmp_path / "aware.tflite", x)
    [kernel] = [values for values, _ in found if values.shape == (8, 3, 3, 1)]
    assert np.unique(np.abs(kernel)).size <= 8 < np.unique(kernel).size


ORACLE = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tensorflow as tf
import tf_keras
import tensorflow_model_optimization as tfmot

data = np.load("data.npz")
layers = tf_keras.layers
model = tf_keras.Sequential([
    layers.Input((8, 8, 1)),
    layers.Conv2D(8, 3, activation="relu"),
    layers.Flatten(),
    layers.Dense(16, activation="relu"),
    layers.Dense(10),
])
model.set_weights([data[f"arr_{i}"] for i in range(6)])
quantization = tfmot.quantization.keras
annotated = quantization.quantize_annotate_model(model)
scheme = tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme(True)
aware = quantization.quantize_apply(annotated, scheme)
loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
aware.compile(tf_keras.optimizers.Adam(3e-4), loss, metrics=["accuracy"])
aware.fit(data["x"], data["y"], batch_size=32, epochs=2, verbose=0)
accuracy = aware.evaluate(data["x_test"], data["y_test"], verbose=0)[1]
aware = tfmot.experimental.combine.strip_clustering_cqat(aware)
converter = tf.lite.TFLiteConverter.from_keras_model(aware)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
open("theirs.tflite", "wb").write(converter.convert())
answer = {"accuracy": accuracy, "weights": [
    [list(v.shape), int(np.unique(v).size), float((v == 0).mean())]
    for v, _ in weights_of("theirs.tflite")]}
json.dump(answer, open("result.json", "w"))
"""


def _collaborated():
    """A model that was trained, pruned and clustered."""
    (x, y), _ = digits()
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dense(10),
        ]
    )
    compiled(model, 3e-3).fit(x, y, epochs=8, verbose=0)
    both(model, 8)
    compiled(model)
    compression.cluster(model, 8, preserve_sparsity=True)
    model.fit(x, y, epochs=2, verbose=0)
    return compression.strip(model)


@pytest.mark.slow
def test_counts_and_accuracy_against_tfmot(tmp_path):
    (x, y), (x_test, y_test) = digits()
    model = _collaborated()
    np.savez(
        tmp_path / "data.npz",
        *model.get_weights(),
        x=x,
        y=y,
        x_test=x_test,
        y_test=y_test,
    )
    oracle = subprocess.Popen(
        [sys.executable, "-c", READ + ORACLE],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        cwd=tmp_path,
    )
    aware = compiled(compression.quantize_aware(model, preserve="both"), 3e-4)
    aware.fit(x, y, epochs=2, verbose=0)
    accuracy = aware.evaluate(x_test, y_test, verbose=0)[1]
    found = exported(aware, tmp_path / "ours.tflite", x)
    _, errors = oracle.communicate(timeout=300)
    assert oracle.returncode == 0, errors[-3000:]
    theirs = json.loads((tmp_path / "result.json").read_text())
    ours = {v.shape: (np.unique(v).size, (v == 0).mean()) for v, _ in found}
    print(accuracy, theirs["accuracy"], ours, theirs["weights"])
    assert len(ours) == len(theirs["weights"]) == 3
    for shape, values, zeros in theirs["weights"]:
        mine = ours[tuple(shape)]
        assert mine[0] <= 8
        assert mine[0] <= values  # theirs multiply by the channels
        assert mine[1] == pytest.approx(zeros, abs=0.005)
    assert accuracy > theirs["accuracy"] - 0.02
