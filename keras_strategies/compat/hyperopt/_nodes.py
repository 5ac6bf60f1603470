"""Nodes of a search space: what a label draws, and where it stands.

| node | in the search | value of the objective |
|---|---|---|
| `uniform`, `loguniform` | a `Float`, linear or logarithmic | the same |
| `quniform`, `qloguniform` | the same, as `unrounded(label)` | a multiple of q |
| `normal`, `lognormal` | a `Float` in [0, 1], as `P(label)` | its quantile |
| `qnormal`, `qlognormal` | the same | a multiple of q |
| `randint` | an `Int` | the same |
| `choice` | an unordered `Choice` of the index | what stands at the index |
| `pchoice` | a `Float` in [0, 1], as `P(label)` | by the probabilities |

What is stored differs from the value where a `Float` with the distribution does not
exist, and has another name then, so that no table shows it for the value.
"""

import abc
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from keras_strategies._internal import checks

#: A dict, list or tuple of such, a node, or any constant.
Space: TypeAlias = Any

# The quantiles of 0 and 1 are infinite.
_EDGE = 1e-9


class Node(abc.ABC):
    """What a trial draws under a label.

    Args:
        label: The label.
        name: Name of what the search stores. Defaults to `None`, the label.
    """

    def __init__(self, label: str, name: str | None = None) -> None:
        self.label: str = checks.instance("label", label, str, fix="Labels come first.")
        self.name: str = label if name is None else name

    @abc.abstractmethod
    def draw(self, hp: Any) -> Any:
        """Returns what the objective gets, declared in the space of a trial.

        `None` in a part of the space that is not active.
        """

    @abc.abstractmethod
    def stored(self, value: Any) -> Any:
        """Returns what the search stores for the value of a label."""

    @abc.abstractmethod
    def value(self, stored: Any) -> Any:
        """Returns the value of a label, as `fmin` returns it, for what is stored."""

    def resolve(self, values: Mapping[str, Any], resolve: Callable[..., Any]) -> Any:
        """Returns what the objective gets for the values of all labels."""
        return values[self.label]


class Number(Node):
    """A number: declared by `declare`, and from what is stored by `transform`.

    Args:
        label: The label.
        declare: Function of the space of a trial and of a name that returns what is
            stored under it.
        transform: From what is stored to the value. Defaults to `None`, the same.
        inverse: From the value to what is stored. Defaults to `None`, the same.
        name: Name of what is stored. Defaults to `None`, the label.
    """

    def __init__(
        self,
        label: str,
        declare: Callable[[Any, str], Any],
        transform: Callable[[Any], Any] | None = None,
        inverse: Callable[[Any], Any] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(label, name)
        self.declare, self._transform, self._inverse = declare, transform, inverse

    def draw(self, hp: Any) -> Any:
        stored = self.declare(hp, self.name)
        return None if stored is None else self.value(stored)

    def value(self, stored: Any) -> Any:
        return stored if self._transform is None else self._transform(stored)

    def stored(self, value: Any) -> Any:
        return value if self._inverse is None else self._inverse(value)


def uniform(label: str, low: float, high: float) -> Number:
    _check_range(label, low, high)
    return Number(label, lambda hp, name: hp.Float(name, float(low), float(high)))


def loguniform(label: str, low: float, high: float) -> Number:
    _check_range(label, low, high)
    bounds = math.exp(low), math.exp(high)
    return Number(label, lambda hp, name: hp.Float(name, *bounds, sampling="log"))


def normal(label: str, mu: float, sigma: float) -> Number:
    checks.real("sigma", sigma, low=0, low_open=True)
    distribution = statistics.NormalDist(mu, sigma)
    return Number(
        label,
        lambda hp, name: hp.Float(name, _EDGE, 1 - _EDGE, default=0.5),
        distribution.inv_cdf,
        lambda value: min(1 - _EDGE, max(_EDGE, distribution.cdf(value))),
        f"P({label})",
    )


def lognormal(label: str, mu: float, sigma: float) -> Number:
    plain = normal(label, mu, sigma)
    return Number(
        label,
        plain.declare,
        lambda stored: math.exp(plain.value(stored)),
        lambda value: plain.stored(math.log(value)),
        plain.name,
    )


def integer(label: str, low: int, high: int) -> Number:
    """An integer from `low` to `high`, both included."""
    _check_range(label, low, high)
    return Number(label, lambda hp, name: hp.Int(name, low, high))


def rounded(node: Number, q: float, kind: type = float) -> Number:
    """`node` rounded to a multiple of `q`, so that the ends have half the weight."""
    checks.real("q", q, low=0, low_open=True)
    return Number(
        node.label,
        node.declare,
        # To even, as NumPy and therefore hyperopt round.
        lambda stored: kind(round(node.value(stored) / q) * q),
        node.stored,
        f"unrounded({node.label})" if node.name == node.label else node.name,
    )


def _check_range(label: str, low: float, high: float) -> None:
    if not low < high:
        checks.fail("`low` must be less than `high`", label=label, low=low, high=high)


class Choice(Node):
    """One of several parts of a space, whose labels exist in that part only.

    Args:
        label: The label.
        options: The parts.
        probabilities: The probability of each. Defaults to `None`, the same for all.
    """

    def __init__(
        self,
        label: str,
        options: Sequence[Space],
        probabilities: Sequence[float] | None = None,
    ) -> None:
        super().__init__(label, None if probabilities is None else f"P({label})")
        self.options = list(options)
        if not self.options:
            checks.fail("`options` must not be empty", label=label, options=options)
        self._limits: list[float] | None = None
        if probabilities is not None:
            total = sum(probabilities)
            if min(probabilities) < 0 or not math.isclose(total, 1, abs_tol=1e-6):
                checks.fail(
                    "The probabilities must add up to 1",
                    label=label,
                    probabilities=list(probabilities),
                )
            running = 0.0
            self._limits = [running := running + p for p in probabilities]

    def draw(self, hp: Any) -> Any:
        if self._limits is not None:
            stored = hp.Float(self.name, 0.0, 1.0)
            if stored is None:
                return None
            return draw(self.options[self.value(stored)], hp)
        count = range(len(self.options))
        index = hp.Choice(self.label, list(count), ordered=False)
        # All parts are declared, so that the models know which of them is active.
        parts = []
        for k in count:
            with hp.conditional_scope(self.label, [k]):
                parts.append(draw(self.options[k], hp))
        return None if index is None else parts[index]

    def value(self, stored: Any) -> int:
        if self._limits is None:
            return int(stored)
        inside = [k for k, limit in enumerate(self._limits) if stored < limit]
        return inside[0] if inside else len(self._limits) - 1

    def stored(self, value: Any) -> Any:
        if self._limits is None:
            return int(value)
        low = self._limits[value - 1] if value else 0.0
        return (low + self._limits[value]) / 2

    def resolve(self, values: Mapping[str, Any], resolve: Callable[..., Any]) -> Any:
        return resolve(self.options[values[self.label]], values)


class Call(Node):
    """A function of a part of a space, such as `scope.int`."""

    def __init__(self, function: Callable[[Any], Any], argument: Space) -> None:
        super().__init__("")
        self.function, self.argument = function, argument

    def draw(self, hp: Any) -> Any:
        part = draw(self.argument, hp)
        return None if part is None else self.function(part)

    def value(self, stored: Any) -> Any:
        raise NotImplementedError

    def stored(self, value: Any) -> Any:
        raise NotImplementedError

    def resolve(self, values: Mapping[str, Any], resolve: Callable[..., Any]) -> Any:
        return self.function(resolve(self.argument, values))


def draw(space: Space, hp: Any) -> Any:
    """Returns a space with a value in place of each node."""
    if isinstance(space, Node):
        return space.draw(hp)
    return _mapped(space, lambda part: draw(part, hp))


def space_eval(space: Space, values: Mapping[str, Any]) -> Any:
    """Returns a space with the values of its labels in it.

    Args:
        space: The space, as for `fmin`.
        values: The values by label, as `fmin` returns them; a choice as its index.

    Raises:
        KeyError: If a label that is active has no value.

    Example:

    ```python
    from keras_strategies.compat.hyperopt import hp, space_eval

    space = {"layers": hp.choice("layers", [{"n": 2}, {"n": hp.randint("n", 3, 9)}])}
    assert space_eval(space, {"layers": 1, "n": 5}) == {"layers": {"n": 5}}
    ```
    """
    if isinstance(space, Node):
        return space.resolve(values, space_eval)
    return _mapped(space, lambda part: space_eval(part, values))


def declare_all(space: Space, hp: Any) -> None:
    """Declares every label, so that the first trial draws it too."""
    if isinstance(space, Call):
        declare_all(space.argument, hp)
    elif isinstance(space, Choice) and space.name != space.label:
        hp.Float(space.name, 0.0, 1.0)
        # A range has no conditional scopes: what a trial does not ask for is dropped.
        declare_all(space.options, hp)
    elif isinstance(space, Choice):
        count = range(len(space.options))
        hp.Choice(space.label, list(count), ordered=False)
        for k in count:
            with hp.conditional_scope(space.label, [k]):
                declare_all(space.options[k], hp)
    elif isinstance(space, Node):
        space.draw(hp)
    else:
        _mapped(space, lambda part: declare_all(part, hp))


def _mapped(space: Space, function: Callable[[Any], Any]) -> Any:
    if isinstance(space, Mapping):
        return {key: function(part) for key, part in space.items()}
    if isinstance(space, list | tuple):
        return type(space)(function(part) for part in space)
    return space


def labels(space: Space) -> dict[str, Node]:
    """Returns the nodes of a space by label.

    Raises:
        DuplicateLabelError: If two nodes have one label.
    """
    nodes: dict[str, Node] = {}
    _collect(space, nodes)
    return nodes


class DuplicateLabelError(ValueError):
    """Two parts of a space have the same label."""


def _collect(space: Space, nodes: dict[str, Node]) -> None:
    if isinstance(space, Call):
        _collect(space.argument, nodes)
    elif isinstance(space, Node):
        if nodes.setdefault(space.label, space) is not space:
            raise DuplicateLabelError(
                checks.message(
                    "Each label must be used once",
                    {"label": space.label},
                    "To use one value twice, use the same object twice.",
                )
            )
        for option in getattr(space, "options", ()):
            _collect(option, nodes)
    elif isinstance(space, Mapping):
        for part in space.values():
            _collect(part, nodes)
    elif isinstance(space, list | tuple):
        for part in space:
            _collect(part, nodes)
