"""Ray's own trainers start the processes, `scope` does the rest: as one process."""

import json
import os
import pathlib
import runpy
import subprocess
import sys

import keras
import numpy as np
import pytest

ray = pytest.importorskip("ray")

ROOT = pathlib.Path(__file__).parents[2]
JOB = str(pathlib.Path(__file__).with_name("job.py"))
BACKEND = keras.backend.backend()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BACKEND == "torch", reason="Keras has no engine for it"),
    pytest.mark.filterwarnings("ignore"),  # about Ray's own code
]


def _train(text):
    sys.argv = [JOB, text]
    runpy.run_path(JOB, run_name="__main__")


@pytest.fixture
def cluster():
    variables = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "KERAS_BACKEND": BACKEND,
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "-1",
        "XLA_FLAGS": "",
    }
    ray.init(
        num_cpus=3,
        include_dashboard=False,
        runtime_env={"env_vars": variables},
        log_to_driver=False,
    )
    yield
    ray.shutdown()


def _trainer():
    if BACKEND == "jax":
        from ray.train.v2.jax.jax_trainer import JaxTrainer

        return JaxTrainer
    from ray.train.tensorflow import TensorflowTrainer

    return TensorflowTrainer


def test_two_workers_of_ray_train_as_one_process(cluster, tmp_path):
    from ray.train import RunConfig, ScalingConfig

    results = []
    for name in ("one", "ray"):
        folder = tmp_path / name
        folder.mkdir()
        text = json.dumps({"folder": str(folder)})
        if name == "one":
            subprocess.run([sys.executable, JOB, text], check=True)
        else:
            _trainer()(
                lambda text: _train(text["text"]),
                train_loop_config={"text": text},
                scaling_config=ScalingConfig(num_workers=2),
                run_config=RunConfig(storage_path=str(tmp_path / "storage")),
            ).fit()
        results.append(json.loads((folder / "result.json").read_text()))
    one, two = results
    for name, values in one["history"].items():
        np.testing.assert_allclose(two["history"][name], values, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(two["predicted"], one["predicted"], atol=1e-5)
