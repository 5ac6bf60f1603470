"""Base class of constraints that follow every update of a weight."""

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import bases, checks, keras_private
from keras_strategies._internal.traversal import all_layers, base_optimizers


class UpdateConstraint(bases.Constraint):
    """A constraint that also knows the value of its weight before the update.

    Keras calls a constraint inside the training step, right after the optimizer has
    updated the weight. This is the only hook that is part of the compiled step on
    every backend, so the result does not depend on XLA or `steps_per_execution`.
    Constraints are not saved with a model: its file needs no custom class.

    Subclasses give `purpose` and `state` (words for messages), `remember(value)`
    (what to keep of the value before) and `update(weight, before, optimizer)` (the
    value after). The value before the update comes from `watch_updates`.
    """

    purpose = state = ""
    # Whether another constraint of this kind may take its place.
    is_replaceable = False
    # Whether zeros stay zeros.
    zeros = False

    def __init__(self, model: keras.Model, weight: keras.Variable) -> None:
        self.original = weight.constraint
        if is_replaceable(weight):
            self.original = weight.constraint.original
        self.path = weight.path
        # A strong reference would be a cycle: the model holds the weight.
        self._model = weakref.ref(model)
        # One value a thread: replicas of tf.distribute take turns in threads.
        self._before = threading.local()

    def attach(self, weight: keras.Variable) -> None:
        """Becomes the constraint of a weight, around the one it has."""
        if is_replaceable(weight):
            weight.constraint.detach(weight)
        weight.constraint = self
        keras_private.watch_updates(weight, self._remember)

    def detach(self, weight: keras.Variable) -> None:
        """Gives a weight its original constraint again."""
        keras_private.unwatch_updates(weight)
        weight.constraint = self.original

    def remember(self, value: Any) -> Any:
        """Returns what `update` needs of the value before an update."""
        raise NotImplementedError

    def update(self, weight: Any, before: Any, optimizer: Any) -> Any:
        """Returns the value of the weight after an update."""
        raise NotImplementedError

    def start(self) -> None:
        """Called when an optimizer starts an update, perhaps more than once."""

    def finish(self) -> None:
        """Called before the constraint is taken away."""

    def scalars(self, values: Any, step: int) -> dict[str, float]:
        """Figures of this constraint for TensorBoard, beside the sparsity.

        Args:
            values: The weight as a NumPy array.
            step: The optimizer step.
        """
        return {}

    def _remember(self, weight):
        # A wrapper such as LossScaleOptimizer looks at the weight before it hands
        # its value to the inner optimizer, which reads it again later.
        readable = not keras_private.is_frozen_by_scope(weight)
        self._before.value = self.remember(weight.value) if readable else None
        self.start()

    def __call__(self, weight: Any) -> Any:
        before = getattr(self._before, "value", None)
        if before is None:
            raise RuntimeError(
                f"The optimizer updated {self.path!r} in a way that {self.purpose} "
                "cannot follow. Use an optimizer of `keras.optimizers`, and its "
                "`apply`, `apply_gradients` or `stateless_apply`."
            )
        self._before.value = None
        return self.update(weight, before, self._optimizer(weight))

    def _optimizer(self, weight):
        """The compiled optimizer that updates `weight`, or `None`."""
        compiled = getattr(self._model(), "optimizer", None)
        if compiled is None:
            return None
        for optimizer in base_optimizers(compiled):
            if optimizer.built and keras_private.owns(optimizer, weight):
                return optimizer
        return None


def is_replaceable(weight: keras.Variable) -> bool:
    """Whether a weight is under a constraint of ours that another one may replace."""
    constraint = weight.constraint
    return isinstance(constraint, UpdateConstraint) and constraint.is_replaceable


def rebuild_train_function(model: keras.Model) -> None:
    """Traces the training step again: a traced one keeps the old constraints."""
    if getattr(model, "train_function", None) is not None:
        model.make_train_function(force=True)


def constrained_weights(model: keras.Model) -> list[keras.Variable]:
    """The weights of a model that are being pruned or clustered, every one once."""
    weights = {}
    for layer in [model, *all_layers(model)]:
        for weight in layer.weights:
            if isinstance(weight.constraint, UpdateConstraint):
                weights[id(weight)] = weight
    return list(weights.values())


def check_unconstrained(pairs: Sequence[tuple[Any, keras.Variable]]) -> None:
    """Refuses weights that are pruned or clustered already."""
    constrained: dict[str, list[str]] = {}
    for _, weight in pairs:
        constraint = weight.constraint
        if isinstance(constraint, UpdateConstraint) and not is_replaceable(weight):
            paths = constrained.setdefault(constraint.state, [])
            paths.append(weight.path)
    if constrained:
        checks.fail(
            "A weight must not be pruned or clustered twice or both at once",
            fix="Call `strip(model)` first (zeros then stay with `cluster(model, n, "
            "preserve_sparsity=True)`), or leave them out with `exclude`.",
            **constrained,
        )
