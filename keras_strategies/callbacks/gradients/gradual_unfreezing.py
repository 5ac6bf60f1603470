"""Gradual unfreezing of layers, from the head to the input."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_strategies._internal import checks, freezing, keras_private
from keras_strategies._internal.select import (
    Selection,
    Selector,
    exact_pattern,
    layer_targets,
)
from keras_strategies.callbacks._common.stateful_callback import StatefulCallback
from keras_strategies.optimizers.freeze import Freeze
from keras_strategies.optimizers.gradient_transform import GradientTransform


class GradualUnfreezing(StatefulCallback):
    """Unfreezes layers from the head to the input, some at each scheduled epoch.

    Fine-tuning all layers of a pre-trained model at once can destroy its features; the
    new head should be trained first. All layers of the schedule are frozen when `fit`
    begins, and each trains from its epoch on. Nothing of a frozen layer moves: weights,
    the statistics of BatchNormalization and the states of random generators stay bit
    for bit, and Dropout in it does not draw. The model is not compiled again; its
    optimizer keeps what it knows of all weights. Each epoch at which layers thaw has
    the training step traced once more.

    A layer that thaws works as in training, so that BatchNormalization in it adapts its
    statistics; to keep those for good, exclude these layers. What has not thawed when
    `fit` ends stays frozen, also in a saved model: the next `fit` with the callback
    and `initial_epoch` goes on, `training.unfreeze(model)` ends it.

    Layers whose weights an `optimizers.Freeze` of the model's optimizer holds are held
    with all they have, too, and are released where the schedule names them.

    Reference:

    - [Howard and Ruder, 2018, Universal Language Model Fine-tuning for Text
      Classification](https://arxiv.org/abs/1801.06146)

    Args:
        schedule: Dict from an epoch, from 0, to the layers that train from its
            beginning on, with all that is in them: a regular expression that is
            searched in their paths (such as `"^backbone/block_2"`), a layer or nested
            model, a function of a layer that returns a boolean, or a list of these.
            Of several epochs for a layer the first counts.
        exclude: Layers of those that stay frozen, in the same form. Defaults to `None`.

    Raises:
        TypeError: If `schedule` or `exclude` has another form.
        ValueError: If an epoch is negative; in `fit`, if a layer is not built or an
            entry of `schedule` or `exclude` matches no layer. The model is as before
            then.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(4, name="backbone"),
            keras.layers.Dense(2, name="head"),
        ]
    )
    model.compile("adam", loss="mse")
    unfreezing = callbacks.GradualUnfreezing({2: "backbone"})
    x, y = np.ones((8, 8)), np.ones((8, 2))
    model.fit(x, y, epochs=2, callbacks=[unfreezing], verbose=0)
    print(len(model.trainable_variables))  # 2: kernel and bias of the head
    model.fit(x, y, initial_epoch=2, epochs=3, callbacks=[unfreezing], verbose=0)
    print(len(model.trainable_variables))  # 4
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
            fix='For example {1: "block_2", 3: "block_1"}.',
        )
        self.schedule: dict[int, Selector] = dict(schedule)
        self.exclude: Selector | None = exclude
        names = ("schedule", "exclude")
        # Of each epoch: what it names, and what of that thaws.
        self._selections = {
            checks.integer("epoch in `schedule`", epoch, low=0): (
                Selection(selector, names=names),
                Selection(selector, exclude, names=names),
            )
            for epoch, selector in schedule.items()
        }
        self._held = []  # layers to freeze when the first epoch of a fit begins
        self._thawing = []  # [(epoch, layers)] that have not thawed yet

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        freezing.check_built(model)
        targets = layer_targets(model)
        held, epoch_of = {}, {}
        for epoch, (named, thawed) in sorted(self._selections.items()):
            held.update({id(t.item): t.item for t in named.choose(targets)})
            for target in thawed.choose(targets):
                epoch_of.setdefault(id(target.item), epoch)
        held.update({id(layer): layer for layer in _masked_layers(model, targets)})
        self._held = list(held.values())
        self._thawing = [
            (epoch, [held[key] for key, first in epoch_of.items() if first == epoch])
            for epoch in sorted(set(epoch_of.values()))
        ]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        due = [
            layer for first, part in self._thawing if first <= epoch for layer in part
        ]
        self._thawing = [entry for entry in self._thawing if entry[0] > epoch]
        if self._held:
            # In the first epoch: only now is it known which one it is.
            ids = {id(layer) for layer in due}
            later = [layer for layer in self._held if id(layer) not in ids]
            if later:
                freezing.freeze_layers(self.model, later)
            self._held = []
        due = [layer for layer in due if not _works(layer)]
        if due:
            freezing.unfreeze_layers(self.model, due)
            _release(self.model.optimizer, due)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._held, self._thawing = [], []


def _works(layer: keras.layers.Layer) -> bool:
    """Whether a layer is as in training already."""
    trainable, _ = keras_private.own_variables_of_layer(layer)
    trains = not trainable or freezing.trains(layer)
    return layer.trainable and trains and not freezing.is_frozen(layer)


def _masked_layers(model: keras.Model, targets: Any) -> list[keras.layers.Layer]:
    """The layers all of whose own weights an `optimizers.Freeze` holds.

    A mask of updates holds weights, and not the statistics that the layer collects.
    """
    optimizer = model.optimizer
    if hasattr(optimizer, "optimizers") or _masks(optimizer):
        # One of several may be known only when it is built, and a mask is made then.
        with keras_private.variables_scope(model):
            optimizer.build(model.trainable_variables)
    masks = _masks(optimizer)
    paths = {path for mask in masks for path in mask.frozen()}
    return [
        target.item
        for target in targets
        if (own := keras_private.own_variables_of_layer(target.item)[0])
        and all(variable.path in paths for variable in own)
    ]


def _release(optimizer: keras.optimizers.Optimizer, layers: list[Any]) -> None:
    """Takes layers that thaw out of the masks of the optimizers."""
    own = [
        v for layer in layers for v in keras_private.own_variables_of_layer(layer)[0]
    ]
    for mask in _masks(optimizer):
        frozen = set(mask.frozen())
        variables = [variable for variable in own if variable.path in frozen]
        if variables:
            mask.unfreeze(exact_pattern(variables))


def _masks(optimizer: keras.optimizers.Optimizer) -> list[GradientTransform]:
    """The optimizers in `optimizer` that have a mask of frozen weights."""
    return [
        item
        for item in keras_private.nested_optimizers(optimizer)
        if isinstance(item, GradientTransform)
        and any(isinstance(transform, Freeze) for transform in item.transforms)
    ]
