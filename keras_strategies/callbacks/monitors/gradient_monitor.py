"""Norms of the gradients, layer by layer."""

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.kept_parts import give_back_part, take_part
from keras_strategies._internal.keras_private import (
    callback_list,
    changed_step,
    track_unsaved_state,
    untrack_unsaved_state,
    updated_variables,
)
from keras_strategies._internal.keras_private.callbacks import (
    unwrap_method,
    wrap_method,
)
from keras_strategies._internal.optional import require
from keras_strategies._internal.reports import text_table
from keras_strategies._internal.select import Selection, Selector, weight_targets
from keras_strategies._internal.traversal import base_optimizers, optimizer_paths
from keras_strategies._internal.weights.values import host_value
from keras_strategies.callbacks._common.optimizers import ActedOn, need_built
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback
from keras_strategies.callbacks.monitors._gradient_norms import (
    GradientNormAccumulator,
    norm_sums,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# {optimizer: monitors in its step}; a fit that raises leaves its entry here.
_monitors = weakref.WeakKeyDictionary()


class GradientMonitor(ResumableCallback):
    """Measures the norm of the gradients of each layer during `fit`.

    Norms that fall towards 0 from the last layer to the first, or that grow from
    epoch to epoch, show vanishing and exploding gradients long before the loss does.
    The sums are accumulated on the device inside the training step and read once per
    epoch: no step waits for them. The training step with them is compiled once, and
    kept with the model for later fits.

    ```
    mean = sum over the steps of ||g|| / number of steps      ||g|| of a layer, or of
    max  = largest ||g|| of the epoch                         all gradients together
    ```

    Steps whose norm is NaN or infinite are counted separately, not averaged. The
    gradients are those that the optimizer receives: after loss scaling is undone,
    before clipping; with gradient accumulation those of each batch. In mixed precision
    the steps that loss scaling skips are not measured.

    The mean norm of all gradients is added to the logs of the epoch as
    `"gradient_norm"`, for `History` and for later callbacks. `history` has all norms:
    `{"epoch": [...], "mean": {layer: [...]}, "max": {...}, "nonfinite": {...}}`, with
    the key `"all"` for all gradients together.

    Args:
        by: `"layer"` measures the weights of a layer together, `"weight"` each weight.
            Defaults to `"layer"`.
        detailed_logs: Whether to add the mean of each layer (or weight) to the logs
            too, as `"gradient_norm/<path>"`. Defaults to `False`.
        include: Weights to measure beside the total: a regular expression searched in
            their paths (`"backbone/conv_1/kernel"`), a layer, a variable, a function of
            their layer that returns a boolean, or a list of these. Defaults to `None`:
            all trainable weights.
        exclude: Weights not to measure, in the same form; `exclude` wins. Defaults to
            `None`.
        optimizer: The optimizer whose gradients are measured, or the name of an
            attribute of the model that is one (`"d_optimizer"`). The logs then end
            with its name, `"gradient_norm_<name>"`. Defaults to `None`: that of
            `compile`.

    Raises:
        TypeError: If `include` or `exclude` has another form.
        ValueError: If an argument is out of its range; in `fit`, if `include` or
            `exclude` matches no trainable weight.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    monitor = callbacks.GradientMonitor()
    model.fit(np.ones((4, 1)), np.full((4, 1), 3.0), callbacks=[monitor], verbose=0)
    print(monitor.history["mean"]["all"])  # [6.0], the derivative of (3 - w)^2 at 0
    ```
    """

    _state_names = ("history",)

    def __init__(
        self,
        by: Literal["layer", "weight"] = "layer",
        detailed_logs: bool = False,
        include: Selector | None = None,
        exclude: Selector | None = None,
        optimizer: keras.optimizers.Optimizer | str | None = None,
    ):
        super().__init__()
        if isinstance(optimizer, list | tuple):
            checks.fail(
                "GradientMonitor measures one optimizer",
                fix="Use a monitor for each.",
                optimizer=optimizer,
            )
        self._acted = ActedOn(self, optimizer)
        self.optimizer: keras.optimizers.Optimizer | str | None = optimizer
        self.by: str = checks.choice("by", by, ("layer", "weight"))
        self.detailed_logs: bool = checks.boolean("detailed_logs", detailed_logs)
        self.include: Selector | None = include
        self.exclude: Selector | None = exclude
        self._selection = Selection(include, exclude)
        self._installed = None
        self._sums_of_state = None
        self._reset()

    def _reset(self) -> None:
        self.history: dict[str, Any] = {
            "epoch": [],
            "mean": {},
            "max": {},
            "nonfinite": {},
        }

    def get_state(self) -> dict[str, Any]:
        sums = self._sums_of_state
        if self._installed is not None:
            self.model  # noqa: B018  JAX: see `on_epoch_begin`
            sums = host_value(self._sums)
        return {**super().get_state(), "sums": sums}

    def set_state(self, state: dict[str, Any]) -> None:
        checks.instance("state", state, dict)
        state = dict(state)
        sums = state.pop("sums", None)
        super().set_state(state)
        if callback_list(self) is None or not self._installed:
            self._sums_of_state = sums
        elif sums is not None:
            self.model  # noqa: B018
            self._sums.assign(sums)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self.restore()
        model, self._sums_of_state = self.model, None
        need_built(model, "GradientMonitor")
        self._acted.begin(model)
        self._acted.updating(model)
        (root,) = self._acted.roots(model)
        self._acted.build(model, root)
        variables = self._variables(model, root)
        groups = _groups(_selected(model, variables, self._selection), self.by)
        self._names = ["all", *groups]
        optimizer = _unscaled_optimizer(root)
        for monitor in list(_monitors.setdefault(optimizer, weakref.WeakSet())):
            if monitor.params is not self.params:  # of a fit that failed
                monitor.restore()
        _monitors[optimizer].add(self)
        key = "gradient norms", tuple(tuple(ids) for ids in groups.values())
        accumulator = take_part(
            optimizer,
            key,
            lambda: GradientNormAccumulator(
                optimizer, norm_sums(len(self._names)), list(groups.values())
            ),
        )
        self._sums = accumulator.sums
        # JAX keeps only variables that a base optimizer tracks; these are not saved.
        tracker, *outer = optimizer_paths(root)[0]
        with changed_step(model, [root]):
            track_unsaved_state(tracker, [self._sums], outer)
            wrap_method(optimizer, "apply", accumulator)
            self._installed = (model, root, optimizer, accumulator, tracker, outer, key)

    def _variables(self, model, root):
        """The trainable weights that the optimizer updates."""
        if self._acted.is_model_optimizer:
            return list(model.trainable_variables)
        return [v for leaf in base_optimizers(root) for v in updated_variables(leaf)]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # On JAX, `self.model` writes the trained values back into the variables.
        self._acted.begin_epoch(self.model)
        self._sums.assign(np.zeros(self._sums.shape))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._acted.end_epoch(self.model)
        total, maximum, steps, nonfinite = keras.ops.convert_to_numpy(self._sums)
        # A group without a finite gradient has the mean NaN.
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / steps
        self.history["epoch"].append(epoch)
        for index, name in enumerate(self._names):
            for key, value in (
                ("mean", float(mean[index])),
                ("max", float(maximum[index]) if steps[index] else float("nan")),
                ("nonfinite", int(nonfinite[index])),
            ):
                self.history[key].setdefault(name, []).append(value)
        if logs is not None:
            entry = self._acted.log_name(self.model, "gradient_norm")
            logs[entry] = float(mean[0])
            if self.detailed_logs:
                for name, value in zip(self._names[1:], mean[1:], strict=True):
                    logs[f"{entry}/{name}"] = float(value)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.restore()

    def undo_begin(self) -> None:
        """Undoes `on_train_begin`."""
        self.restore()

    def restore(self) -> None:
        """Restores the training step of the model, after a fit that failed.

        Does nothing if it is restored already, as after a fit that ended normally.
        """
        if self._installed is None:
            return
        model, root, optimizer, accumulator, tracker, outer, key = self._installed
        self._installed = None
        with changed_step(model, [root]):
            unwrap_method(optimizer, "apply", accumulator)
            untrack_unsaved_state(tracker, [self._sums], outer)
        give_back_part(optimizer, key, accumulator)

    def table(self) -> str:
        """Returns the last epoch as text: mean, maximum, number of nonfinite steps."""
        if not self.history["epoch"]:
            return "No epoch has been measured."
        rows = [
            [
                name,
                f"{self.history['mean'][name][-1]:.3g}",
                f"{self.history['max'][name][-1]:.3g}",
                str(self.history["nonfinite"][name][-1]),
            ]
            for name in self.history["mean"]
        ]
        headings = ["gradients of", "mean", "max", "not finite"]
        return text_table(headings, rows, [True, False, False, False])

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the mean norms over the epochs, on a logarithmic axis.

        Args:
            ax: The Matplotlib `Axes` to draw on. Defaults to those of a new figure.

        Returns:
            The Matplotlib `Axes`.
        """
        if ax is None:
            pyplot = require("matplotlib.pyplot", "`GradientMonitor.plot`")
            _, ax = pyplot.subplots(layout="constrained")
        for name, values in self.history["mean"].items():
            width = 2.5 if name == "all" else 1.0
            ax.plot(self.history["epoch"], values, label=name, linewidth=width)
        ax.set_yscale("log")
        ax.set_xlabel("epoch")
        ax.set_ylabel("mean norm of the gradients")
        if self.history["mean"]:
            ax.legend(fontsize="small")
        return ax


def _unscaled_optimizer(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """The outermost optimizer whose gradients are not scaled."""
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer


def _selected(
    model: keras.Model, variables: list[keras.Variable], selection: Selection
) -> list[keras.Variable]:
    """The variables that are selected, in their order."""
    if selection.selects_all:
        return list(variables)
    trainable = {id(variable) for variable in variables}
    targets = [t for t in weight_targets(model) if id(t.item) in trainable]
    chosen = {id(target.item) for target in selection.choose(targets, "weight")}
    return [variable for variable in variables if id(variable) in chosen]


def _groups(variables: Iterable[keras.Variable], by: str) -> dict[str, list[int]]:
    """`{name: ids of the variables}`, in the order of the model."""
    groups: dict[str, list[int]] = {}
    for variable in variables:
        path = variable.path
        name = path.rpartition("/")[0] or path if by == "layer" else path
        groups.setdefault(name, []).append(id(variable))
    return groups
