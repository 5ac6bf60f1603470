"""The learning-rate range test."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks, optional
from keras_strategies._internal.keras_private import steps_between_hooks
from keras_strategies._internal.reports import text_table
from keras_strategies._internal.traversal import optimizer_variables
from keras_strategies._internal.weights.values import assign_values, host_values
from keras_strategies.callbacks._common.learning_rates import learning_rate_variables
from keras_strategies.callbacks._common.optimizers import (
    ActedOn,
    OptimizerArgument,
    all_optimizers,
    need_built,
)
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback
from keras_strategies.callbacks._common.siblings import siblings, undo_begins
from keras_strategies.callbacks._common.stateful import Stateful
from keras_strategies.callbacks.monitors import _range_test

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ONLY_SHOW = ("MemoryMonitor", "ProgressBar", "ThroughputMonitor", "TimeBudget")
_METHODS = tuple(_range_test.METHODS)


class LearningRateFinder(ResumableCallback):
    """Finds a good learning rate by a short training with a rising rate.

    The range test of Smith: one step for each rate, from far too low to far too high; a
    good rate is where the loss falls fastest, and a rate at which it explodes is too
    high. `find` runs the test in one call. As a callback it needs a `fit` of at least
    `steps` batches without other callbacks. Afterwards weights, optimizers, random
    states of the layers and metrics are as before, after `find` also `model.history`.

    ```
    rate(i) = min * (max / min) ** (i / (steps - 1))    exponential
    rate(i) = min + (max - min) * i / (steps - 1)       linear
    ```

    with `min` and `max` the learning rates of the arguments. Keras logs the mean loss
    of an epoch so far; here the metrics are reset before every step, so that each loss
    is that of its own batch. The test stops early when the smoothed loss exceeds
    `stop_factor` times its minimum, or is not finite. `rates` and `losses` are the
    curve; the suggestions use `smoothed_losses`. Each step waits for its loss.

    Reference:

    - [Smith, 2017, Cyclical Learning Rates for Training Neural Networks](
      https://arxiv.org/abs/1506.01186)
    - [Smith, 2018, A disciplined approach to neural network hyper-parameters](
      https://arxiv.org/abs/1803.09820)

    Args:
        min_learning_rate: First learning rate, greater than 0. Defaults to `1e-7`.
        max_learning_rate: Last learning rate, greater than the first. Defaults to `10`.
        steps: Number of rates, at least 2. Defaults to `100`.
        spacing: `"exponential"` or `"linear"`. Defaults to `"exponential"`.
        smoothing: Decay of the moving average of the losses, in [0, 1). Defaults to
            `0.9`.
        stop_factor: Multiple of the lowest smoothed loss that ends the test, greater
            than 1. Defaults to `4`.
        optimizer: The optimizer to act on, the name of an attribute of the model that
            is one (`"d_optimizer"`), or a list of these. Defaults to `None`: that of
            `compile`.

    Raises:
        TypeError: In `fit`, if the optimizer has a schedule object.
        ValueError: If an argument is out of its range; in `fit`, if the model is not
            built or the fit is too short.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 4))
    y = x @ np.array([[1.0], [2.0], [3.0], [4.0]])
    finder = callbacks.LearningRateFinder(min_learning_rate=1e-5, steps=60)
    finder.find(model, x, y)
    model.optimizer.learning_rate = finder.suggest()
    print(1e-3 < finder.suggest() < 0.5)  # True
    ```
    """

    _state_names = ("rates", "losses")

    def __init__(
        self,
        min_learning_rate: float = 1e-7,
        max_learning_rate: float = 10.0,
        steps: int = 100,
        spacing: Literal["exponential", "linear"] = "exponential",
        smoothing: float = 0.9,
        stop_factor: float = 4.0,
        optimizer: OptimizerArgument = None,
    ):
        super().__init__()
        self._acted = ActedOn(self, optimizer)
        self.optimizer: OptimizerArgument = optimizer
        self.min_learning_rate: float = checks.real(
            "min_learning_rate", min_learning_rate, low=0, low_open=True
        )
        self.max_learning_rate: float = checks.real(
            "max_learning_rate", max_learning_rate, low=min_learning_rate, low_open=True
        )
        self.steps: int = checks.integer("steps", steps, low=2)
        self.spacing: str = checks.choice("spacing", spacing, ("exponential", "linear"))
        self.smoothing: float = checks.real(
            "smoothing", smoothing, low=0, high=1, high_open=True
        )
        self.stop_factor: float = checks.real(
            "stop_factor", stop_factor, low=1, low_open=True
        )
        self._saved = None  # [(variables, their values)] while the test runs
        self._variables = []
        self._reset()

    def _reset(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._position = 0

    @property
    def smoothed_losses(self) -> np.ndarray:
        """The losses after smoothing, as an array."""
        return _range_test.smooth(self.losses, self.smoothing)

    def find(
        self, model: keras.Model, x: Any, y: Any = None, **fit_arguments: Any
    ) -> "LearningRateFinder":
        """Runs the test on a compiled model and restores the model afterwards.

        Args:
            model: The compiled and built model.
            x: Training inputs, or whatever `fit` takes.
            y: Targets. Defaults to `None`, for data sets.
            **fit_arguments: For `model.fit`: `batch_size`, `sample_weight`,
                `steps_per_epoch`, ...

        Returns:
            The finder itself.
        """
        for name in ("epochs", "initial_epoch", "callbacks"):
            if name in fit_arguments:
                checks.fail(f"`{name}` is set by find()", **{name: fit_arguments[name]})
        fit_arguments.setdefault("verbose", 0)
        names = ("history", "stop_training")
        before = {n: vars(model)[n] for n in names if n in vars(model)}
        try:
            model.fit(x, y, epochs=self.steps, callbacks=[self], **fit_arguments)
        finally:
            self.restore()
            for name in names:
                if name in before:
                    setattr(model, name, before[name])
                elif name in vars(model):
                    delattr(model, name)
        return self

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.restore()  # in case the last test raised
        super().on_train_begin(logs)
        model = self.model
        self._refuse_siblings()
        self._acted.begin(model)
        variables = learning_rate_variables(model, self._acted)
        params = self.params or {}
        if params.get("steps") is not None:
            batches = params["steps"] * params["epochs"]
            if batches < self.steps:
                checks.fail(
                    f"LearningRateFinder needs a fit of at least {self.steps} batches",
                    fix="Train more epochs, give fewer `steps`, or call find().",
                    batches=batches,
                )
        need_built(model, "LearningRateFinder")
        for root in self._acted.roots(model):
            self._acted.build(model, root)
        optimizers = all_optimizers(model, self._acted.roots(model))
        self._variables = variables
        self._saved = [
            (items, host_values(items))
            for items in (
                model.variables,
                [v for item in optimizers for v in optimizer_variables(item)],
                model.metrics_variables,
            )
        ]

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        # On JAX, `self.model` writes the trained values back into the variables.
        model = self.model
        model.reset_metrics()
        rate = self._rate()
        for variable in self._variables:
            variable.assign(rate)
        self._next_rate = rate

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        loss = float((logs or {}).get("loss", math.nan))
        self._position += steps_between_hooks(self.model)
        if math.isfinite(loss):
            self.rates.append(self._next_rate)
            self.losses.append(loss)
        smoothed = self.smoothed_losses
        # `> 0` excludes losses below 0, of which a multiple is lower.
        diverged = not math.isfinite(loss) or (
            smoothed[-1] > self.stop_factor * smoothed.min() > 0
        )
        if diverged or self._position >= self.steps:
            self.model.stop_training = True

    def steps_until_hook(self, batch: int) -> int | None:
        """Returns how many steps may run as one program; `None` for any number."""
        return 1  # each has its own rate

    def _refuse_siblings(self):
        """Refuses callbacks that would act on a training that is to be undone."""
        harmless = (
            keras.callbacks.History,
            keras.callbacks.ProgbarLogger,
            keras.callbacks.LambdaCallback,
        )
        others = [
            type(other).__name__
            for other in siblings(self)
            if isinstance(other, Stateful)
            or (
                type(other).__module__.startswith("keras.")
                and not isinstance(other, harmless)
            )
        ]
        others = [name for name in others if name not in _ONLY_SHOW]
        if others:
            undo_begins(self)
            checks.fail(
                "LearningRateFinder must be the only callback of its fit that acts on "
                "the training, which is undone at its end",
                fix="Call find() before the training.",
                callbacks=others,
            )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.restore()

    def restore(self) -> None:
        """Restores the model after a test that failed.

        Does nothing if it is restored already.
        """
        if self._saved is not None:
            saved, self._saved = self._saved, None
            for variables, values in saved:
                assign_values(variables, values)

    def _rate(self):
        fraction = min(self._position / (self.steps - 1), 1.0)
        if self.spacing == "linear":
            span = self.max_learning_rate - self.min_learning_rate
            return self.min_learning_rate + span * fraction
        ratio = self.max_learning_rate / self.min_learning_rate
        return self.min_learning_rate * ratio**fraction

    def suggest(
        self, method: Literal["valley", "steepest", "minimum"] = "valley"
    ) -> float:
        """Returns the learning rate that the curve suggests.

        Args:
            method: `"valley"`, the middle of the longest descent of the loss;
                `"steepest"`, where the loss falls fastest against the logarithm of
                the rate; `"minimum"`, a tenth of the rate with the lowest loss.
                Defaults to `"valley"`.

        Returns:
            The learning rate, a float.
        """
        checks.choice("method", method, _METHODS)
        if len(self.losses) < 3:
            checks.fail(
                "`suggest` needs a curve of at least 3 losses",
                fix="Call find() first; if the first losses were not finite, lower "
                "`min_learning_rate`.",
                losses=len(self.losses),
            )
        # The average over the first tenth of the losses depends on a few batches.
        begin = len(self.losses) // 10
        rates = np.array(self.rates[begin:])
        losses = self.smoothed_losses[begin:]
        return float(rates[_range_test.METHODS[method](rates, losses)])

    def table(self) -> str:
        """Returns the suggested learning rates as text, one line for each method."""
        rows = [[method, f"{self.suggest(method):.3g}"] for method in _METHODS]
        return text_table(["method", "learning rate"], rows, [True, False])

    def plot(
        self, ax: "Axes | None" = None, methods: Sequence[str] = ("valley",)
    ) -> "Axes":
        """Draws the curve with the suggestions as vertical lines.

        Args:
            ax: The Matplotlib `Axes` to draw on. Defaults to those of a new figure.
            methods: Suggestions to mark; `()` for none. Defaults to `("valley",)`.

        Returns:
            The Matplotlib `Axes`.
        """
        suggestions = {method: self.suggest(method) for method in methods}
        if ax is None:
            pyplot = optional.require("matplotlib.pyplot", "`LearningRateFinder.plot`")
            ax = pyplot.subplots(layout="constrained")[1]
        ax.plot(self.rates, self.losses, alpha=0.3, label="loss")
        ax.plot(self.rates, self.smoothed_losses, label="smoothed")
        for i, (method, rate) in enumerate(suggestions.items()):
            label = f"{method}: {rate:.2g}"
            ax.axvline(rate, color=f"C{i + 2}", linestyle="--", label=label)
        ax.set(xlabel="learning rate", ylabel="loss")
        ax.set_xscale("log" if self.spacing == "exponential" else "linear")
        ax.legend()
        return ax
