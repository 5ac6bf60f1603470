"""A hypermodel that makes its own network for a task and compiles it."""

import keras

from keras_strategies._internal import checks
from keras_strategies.tuning._space import ranges as _ranges
from keras_strategies.tuning.hypermodels import _task
from keras_strategies.tuning.hypermodels._tuned_fit import TunedFit


class HyperNetwork(TunedFit):
    """Common to the hypermodels with a network of their own.

    A subclass sets its ranges, then calls this `__init__`; `_sample_network(hp)`
    declares them and returns a dict of values, and `_features(inputs, values)`
    makes all layers up to the head.
    """

    def __init__(
        self,
        input_shape,
        classes=None,
        task="classification",
        *,
        optimizer="adam",
        learning_rate=(1e-4, 1e-2),
        batch_size=(16, 128),
        epochs=None,
        schedule=None,
        loss=None,
        name=None,
        tunable=True,
    ):
        self.input_shape = input_shape
        self.task = checks.choice("task", task, _task.TASKS)
        self.classes = classes
        self.outputs = _task.outputs(task, classes)
        self.optimizer = _ranges.names("optimizer", optimizer, _task.optimizers())
        self.learning_rate = learning_rate
        if learning_rate is not None:
            self.learning_rate = _ranges.float_range(
                "learning_rate", learning_rate, low=0, low_open=True
            )
        self.loss = loss
        super().__init__(batch_size, epochs, schedule, name, tunable)

    def build(self, hp):
        values = self._sample(hp)
        inputs = self._inputs()
        x = self._head(self._features(inputs, values))
        model = keras.Model(inputs, x, name=self.name or self._model_name)
        self._compile(model, values)
        return model

    _model_name = "network"

    def _inputs(self):
        return keras.Input(self.input_shape)

    def _head(self, x):
        activation = _task.HEADS[self.task][0]
        # float32 also under a mixed-precision policy, for a stable loss.
        dense = keras.layers.Dense(self.outputs, activation=activation, dtype="float32")
        return dense(x)

    def _compile(self, model, values):
        _, loss, metric = _task.HEADS[self.task]
        settings = {}
        if values["learning_rate"] is not None:
            settings["learning_rate"] = values["learning_rate"]
        model.compile(
            optimizer=_task.optimizers()[values["optimizer"]](**settings),
            loss=loss if self.loss is None else self.loss,
            metrics=[metric],
        )
        # A tuner reloads its best model by building it again and loading weights;
        # without its variables the optimizer would lose its state, with a warning.
        model.optimizer.build(model.trainable_variables)

    def _sample(self, hp):
        """Declares the whole space and returns the values of this trial."""
        values = self._sample_network(hp)
        rate = self.learning_rate
        if rate is not None:
            rate = _ranges.sample_float(hp, "learning_rate", rate, sampling="log")
        values["learning_rate"] = rate
        values["optimizer"] = _ranges.sample_name(hp, "optimizer", self.optimizer)
        values.update(self._sample_fit(hp))
        return values


def sample_repeated(hp, name, bounds, sample):
    """Values of each of a searched number of parts, the optional ones conditional.

    Declares `name` in `bounds`; `sample(hp, k)` declares part `k`, from 1. A part
    beyond the fewest is in a scope of `name`, so that a tuner spends nothing on it
    while it is not there.
    """
    fewest, most = bounds
    count = _ranges.sample_int(hp, name, bounds)
    parts = []
    for k in range(1, most + 1):
        if k <= fewest:
            parts.append(sample(hp, k))
            continue
        with hp.conditional_scope(name, list(range(k, most + 1))):
            part = sample(hp, k)
        if k <= count:
            parts.append(part)
    return parts
