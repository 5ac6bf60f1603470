"""Parameter spaces of scikit-learn's searches as spaces of KerasTuner."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning import _space

_BRANCH = "_which"  # name of the choice between the dicts of a list


class ParameterSpace:
    """A space, and the parameters of scikit-learn for the values of a trial.

    Args:
        parameters: A dict from name to values, a list of such dicts, a function
            `space(hp)` or `keras_tuner.HyperParameters`.
    """

    def __init__(self, parameters: Any) -> None:
        self.space = _space.Space()
        # (number of the dict, name) -> function from the value of a trial to that of
        # the parameter; `None` if they are the same.
        self._converters: dict[Any, Callable[[Any], Any] | None] = {}
        if isinstance(parameters, keras_tuner.HyperParameters):
            self.space = _space.Space.of(parameters)
        elif isinstance(parameters, dict):
            self._declare(parameters, None)
        elif isinstance(parameters, list | tuple) and parameters:
            self._declare_list(parameters)
        elif callable(parameters):
            parameters(self.space)
        else:
            checks.fail(
                "`param_distributions` must be a dict, a list of dicts, a function "
                "`space(hp)` or keras_tuner.HyperParameters",
                error=TypeError,
                param_distributions=parameters,
            )

    def parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of the estimator for the values of a trial."""
        branch = values.get(_BRANCH)
        parameters = {}
        for name, value in values.items():
            if name != _BRANCH:
                value = _space.from_label(value)
                convert = self._converters.get((branch, name))
                parameters[name] = value if convert is None else convert(value)
        return parameters

    def _declare_list(self, dicts: Sequence[Any]) -> None:
        self.space.Choice(_BRANCH, list(range(len(dicts))), ordered=False)
        for branch, part in enumerate(dicts):
            checks.instance("param_distributions", part, dict)
            with self.space.conditional_scope(_BRANCH, [branch]):
                self._declare(part, branch)

    def _declare(self, parameters: Mapping[str, Any], branch: int | None) -> None:
        for name, values in parameters.items():
            if hasattr(values, "ppf"):
                convert = self._declare_distribution(name, values)
            else:
                convert = self._declare_choices(name, values)
            self._converters[branch, name] = convert

    def _declare_distribution(
        self, name: str, distribution: Any
    ) -> Callable[[float], Any] | None:
        """Declares a distribution of SciPy: its integers, or the quantile.

        By the quantile function, values that are equally probable are equally far
        apart for the algorithm, as they are for random search.
        """
        low, high = distribution.support()
        is_discrete = hasattr(distribution.dist, "pmf")
        if is_discrete and abs(low) + abs(high) < 2**31:
            self.space.Int(name, int(low), int(high))
            return None
        self.space.Float(name, 0.0, 1.0)

        def value_at(quantile: float) -> Any:
            # The support may be unbounded, so that the ends are infinite.
            value = distribution.ppf(min(max(quantile, 1e-6), 1 - 1e-6))
            return int(value) if is_discrete else float(value)

        return value_at

    def _declare_choices(self, name: str, values: Any) -> Callable[[int], Any]:
        """Declares a list: the trial has positions, whatever the values are."""
        if not hasattr(values, "__len__") or isinstance(values, str):
            checks.fail(
                "Values must be a list or a distribution of scipy.stats",
                error=TypeError,
                **{name: values},
            )
        values = list(values)
        if not values:
            checks.fail("A list of values must not be empty", **{name: values})
        are_numbers = all(
            isinstance(v, int | float) and not isinstance(v, bool) for v in values
        )
        # Sorted, so that neighbouring positions are neighbouring numbers.
        order = sorted(values) if are_numbers else values
        self.space.Choice(name, list(range(len(order))), ordered=are_numbers)
        return order.__getitem__
