"""Random trainings under a plan and without: fixed seeds of `scripts/fuzz_training`."""

import importlib.util
import pathlib

import keras
import pytest

from tests.training.models import BACKEND

_PATH = pathlib.Path(__file__).parents[2] / "scripts" / "_fuzz_training.py"
# Without XLA on TensorFlow, with small models.
QUICK = {"tensorflow": (0,), "jax": (0,), "torch": ()}[BACKEND]
SEEDS = [
    pytest.param(seed, marks=[] if seed in QUICK else [pytest.mark.slow])
    for seed in range(20)
]


@pytest.fixture(scope="module")
def fuzz():
    specification = importlib.util.spec_from_file_location("fuzz_training", _PATH)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")  # those of plain `fit`, and that steps are single
@pytest.mark.skipif(BACKEND == "torch", reason="Torch has one candidate")
@pytest.mark.parametrize("seed", SEEDS)
def test_all_is_as_in_plain_fit(fuzz, seed):
    assert fuzz.difference(fuzz.draw(seed)) is None
    keras.backend.clear_session()


def test_the_fuzzer_sees_differences(fuzz):
    assert fuzz._same([1.0, {"a": [2.0]}], [1.0, {"a": [2.00001]}], 1e-4)
    assert not fuzz._same([1.0, {"a": [2.0]}], [1.0, {"a": [2.1]}], 1e-4)
    assert not fuzz._same([1.0], [1.0, 1.0], 1e-4) and not fuzz._same("a", "b", 1e-4)
    kinds = [fuzz.draw(seed) for seed in range(300)]
    assert {case.model for case in kinds} == set(fuzz.MODELS)
    assert {name for case in kinds for name in case.callbacks} == set(fuzz.CALLBACKS)
