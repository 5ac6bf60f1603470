"""The search space: KerasTuner's container, repaired, and what algorithms ask of it.

`Space` differs from `keras_tuner.HyperParameters` (1.4.8) in four places: a name may
stand in several conditional scopes; `Float(step=)` reaches its maximum; `Choice` takes
`True`, `None` and tuples; a value that a new condition needs is the default, not an
unseeded random one.
"""

import ast
import itertools
import math

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

# A value that KerasTuner's Choice cannot hold is stored as this and its repr.
_MARK = "py:"


def _plain(values):
    kind = type(values[0])
    return (
        kind in (str, int, float)
        and all(type(value) is kind for value in values)
        and not (kind is str and any(value.startswith(_MARK) for value in values))
    )


def encode(value):
    """The label that stands for a value which KerasTuner's Choice refuses."""
    label = _MARK + repr(value)
    if decode(label) != value:
        raise TypeError(
            "A `Choice` takes strings, numbers, booleans, None and tuples of these. "
            f"Received: {value!r}."
        )
    return label


def decode(value):
    """The value behind a label of `encode`; other values come back as they are."""
    if not isinstance(value, str) or not value.startswith(_MARK):
        return value
    try:
        return ast.literal_eval(value[len(_MARK) :])
    except (SyntaxError, ValueError):
        return value


class Float(kinds.Float):
    """KerasTuner's Float, whose steps reach the maximum."""

    def _get_n_values(self):
        if self.sampling != "linear":
            return super()._get_n_values()
        return math.floor((self.max_value - self.min_value) / self.step + 1e-8) + 1

    def _get_value_by_index(self, index):
        if self.sampling != "linear":
            return super()._get_value_by_index(index)
        return min(self.max_value, round(self.min_value + index * self.step, 12))

    def _to_prob_with_step(self, value):
        if self.sampling != "linear":
            return super()._to_prob_with_step(value)
        count = self._get_n_values()
        index = min(count - 1, max(0, round((value - self.min_value) / self.step)))
        return (index + 0.5) / count


def repaired(hp):
    if type(hp) is kinds.Float:
        return Float.from_config(hp.get_config())
    return hp


def is_legal(hp, value):
    """Whether `hp` can have `value`; another scope may share its name."""
    if isinstance(hp, kinds.Float | kinds.Int):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and hp.min_value <= value <= hp.max_value
    return value in hp.values


class Space(keras_tuner.HyperParameters):
    """Search space and the values of one trial."""

    @classmethod
    def of(cls, hyperparameters):
        """The same space and values as a `Space`; one that is one stays."""
        if isinstance(hyperparameters, cls):
            return hyperparameters
        return cls.from_config(hyperparameters.get_config())

    @classmethod
    def from_config(cls, config):
        plain = keras_tuner.HyperParameters.from_config(config)
        space = cls()
        for hp in map(repaired, plain.space):
            space._hps[hp.name].append(hp)
            space._space.append(hp)
        space.values = plain.values
        return space

    def copy(self):
        return type(self).from_config(self.get_config())

    def ensure_active_values(self):
        known = {name for name, hps in self._hps.items() if hps}
        before, values = self.values, {}
        for name, value in before.items():
            if name not in known:
                values[name] = value
        self.values = values
        for hp in self.space:
            if hp.name in values or not self.is_active(hp):
                continue
            keep = hp.name in before and is_legal(hp, before[hp.name])
            values[hp.name] = before[hp.name] if keep else hp.default

    def get(self, name):
        return decode(super().get(name))

    def Choice(self, name, values, ordered=None, default=None, **parent):
        values = [v.item() if hasattr(v, "item") else v for v in values]
        if not values or _plain(values):
            return super().Choice(name, values, ordered, default, **parent)
        if default is not None or None in values:
            default = encode(default)
        labels = [encode(value) for value in values]
        return decode(super().Choice(name, labels, None, default, **parent))

    def Float(
        self, name, min_value, max_value, step=None, sampling="linear", default=None,
        parent_name=None, parent_values=None,
    ):  # fmt: skip
        with self._maybe_conditional_scope(parent_name, parent_values):
            hp = Float(
                name=self._get_name(name),
                min_value=min_value,
                max_value=max_value,
                step=step,
                sampling=sampling,
                default=default,
                conditions=self._conditions,
            )
            return self._retrieve(hp)

    def conditional_scope(self, parent_name, parent_values):
        parents = self._hps.get(self._get_name(parent_name), [])
        if any(decode(value) is not value for hp in parents for value in _labels(hp)):
            if not isinstance(parent_values, list):
                parent_values = [parent_values]
            parent_values = [encode(value) for value in parent_values]
        return super().conditional_scope(parent_name, parent_values)


def _labels(hp):
    return hp.values if isinstance(hp, kinds.Choice) else ()


def fill(space, values, value_of):
    """Sets `values[hp.name] = value_of(hp)` for what is active, parents first."""
    for hp in space:
        if hp.name in values:
            continue
        if all(condition.is_active(values) for condition in hp.conditions):
            values[hp.name] = value_of(hp)
    return values


def options(hp):
    """All values of `hp`, or None if it has infinitely many."""
    if isinstance(hp, kinds.Float) and hp.step is None:
        return None if hp.max_value > hp.min_value else [hp.min_value]
    if isinstance(hp, kinds.Int) and hp.step is None:
        return list(range(hp.min_value, hp.max_value + 1))
    found = [int(v) if isinstance(hp, kinds.Int) else v for v in hp.values]
    if hp.default in found:  # the default first, as KerasTuner's grid has it
        found.remove(hp.default)
        found.insert(0, hp.default)
    return found


def combinations(space, choices=options):
    """Yields every combination of active values, in the order of `space`.

    `choices(hp)` lists the values of one hyperparameter.
    """
    space = [repaired(hp) for hp in space]

    def extend(index, values):
        if index == len(space):
            yield dict(values)
            return
        hp = space[index]
        active = all(condition.is_active(values) for condition in hp.conditions)
        if not active or hp.name in values:
            yield from extend(index + 1, values)
            return
        for value in choices(hp):
            values[hp.name] = value
            yield from extend(index + 1, values)
        del values[hp.name]

    return extend(0, {})


def size(space, limit=10_000):
    """Number of combinations, or None if there are more than `limit`."""
    if any(options(hp) is None for hp in space):
        return None
    count = sum(1 for _ in itertools.islice(combinations(space), limit + 1))
    return None if count > limit else count


def is_conditional(space):
    return any(hp.conditions for hp in space)


def is_numeric(hp):
    """Whether the values of `hp` have an order."""
    if isinstance(hp, kinds.Choice):
        return bool(hp.ordered) and len(hp.values) > 2
    return isinstance(hp, kinds.Float | kinds.Int)
