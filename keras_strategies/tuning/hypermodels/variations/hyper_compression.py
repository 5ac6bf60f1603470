"""Search of accuracy and size together."""

import gzip
import inspect
import math
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_strategies._internal import bases, checks
from keras_strategies.compression import (
    ConstantSparsity,
    PolynomialSparsity,
    prune,
    strip,
)
from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels._task import Task
from keras_strategies.tuning.hypermodels._tuned_fit import first_phase
from keras_strategies.tuning.hypermodels.variations._tuned_model import (
    TunedModel,
    default_model,
    model_or_default,
)


class HyperCompression(TunedModel):
    """Searches how small a network can be: its width and its sparsity.

    Every trial trains a network and prunes it during training (`compression.prune`).
    The sparsity rises over the first two thirds of the epochs; the tuner observes the
    epochs after that, in which it is constant. At the end of each of these the size is
    logged beside the metrics, so that a search can have two objectives:

    - `size`: bytes of all weights as float32 under gzip, as a fraction of the bytes
      of the widest network uncompressed, between 0 and about 1;
    - `size_bytes`: the same in bytes.

    A tuner with a Pareto front, such as `Tuner(algorithm="nsga2")`, finds the smallest
    network for each accuracy. KerasTuner's own tuners minimize the sum
    `size - val_accuracy`. The best model is returned without pruning masks, its zeros
    kept. To compress a trained network within an allowed loss of accuracy use
    `compression.compress`.

    | name | values |
    |---|---|
    | `width` | 0.25 to 1 of the default network's filters and units |
    | `sparsity` | 0 to 0.9 |
    | `learning_rate` | 0.0001 to 0.01, log scale |

    Reference: Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of
    pruning for model compression" (2017), https://arxiv.org/abs/1710.01878.

    Args:
        input_shape: Shape of one example for the default network, as in
            `HyperRegularization`. `None` with `model`.
        classes: Number of classes, or of values for `task="regression"`. `None` with
            `model`. Defaults to `None`.
        task: `"classification"`, `"binary"` or `"regression"`, for the default
            network. Defaults to `"classification"`.
        width: Range of the fraction of filters and units, in (0, 1]. Defaults to
            `None`: `(0.25, 1.0)`, or none with `model`, which keeps its width.
        sparsity: Range of the fraction of zeros in prunable kernels, in [0, 1).
            Defaults to `(0.0, 0.9)`.
        learning_rate: Range of the learning rate, on a log scale, or `None` to keep
            that of the model. Defaults to `(1e-4, 1e-2)`.
        model: A compiled Keras model to compress instead of the default network.
            Defaults to `None`.
        **kwargs: Further arguments of `tune_model`; what is not named here is not
            searched.

    Raises:
        ValueError: If a range cannot be used, or `width` is given with `model`; in
            the search, if the number of steps is unknown.
        TypeError: If an argument has the wrong type.

    Example:

    ```python
    import keras_tuner
    import numpy as np
    from keras_strategies.tuning import HyperCompression

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = (x[:, 0] > x[:, 1]).astype("int32")
    tuner = keras_tuner.RandomSearch(
        HyperCompression((4,), classes=2),
        objective=[
            keras_tuner.Objective("val_accuracy", "max"),
            keras_tuner.Objective("size", "min"),
        ],
        max_trials=1,
        overwrite=True,
    )
    tuner.search(x, y, validation_split=0.25, epochs=2, verbose=0)
    model = tuner.get_best_models()[0]
    ```
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,
        classes: int | None = None,
        task: Task = "classification",
        width: ranges.FloatRange | None = None,
        sparsity: ranges.FloatRange = (0.0, 0.9),
        learning_rate: ranges.FloatRange | None = (1e-4, 1e-2),
        model: keras.Model | None = None,
        **kwargs: Any,
    ) -> None:
        if model is not None and width is not None:
            checks.fail(
                "`width` is for the default network",
                fix="Leave it out; `compression.prune_filters` makes a model narrower.",
                width=width,
            )
        if width is None:
            width = 1.0 if model is not None else (0.25, 1.0)
        self.width: tuple[float, float] = ranges.float_range(
            "width", width, low=0, high=1, low_open=True
        )
        self.sparsity: tuple[float, float] = ranges.fraction_range("sparsity", sparsity)
        self._default_arguments: tuple[Any, ...] | None = None
        if model is None:
            self._default_arguments = (input_shape, classes, task)
        model = model_or_default(model, input_shape, classes, task)
        super().__init__(model, learning_rate=learning_rate, **kwargs)
        self._full_bytes = 4 * model.count_params()

    def _source(self, values: dict[str, Any]) -> keras.Model:
        if self._default_arguments is None:
            return self.model
        return default_model(*self._default_arguments, width=values["width"])

    def _sample(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        return {
            "width": ranges.sample_float(hp, "width", self.width),
            "sparsity": ranges.sample_float(hp, "sparsity", self.sparsity),
            **super()._sample(hp),
        }

    def _train(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        values = self._sample(hp if self.tunable else hp.copy())
        bound = inspect.signature(model.fit).bind(*args, **kwargs).arguments
        callbacks = [_LogSize(self._full_bytes), *(bound.get("callbacks") or [])]
        settings = {**bound, "callbacks": callbacks}
        if values["sparsity"] == 0:
            return model.fit(**settings)
        first, epochs = bound.get("initial_epoch", 0), bound.get("epochs", 1)
        continues = first > 0  # a later round of Hyperband
        if continues:  # with weights that are sparse already
            prune(model, ConstantSparsity(values["sparsity"], begin_step=0))
        else:
            # Two thirds for the rise, the last third to recover at full sparsity; of
            # one epoch two thirds of its steps.
            first = 2 * epochs // 3
            steps = (first or 2 / 3) * _steps_per_epoch(bound)
            end = max(int(steps) - 1, 1)
            schedule = PolynomialSparsity(
                0.0, values["sparsity"], 0, end, frequency=max(end // 20, 1)
            )
            prune(model, schedule)
        try:
            if not continues and first > 0:
                model.fit(**first_phase(bound, first))
            return model.fit(**{**settings, "initial_epoch": first})
        finally:
            # Also after an error: the model may be used again.
            strip(model)


def _steps_per_epoch(bound: Mapping[str, Any]) -> int:
    """Number of steps in an epoch of `fit` with these arguments."""
    steps, data = bound.get("steps_per_epoch"), bound.get("x")
    if steps is not None:
        return steps
    leaves = keras.tree.flatten(data)
    if leaves and all(hasattr(leaf, "shape") for leaf in leaves):
        count = len(leaves[0])
        split = bound.get("validation_split") or 0.0
        return math.ceil(
            math.floor(count * (1 - split)) / (bound.get("batch_size") or 32)
        )
    try:
        return len(data)
    except TypeError as error:
        text = checks.message(
            "The steps in an epoch must be known to plan the pruning",
            {"x": type(data).__name__},
            "Pass steps_per_epoch= to `search`.",
        )
        raise ValueError(text) from error


class _LogSize(bases.Callback):
    """Logs the size of the weights under gzip."""

    def __init__(self, full_bytes: int) -> None:
        super().__init__()
        self.full_bytes = full_bytes

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        weights = [np.asarray(w, "float32") for w in self.model.get_weights()]
        data = b"".join(w.tobytes() for w in weights)
        # Without a time stamp, so that equal weights have equal sizes.
        size = len(gzip.compress(data, mtime=0))
        logs["size_bytes"], logs["size"] = size, size / self.full_bytes
