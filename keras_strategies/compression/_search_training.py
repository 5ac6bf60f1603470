"""Fine-tuning of copies of the model under compression."""

import contextlib
import math

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import compile_like
from keras_strategies._internal.walking import base_optimizers
from keras_strategies.compression import _search_data
from keras_strategies.compression._distillation import distilling

# At how many steps the largest value of a learning rate schedule is looked for.
_LOOKS = 50
_BATCH = 256


class Tuner:
    """Fine-tunes copies of one model, always with a fresh optimizer.

    Args:
        model: The float model, which is the teacher too.
        data: The training data as given.
        epochs: Passes over the data, for each fine-tuning.
        batch_size: Batch size for arrays.
        learning_rate: Where it starts, or `None` for the model's own.
        distill: `None`, or `(temperature, alpha)`.
        seed: Seed of every fine-tuning.
    """

    def __init__(
        self, model, data, *, epochs, batch_size, learning_rate, distill, seed
    ):
        self.model, self.data, self.seed = model, data, seed
        self.epochs, self.batch_size, self.distill = epochs, batch_size, distill
        self.learning_rate = learning_rate
        if _search_data.is_arrays(data):
            count = len(_search_data.samples("train_data", data))
            self.batches = math.ceil(count / batch_size)
        else:
            self.batches = _search_data.length("train_data", data)

    @property
    def steps(self):
        """Optimizer steps of one fine-tuning."""
        every = base_optimizers(self.model.optimizer)[0].gradient_accumulation_steps
        return max(self.batches * self.epochs // (every or 1), 1)

    def compile(self, copy, factor=1.0):
        """Compiles `copy` like the model: a new optimizer, its rate falling to 0."""
        config = self.model.get_compile_config()
        config["optimizer"] = self._optimizer(config["optimizer"], factor)
        config["metrics"] = config["weighted_metrics"] = None
        compile_like(copy, self.model, config)

    def compile_as_given(self, copy):
        """Compiles `copy` just like the model, with an optimizer at step 0."""
        compile_like(copy, self.model)

    def _optimizer(self, config, factor):
        if isinstance(config, dict):
            return {
                key: self._rate(value, factor)
                if key == "learning_rate"
                else self._optimizer(value, factor)
                for key, value in config.items()
            }
        if isinstance(config, list | tuple):
            return [self._optimizer(value, factor) for value in config]
        return config

    def _rate(self, value, factor):
        """The schedule that takes the place of a learning rate in a config."""
        start = self.learning_rate
        if start is None:
            start = _peak(value, self.model.optimizer)
        schedule = keras.optimizers.schedules.CosineDecay(start * factor, self.steps)
        return keras.optimizers.schedules.serialize(schedule)

    def fit(self, copy):
        """Trains the compiled copy, with the teacher if asked for."""
        if self.seed is not None:
            keras.utils.set_random_seed(self.seed)
        context = contextlib.nullcontext()
        if self.distill is not None:
            context = distilling(copy, self.model, *self.distill)
        arguments = {"epochs": self.epochs, "verbose": 0}
        with context:
            if _search_data.is_arrays(self.data):
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
    """A constant rate, or the largest of a schedule up to the optimizer's step."""
    if not isinstance(value, dict):
        return float(value)
    schedule = keras.optimizers.schedules.deserialize(value)
    last = max(int(one.iterations) for one in base_optimizers(optimizer))
    steps = np.unique(np.linspace(0, last, _LOOKS).astype(int))
    return max(float(schedule(int(step))) for step in steps)


def outputs_of(model, x):
    """The model's outputs in float32; refuses several."""
    found = model.predict(x, batch_size=_BATCH, verbose=0)
    if len(keras.tree.flatten(found)) != 1:
        checks.fail(
            "`model` must have one output",
            model=model.name,
            outputs=len(keras.tree.flatten(found)),
        )
    return np.asarray(keras.tree.flatten(found)[0]).astype("float32")
