"""Layers that thaw one after another."""

from keras_strategies._internal import checks
from keras_strategies._internal.select import Selection, entries, variable_targets
from keras_strategies._internal.walking import optimizer_paths
from keras_strategies.callbacks._base import StatefulCallback
from keras_strategies.optimizers.freeze import Freeze
from keras_strategies.optimizers.gradient_transform import GradientTransform


class GradualUnfreezing(StatefulCallback):
    """Unfreezes layers from the head to the input, an epoch at a time.

    Fine-tuning all of a pre-trained model at once can destroy what it knows; the new
    head should learn first. The weights are frozen by a mask in the optimizer, so that
    nothing is compiled or traced again and the optimizer keeps its moments, which
    changing `trainable` does not. The mask is saved with the model: a resumed training
    goes on where it was.

    The model must be compiled with `GradientTransform` and `Freeze`, which says what
    is frozen at first.

    Reference:

    - [Howard and Ruder, 2018, Universal Language Model Fine-tuning for Text
      Classification](https://arxiv.org/abs/1801.06146)

    Args:
        schedule: Dict from an epoch, from 0, to what thaws when it begins: a regular
            expression that is searched in the paths of the variables, a layer, or a
            list of them.

    Raises:
        TypeError: If `schedule` is no dict of that sort.
        ValueError: If an epoch is negative; in `fit`, if the optimizer cannot freeze
            or something in `schedule` names no variable.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks, optimizers

    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(4, name="backbone"),
            keras.layers.Dense(2, name="head"),
        ]
    )
    freeze = optimizers.Freeze("backbone/")
    optimizer = optimizers.GradientTransform("adam", [freeze])
    model.compile(optimizer, loss="mse")
    thaw = callbacks.GradualUnfreezing({2: "backbone/"})
    x, y = np.ones((8, 8)), np.ones((8, 2))
    model.fit(x, y, epochs=2, callbacks=[thaw], verbose=0)
    print(len(optimizer.frozen()))  # 2: kernel and bias of the backbone
    model.fit(x, y, initial_epoch=2, epochs=3, callbacks=[thaw], verbose=0)
    print(len(optimizer.frozen()))  # 0
    ```
    """

    def __init__(self, schedule):
        super().__init__()
        checks.instance(
            "schedule",
            schedule,
            dict,
            fix='For example {1: "block_2/", 3: "block_1/"}.',
        )
        self.schedule = {}
        for epoch, named in schedule.items():
            checks.integer("epoch in `schedule`", epoch, low=0)
            named = list(named) if isinstance(named, (list, tuple)) else [named]
            entries("schedule", named)
            self.schedule[int(epoch)] = named
        self._optimizers = ()

    def on_train_begin(self, logs=None):
        model = self.model
        self._optimizers = _freezing(model.optimizer)
        if not self._optimizers:
            checks.fail(
                "GradualUnfreezing needs an optimizer that can freeze",
                fix="Compile with optimizers.GradientTransform(optimizer, "
                "[optimizers.Freeze(...)]).",
                optimizer=model.optimizer.name,
            )
        if not model.optimizer.built:
            if not model.built:
                checks.fail(
                    "GradualUnfreezing needs a built model, to know its weights",
                    fix="Give the model an Input, or call model.build() before fit().",
                    model=model.name,
                )
            model.optimizer.build(model.trainable_variables)
        targets = variable_targets(model.trainable_variables)
        for named in self.schedule.values():
            Selection(named, names=("schedule", "exclude")).check_used(
                targets, "variable"
            )

    def on_epoch_begin(self, epoch, logs=None):
        due = [
            where
            for first, named in self.schedule.items()
            if first <= epoch
            for where in named
        ]
        if not due:
            return
        _ = self.model  # JAX: the variables get their current values
        for optimizer in self._optimizers:
            for where in due:
                optimizer.unfreeze(where)

    def on_train_end(self, logs=None):
        self._optimizers = ()


def _freezing(optimizer):
    """The optimizers in `optimizer` that have a mask of frozen weights."""
    return [
        item
        for path in optimizer_paths(optimizer)
        for item in path
        if isinstance(item, GradientTransform)
        and any(isinstance(transform, Freeze) for transform in item.transforms)
    ]
