"""Numbers of an optimizer that change during a fit without another trace."""

import weakref

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import assign_optimizer_variables
from keras_strategies._internal.keras_private.callbacks import (
    hold_number,
    release_number,
)
from keras_strategies._internal.walking import optimizer_paths
from keras_strategies.callbacks._base import updating_optimizers
from keras_strategies.callbacks._position import PositionCallback
from keras_strategies.callbacks._values import checked_values, value_at

# {optimizer: {name: OptimizerNumbers}}; a fit that dies leaves its entry here.
_driven = weakref.WeakKeyDictionary()


class OptimizerNumbers:
    """One number of each optimizer below a model's, for the time of a fit.

    `pick(optimizer)` names the number, or raises.
    """

    def __init__(self, owner, pick, dtype=None):
        self.owner, self._pick, self._dtype = weakref.ref(owner), pick, dtype
        self._held = []  # (optimizer, name, outer, original, variable or None)
        self._model = None

    def hold(self, model):
        """Takes the numbers over; the train function must be traced once more."""
        self.release()
        updating_optimizers(model, type(self.owner()).__name__)
        if model.built and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        paths = optimizer_paths(model.optimizer)
        names = [self._pick(path[0]) for path in paths]
        for path, name in zip(paths, names, strict=True):
            self._refuse_second(path[0], name)
        self._model = model
        for (leaf, *outer), name in zip(paths, names, strict=True):
            original = getattr(leaf, name)
            variable = hold_number(leaf, name, outer, self._dtype or _dtype(model))
            self._held.append((leaf, name, outer, original, variable))
            _driven.setdefault(leaf, {})[name] = self
        model.make_train_function(force=True)

    def originals(self):
        """What the optimizers had, `None` included."""
        return [original for *_, original, _ in self._held]

    def set(self, values):
        """Sets one value for each optimizer, between two batches."""
        variables = [variable for *_, variable in self._held]
        if not any(variable is None for variable in variables):
            assign_optimizer_variables(self._model, variables, values)
            return
        for (leaf, name, *_), value in zip(self._held, values, strict=True):
            setattr(leaf, name, value)

    def release(self):
        """Gives the optimizers their own numbers back."""
        if not self._held:
            return
        for leaf, name, outer, *_ in self._held:
            release_number(leaf, name, outer)
            _driven[leaf].pop(name, None)
        self._held = []
        self._model.make_train_function(force=True)

    def _refuse_second(self, leaf, name):
        """Frees the number from a fit that failed; refuses one of the same fit."""
        other = _driven.get(leaf, {}).get(name)
        if other is None:
            return
        owner, mine = other.owner(), self.owner()
        other.release()
        if owner is not None and owner.params is mine.params is not None:
            checks.fail(
                f"Only one callback of a fit can set `{name}`",
                fix="Leave one out.",
                first=type(owner).__name__,
                second=type(mine).__name__,
            )


class NumberScheduler(PositionCallback):
    """Sets one number of every optimizer by a schedule of the position.

    Subclasses give `_log_name`, `_pick(optimizer)` and `_checked(value)`.
    """

    _log_name = ""
    _dtype = None  # of the variable; that of the weights if None

    def __init__(self, schedule, update):
        super().__init__(update)
        self.schedule = checked_values("schedule", schedule)
        self._numbers = OptimizerNumbers(self, self._pick, self._dtype)
        self._last = None
        self._trained = None  # the model of the last fit, weakly
        self._resumed = False

    def set_state(self, state):
        super().set_state(state)
        self._resumed = True

    def on_train_begin(self, logs=None):
        model = self.model
        self._numbers.hold(model)
        before = self._trained() if self._trained is not None else None
        self._begin(self._resumed or before is model)
        self._trained, self._resumed = weakref.ref(model), False
        self._last = None

    def on_train_end(self, logs=None):
        self.restore()

    def restore(self):
        """Gives the optimizers their own numbers back, after a fit that failed.

        Does nothing where they are in place, as after a fit that ended normally.
        """
        self._numbers.release()

    def _set(self, position, unless_same=False):
        value = self._checked(value_at(self.schedule, position))
        if not (unless_same and value == self._last):
            self._numbers.set([value] * len(self._numbers.originals()))
            self._last = value

    def _pick(self, optimizer):
        raise NotImplementedError

    def _checked(self, value):
        raise NotImplementedError

    def _logged(self):
        return {self._log_name: self._last}


def pick_momentum(optimizer, name):
    """`"momentum"` or `"beta_1"`, whichever the optimizer works with."""
    momentum = getattr(optimizer, "momentum", None)
    if momentum:
        return "momentum"
    if getattr(optimizer, "beta_1", None) is not None:
        return "beta_1"
    return checks.fail(
        f"{name} needs an optimizer with momentum",
        fix="Compile with SGD(momentum=0.9), for example, or with an optimizer of the "
        "Adam family.",
        error=TypeError if momentum is None else ValueError,
        optimizer=type(optimizer).__name__,
        momentum=momentum,
    )


def _dtype(model):
    variables = model.trainable_variables
    return variables[0].dtype if variables else keras.config.floatx()
