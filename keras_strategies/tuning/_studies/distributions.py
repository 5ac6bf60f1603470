"""Hyperparameters of KerasTuner as parameters of an Optuna study.

| KerasTuner | Optuna |
|---|---|
| a name in a conditional scope | `name@hash of the conditions`, one for each scope |
| ordered `Choice`, stepped `Float`, stepped log `Int` | integer index of the value |
| `reverse_log` | the cumulative probability, a `Float` in [0, 1] |
| `Choice`, `Boolean` | categorical |
| other `Int`, `Float` | the same, on a log scale if it is one |
| `Fixed` | left out |
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

from keras_strategies.tuning import _space

if TYPE_CHECKING:
    import optuna


def parameter_name(hp: kinds.HyperParameter) -> str:
    """Name of `hp` in a study: one for each scope in which the name is declared."""
    # Optuna refuses two distributions of different kinds under one name.
    return _space.scoped_name(hp)


def _is_index(hp: Any) -> bool:
    """Whether the study has the index of the value among the sorted ones.

    Optuna has no ordered categories, no steps on a log scale and no float steps that
    reach the maximum.
    """
    if isinstance(hp, kinds.Choice):
        return _space.is_numeric(hp)
    is_stepped = isinstance(hp, kinds.Float | kinds.Int) and hp.step is not None
    return is_stepped and (isinstance(hp, kinds.Float) or hp.sampling != "linear")


def _sorted_values(hp: Any) -> list[Any]:
    values = hp.values if isinstance(hp, kinds.Choice) else _space.options(hp)
    return sorted(values)


def distribution(hp: Any) -> "optuna.distributions.BaseDistribution":
    """The distribution of Optuna that is nearest to `hp`."""
    import optuna.distributions as d

    if _is_index(hp):
        return d.IntDistribution(0, len(_sorted_values(hp)) - 1)
    if isinstance(hp, kinds.Choice | kinds.Boolean):
        return d.CategoricalDistribution(tuple(hp.values))
    if hp.sampling == "reverse_log":
        return d.FloatDistribution(0.0, 1.0)
    log = hp.sampling == "log"
    if isinstance(hp, kinds.Int):
        step = 1 if log or hp.step is None else hp.step
        # Optuna lowers a maximum that no step reaches, with a warning.
        high = hp.max_value - (hp.max_value - hp.min_value) % step
        return d.IntDistribution(hp.min_value, high, log=log, step=step)
    return d.FloatDistribution(hp.min_value, hp.max_value, log=log)


def suggest(trial: "optuna.trial.Trial", hp: Any) -> Any:
    """Asks Optuna's `trial` for a value of `hp`."""
    import optuna.distributions as d

    distributed, name = distribution(hp), parameter_name(hp)
    if isinstance(distributed, d.CategoricalDistribution):
        parameter = trial.suggest_categorical(name, distributed.choices)
    elif isinstance(distributed, d.IntDistribution):
        parameter = trial.suggest_int(
            name,
            distributed.low,
            distributed.high,
            step=distributed.step,
            log=distributed.log,
        )
    else:
        parameter = trial.suggest_float(
            name, distributed.low, distributed.high, log=distributed.log
        )
    return from_parameter(hp, parameter)


def from_parameter(hp: Any, parameter: Any) -> Any:
    """The value of `hp` for a parameter of the study."""
    if _is_index(hp):
        return _sorted_values(hp)[parameter]
    if isinstance(hp, kinds.Choice | kinds.Boolean):
        return parameter
    if hp.sampling == "reverse_log":
        # KerasTuner's probabilities are below 1.
        return hp.prob_to_value(min(parameter, 1 - 1e-9))
    return parameter


def to_parameter(hp: Any, value: Any) -> Any:
    """The parameter of the study for a value of `hp`."""
    if _is_index(hp):
        return _sorted_values(hp).index(value)
    is_range = not isinstance(hp, kinds.Choice | kinds.Boolean)
    if is_range and hp.sampling == "reverse_log":
        return hp.value_to_prob(value)
    return value


def _active(
    space: Iterable[kinds.HyperParameter], values: Mapping[str, Any]
) -> Iterator[kinds.HyperParameter]:
    """The searched hyperparameters that are active in `values`."""
    for hp in _space.searched(space):
        is_set = hp.name in values and _space.is_active(hp, values)
        if is_set and _space.is_legal(hp, values[hp.name]):
            yield hp


def to_parameters(
    hyperparameters: keras_tuner.HyperParameters, values: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters of the study for the values of a trial."""
    return {
        parameter_name(hp): to_parameter(hp, values[hp.name])
        for hp in _active(hyperparameters.space, values)
    }


def to_distributions(
    hyperparameters: keras_tuner.HyperParameters, values: Mapping[str, Any]
) -> dict[str, "optuna.distributions.BaseDistribution"]:
    """The distributions of the parameters that `to_parameters` returns."""
    return {
        parameter_name(hp): distribution(hp)
        for hp in _active(hyperparameters.space, values)
    }
