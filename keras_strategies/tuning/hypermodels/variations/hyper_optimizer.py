"""Search of the optimizer and its settings."""

from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels import _task
from keras_strategies.tuning.hypermodels._task import Task
from keras_strategies.tuning.hypermodels.variations._tuned_model import (
    TunedModel,
    model_or_default,
)


class HyperOptimizer(TunedModel):
    """Searches the optimizer together with the settings that belong to it.

    Varies the training of a small default network, or of any compiled model
    (`model=`). Each optimizer has its own range of learning rates, from a tenth to ten
    times its default (a learning rate for SGD is far too large for Adam), in a
    conditional scope, so that results of one optimizer say nothing about another.

    Decoupled weight decay and clipping are off at the value 0.

    | name | values |
    |---|---|
    | `optimizer` | sgd, rmsprop, adam, adamw, nadam |
    | `learning_rate_adam`, ... | a tenth to ten times the default, log scale |
    | `momentum` | 0 to 0.99, SGD only |
    | `weight_decay` | 0, 0.0001, 0.001, 0.01 |
    | `global_clipnorm` | 0, 1 |

    Args:
        input_shape: Shape of one example for the default network: `(features,)`
            gives two dense layers, `(height, width, channels)` two convolutions and
            a dense layer. `None` with `model`.
        classes: Number of classes, or of values for `task="regression"`. `None` with
            `model`. Defaults to `None`.
        task: `"classification"`, `"binary"` or `"regression"`, for the default
            network, as in `HyperMLP`. Defaults to `"classification"`.
        optimizer: Names of Keras optimizers to choose from. Defaults to
            `("sgd", "rmsprop", "adam", "adamw", "nadam")`.
        learning_rate_factor: Largest factor between the learning rate and the default
            of the optimizer, at least 1; 1 keeps the default. Defaults to `10.0`.
        momentum: Range of SGD's momentum, in [0, 1). Defaults to `(0.0, 0.99)`.
        weight_decay: Values to choose from, at least 0. Defaults to
            `(0.0, 1e-4, 1e-3, 1e-2)`.
        global_clipnorm: Values to choose from, at least 0. Defaults to
            `(0.0, 1.0)`.
        model: A compiled Keras model to vary instead of the default network.
            Defaults to `None`.
        **kwargs: Further arguments of `tune_model`; what is not named here is not
            searched.

    Raises:
        ValueError: If a range or a name cannot be used, or the model cannot be
            changed this way.
        TypeError: If an argument has the wrong type.

    Example:

    ```python
    import keras_tuner
    import numpy as np
    from keras_strategies.tuning import HyperOptimizer

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = (x[:, 0] > x[:, 1]).astype("int32")
    tuner = keras_tuner.RandomSearch(
        HyperOptimizer((4,), classes=2, optimizer=("sgd", "adam")),
        objective="val_accuracy",
        max_trials=1,
        overwrite=True,
    )
    tuner.search(x, y, validation_split=0.25, epochs=1, verbose=0)
    model = tuner.get_best_models()[0]
    ```
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,
        classes: int | None = None,
        task: Task = "classification",
        optimizer: ranges.Names = ("sgd", "rmsprop", "adam", "adamw", "nadam"),
        learning_rate_factor: float = 10.0,
        momentum: ranges.FloatRange = (0.0, 0.99),
        weight_decay: float | Sequence[float] = (0.0, 1e-4, 1e-3, 1e-2),
        global_clipnorm: float | Sequence[float] = (0.0, 1.0),
        model: keras.Model | None = None,
        **kwargs: Any,
    ) -> None:
        self.learning_rate_factor: float = checks.real(
            "learning_rate_factor", learning_rate_factor, low=1
        )
        self.momentum: tuple[float, float] = ranges.fraction_range("momentum", momentum)
        self.weight_decay: tuple[float, ...] = ranges.distinct(
            "weight_decay", weight_decay, _not_negative
        )
        self.global_clipnorm: tuple[float, ...] = ranges.distinct(
            "global_clipnorm", global_clipnorm, _not_negative
        )
        if "learning_rate" in kwargs:
            checks.fail(
                "`learning_rate` has a range for each optimizer",
                fix="Set its width by learning_rate_factor=.",
                learning_rate=kwargs["learning_rate"],
            )
        model = model_or_default(model, input_shape, classes, task)
        super().__init__(
            model,
            optimizer=optimizer,
            **kwargs,
        )

    def _sample_optimizer(
        self, hp: keras_tuner.HyperParameters, optimizer: str | None
    ) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        # All are declared in each trial: the space must not depend on the values.
        names = self.optimizer or ()
        for name in names:
            if len(names) == 1:
                sampled = self._sample_settings(hp, name)
            else:
                with hp.conditional_scope("optimizer", [name]):
                    sampled = self._sample_settings(hp, name)
            if name == optimizer:
                settings = sampled
        decay = ranges.sample_choice(hp, "weight_decay", self.weight_decay)
        if decay or optimizer == "adamw":  # whose own default is not 0
            settings["weight_decay"] = decay
        norm = ranges.sample_choice(hp, "global_clipnorm", self.global_clipnorm)
        if norm:
            settings["global_clipnorm"] = norm
        return settings

    def _sample_settings(
        self, hp: keras_tuner.HyperParameters, name: str
    ) -> dict[str, Any]:
        """Declares what only this optimizer has."""
        default, factor = _task.default_learning_rate(name), self.learning_rate_factor
        bounds = (default / factor, default * factor)
        settings = {
            "learning_rate": ranges.sample_float(
                hp, f"learning_rate_{name}", bounds, "log"
            )
        }
        if name == "sgd":
            settings["momentum"] = ranges.sample_float(hp, "momentum", self.momentum)
        return settings


def _not_negative(name: str, value: Any) -> float:
    return checks.real(name, value, low=0)
