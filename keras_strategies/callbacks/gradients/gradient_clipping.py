"""Gradient clipping of compiled models."""

import weakref
from typing import Any, Literal, NamedTuple

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    are_gradients_global,
    callback_list,
    changed_step,
)
from keras_strategies.callbacks._common.optimizers import ActedOn, OptimizerArgument
from keras_strategies.callbacks._common.siblings import are_in_one_fit
from keras_strategies.callbacks._common.stateful_callback import StatefulCallback
from keras_strategies.callbacks.gradients._temporary_clip import TemporaryClip

_NAMES = ("clipnorm", "clipvalue", "global_clipnorm")


class _Change(NamedTuple):
    """Clip settings of an optimizer before and after a change, and its callback."""

    original: tuple
    applied: tuple
    owner: weakref.ref


# Optimizers whose settings are changed now. A fit that raises leaves its entry here,
# so that no later callback mistakes the clipped settings for the original ones.
_changed = weakref.WeakKeyDictionary()


class GradientClipping(StatefulCallback):
    """Clips gradients during one `fit`, whatever the model was compiled with.

    Clipping limits the effect of a single bad batch on the weights. In Keras it is an
    argument of the optimizer, read when the training step is traced; this callback adds
    it to a compiled or already trained model and removes it after the fit.

    ```
    clipnorm:        g * min(1, clipnorm / ||g||)   for the gradient g of each weight
    clipvalue:       clip(g, -clipvalue, clipvalue) elementwise
    global_clipnorm: g * min(1, global_clipnorm / ||G||), G all gradients together
    adaptive:        clipnorm of each unit at clip_factor * max(||w||, 0.001)
    percentile:      global_clipnorm at the percentile of the last norms ||G||
    ```

    Exactly one of the three norms or a mode must be given. The modes, which need no
    absolute limit, are those of `optimizers.AdaptiveClip` and `PercentileClip`; they
    need a model compiled with `optimizers.GradientTransform` and clip before the
    optimizer's own settings, which stay.

    The optimizer itself clips, inside the compiled training step: after loss scaling is
    undone and accumulated gradients are averaged. Optimizers inside a
    `LossScaleOptimizer` or a `MultiOptimizer` are included; the norm `||G||` is then
    that of each optimizer's own gradients. Clip settings of the optimizer are replaced
    during the fit and restored at its end. The training step is rebuilt at the
    beginning and at the end of the fit, which costs one compilation each.

    If the fit is stopped by an exception, Keras does not call `on_train_end` and the
    optimizer still clips: the next fit with a `GradientClipping` knows the original
    settings, and `restore()` restores them at once. A model saved during the fit has
    the clipping in the config of its optimizer.

    Reference:

    - [Pascanu et al., 2013, On the difficulty of training recurrent neural
      networks](https://arxiv.org/abs/1211.5063)

    Args:
        clipnorm: Largest norm of the gradient of each weight, greater than 0. Defaults
            to `None`.
        clipvalue: Largest absolute value in a gradient, greater than 0. Defaults to
            `None`.
        global_clipnorm: Largest norm of all gradients together, greater than 0.
            Defaults to `None`.
        mode: `"adaptive"` or `"percentile"`. Defaults to `None`.
        clip_factor: Largest ratio of the norms of a unit's gradient and weights in
            mode `"adaptive"`, greater than 0. Defaults to `0.01`.
        percentile: Percentile of the norms in mode `"percentile"`, in [0, 100].
            Defaults to `10.0`.
        window: Number of norms that mode `"percentile"` remembers, at least 1.
            Defaults to `1000`.
        optimizer: The optimizer to act on, the name of an attribute of the model that
            is one (`"d_optimizer"`), or a list of these. Defaults to `None`: that of
            `compile`.

    Raises:
        ValueError: If not exactly one kind of clipping is given or an argument is out
            of its range; in `fit`, if two objects of this class are among the
            callbacks.
        TypeError: In `fit`, if an optimizer cannot clip gradients in this way.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    clip = callbacks.GradientClipping(clipnorm=1.0)
    model.fit(np.ones((1, 1)), np.full((1, 1), 1e6), callbacks=[clip], verbose=0)
    print(layer.get_weights()[0])  # [[0.1]], not [[200000.]]
    ```
    """

    survives_roll_back = False  # norms of steps that are undone
    _state_names = ("_original",)

    def __init__(
        self,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        mode: Literal["adaptive", "percentile"] | None = None,
        clip_factor: float = 0.01,
        percentile: float = 10.0,
        window: int = 1000,
        optimizer: OptimizerArgument = None,
    ):
        super().__init__()
        self._acted = ActedOn(self, optimizer)
        self.optimizer: OptimizerArgument = optimizer
        limits = dict(zip(_NAMES, (clipnorm, clipvalue, global_clipnorm), strict=True))
        if sum(value is not None for value in (*limits.values(), mode)) != 1:
            checks.fail(
                "Exactly one of `clipnorm`, `clipvalue`, `global_clipnorm` and `mode` "
                "must be given",
                **limits,
                mode=mode,
            )
        self.mode: str | None = checks.choice(
            "mode", mode, (None, "adaptive", "percentile")
        )
        self.clip_factor: float = checks.real(
            "clip_factor", clip_factor, low=0, low_open=True
        )
        self.percentile: float = checks.real("percentile", percentile, low=0, high=100)
        self.window: int = checks.integer("window", window, low=1)
        arguments = {
            "adaptive": {"clip_factor": self.clip_factor},
            "percentile": {"percentile": self.percentile, "window": self.window},
        }
        self._clip = TemporaryClip(self, self._acted, mode, arguments.get(mode))
        limits = {
            name: checks.real(name, value, low=0, low_open=True, optional=True)
            for name, value in limits.items()
        }
        self.clipnorm: float | None = limits["clipnorm"]
        self.clipvalue: float | None = limits["clipvalue"]
        self.global_clipnorm: float | None = limits["global_clipnorm"]
        self._original = None
        self._clipped = None  # model and its optimizers while they are clipped

    def get_state(self) -> dict[str, Any]:
        self._clip.read_memory()
        return {**super().get_state(), "norms": dict(self._clip.memory)}

    def set_state(self, state: dict[str, Any]) -> None:
        checks.instance("state", state, dict)
        state = dict(state)
        norms = state.pop("norms", {})
        if callback_list(self) is not None:  # the optimizer has them already
            state["original"] = self._original
        super().set_state(state)
        self._clip.set_memory(norms)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        self._acted.begin(model)
        if self.mode is not None:
            self._clip.add(model)
            return
        self._unclip()  # in case the last fit raised
        if not are_gradients_global(model):
            checks.fail(
                "GradientClipping would clip the gradients of each replica, because "
                "the optimizers of Keras add them up afterwards",
                fix="Train inside training.distributed.scope().",
                replicas=model.distribute_strategy.num_replicas_in_sync,
            )
        optimizers = _clippable_optimizers(model, self._acted)
        self._refuse_second(optimizers)
        original = [_own_settings(optimizer) for optimizer in optimizers]
        if self._original is not None and len(self._original) == len(optimizers):
            # A resumed run: the optimizer was saved, and loaded, with these settings.
            original = [
                tuple(stored) if current == self._settings() else current
                for stored, current in zip(self._original, original, strict=True)
            ]
        self._original = [list(values) for values in original]
        self._clipped = (model, optimizers)
        with changed_step(model, optimizers):
            for optimizer, values in zip(optimizers, original, strict=True):
                applied = self._settings()
                _write(optimizer, applied)
                _changed[optimizer] = _Change(values, applied, weakref.ref(self))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._acted.begin_epoch(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._acted.end_epoch(self.model)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.restore()

    def undo_begin(self) -> None:
        """Undoes `on_train_begin`."""
        self.restore()

    def restore(self) -> None:
        """Restores the settings of the optimizers, after a fit that failed.

        Does nothing if they are restored already, as after a fit that ended normally.
        """
        self._unclip()
        self._original = None

    def _unclip(self):
        self._clip.remove()
        if self._clipped is None:
            return
        model, optimizers = self._clipped
        self._clipped = None
        with changed_step(model, optimizers):
            for optimizer in optimizers:
                change = _changed.get(optimizer)
                if change is None or change.owner() is not self:
                    continue
                del _changed[optimizer]
                if _read(optimizer) == change.applied:  # else they were set by the user
                    _write(optimizer, change.original)

    def _settings(self):
        return tuple(getattr(self, name) for name in _NAMES)

    def _refuse_second(self, optimizers):
        """Refuses a second callback of this fit."""
        for optimizer in optimizers:
            owner = _changed[optimizer].owner() if optimizer in _changed else None
            if not are_in_one_fit(owner, self):
                continue
            owner.restore()
            checks.fail(
                "Only one GradientClipping can be among the callbacks of a fit",
                fix="Leave one out.",
                first=dict(zip(_NAMES, owner._settings(), strict=True)),
                second=dict(zip(_NAMES, self._settings(), strict=True)),
            )


def _read(optimizer):
    return tuple(getattr(optimizer, name) for name in _NAMES)


def _write(optimizer, values):
    for name, value in zip(_NAMES, values, strict=True):
        setattr(optimizer, name, value)


def _own_settings(optimizer):
    """The original settings of an optimizer, even if a failed fit left it clipped."""
    change, current = _changed.get(optimizer), _read(optimizer)
    return change.original if change and current == change.applied else current


def _clippable_optimizers(model, acted):
    optimizers = acted.updating(model)
    for optimizer in optimizers:
        if not all(hasattr(optimizer, name) for name in _NAMES):
            checks.fail(
                "GradientClipping needs an optimizer with the clip settings of "
                "keras.optimizers.Optimizer",
                error=TypeError,
                optimizer=optimizer,
            )
    return optimizers
