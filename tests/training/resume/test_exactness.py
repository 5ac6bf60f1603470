"""An interrupted training that is resumed comes to the very same bits."""

import keras
import pytest

from tests.training.resume.trainings import (
    SETTINGS,
    STEPS,
    InterruptAt,
    Interruption,
    assert_same,
    run,
)

BACKEND = keras.backend.backend()
QUICK = ("plain",)


def _interrupted(folder, setting, batches, hook="batch", **options):
    with pytest.raises(Interruption):
        run(folder, setting, InterruptAt(batches, hook), **options)
    return run(folder, setting, **{"seed": 99, **options})


def _settings():
    for name in SETTINGS:
        marks = () if name in QUICK else (pytest.mark.slow,)
        yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("setting", list(_settings()))
def test_a_resumed_training_is_the_same(tmp_path, setting):
    if setting == "executions" and BACKEND == "torch":
        pytest.skip("Torch has no steps_per_execution")
    whole = run(tmp_path / "whole", setting)
    # Within the second epoch: three batches of it are in a checkpoint, or two.
    assert_same(_interrupted(tmp_path / "batch", setting, STEPS + 4), whole)
    # A training that has ended does nothing; CSVLogger does not read its file then.
    ended = run(tmp_path / "batch", setting, seed=98)
    assert_same({**ended, "callbacks": whole["callbacks"]}, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batches", "hook"),
    [(1, "batch"), (3, "batch"), (STEPS, "batch"), (STEPS, "epoch")]
    + [(STEPS, "validation"), (STEPS + 1, "batch"), (2 * STEPS, "epoch")],
)
@pytest.mark.parametrize("setting", ["plain", "averaging"])
def test_wherever_it_was_interrupted(tmp_path, setting, batches, hook):
    whole = run(tmp_path / "whole", setting, seed=99)
    resumed = _interrupted(tmp_path / "again", setting, batches, hook, seed=99)
    assert_same(resumed, whole)
