"""Gradual unfreezing of layers, from the head to the input."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import updated_variables
from keras_strategies._internal.select import (
    Selection,
    Selector,
    exact_pattern,
    weight_targets,
)
from keras_strategies._internal.traversal import optimizer_paths
from keras_strategies.callbacks._common.optimizers import (
    need_built,
    updating_optimizers,
)
from keras_strategies.callbacks._common.stateful_callback import StatefulCallback
from keras_strategies.optimizers.freeze import Freeze
from keras_strategies.optimizers.gradient_transform import GradientTransform


class GradualUnfreezing(StatefulCallback):
    """Unfreezes layers from the head to the input, some at each scheduled epoch.

    Fine-tuning all layers of a pre-trained model at once can destroy its features; the
    new head should be trained first. The weights are frozen by a mask in the optimizer,
    so that nothing is compiled or traced again and the optimizer keeps its moments,
    unlike with a change of `trainable`. The mask is saved with the model: a resumed
    training continues where it was.

    The model must be compiled with `GradientTransform` and `Freeze`, which selects the
    weights that are frozen at first.

    Reference:

    - [Howard and Ruder, 2018, Universal Language Model Fine-tuning for Text
      Classification](https://arxiv.org/abs/1801.06146)

    Args:
        schedule: Dict from an epoch, from 0, to the weights to unfreeze at its
            beginning: a regular expression searched in their paths
            (`"backbone/conv_1/kernel"`), a layer, a variable, a function of their layer
            that returns a boolean, or a list of these.
        exclude: Weights that stay frozen, in the same form; it wins over `schedule`.
            Defaults to `None`.

    Raises:
        TypeError: If `schedule` or `exclude` has another form.
        ValueError: If an epoch is negative; in `fit`, if the optimizer cannot freeze
            or an entry of `schedule` or `exclude` matches no trainable weight.

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
    freeze = optimizers.Freeze(["backbone/"])
    optimizer = optimizers.GradientTransform("adam", [freeze])
    model.compile(optimizer, loss="mse")
    unfreezing = callbacks.GradualUnfreezing({2: "backbone/"})
    x, y = np.ones((8, 8)), np.ones((8, 2))
    model.fit(x, y, epochs=2, callbacks=[unfreezing], verbose=0)
    print(len(optimizer.frozen()))  # 2: kernel and bias of the backbone
    model.fit(x, y, initial_epoch=2, epochs=3, callbacks=[unfreezing], verbose=0)
    print(len(optimizer.frozen()))  # 0
    ```
    """

    def __init__(
        self, schedule: Mapping[int, Selector], exclude: Selector | None = None
    ):
        super().__init__()
        checks.instance(
            "schedule",
            schedule,
            Mapping,
            fix='For example {1: "block_2/", 3: "block_1/"}.',
        )
        self.schedule: dict[int, Selector] = dict(schedule)
        self.exclude: Selector | None = exclude
        self._selections = {
            checks.integer("epoch in `schedule`", epoch, low=0): Selection(
                selector, exclude, names=("schedule", "exclude")
            )
            for epoch, selector in schedule.items()
        }
        self._patterns = []  # [(epoch, optimizer, regular expression)] during a fit

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        need_built(model, "GradualUnfreezing")
        updating_optimizers(model, self)
        optimizers = _freezing_optimizers(model.optimizer)
        if not optimizers:
            checks.fail(
                "GradualUnfreezing needs an optimizer that can freeze",
                fix="Compile with optimizers.GradientTransform(optimizer, "
                "[optimizers.Freeze([...])]).",
                optimizer=model.optimizer.name,
            )
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        trainable = {id(variable) for variable in model.trainable_variables}
        targets = [t for t in weight_targets(model) if id(t.item) in trainable]
        self._patterns = []
        for epoch, selection in self._selections.items():
            chosen = {id(target.item) for target in selection.choose(targets, "weight")}
            for optimizer in optimizers:
                # A MultiOptimizer gives each optimizer some of the variables.
                variables = [v for v in updated_variables(optimizer) if id(v) in chosen]
                if variables:
                    pattern = exact_pattern(variables)
                    self._patterns.append((epoch, optimizer, pattern))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # All entries that are due, as a resumed fit may begin after their epochs.
        due = [entry for entry in self._patterns if entry[0] <= epoch]
        if not due:
            return
        _ = self.model  # On JAX it writes the trained values back into the variables.
        for _, optimizer, pattern in due:
            optimizer.unfreeze(pattern)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._patterns = []


def _freezing_optimizers(
    optimizer: keras.optimizers.Optimizer,
) -> list[GradientTransform]:
    """The optimizers in `optimizer` that have a mask of frozen weights."""
    return [
        item
        for path in optimizer_paths(optimizer)
        for item in path
        if isinstance(item, GradientTransform)
        and any(isinstance(transform, Freeze) for transform in item.transforms)
    ]
