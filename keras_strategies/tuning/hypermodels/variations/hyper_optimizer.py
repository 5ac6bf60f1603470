"""The optimizer and its numbers, searched."""

import inspect

from keras_strategies._internal import checks
from keras_strategies.tuning._space import ranges as _ranges
from keras_strategies.tuning.hypermodels import _task
from keras_strategies.tuning.hypermodels.variations._tuned_model import (
    TunedModel,
    given_or_default,
)


class HyperOptimizer(TunedModel):
    """Searches the optimizer together with the numbers that belong to it.

    Varies the training of a small default network, or of any compiled model
    (`model=`). Each optimizer has its own range of learning rates, from a tenth to ten
    times its default (a rate that suits SGD would ruin Adam), in a conditional scope,
    so that a tuner does not mix them up.

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
        classes: Number of classes, or of values for `task="regression"`. `None`
            with `model`.
        task: `"classification"`, `"binary"` or `"regression"`, for the default
            network, as in `HyperMLP`. Defaults to `"classification"`.
        optimizer: Names of Keras optimizers to choose from. Defaults to
            `("sgd", "rmsprop", "adam", "adamw", "nadam")`.
        rate_factor: How far the learning rate may go from an optimizer's default, at
            least 1; 1 keeps the default. Defaults to `10.0`.
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
        input_shape=None,
        classes=None,
        task="classification",
        optimizer=("sgd", "rmsprop", "adam", "adamw", "nadam"),
        rate_factor=10.0,
        momentum=(0.0, 0.99),
        weight_decay=(0.0, 1e-4, 1e-3, 1e-2),
        global_clipnorm=(0.0, 1.0),
        model=None,
        **kwargs,
    ):
        self.rate_factor = checks.real("rate_factor", rate_factor, low=1)
        self.momentum = _ranges.float_range(
            "momentum", momentum, low=0, high=1, high_open=True
        )
        self.weight_decay = _ranges.options("weight_decay", weight_decay, _not_negative)
        self.global_clipnorm = _ranges.options(
            "global_clipnorm", global_clipnorm, _not_negative
        )
        if "learning_rate" in kwargs:
            checks.fail(
                "`learning_rate` has a range for each optimizer",
                fix="Set its width by rate_factor=.",
                learning_rate=kwargs["learning_rate"],
            )
        model = given_or_default(model, input_shape, classes, task)
        super().__init__(
            model,
            optimizer=optimizer,
            **kwargs,
        )

    def _sample_optimizer(self, hp, optimizer):
        settings = {}
        for name in self.optimizer:
            if len(self.optimizer) == 1:
                found = self._sample_one(hp, name)
            else:
                with hp.conditional_scope("optimizer", [name]):
                    found = self._sample_one(hp, name)
            if name == optimizer:
                settings = found
        decay = _ranges.sample_name(hp, "weight_decay", self.weight_decay)
        if decay or optimizer == "adamw":  # whose own default is not 0
            settings["weight_decay"] = decay
        norm = _ranges.sample_name(hp, "global_clipnorm", self.global_clipnorm)
        if norm:
            settings["global_clipnorm"] = norm
        return settings

    def _sample_one(self, hp, name):
        parameters = inspect.signature(_task.optimizers()[name]).parameters
        rate, factor = parameters["learning_rate"].default, self.rate_factor
        bounds = (rate / factor, rate * factor)
        settings = {
            "learning_rate": _ranges.sample_float(
                hp, f"learning_rate_{name}", bounds, "log"
            )
        }
        if name == "sgd":
            settings["momentum"] = _ranges.sample_float(hp, "momentum", self.momentum)
        return settings


def _not_negative(name, value):
    return checks.real(name, value, low=0)
