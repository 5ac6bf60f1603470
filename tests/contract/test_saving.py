"""`.keras` files load in a fresh process that only imports the package."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.cases import REGULARIZERS, SCHEDULES
from tests.contract import models

# On JAX a minute, nearly all of it compiling.
pytestmark = [pytest.mark.slow] * (keras.backend.backend() == "jax")

LOADER = """
import json, sys
import numpy as np
import keras
import keras_strategies

for job in json.load(open(sys.argv[1])):
    model = keras.models.load_model(job["model"])
    data = np.load(job["data"])
    outputs = keras.ops.convert_to_numpy(model(data["x"], training=False))
    losses = sum(float(keras.ops.convert_to_numpy(loss)) for loss in model.losses)
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    np.savez(job["result"], outputs=outputs, losses=losses, rate=rate)
"""


def _jobs():
    for shape in models.layer_shapes():
        yield f"layers{shape}", models.layers_model(shape), shape, 0.01
    if REGULARIZERS:
        yield "regularizers", models.regularizers_model(), (6, 6, 2), 0.01
    for case in SCHEDULES:
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
        yield case.id, model, (6,), case.build()


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    jobs, expected = [], {}
    for index, (name, model, shape, rate) in enumerate(_jobs()):
        x, y = models.regression_data(shape)
        # Eagerly: each model takes two steps only.
        model.compile(keras.optimizers.SGD(rate), loss="mse", run_eagerly=True)
        for start in range(0, len(x), models.BATCH):
            rows = slice(start, start + models.BATCH)
            model.train_on_batch(x[rows], y[rows])
        job = {
            "model": str(folder / f"{index}.keras"),
            "data": str(folder / f"{index}.npz"),
            "result": str(folder / f"{index}_out.npz"),
        }
        model.save(job["model"])
        np.savez(job["data"], x=x)
        outputs = keras.ops.convert_to_numpy(model(x, training=False))
        expected[name] = (
            job["result"],
            outputs,
            sum(float(keras.ops.convert_to_numpy(loss)) for loss in model.losses),
            float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)),
        )
        jobs.append(job)
    listing = folder / "jobs.json"
    listing.write_text(json.dumps(jobs))
    done = subprocess.run(
        [sys.executable, "-c", LOADER, str(listing)],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": keras.backend.backend()},
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return expected


def test_every_saved_model_acts_the_same_after_loading(reloaded):
    assert reloaded, "no model was saved"
    for name, (result, outputs, losses, rate) in reloaded.items():
        got = np.load(result)
        np.testing.assert_allclose(
            got["outputs"], outputs, rtol=1e-5, atol=1e-6, err_msg=name
        )
        assert float(got["losses"]) == pytest.approx(losses, rel=1e-5), name
        assert float(got["rate"]) == pytest.approx(rate, rel=1e-6), name
