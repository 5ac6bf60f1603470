"""What constraints that follow every update of a weight have in common."""

import threading
import weakref

import keras

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.walking import all_layers, base_optimizers


class UpdateConstraint(keras.constraints.Constraint):
    """A constraint that also knows the value of its weight before the update.

    Subclasses give `purpose` and `state` (words for messages), `remembered(value)`
    (what to keep of the value before) and `update(weight, before, optimizer)` (the
    value after). The value before the update comes from `watch_updates`.
    """

    purpose = state = ""

    def __init__(self, model, weight):
        self.original = weight.constraint
        self.path = weight.path
        self._model = weakref.ref(model)
        # One value a thread: replicas of tf.distribute take turns in threads.
        self._before = threading.local()

    def attach(self, weight):
        weight.constraint = self
        keras_private.watch_updates(weight, self._remember)

    def detach(self, weight):
        keras_private.unwatch_updates(weight)
        weight.constraint = self.original

    def start(self):
        """Called when an optimizer starts an update, perhaps more than once."""

    def _remember(self, weight):
        # A wrapper such as LossScaleOptimizer looks at the weight before it hands
        # its value to the inner optimizer, whose own look comes later.
        known = not keras_private.is_frozen_by_scope(weight)
        self._before.value = self.remembered(weight.value) if known else None
        self.start()

    def __call__(self, weight):
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


def rebuild_train_function(model):
    """A training step that was traced does not notice a change of constraints."""
    if getattr(model, "train_function", None) is not None:
        model.make_train_function(force=True)


def constrained_weights(model):
    """The weights of a model that are being pruned or clustered, every one once."""
    held = {}
    for layer in [model, *all_layers(model)]:
        for weight in layer.weights:
            if isinstance(weight.constraint, UpdateConstraint):
                held[id(weight)] = weight
    return list(held.values())


def check_free(pairs):
    """Refuses weights that are pruned or clustered already."""
    taken = {}
    for _, weight in pairs:
        if isinstance(weight.constraint, UpdateConstraint):
            taken.setdefault(weight.constraint.state, []).append(weight.path)
    if taken:
        checks.fail(
            "A weight must not be pruned or clustered twice or both at once",
            fix="Call `strip(model)` first (zeros then stay with `cluster(model, n, "
            "preserve_sparsity=True)`), or leave them out with `exclude`.",
            **taken,
        )
