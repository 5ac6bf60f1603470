"""Clipping by a transform that is in the optimizer for one fit."""

import weakref

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    carry,
    stop_carrying,
    updated_variables,
)
from keras_strategies.optimizers.adaptive_clip import AdaptiveClip
from keras_strategies.optimizers.gradient_transform import GradientTransform
from keras_strategies.optimizers.percentile_clip import PercentileClip

# {optimizer: PassingClip}; a fit that dies leaves its entry here.
_present = weakref.WeakKeyDictionary()


class PassingClip:
    """Puts `AdaptiveClip` or `PercentileClip` into a model's GradientTransform.

    `memory` is what the transform knows: a dict of arrays, kept from fit to fit.
    """

    def __init__(self, owner, mode, arguments):
        self.owner, self.mode, self.arguments = weakref.ref(owner), mode, arguments
        self.memory = {}
        self._added = None

    def add(self, model):
        """Adds the transform; the train function must be traced once more."""
        self.remove()
        optimizer, around = _gradient_transform(model.optimizer, self.mode)
        self._refuse_second(optimizer)
        if not optimizer.built:
            model.optimizer.build(model.trainable_variables)
        cls = {"adaptive": AdaptiveClip, "percentile": PercentileClip}[self.mode]
        transform, keeper = cls(**self.arguments), _Keeper(optimizer.name, self.memory)
        transform.attach(keeper, updated_variables(optimizer))
        variables = list(keeper.variables.values())
        carry(optimizer, variables, around)
        optimizer.add_temporary(transform)
        self._added = (model, optimizer, around, transform, keeper.variables)
        _present[optimizer] = self
        model.make_train_function(force=True)

    @property
    def in_use(self):
        """Whether the transform is in an optimizer."""
        return self._added is not None

    def remember(self):
        """Reads what the transform knows from its variables."""
        if self._added is not None:
            variables = self._added[-1]
            self.memory = {
                name: np.array(keras.ops.convert_to_numpy(variable))
                for name, variable in variables.items()
            }

    def remove(self):
        """Takes the transform out, if it is in."""
        if self._added is None:
            return
        self.remember()
        model, optimizer, around, transform, variables = self._added
        self._added = None
        optimizer.remove_temporary(transform)
        stop_carrying(optimizer, list(variables.values()), around)
        _present.pop(optimizer, None)
        model.make_train_function(force=True)

    def _refuse_second(self, optimizer):
        other = _present.get(optimizer)
        if other is None:
            return
        owner, mine = other.owner(), self.owner()
        other.remove()
        if owner is not None and owner.params is mine.params is not None:
            checks.fail(
                "Only one GradientClipping can be among the callbacks of a fit",
                fix="Leave one out.",
                first=other.mode,
                second=self.mode,
            )


class _Keeper:
    """Makes the variables of a transform as the optimizer would, with a memory."""

    def __init__(self, name, memory):
        self.name, self.variables, self._memory = name, {}, memory

    def add_variable(self, shape, dtype, name):
        known = self._memory.get(name)
        value = np.zeros(shape) if known is None else known
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
    around, outer = [], optimizer
    while optimizer is not None:
        if isinstance(optimizer, GradientTransform):
            return optimizer, around
        around.insert(0, optimizer)
        optimizer = getattr(optimizer, "inner_optimizer", None)
    name = {"adaptive": "AdaptiveClip", "percentile": "PercentileClip"}[mode]
    return checks.fail(
        f"GradientClipping(mode={mode!r}) needs a model compiled with "
        "optimizers.GradientTransform, because the optimizers of Keras do not show "
        "the weights when they clip",
        fix=f"Compile with optimizers.GradientTransform({outer.name!r}, "
        f"[optimizers.{name}()]), which clips by itself, or with any other transform "
        "in it.",
        error=TypeError,
        optimizer=type(outer).__name__,
    )
