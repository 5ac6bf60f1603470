"""The norms of the gradients, layer by layer."""

import weakref

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    carry,
    stop_carrying,
    updated_variables,
)
from keras_strategies._internal.keras_private.callbacks import (
    unwrap_method,
    wrap_method,
)
from keras_strategies._internal.optional import require
from keras_strategies._internal.walking import optimizer_paths
from keras_strategies.callbacks._base import updating_optimizers
from keras_strategies.callbacks._resumable import ResumableCallback
from keras_strategies.optimizers._gradients import global_norm

# {optimizer: monitors in its step}; a fit that dies leaves its entry here.
_monitors = weakref.WeakKeyDictionary()


class GradientMonitor(ResumableCallback):
    """Measures the norm of the gradients of each layer during `fit`.

    Norms that fall towards 0 from the last layer to the first, or that grow from
    epoch to epoch, show vanishing and exploding gradients long before the loss does.
    The sums are kept on the device inside the training step and read once an epoch:
    no step waits for them. The step is traced once more at both ends of `fit`.

    ```
    mean = sum over the steps of ||g|| / number of steps      ||g|| of a layer, or of
    max  = largest ||g|| of the epoch                         all gradients together
    ```

    Steps whose norm is NaN or infinite are counted by themselves, not averaged. Norms
    are those that reach the optimizer: after loss scaling is undone, before clipping;
    with gradient accumulation those of each batch. In mixed precision the steps that
    loss scaling drops are not seen.

    The mean norm of all gradients is added to the logs of the epoch as
    `"gradient_norm"`, so that it is in `History` and in what later callbacks write.
    `history` has everything: `{"epoch": [...], "mean": {layer: [...]}, "max": {...},
    "nonfinite": {...}}`, with the key `"all"` for all gradients together.

    Args:
        by: `"layer"` takes the weights of a layer together, `"weight"` each by
            itself. Defaults to `"layer"`.
        log_each: Whether to add the mean of each layer to the logs too, as
            `"gradient_norm/<path>"`. Defaults to `False`.

    Raises:
        ValueError: If an argument is out of its range.

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

    def __init__(self, by="layer", log_each=False):
        super().__init__()
        self.by = checks.choice("by", by, ("layer", "weight"))
        self.log_each = checks.boolean("log_each", log_each)
        self._installed = None
        self._reset()

    def _reset(self):
        self.history = {"epoch": [], "mean": {}, "max": {}, "nonfinite": {}}

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.restore()
        model = self.model
        updating_optimizers(model, "GradientMonitor")
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        groups = _groups(model.trainable_variables, self.by)
        self._names = ["all", *groups]
        sums = keras.Variable(
            np.zeros((4, len(self._names))),
            dtype="float32",
            trainable=False,
            aggregation="only_first_replica",
            name="gradient_norms",
        )
        watched = _watched(model.optimizer)
        for other in list(_monitors.setdefault(watched, weakref.WeakSet())):
            if other.params is not self.params:
                other.restore()
        _monitors[watched].add(self)
        leaf, *around = optimizer_paths(model.optimizer)[0]
        carry(leaf, [sums], around)
        measure = _Measure(watched, sums, list(groups.values()))
        wrap_method(watched, "apply", measure)
        self._installed = (model, watched, measure, leaf, around)
        self._sums = sums
        model.make_train_function(force=True)

    def on_epoch_begin(self, epoch, logs=None):
        self.model  # noqa: B018 - on JAX: the variables get their values
        self._sums.assign(np.zeros(self._sums.shape))

    def on_epoch_end(self, epoch, logs=None):
        self.model  # noqa: B018
        total, largest, steps, bad = keras.ops.convert_to_numpy(self._sums)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / steps
        self.history["epoch"].append(epoch)
        for index, name in enumerate(self._names):
            for key, value in (
                ("mean", float(mean[index])),
                ("max", float(largest[index]) if steps[index] else float("nan")),
                ("nonfinite", int(bad[index])),
            ):
                self.history[key].setdefault(name, []).append(value)
        if logs is not None:
            logs["gradient_norm"] = float(mean[0])
            if self.log_each:
                for name, value in zip(self._names[1:], mean[1:], strict=True):
                    logs[f"gradient_norm/{name}"] = float(value)

    def on_train_end(self, logs=None):
        self.restore()

    def restore(self):
        """Takes the measuring out of the training step, after a fit that failed.

        Does nothing where it is out, as after a fit that ended normally.
        """
        if self._installed is None:
            return
        model, watched, measure, leaf, around = self._installed
        self._installed = None
        unwrap_method(watched, "apply", measure)
        stop_carrying(leaf, [self._sums], around)
        self._sums = None
        model.make_train_function(force=True)

    def table(self):
        """Returns the last epoch as text: mean, maximum, steps that were not finite."""
        if not self.history["epoch"]:
            return "No epoch has been measured."
        names = list(self.history["mean"])
        width = max(map(len, names))
        lines = [f"{'gradients of':<{width}}  {'mean':>10}  {'max':>10}  not finite"]
        for name in names:
            mean, largest, bad = (
                self.history[key][name][-1] for key in ("mean", "max", "nonfinite")
            )
            lines.append(f"{name:<{width}}  {mean:>10.3g}  {largest:>10.3g}  {bad:>10}")
        return "\n".join(lines)

    def plot(self, ax=None):
        """Draws the mean norms over the epochs, on a logarithmic axis.

        Args:
            ax: The Matplotlib `Axes` to draw on. A new figure by default.

        Returns:
            The Matplotlib `Axes`.
        """
        if ax is None:
            _, ax = require("matplotlib.pyplot", "`GradientMonitor.plot`").subplots()
        for name, values in self.history["mean"].items():
            width = 2.5 if name == "all" else 1.0
            ax.plot(self.history["epoch"], values, label=name, linewidth=width)
        ax.set_yscale("log")
        ax.set_xlabel("epoch")
        ax.set_ylabel("mean norm of the gradients")
        if self.history["mean"]:
            ax.legend(fontsize="small")
        return ax


class _Measure:
    """Goes around `optimizer.apply` and adds the norms of its gradients up."""

    def __init__(self, optimizer, sums, groups):
        self._optimizer, self._sums, self._groups = optimizer, sums, groups

    def __call__(self, call, grads, trainable_variables=None):
        variables = trainable_variables
        if variables is None:
            variables = updated_variables(self._optimizer)
        self._add(list(grads), [id(variable) for variable in variables])
        return call(grads, trainable_variables)

    def _add(self, gradients, owners):
        scale = self._optimizer.loss_scale_factor or 1.0
        known = {
            owner: ops.cast(ops.convert_to_tensor(g), "float32") / scale
            for owner, g in zip(owners, gradients, strict=True)
            if g is not None
        }
        zero = ops.zeros((), "float32")
        norms, counted = [], []
        for group in [list(known), *self._groups]:
            present = [known[owner] for owner in group if owner in known]
            norms.append(global_norm(present) if present else zero)
            counted.append(1.0 if present else 0.0)
        norms = ops.stack(norms)
        finite = ops.cast(ops.isfinite(norms), "float32")
        counted = ops.convert_to_tensor(np.float32(counted))
        values = ops.where(ops.isfinite(norms), norms, 0.0)
        total, largest, steps, bad = ops.unstack(ops.convert_to_tensor(self._sums), 4)
        self._sums.assign(
            ops.stack(
                [
                    total + values,
                    ops.maximum(largest, values),
                    steps + counted * finite,
                    bad + counted * (1.0 - finite),
                ]
            )
        )


def _watched(optimizer):
    """The outermost optimizer whose gradients are not scaled."""
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer


def _groups(variables, by):
    """`{name: ids of the variables}`, in the order of the model."""
    groups = {}
    for variable in variables:
        path = variable.path
        name = path.rpartition("/")[0] or path if by == "layer" else path
        groups.setdefault(name, []).append(id(variable))
    return groups
