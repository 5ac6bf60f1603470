"""The optimizers that a callback acts on."""

import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    build_for_fit,
    iterations_variable,
    nested_optimizers,
)
from keras_strategies._internal.traversal import base_optimizers
from keras_strategies.callbacks._common.siblings import siblings

#: An optimizer, the name of a model's attribute that is one, or a list of these.
OptimizerLike: TypeAlias = keras.optimizers.Optimizer | str
OptimizerArgument: TypeAlias = OptimizerLike | Sequence[OptimizerLike] | None


def validate_optimizer(optimizer: OptimizerArgument) -> OptimizerArgument:
    """Checks the argument `optimizer` of a callback."""
    items = optimizer if isinstance(optimizer, list | tuple) else [optimizer]
    for item in items:
        if not isinstance(item, keras.optimizers.Optimizer | str) and (
            optimizer is not None
        ):
            checks.fail(
                "`optimizer` must be an optimizer, the name of an attribute of the "
                "model that is one, or a list of these",
                error=TypeError,
                optimizer=optimizer,
            )
    if not items:
        checks.fail("`optimizer` must have at least one item", optimizer=optimizer)
    return optimizer


class ActedOn:
    """The optimizers that one callback acts on: the model's, or those it was given.

    A model with a training step of its own, as a GAN, may leave `model.optimizer`
    idle: acting on it would do nothing, without a word. So `begin` warns if the
    model has others in its attributes, and `end_epoch` if it made no step.

    Args:
        callback: The callback.
        optimizer: Its argument `optimizer`.
    """

    def __init__(
        self, callback: keras.callbacks.Callback, optimizer: OptimizerArgument = None
    ):
        self.owner: str = type(callback).__name__
        self._callback = callback
        self.optimizer: OptimizerArgument = validate_optimizer(optimizer)
        self._steps: list[float] | None = None
        self._warned = False

    @property
    def is_model_optimizer(self) -> bool:
        """Whether these are `model.optimizer`, as nothing else was said."""
        return self.optimizer is None

    def roots(self, model: keras.Model) -> list[Any]:
        """Returns the optimizers as they are named, with what is inside them.

        Raises:
            TypeError: If a name is not that of an optimizer.
            ValueError: If the model has no optimizer.
        """
        if self.optimizer is None:
            if getattr(model, "optimizer", None) is None:
                names = list(other_optimizers(model))
                checks.fail(
                    f"{self.owner} needs a model with an optimizer",
                    fix=f"Give `optimizer`, one or more of {names}."
                    if names
                    else "Compile the model, or give `optimizer`.",
                    optimizer=None,
                )
            return [model.optimizer]
        items = self.optimizer
        items = list(items) if isinstance(items, list | tuple) else [items]
        return [
            self._named(model, item) if isinstance(item, str) else item
            for item in items
        ]

    def _named(self, model, name):
        optimizer = getattr(model, name, None)
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            checks.fail(
                f"`optimizer` of {self.owner} must name an attribute of the model that "
                "is an optimizer",
                fix=f"This model has {['optimizer', *other_optimizers(model)]}.",
                error=TypeError,
                optimizer=name,
            )
        return optimizer

    def existing(self, model: keras.Model) -> list[keras.optimizers.Optimizer]:
        """Returns those of `updating` that are there without building any."""
        leaves = [leaf for root in self.roots(model) for leaf in base_optimizers(root)]
        return [leaf for leaf in leaves if not hasattr(leaf, "optimizers")]

    def updating(self, model: keras.Model) -> list[keras.optimizers.Optimizer]:
        """Returns the optimizers below these that update variables."""
        found: list[keras.optimizers.Optimizer] = []
        for root in self.roots(model):
            leaves = base_optimizers(root)
            # A MultiOptimizer that is configured by a function creates its optimizers
            # in `build`; before that its list is empty.
            if any(hasattr(leaf, "optimizers") for leaf in leaves):
                self.build(model, root)
                leaves = base_optimizers(root)
            found.extend(leaf for leaf in leaves if all(leaf is not f for f in found))
        return found

    def build(self, model: keras.Model, root: Any) -> None:
        """Builds one of `roots` if it is not built yet.

        Raises:
            ValueError: If that is not possible before the first step.
        """
        if root.built:
            return
        if root is not model.optimizer:
            checks.fail(
                f"{self.owner} needs an optimizer that is built, to know its weights",
                fix="Call optimizer.build(variables) before fit(), with the variables "
                "that it updates.",
                optimizer=root.name,
            )
        need_built(model, self.owner)
        if not root.built:
            root.build(model.trainable_variables)

    def log_name(self, model: keras.Model, name: str) -> str:
        """Returns the name of a log entry, with the optimizers' if they were given.

        So that two callbacks of one class, for two optimizers, log two entries.
        """
        if self.is_model_optimizer:
            return name
        return "_".join([name, *(root.name for root in self.roots(model))])

    def begin(self, model: keras.Model) -> None:
        """Prepares for a fit; warns if it is not clear which optimizer is meant."""
        self._steps, self._warned = None, False
        others = other_optimizers(model) if self.is_model_optimizer else {}
        if others:
            self._warned = True
            warnings.warn(
                f"{self.owner} acts on model.optimizer ({model.optimizer.name}) only. "
                f"This model has others: {', '.join(others)}. Give `optimizer`, one or "
                "more of their names, or 'optimizer' if that is what you mean.",
                stacklevel=3,
            )

    def begin_epoch(self, model: keras.Model) -> None:
        """Notes how many steps were made; `model` must be in sync."""
        if self._steps is None and not self._warned:
            self._steps = self._counts(model)

    def end_epoch(self, model: keras.Model) -> None:
        """Warns once if none of the optimizers made a step in the first epoch."""
        if self._steps is None or self._warned:
            return
        self._warned = True
        # A roll-back takes steps back that were made.
        rolled_back = any(getattr(c, "retries", 0) for c in siblings(self._callback))
        if self._steps == self._counts(model) and not rolled_back:
            names = ", ".join(root.name for root in self.roots(model))
            warnings.warn(
                f"{self.owner} acts on an optimizer that made no step in this epoch: "
                f"{names}. If the training step of the model uses others, give "
                "`optimizer`.",
                RuntimeWarning,
                stacklevel=3,
            )

    def _counts(self, model):
        counters = [iterations_variable(leaf) for leaf in self.existing(model)]
        # A step that loss scaling skips is one, and changes the scale.
        kind = keras.optimizers.LossScaleOptimizer
        scaled = [root for root in self.roots(model) if isinstance(root, kind)]
        counters += [root.dynamic_scale for root in scaled if root.built]
        return [float(keras.ops.convert_to_numpy(counter)) for counter in counters]


def other_optimizers(model: keras.Model) -> dict[str, keras.optimizers.Optimizer]:
    """Returns `{attribute: optimizer}` of those that are not in `model.optimizer`."""
    optimizer = getattr(model, "optimizer", None)
    own = {id(item) for item in nested_optimizers(optimizer)}
    return {
        name: value
        for name, value in list(vars(model).items())
        if isinstance(value, keras.optimizers.Optimizer)
        and id(value) not in own
        and not name.startswith("_")
    }


def all_optimizers(model: keras.Model, more: Sequence[Any] = ()) -> list[Any]:
    """Returns the outermost optimizers: the model's, those in attributes, more."""
    found: list[Any] = []
    for item in (model.optimizer, *other_optimizers(model).values(), *more):
        inside = [id(i) for root in found for i in nested_optimizers(root)]
        if item is not None and id(item) not in inside:
            found.append(item)
    return found


def need_built(model: keras.Model, callback_name: str) -> None:
    """Builds a model that `fit` builds in its first step only, or raises."""
    if not model.built and not build_for_fit(model):
        checks.fail(
            f"{callback_name} needs a built model, to know its weights",
            fix="Give the model an Input, or call model.build() before fit().",
            model=model.name,
        )
