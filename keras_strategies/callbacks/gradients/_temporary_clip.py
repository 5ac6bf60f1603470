"""Gradient clipping by a transform that an optimizer has for one fit."""

import weakref
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    track_unsaved_state,
    untrack_unsaved_state,
    updated_variables,
)
from keras_strategies.optimizers.adaptive_clip import AdaptiveClip
from keras_strategies.optimizers.gradient_transform import GradientTransform
from keras_strategies.optimizers.percentile_clip import PercentileClip

# {optimizer: TemporaryClip}; a fit that raises leaves its entry here.
_active = weakref.WeakKeyDictionary()


class TemporaryClip:
    """Adds `AdaptiveClip` or `PercentileClip` to a model's GradientTransform.

    `memory` has the values of the transform's variables, kept from fit to fit.
    """

    def __init__(
        self,
        owner: keras.callbacks.Callback,
        mode: str | None,
        arguments: Mapping[str, Any] | None,
    ):
        self.owner, self.mode, self.arguments = weakref.ref(owner), mode, arguments
        self.memory: dict[str, np.ndarray] = {}
        self._installed = None

    def add(self, model: keras.Model) -> None:
        """Adds the transform and rebuilds the train function."""
        self.remove()
        optimizer, outer = _gradient_transform(model.optimizer, self.mode)
        self._refuse_second(optimizer)
        if not optimizer.built:
            model.optimizer.build(model.trainable_variables)
        cls = {"adaptive": AdaptiveClip, "percentile": PercentileClip}[self.mode]
        transform, store = cls(**self.arguments), _VariableStore(optimizer, self.memory)
        transform.attach(store, updated_variables(optimizer))
        # JAX keeps only variables that the optimizer tracks. They must not be saved: a
        # file with more variables than the loaded optimizer has loses all of them.
        track_unsaved_state(optimizer, list(store.variables.values()), outer)
        optimizer.add_temporary(transform)
        self._installed = (model, optimizer, outer, transform, store.variables)
        _active[optimizer] = self
        model.make_train_function(force=True)

    @property
    def is_installed(self) -> bool:
        """Whether an optimizer has the transform now."""
        return self._installed is not None

    def read_memory(self) -> None:
        """Copies the values of the transform's variables to `memory`."""
        if self._installed is not None:
            variables = self._installed[-1]
            self.memory = {
                name: np.array(keras.ops.convert_to_numpy(variable))
                for name, variable in variables.items()
            }

    def remove(self) -> None:
        """Removes the transform, if an optimizer has it, and rebuilds the step."""
        if self._installed is None:
            return
        self.read_memory()
        model, optimizer, outer, transform, variables = self._installed
        self._installed = None
        optimizer.remove_temporary(transform)
        untrack_unsaved_state(optimizer, list(variables.values()), outer)
        _active.pop(optimizer, None)
        model.make_train_function(force=True)

    def _refuse_second(self, optimizer):
        previous = _active.get(optimizer)
        if previous is None:
            return
        first, second = previous.owner(), self.owner()
        previous.remove()
        # The callbacks of one fit share the `params` dict.
        if first is not None and first.params is second.params is not None:
            checks.fail(
                "Only one GradientClipping can be among the callbacks of a fit",
                fix="Leave one out.",
                first=previous.mode,
                second=self.mode,
            )


class _VariableStore:
    """Creates the variables of a transform in place of the optimizer.

    They begin with the values in `memory`, if it has them.
    """

    def __init__(self, optimizer, memory):
        self.name, self.variables, self._memory = optimizer.name, {}, memory

    def add_variable(self, shape, dtype, name):
        value = self._memory.get(name)
        value = np.zeros(shape) if value is None else value
        if np.shape(value) != tuple(shape):
            checks.fail(
                f"`window` must be that of the state, {np.shape(value)}",
                fix="Use the same arguments as in the run before.",
                window=shape,
            )
        self.variables[name] = keras.Variable(
            value,
            dtype=dtype,
            trainable=False,
            aggregation="only_first_replica",
            name=name,
        )
        return self.variables[name]


def _gradient_transform(optimizer, mode):
    """The GradientTransform in an optimizer, and the optimizers around it."""
    outer, outermost = [], optimizer
    while optimizer is not None:
        if isinstance(optimizer, GradientTransform):
            return optimizer, outer
        outer.insert(0, optimizer)
        optimizer = getattr(optimizer, "inner_optimizer", None)
    name = {"adaptive": "AdaptiveClip", "percentile": "PercentileClip"}[mode]
    return checks.fail(
        f"GradientClipping(mode={mode!r}) needs a model compiled with "
        "optimizers.GradientTransform, because the optimizers of Keras do not show "
        "the weights when they clip",
        fix=f"Compile with optimizers.GradientTransform({outermost.name!r}, "
        f"[optimizers.{name}()]), which clips by itself, or with any other transform "
        "in it.",
        error=TypeError,
        optimizer=type(outermost).__name__,
    )
