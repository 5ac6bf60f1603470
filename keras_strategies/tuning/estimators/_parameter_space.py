"""Spaces of scikit-learn's searches as spaces of KerasTuner's."""

import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning._space import space as _space

_WHICH = "_which"  # which dict of a list of dicts


class SearchedParameters:
    """A space, and the parameters of scikit-learn for the values of a trial."""

    def __init__(self, given):
        self.space = _space.Space()
        self._convert = {}  # (dict, name) -> value of a parameter from that of a trial
        if isinstance(given, keras_tuner.HyperParameters):
            self.space = _space.Space.of(given)
        elif isinstance(given, dict):
            self._declare(given, None)
        elif isinstance(given, list | tuple) and given:
            self._declare_list(given)
        elif callable(given):
            given(self.space)
        else:
            checks.fail(
                "`param_distributions` must be a dict, a list of dicts, a function "
                "`space(hp)` or keras_tuner.HyperParameters",
                error=TypeError,
                param_distributions=given,
            )

    def parameters(self, values):
        which = values.get(_WHICH)
        found = {}
        for name, value in values.items():
            if name != _WHICH:
                value = _space.decode(value)
                convert = self._convert.get((which, name))
                found[name] = value if convert is None else convert(value)
        return found

    def _declare_list(self, given):
        self.space.Choice(_WHICH, list(range(len(given))), ordered=False)
        for which, part in enumerate(given):
            checks.instance("param_distributions", part, dict)
            with self.space.conditional_scope(_WHICH, [which]):
                self._declare(part, which)

    def _declare(self, given, which):
        for name, values in given.items():
            if hasattr(values, "ppf"):
                convert = self._declare_distribution(name, values)
            else:
                convert = self._declare_choices(name, values)
            self._convert[which, name] = convert

    def _declare_distribution(self, name, distribution):
        """A distribution of SciPy: its values in order, or the quantile."""
        low, high = distribution.support()
        discrete = hasattr(distribution.dist, "pmf")
        if discrete and abs(low) + abs(high) < 2**31:
            self.space.Int(name, int(low), int(high))
            return None
        self.space.Float(name, 0.0, 1.0)

        def value_at(quantile):
            # An end may be infinitely far away.
            value = distribution.ppf(min(max(quantile, 1e-6), 1 - 1e-6))
            return int(value) if discrete else float(value)

        return value_at

    def _declare_choices(self, name, values):
        if not hasattr(values, "__len__") or isinstance(values, str):
            checks.fail(
                "Values must be a list or a distribution of scipy.stats",
                error=TypeError,
                **{name: values},
            )
        values = list(values)
        if not values:
            checks.fail("A list of values must not be empty", **{name: values})
        # Whatever they are, the trial knows their positions. Numbers keep their order.
        numbers = all(
            isinstance(v, int | float) and not isinstance(v, bool) for v in values
        )
        order = sorted(values) if numbers else values
        self.space.Choice(name, list(range(len(order))), ordered=numbers)
        return order.__getitem__
