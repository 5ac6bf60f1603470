"""Hypermodel that makes its own network for a task and compiles it."""

from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

import keras
import keras_tuner
import numpy as np
from keras_tuner import errors

from keras_strategies._internal import checks
from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels import _task
from keras_strategies.tuning.hypermodels._tuned_fit import TunedFit

Part = TypeVar("Part")


class NetworkArguments(TypedDict, total=False):
    """The arguments that all hypermodels with a network of their own have."""

    optimizer: ranges.Names
    learning_rate: ranges.FloatRange | None
    batch_size: ranges.IntRange | None
    epochs: ranges.IntRange | None
    schedule: ranges.Names | None
    loss: Any
    name: str | None
    tunable: bool


class HyperNetwork(TunedFit):
    """Base of the hypermodels with a network of their own.

    A subclass sets its ranges, then calls this `__init__`; `_sample_network(hp)`
    declares them and returns a dict of values, and `_features(inputs, values)`
    makes all layers up to the head.
    """

    _model_name = "network"

    def __init__(
        self,
        input_shape: tuple[int | None, ...],
        classes: int | None = None,
        task: str = "classification",
        *,
        optimizer: ranges.Names = "adam",
        learning_rate: ranges.FloatRange | None = (1e-4, 1e-2),
        batch_size: ranges.IntRange | None = (16, 128),
        epochs: ranges.IntRange | None = None,
        schedule: ranges.Names | None = None,
        loss: Any = None,
        name: str | None = None,
        tunable: bool = True,
    ) -> None:
        self.input_shape: tuple[int | None, ...] = input_shape
        self.task: str = checks.choice("task", task, _task.TASKS)
        self.classes: int | None = classes
        self.outputs: int = _task.num_outputs(task, classes)
        self.optimizer: tuple[str, ...] = ranges.names(
            "optimizer", optimizer, _task.optimizers()
        )
        self.learning_rate: tuple[float, float] | None = None
        if learning_rate is not None:
            self.learning_rate = ranges.positive_range("learning_rate", learning_rate)
        self.loss: Any = loss
        super().__init__(batch_size, epochs, schedule, name, tunable)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        values = self._sample(hp)
        inputs = self._inputs()
        x = self._head(self._features(inputs, values))
        model = keras.Model(inputs, x, name=self.name or self._model_name)
        self._compile(model, values)
        return model

    def _inputs(self) -> Any:
        return keras.Input(self.input_shape)

    def _features(self, inputs: Any, values: dict[str, Any]) -> Any:
        """All layers between the inputs and the head."""
        raise NotImplementedError

    def _head(self, x: Any) -> Any:
        activation = _task.HEADS[self.task][0]
        # float32 also under a mixed-precision policy, for a stable loss.
        dense = keras.layers.Dense(self.outputs, activation=activation, dtype="float32")
        return dense(x)

    def _compile(self, model: keras.Model, values: dict[str, Any]) -> None:
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

    def _check_targets(self, y: Any) -> None:
        shape = getattr(y, "shape", ())
        one_hot = (self.outputs,) if self.task == "classification" else (2,)
        is_class = self.task != "regression" and self.loss is None
        if is_class and len(shape) == 2 and tuple(shape[1:]) == one_hot:
            raise errors.FatalValueError(
                checks.message(
                    "`y` must hold the numbers of the classes, not one-hot vectors",
                    {"shape": tuple(shape)},
                    "Pass np.argmax(y, axis=-1), or a loss such as "
                    'loss="categorical_crossentropy".',
                )
            )
        if is_class and isinstance(y, np.ndarray) and y.size:
            self._check_labels(y)

    def _check_labels(self, y: np.ndarray) -> None:
        """On some devices a label out of range gives NaN, and no error."""
        count = self.outputs if self.task == "classification" else 2
        is_number = y.dtype.kind in "biuf"
        if is_number and y.min() >= 0 and y.max() < count:
            return
        labels = np.unique(y)
        shown = [str(label) for label in labels[:5]] + ["..."] * (len(labels) > 5)
        raise errors.FatalValueError(
            checks.message(
                f"`y` must hold the numbers of the classes, 0 to {count - 1}",
                {"y": ", ".join(shown)},
                "Number them: classes, y = np.unique(y, return_inverse=True).",
            )
        )

    def _sample(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        values = self._sample_network(hp)
        learning_rate: float | None = None
        if self.learning_rate is not None:
            learning_rate = ranges.sample_float(
                hp, "learning_rate", self.learning_rate, sampling="log"
            )
        values["learning_rate"] = learning_rate
        values["optimizer"] = ranges.sample_choice(hp, "optimizer", self.optimizer)
        values.update(self._sample_fit(hp))
        return values

    def _sample_network(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Declares the space of the network; the values of this trial."""
        raise NotImplementedError


def sample_repeated(
    hp: keras_tuner.HyperParameters,
    name: str,
    bounds: tuple[int, int],
    sample: Callable[[keras_tuner.HyperParameters, int], Part],
) -> list[Part]:
    """Declares a searched number of parts; returns those of this trial.

    A part beyond the smallest number is in a conditional scope of the number, so that
    an algorithm spends nothing on it while the network does not have it.

    Args:
        hp: The hyperparameters.
        name: Name of the number of parts.
        bounds: Smallest and largest number.
        sample: A function that declares part `k`, from 1, and returns its values.
    """
    low, high = bounds
    count = ranges.sample_int(hp, name, bounds)
    parts = []
    for k in range(1, high + 1):
        if k <= low:
            parts.append(sample(hp, k))
            continue
        with hp.conditional_scope(name, list(range(k, high + 1))):
            part = sample(hp, k)
        if k <= count:
            parts.append(part)
    return parts
