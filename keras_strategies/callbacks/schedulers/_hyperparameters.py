"""Hyperparameters of optimizers as variables, changed during a fit.

Optimizers keep momentum, weight decay and the like as Python numbers, which become
constants when the training step is traced. A variable in place of the number can be
assigned without another trace.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.kept_parts import give_back_part, take_part
from keras_strategies._internal.keras_private import (
    assign_optimizer_variables,
    changed_step,
)
from keras_strategies._internal.keras_private.callbacks import (
    swap_in_variable,
    swap_out_variable,
)
from keras_strategies._internal.traversal import optimizer_paths
from keras_strategies.callbacks._common.optimizers import ActedOn, OptimizerArgument
from keras_strategies.callbacks._common.schedule_values import (
    Schedule,
    evaluate_schedule,
    validate_schedule,
)
from keras_strategies.callbacks._common.siblings import are_in_one_fit
from keras_strategies.callbacks.schedulers._position_callback import PositionCallback

# {optimizer: {name: HyperparameterVariables}}; a fit that raises leaves its entry.
_active = weakref.WeakKeyDictionary()


class HyperparameterVariables:
    """One hyperparameter of each optimizer of a model, as a variable during a fit.

    Args:
        owner: The callback that sets it.
        acted: The optimizers that it acts on.
        pick: Function of an optimizer that returns the attribute's name, or raises.
        dtype: Type of the variable; that of the weights if `None`.
    """

    def __init__(
        self,
        owner: keras.callbacks.Callback,
        acted: ActedOn,
        pick: Callable[[keras.optimizers.Optimizer], str],
        dtype: str | None = None,
    ):
        self.owner, self._acted = weakref.ref(owner), acted
        self._pick, self._dtype = pick, dtype
        # (optimizer, attribute name, optimizers around it, variable or None)
        self._entries = []
        self._model = None

    def install(self, model: keras.Model) -> None:
        """Replaces the numbers by variables, in the training step too."""
        self.release()
        self._acted.updating(model)
        roots = self._acted.roots(model)
        if model.built and self._acted.is_model_optimizer:
            self._acted.build(model, model.optimizer)
        paths = [path for root in roots for path in optimizer_paths(root)]
        names = [self._pick(path[0]) for path in paths]
        for path, name in zip(paths, names, strict=True):
            self._refuse_second(path[0], name)
        self._model = model
        dtype = keras.backend.standardize_dtype(self._dtype or _weights_dtype(model))
        # The step must be traced with the variables instead of the numbers.
        with changed_step(model, roots):
            for (optimizer, *outer), name in zip(paths, names, strict=True):
                # The variable of an earlier fit, with which the step was traced:
                # nothing is traced again.
                kept = take_part(optimizer, (name, dtype), lambda: None)
                variable = swap_in_variable(optimizer, name, outer, dtype, kept)
                self._entries.append((optimizer, name, outer, variable))
                _active.setdefault(optimizer, {})[name] = self

    def assign(self, value: float) -> None:
        """Assigns one value for all optimizers, between two batches."""
        variables = self.variables
        if not any(variable is None for variable in variables):
            values = [value] * len(variables)
            assign_optimizer_variables(self._model, variables, values)
            return
        for optimizer, name, *_ in self._entries:  # Torch: nothing is traced
            setattr(optimizer, name, value)

    @property
    def variables(self) -> list[Any]:
        """The variables, `None` in the place of each number that stays one."""
        return [variable for *_, variable in self._entries]

    def release(self) -> None:
        """Gives the optimizers their own numbers and the model its step back."""
        if not self._entries:
            return
        with changed_step(self._model, [path[-1] for path in self._paths()]):
            for optimizer, name, outer, variable in self._entries:
                swap_out_variable(optimizer, name, outer)
                if variable is not None:
                    give_back_part(optimizer, (name, variable.dtype), variable)
                _active[optimizer].pop(name, None)
            self._entries = []

    def _paths(self):
        return [[optimizer, *outer] for optimizer, _, outer, _ in self._entries]

    def _refuse_second(self, optimizer, name):
        """Releases what a failed fit left; refuses a second callback of this fit."""
        previous = _active.get(optimizer, {}).get(name)
        if previous is None:
            return
        first, second = previous.owner(), self.owner()
        previous.release()
        if are_in_one_fit(first, second):
            checks.fail(
                f"Only one callback of a fit can set `{name}`",
                fix="Leave one out.",
                first=type(first).__name__,
                second=type(second).__name__,
            )


class HyperparameterScheduler(PositionCallback):
    """Sets one hyperparameter of every optimizer by a schedule of the position.

    Subclasses define `_log_name`, `_pick(optimizer)` and `_checked(value)`.
    """

    _log_name: ClassVar[str] = ""
    _dtype: ClassVar[str | None] = None  # of the variable; the weights' if None

    def __init__(
        self, schedule: Schedule, update: str, optimizer: OptimizerArgument = None
    ):
        super().__init__(update, optimizer)
        self.schedule: Schedule = validate_schedule("schedule", schedule)
        self._variables = HyperparameterVariables(
            self, self._acted, self._pick, self._dtype
        )
        self._last_value = None
        self._last_model = None  # weak reference to the model of the last fit

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        self._variables.install(model)
        last_model = self._last_model() if self._last_model is not None else None
        self._begin(self._resumed or last_model is model)
        self._last_model, self._resumed = weakref.ref(model), False
        self._last_value = None

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.restore()

    def undo_begin(self) -> None:
        """Undoes `on_train_begin`."""
        self.restore()

    def restore(self) -> None:
        """Restores the hyperparameters of the optimizers, after a fit that failed.

        Does nothing if they are restored already, as after a fit that ended normally.
        """
        self._variables.release()

    def _step_variables(self) -> list[keras.Variable]:
        return self._variables.variables

    def _compute(self, position: int) -> list[Any]:
        value = self._checked(evaluate_schedule(self.schedule, position))
        return [value] * max(1, len(self._variables.variables))

    def _set(self, position: int, unless_same: bool = False) -> None:
        value = self._value_at(position)[0]
        self._forget_values(before=position)
        if not (unless_same and value == self._last_value):
            self._variables.assign(value)
            self._last_value = value

    def _pick(self, optimizer: keras.optimizers.Optimizer) -> str:
        raise NotImplementedError

    def _checked(self, value: Any) -> float:
        raise NotImplementedError

    def _logged(self) -> dict[str, Any]:
        return {self._acted.log_name(self._fit_model, self._log_name): self._last_value}


def pick_momentum(optimizer: keras.optimizers.Optimizer, callback_name: str) -> str:
    """Returns `"momentum"` or `"beta_1"`, whichever the optimizer uses."""
    momentum = getattr(optimizer, "momentum", None)
    if momentum:
        return "momentum"
    if getattr(optimizer, "beta_1", None) is not None:
        return "beta_1"
    return checks.fail(
        f"{callback_name} needs an optimizer with momentum",
        fix="Compile with SGD(momentum=0.9), for example, or with an optimizer of the "
        "Adam family.",
        error=TypeError if momentum is None else ValueError,
        optimizer=type(optimizer).__name__,
        momentum=momentum,
    )


def _weights_dtype(model: keras.Model) -> str:
    variables: Sequence[keras.Variable] = model.trainable_variables
    return variables[0].dtype if variables else keras.config.floatx()
