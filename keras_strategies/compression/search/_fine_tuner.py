"""Fine-tuning of copies of the model under compression."""

import contextlib
import math
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import compile_like
from keras_strategies._internal.traversal import base_optimizers
from keras_strategies.compression.search import _samples
from keras_strategies.compression.search._distillation import distilling

# Number of steps at which a learning rate schedule is evaluated to get its peak.
_NUM_PROBES = 50
_BATCH_SIZE = 256


class FineTuner:
    """Fine-tunes copies of one model, always with a fresh optimizer.

    Args:
        model: The float model, which is the teacher too.
        data: The training data as given.
        epochs: Passes over the data, for each fine-tuning.
        batch_size: Batch size for arrays.
        learning_rate: Initial learning rate, or `None` for the model's own.
        distill: `None`, or `(temperature, alpha)`.
        seed: Seed of every fine-tuning.
    """

    def __init__(
        self,
        model: keras.Model,
        data: Any,
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float | None,
        distill: tuple[float, float] | None,
        seed: int | None,
    ) -> None:
        self.model, self.data, self.seed = model, data, seed
        self.epochs, self.batch_size, self.distill = epochs, batch_size, distill
        self.learning_rate = learning_rate
        if _samples.is_arrays(data):
            count = len(_samples.samples("train_data", data))
            self.batches = math.ceil(count / batch_size)
        else:
            self.batches = _samples.num_batches("train_data", data)

    @property
    def steps(self) -> int:
        """Optimizer steps of one fine-tuning."""
        every = base_optimizers(self.model.optimizer)[0].gradient_accumulation_steps
        # With gradient accumulation the optimizer steps once in several batches.
        return max(self.batches * self.epochs // (every or 1), 1)

    def compile(self, copy: keras.Model, factor: float = 1.0) -> None:
        """Compiles `copy` like the model, with a new optimizer.

        Its learning rate is multiplied by `factor` and decays to 0 along a cosine.
        """
        config = self.model.get_compile_config()
        config["optimizer"] = self._with_schedule(config["optimizer"], factor)
        # Candidates are scored as files; metrics in training would cost time only.
        config["metrics"] = config["weighted_metrics"] = None
        compile_like(copy, self.model, config)

    def compile_as_given(self, copy: keras.Model) -> None:
        """Compiles `copy` just like the model, with an optimizer at step 0."""
        compile_like(copy, self.model)

    def _with_schedule(self, config, factor):
        """An optimizer's config with a new schedule for each learning rate in it.

        There are several in wrappers of optimizers and in MultiOptimizer.
        """
        if isinstance(config, dict):
            return {
                key: self._schedule(value, factor)
                if key == "learning_rate"
                else self._with_schedule(value, factor)
                for key, value in config.items()
            }
        if isinstance(config, list | tuple):
            return [self._with_schedule(value, factor) for value in config]
        return config

    def _schedule(self, value, factor):
        """The schedule that replaces a learning rate of a config."""
        start = self.learning_rate
        if start is None:
            start = _peak(value, self.model.optimizer)
        schedule = keras.optimizers.schedules.CosineDecay(start * factor, self.steps)
        return keras.optimizers.schedules.serialize(schedule)

    def fit(self, copy: keras.Model) -> None:
        """Trains the compiled copy, with distillation if it is set."""
        # Before each fine-tuning: results then do not depend on the order of attempts.
        if self.seed is not None:
            keras.utils.set_random_seed(self.seed)
        context: Any = contextlib.nullcontext()
        if self.distill is not None:
            context = distilling(copy, self.model, *self.distill)
        arguments: dict[str, Any] = {"epochs": self.epochs, "verbose": 0}
        with context:
            if _samples.is_arrays(self.data):
                x, y, *weight = self.data
                copy.fit(
                    x,
                    y,
                    sample_weight=weight[0] if weight else None,
                    batch_size=self.batch_size,
                    **arguments,
                )
            else:
                copy.fit(self.data, **arguments)


def _peak(value, optimizer):
    """A constant rate, or the largest of a schedule up to the optimizer's step.

    A schedule has often decayed to 0 by then, a rate that would train nothing.
    """
    if not isinstance(value, dict):
        return float(value)
    schedule = keras.optimizers.schedules.deserialize(value)
    last = max(int(base.iterations) for base in base_optimizers(optimizer))
    steps = np.unique(np.linspace(0, last, _NUM_PROBES).astype(int))
    return max(float(schedule(int(step))) for step in steps)


def outputs_of(model: keras.Model, x: Any) -> np.ndarray:
    """The model's outputs in float32; refuses a model with several."""
    outputs = keras.tree.flatten(model.predict(x, batch_size=_BATCH_SIZE, verbose=0))
    if len(outputs) != 1:
        checks.fail(
            "`model` must have one output", model=model.name, outputs=len(outputs)
        )
    return np.asarray(outputs[0]).astype("float32")
