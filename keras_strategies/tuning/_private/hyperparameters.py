"""Underscore names of `keras_tuner.HyperParameters` and its hyperparameters.

The container has no public way to add a hyperparameter as it is, and the rounding of
stepped ranges is in private methods.
"""

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

from keras_strategies.tuning._private import bases


class SpaceHooks(bases.HyperParameters):
    """The private method through which every declaration of a hyperparameter goes.

    `Choice`, `Int`, `Float`, `Boolean` and `Fixed` have no public method in common.
    """

    def _retrieve(self, hp: kinds.HyperParameter) -> Any:
        return self._declare(hp)

    def _declare(self, hp: kinds.HyperParameter) -> Any:
        """Declares a hyperparameter; its value, or `None` if it is not active."""
        return super()._retrieve(hp)


class Float(kinds.Float):
    """KerasTuner's `Float`, whose linear steps reach the maximum.

    KerasTuner divides without tolerance, so that rounding loses the last value of
    `Float("x", 0, 0.3, step=0.1)`.
    """

    def _get_n_values(self) -> int:
        if self.sampling != "linear":
            return super()._get_n_values()
        return math.floor((self.max_value - self.min_value) / self.step + 1e-8) + 1

    def _get_value_by_index(self, index: int) -> float:
        if self.sampling != "linear":
            return super()._get_value_by_index(index)
        return min(self.max_value, round(self.min_value + index * self.step, 12))

    def _to_prob_with_step(self, value: float) -> float:
        if self.sampling != "linear":
            return super()._to_prob_with_step(value)
        count = self._get_n_values()
        index = min(count - 1, max(0, round((value - self.min_value) / self.step)))
        # The middle of the index-th of `count` equal parts of [0, 1].
        return (index + 0.5) / count


def append(
    space: keras_tuner.HyperParameters, hyperparameter: kinds.HyperParameter
) -> None:
    """Adds a hyperparameter without a copy; `merge` would make KerasTuner's `Float`."""
    space._hps[hyperparameter.name].append(hyperparameter)
    space._space.append(hyperparameter)


def replace(
    space: keras_tuner.HyperParameters,
    previous: kinds.HyperParameter,
    hyperparameter: kinds.HyperParameter | None,
) -> None:
    """Puts a hyperparameter where another one is; `None` only removes that one."""
    new = [] if hyperparameter is None else [hyperparameter]
    for hyperparameters in (space._space, space._hps[previous.name]):
        position = next(k for k, hp in enumerate(hyperparameters) if hp is previous)
        hyperparameters[position : position + 1] = new


def named(
    space: keras_tuner.HyperParameters, name: str
) -> Sequence[kinds.HyperParameter]:
    """The hyperparameters of a name, one for each scope in which it is declared."""
    return space._hps.get(space._get_name(name), [])


def full_name(space: keras_tuner.HyperParameters, name: str) -> str:
    """A name within the name scopes that are open."""
    return space._get_name(name)


def is_declared(
    space: keras_tuner.HyperParameters, hyperparameter: kinds.HyperParameter
) -> bool:
    """Whether the space has this name under these conditions."""
    return space._exists(hyperparameter.name, hyperparameter.conditions)


def declare_float(
    space: keras_tuner.HyperParameters,
    name: str,
    parent_name: str | None,
    parent_values: Any,
    **settings: Any,
) -> float | None:
    """What `HyperParameters.Float` does, with the `Float` of this module."""
    scope: contextlib.AbstractContextManager[None] = space._maybe_conditional_scope(
        parent_name, parent_values
    )
    with scope:
        full_name = space._get_name(name)
        hyperparameter = Float(full_name, conditions=space._conditions, **settings)
        return space._retrieve(hyperparameter)
