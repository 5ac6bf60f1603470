"""Gradient clipping for a model that is compiled already."""

import weakref
from typing import NamedTuple

from keras_strategies._internal import checks
from keras_strategies.callbacks._base import StatefulCallback, updating_optimizers
from keras_strategies.callbacks._passing_clip import PassingClip

_NAMES = ("clipnorm", "clipvalue", "global_clipnorm")


class _Change(NamedTuple):
    """What an optimizer had, what it was given, and by whom."""

    original: tuple
    applied: tuple
    owner: object


# Optimizers whose settings are changed now. A fit that dies leaves its entry
# here, so that no later callback takes the clipped settings for the originals.
_changed = weakref.WeakKeyDictionary()


class GradientClipping(StatefulCallback):
    """Clips gradients during one `fit`, whatever the model was compiled with.

    Clipping keeps one bad batch from ruining the weights. In Keras it is an
    argument of the optimizer, read when the training step is traced; this
    callback adds it to a compiled and even already trained model, from the next
    step on, and takes it away afterwards.

    ```
    clipnorm:        g * min(1, clipnorm / ||g||)   for the gradient g of each weight
    clipvalue:       clip(g, -clipvalue, clipvalue) elementwise
    global_clipnorm: g * min(1, global_clipnorm / ||G||), G all gradients together
    adaptive:        clipnorm of each unit at clip_factor * max(||w||, 0.001)
    percentile:      global_clipnorm at the percentile of the last norms ||G||
    ```

    Exactly one of the three norms or a mode is given. The modes, which have no
    absolute limit to be chosen, are those of `optimizers.AdaptiveClip` and
    `PercentileClip`; they need a model compiled with `optimizers.GradientTransform`
    and clip before the optimizer's own settings, which stay.

    The clipping is done by the optimizer itself, inside the compiled training step:
    after loss scaling is undone and accumulated gradients are averaged. It reaches
    through `LossScaleOptimizer` and `MultiOptimizer`; the norm `||G||` is then that of
    each optimizer's own gradients. Clip settings of the optimizer are set aside during
    the fit and come back at its end. Both ends rebuild the training step, which costs
    one compilation each.

    If the fit is stopped by an exception, Keras does not call the end of training
    and the optimizer stays clipped: the next fit with a `GradientClipping` still
    knows the original settings, and `restore()` brings them back at once. A model
    saved during the fit carries the clipping in the config of its optimizer.

    Reference:

    - [Pascanu et al., 2013, On the difficulty of training recurrent neural
      networks](https://arxiv.org/abs/1211.5063)

    Args:
        clipnorm: Largest norm of the gradient of each weight, greater than 0.
        clipvalue: Largest absolute value in a gradient, greater than 0.
        global_clipnorm: Largest norm of all gradients together, greater than 0.
        mode: `"adaptive"` or `"percentile"`. Defaults to `None`.
        clip_factor: Largest ratio of the norms of a unit's gradient and weights in
            mode `"adaptive"`, greater than 0. Defaults to `0.01`.
        percentile: Percentile of the norms in mode `"percentile"`, in [0, 100].
            Defaults to `10.0`.
        window: Number of norms that mode `"percentile"` remembers, at least 1.
            Defaults to `1000`.

    Raises:
        ValueError: If not exactly one way is given or an argument is out of its
            range; in `fit`, if two objects of this class are among the callbacks.
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

    _state_names = ("original",)

    def __init__(
        self,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        mode=None,
        clip_factor=0.01,
        percentile=10.0,
        window=1000,
    ):
        super().__init__()
        given = dict(zip(_NAMES, (clipnorm, clipvalue, global_clipnorm), strict=True))
        if sum(value is not None for value in (*given.values(), mode)) != 1:
            checks.fail(
                "Exactly one of `clipnorm`, `clipvalue`, `global_clipnorm` and `mode` "
                "must be given",
                **given,
                mode=mode,
            )
        self.mode = checks.choice("mode", mode, (None, "adaptive", "percentile"))
        self.clip_factor = checks.real("clip_factor", clip_factor, low=0, low_open=True)
        self.percentile = checks.real("percentile", percentile, low=0, high=100)
        self.window = checks.integer("window", window, low=1)
        arguments = {
            "adaptive": {"clip_factor": self.clip_factor},
            "percentile": {"percentile": self.percentile, "window": self.window},
        }
        self._passing = PassingClip(self, mode, arguments.get(mode))
        for name, value in given.items():
            value = checks.real(name, value, low=0, low_open=True, optional=True)
            setattr(self, name, value)
        self._original = None
        self._clipped = None  # model and its optimizers, as long as they are clipped

    def get_state(self):
        if self._passing.in_use:
            self.model  # noqa: B018 - on JAX: the variables get their values
        self._passing.remember()
        return {**super().get_state(), "norms": dict(self._passing.memory)}

    def set_state(self, state):
        checks.instance("state", state, dict)
        state = dict(state)
        norms = state.pop("norms", {})
        super().set_state(state)
        self._passing.memory = dict(norms)

    def on_train_begin(self, logs=None):
        model = self.model
        if self.mode is not None:
            self._passing.add(model)
            return
        self._unclip()  # what a fit that failed has left behind
        optimizers = _clippable_optimizers(model)
        self._refuse_second(optimizers)
        original = [_own_settings(leaf) for leaf in optimizers]
        if self._original is not None and len(self._original) == len(optimizers):
            # A resumed run: the loaded optimizer was saved with our settings.
            original = [
                tuple(before) if now == self._settings() else now
                for before, now in zip(self._original, original, strict=True)
            ]
        for leaf, values in zip(optimizers, original, strict=True):
            _write(leaf, self._settings())
            _changed[leaf] = _Change(values, self._settings(), weakref.ref(self))
        self._original = [list(values) for values in original]
        self._clipped = (model, optimizers)
        model.make_train_function(force=True)

    def on_train_end(self, logs=None):
        self.restore()

    def restore(self):
        """Gives the optimizers their own settings back, after a fit that failed.

        Does nothing where they are in place, as after a fit that ended normally.
        """
        self._unclip()
        self._original = None

    def _unclip(self):
        self._passing.remove()
        if self._clipped is None:
            return
        model, optimizers = self._clipped
        self._clipped = None
        for leaf in optimizers:
            change = _changed.get(leaf)
            if change is not None and change.owner() is self:
                del _changed[leaf]
                if _read(leaf) == change.applied:  # else somebody set them anew
                    _write(leaf, change.original)
        model.make_train_function(force=True)

    def _settings(self):
        return tuple(getattr(self, name) for name in _NAMES)

    def _refuse_second(self, optimizers):
        """Callbacks of one fit share `params`, which tells them from older ones."""
        for leaf in optimizers:
            owner = _changed[leaf].owner() if leaf in _changed else None
            if owner is None or self.params is None or owner.params is not self.params:
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
    """The settings of an optimizer, even if a fit that failed left it clipped."""
    change, now = _changed.get(optimizer), _read(optimizer)
    return change.original if change and now == change.applied else now


def _clippable_optimizers(model):
    optimizers = updating_optimizers(model, "GradientClipping")
    for optimizer in optimizers:
        if not all(hasattr(optimizer, name) for name in _NAMES):
            checks.fail(
                "GradientClipping needs an optimizer with the clip settings of "
                "keras.optimizers.Optimizer",
                error=TypeError,
                optimizer=optimizer,
            )
    return optimizers
