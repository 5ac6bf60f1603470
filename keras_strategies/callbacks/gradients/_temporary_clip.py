"""Gradient clipping by a transform that an optimizer has for one fit."""

import weakref
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.kept_parts import give_back_part, take_part
from keras_strategies._internal.keras_private import (
    changed_step,
    sync_state,
    track_unsaved_state,
    untrack_unsaved_state,
    updated_variables,
)
from keras_strategies._internal.weights.values import host_value
from keras_strategies.callbacks._common.optimizers import ActedOn
from keras_strategies.callbacks._common.siblings import are_in_one_fit
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
        acted: ActedOn,
        mode: str | None,
        arguments: Mapping[str, Any] | None,
    ):
        self.owner, self.mode, self.arguments = weakref.ref(owner), mode, arguments
        self._acted = acted
        self.memory: dict[str, np.ndarray] = {}
        self._installed = None  # [(model, optimizer, outer, transform, variables)]

    def add(self, model: keras.Model) -> None:
        """Adds the transform, to the training step too."""
        self.remove()
        entries = []
        for root in self._acted.roots(model):
            optimizer, outer = _gradient_transform(root, self.mode)
            self._refuse_second(optimizer)
            self._acted.build(model, root)
            entries.append((model, optimizer, outer, *self._transform(optimizer)))
        with changed_step(model, self._acted.roots(model)):
            for _, optimizer, outer, transform, variables in entries:
                # JAX keeps only variables that the optimizer tracks. They must not be
                # saved: a file with more variables than the loaded optimizer has loses
                # all of them.
                track_unsaved_state(optimizer, list(variables.values()), outer)
                optimizer.add_temporary(transform)
                _active[optimizer] = self
            self._installed = entries

    def _transform(self, optimizer):
        """The transform for an optimizer, and its variables with what they remember."""
        weights = updated_variables(optimizer)

        def make():
            cls = {"adaptive": AdaptiveClip, "percentile": PercentileClip}[self.mode]
            transform, store = cls(**self.arguments), _VariableStore(optimizer.name)
            transform.attach(store, weights)
            return transform, store.variables

        transform, variables = take_part(optimizer, self._part(optimizer), make)
        self._write_memory(optimizer, variables)
        return transform, variables

    def _part(self, optimizer):
        """All that a transform depends on."""
        ids = tuple(id(weight) for weight in updated_variables(optimizer))
        return self.mode, tuple(self.arguments.items()), ids

    def _write_memory(self, optimizer, variables):
        """Sets the variables to what is remembered, or to zeros."""
        for name, variable in variables.items():
            value = self.memory.get(self._key(optimizer, name))
            value = np.zeros(variable.shape) if value is None else value
            if np.shape(value) != tuple(variable.shape):
                checks.fail(
                    f"`window` must be that of the state, {np.shape(value)}",
                    fix="Use the same arguments as in the run before.",
                    window=tuple(variable.shape),
                )
            variable.assign(value)

    def _key(self, optimizer, name):
        """The name of a variable in the memory, with that of a given optimizer."""
        if self._acted.is_model_optimizer:
            return name
        return f"{optimizer.name}/{name}"

    @property
    def is_installed(self) -> bool:
        """Whether an optimizer has the transform now."""
        return self._installed is not None

    def read_memory(self) -> None:
        """Copies the values of the transform's variables to `memory`."""
        if self._installed is not None:
            sync_state(self._installed[0][0])
            self.memory = {
                self._key(optimizer, name): host_value(variable)
                for _, optimizer, _, _, variables in self._installed
                for name, variable in variables.items()
            }

    def set_memory(self, memory: Mapping[str, np.ndarray]) -> None:
        """Replaces `memory`, also in the variables of a running fit."""
        self.memory = dict(memory)
        if self._installed is not None:
            sync_state(self._installed[0][0])
            for _, optimizer, _, _, variables in self._installed:
                self._write_memory(optimizer, variables)

    def remove(self) -> None:
        """Removes the transform, if an optimizer has it, and from the step."""
        if self._installed is None:
            return
        self.read_memory()
        model = self._installed[0][0]
        with changed_step(model, [entry[1] for entry in self._installed]):
            for _, optimizer, outer, transform, variables in self._installed:
                optimizer.remove_temporary(transform)
                untrack_unsaved_state(optimizer, list(variables.values()), outer)
                _active.pop(optimizer, None)
                part = transform, variables
                give_back_part(optimizer, self._part(optimizer), part)
            self._installed = None

    def _refuse_second(self, optimizer):
        previous = _active.get(optimizer)
        if previous is None:
            return
        first, second = previous.owner(), self.owner()
        previous.remove()
        if are_in_one_fit(first, second):
            checks.fail(
                "Only one GradientClipping can be among the callbacks of a fit",
                fix="Leave one out.",
                first=previous.mode,
                second=self.mode,
            )


class _VariableStore:
    """Creates the variables of a transform in place of the optimizer."""

    def __init__(self, name):
        self.name, self.variables = name, {}

    def add_variable(self, shape, dtype, name):
        self.variables[name] = keras.Variable(
            np.zeros(shape),
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
