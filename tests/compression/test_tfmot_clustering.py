"""Clustering against TensorFlow Model Optimization on real digits, and its starts."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_strategies import compression
from keras_strategies.compression.clustering import _centroid_init

# In every run test_clusters.py looks at the starts.
pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

SEEDS = (0, 1, 2)
WAYS = {"kmeans++": "KMEANS_PLUS_PLUS", "linear": "LINEAR"}

ORACLE = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tf_keras
import tensorflow_model_optimization as tfmot
from tensorflow_model_optimization.python.core.clustering.keras import (
    clustering_centroids)

clustering = tfmot.clustering.keras
job = json.load(open("job.json"))
data = np.load("data.npz")
answer = {"accuracy": {}, "values": {}, "starts": {}}

def build():
    layers = tf_keras.layers
    model = tf_keras.Sequential([
        layers.Input((8, 8, 1)),
        layers.Conv2D(8, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(32, activation="relu"),
        layers.Dense(10),
    ])
    return model

def compile_(model):
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(job["rate"]), loss, metrics=["accuracy"])

for key, way in job["runs"]:
    seed, n, init = key.split(" ")
    tf_keras.utils.set_random_seed(int(seed))
    model = build()
    stored = np.load(f"weights_{seed}.npz")
    model.set_weights([stored[f"arr_{i}"] for i in range(len(stored.files))])
    model = clustering.cluster_weights(
        model, int(n), getattr(clustering.CentroidInitialization, way))
    compile_(model)
    model.fit(data["x"], data["y"], batch_size=32, epochs=job["epochs"], verbose=0)
    model = clustering.strip_clustering(model)
    compile_(model)
    scores = model.evaluate(data["x_test"], data["y_test"], verbose=0)
    answer["accuracy"][key] = scores[1]
    answer["values"][key] = [
        int(np.unique(w.numpy()).size) for w in model.weights if "kernel" in w.name]

for way in ("LINEAR", "DENSITY_BASED"):
    factory = clustering_centroids.CentroidsInitializerFactory
    method = factory.get_centroid_initializer(
        getattr(clustering.CentroidInitialization, way))
    for keep in (False, True):
        start = method(data["start"], 8, preserve_sparsity=keep)
        centroids = start.get_cluster_centroids().numpy()
        answer["starts"][f"{way} {keep}"] = centroids.tolist()
json.dump(answer, open("result.json", "w"))
"""


def _digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8, 1) / 16).astype("float32")
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order].astype("int32")
    return x[:1200], y[:1200], x[1200:], y[1200:]


def _compile(model, rate):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])


def _trained(seed, x, y):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10),
        ]
    )
    _compile(model, 3e-3)
    model.fit(x, y, batch_size=32, epochs=12, verbose=0)
    return model


def _run_oracle(folder, job):
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [sys.executable, "-c", ORACLE],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        cwd=folder,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "result.json").read_text())


def _start_weights():
    weights = np.random.default_rng(3).normal(size=(30, 40)).astype("float32")
    return np.where(np.abs(weights) < 0.5, 0, weights)


def test_centroids_start_where_tfmot_starts_them(tmp_path):
    weights = _start_weights()
    np.savez(tmp_path / "data.npz", start=weights)
    starts = _run_oracle(tmp_path, {"runs": []})["starts"]
    # TFMOT reads the distribution off a grid of 30 points.
    grid = (weights.max() - weights.min() + 0.02) / 29
    for way, name, tolerance in (
        ("LINEAR", "linear", 1e-5),
        ("DENSITY_BASED", "density", 1.2 * grid),
    ):
        got = _centroid_init.initial_centroids(weights, 8, name)
        np.testing.assert_allclose(got, starts[f"{way} False"], atol=tolerance)
        got = _centroid_init.initial_centroids_by_sign(weights, 7, name)
        theirs = np.array(starts[f"{way} True"])
        assert (theirs == 0).sum() == 1
        np.testing.assert_allclose(got, theirs[theirs != 0], atol=tolerance)


def test_as_few_values_and_as_accurate_as_tfmot(tmp_path):
    x, y, x_test, y_test = _digits()
    np.savez(
        tmp_path / "data.npz",
        x=x,
        y=y,
        x_test=x_test,
        y_test=y_test,
        start=_start_weights(),
    )
    runs = [(s, n, w) for s in SEEDS for n in (4, 8) for w in WAYS]
    job = {
        "rate": 1e-3,
        "epochs": 4,
        "runs": [(f"{s} {n} {w}", WAYS[w]) for s, n, w in runs],
    }
    models = {}
    for seed in SEEDS:
        models[seed] = _trained(seed, x, y)
        np.savez(tmp_path / f"weights_{seed}.npz", *models[seed].get_weights())
    theirs = _run_oracle(tmp_path, job)
    ours = {}
    for seed, n, way in runs:
        model = keras.models.clone_model(models[seed])
        model.set_weights(models[seed].get_weights())
        keras.utils.set_random_seed(seed)
        _compile(model, job["rate"])
        compression.cluster(model, n, init=way)
        model.fit(x, y, batch_size=32, epochs=job["epochs"], verbose=0)
        compression.strip(model)
        key = f"{seed} {n} {way}"
        ours[key] = model.evaluate(x_test, y_test, verbose=0)[1]
        values = [row["values"] for row in compression.cluster_report(model).rows]
        assert max(values) == max(theirs["values"][key]) == n, key
    for n in (4, 8):
        for way in WAYS:
            keys = [f"{seed} {n} {way}" for seed in SEEDS]
            mean = np.mean([ours[key] for key in keys])
            reference = np.mean([theirs["accuracy"][key] for key in keys])
            print(f"n={n} {way}: {mean:.4f}, TFMOT {reference:.4f}")
            assert mean > reference - 0.01
