"""Execution plans for the trainings of a study, where measuring one pays.

`training.accelerate` measures for some seconds, and each training compiles its plan
anew. Both cost more than they gain in a study of short trainings, so a plan is made
only for trainings that take long, once for each distinct model.
"""

import pathlib
import tempfile
from typing import Any

import keras

BUDGET = 20.0
# A plan compiles in seconds; a training must be much longer than that.
_SHORTEST = 30.0
_LEAST_TOTAL = 10 * BUDGET
_HOOKS = (
    *("on_batch_begin", "on_batch_end"),
    *("on_train_batch_begin", "on_train_batch_end"),
)


def pays(record: dict[str, Any], trainings: int) -> bool:
    """Whether to measure a plan, from one training and the number still to come."""
    seconds = record.get("seconds") or 0.0
    return seconds >= _SHORTEST and seconds * trainings >= _LEAST_TOTAL


def measure(setup: Any, job: Any) -> str | None:
    """Measures the plan of an arm; returns it as text, `None` if plain fit is best.

    Under a plan, hooks at batches are called once a block of steps: an average of the
    weights or a schedule of the rate would be another one. Such arms have no plan.
    """
    from keras_strategies import training
    from keras_strategies.ablation._runs import applying
    from keras_strategies.ablation._runs.training import prepare

    with applying.clean_keras(setup.keras_settings):
        prepared = prepare(setup, job, setup.splits.of(job.run))
        if any(map(acts_on_batches, prepared.callbacks)):
            return None
        plan = training.accelerate(
            prepared.model, prepared.data, time_limit=BUDGET, seed=0
        )
        if plan.choice == "plain":
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "plan.json")
            plan.save(path)
            return path.read_text(encoding="utf-8")


def acts_on_batches(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback does something at each step."""
    base = keras.callbacks.Callback
    return any(
        getattr(type(callback), name) is not getattr(base, name) for name in _HOOKS
    )


def install(model: keras.Model, text: str) -> None:
    """Makes a model use a plan that was measured for its like."""
    from keras_strategies import training

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "plan.json")
        path.write_text(text, encoding="utf-8")
        training.ExecutionPlan.load(path).install(model)
