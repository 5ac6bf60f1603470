"""Checks of the arguments of a tuner."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies.tuning._space import ranges


def check_count(name: str, value: Any, optional: bool = False) -> Any:
    """Checks an integer that is at least 1."""
    return checks.integer(name, value, low=1, optional=optional)


def check_positive(name: str, value: Any, optional: bool = False) -> Any:
    """Checks a number that is greater than 0."""
    return checks.real(name, value, low=0, low_open=True, optional=optional)


def check_trial_limit(name: str, value: Any, trial_in_subprocess: bool) -> Any:
    """Checks a limit that only a process of its own can enforce."""
    value = check_positive(name, value, optional=True)
    if value is not None and not trial_in_subprocess:
        checks.fail(
            f"`{name}` needs a process for each trial",
            **{name: value},
            fix="Pass trial_in_subprocess=True.",
        )
    return value


def check_fit_ranges(**arguments: Any) -> dict[str, tuple[int, int]]:
    """Checks the ranges of arguments of `fit`; `None` is not searched."""
    return {
        name: ranges.int_range(name, value, low=1)
        for name, value in arguments.items()
        if value is not None
    }


def check_oracle_arguments(
    *,
    max_trials: Any,
    seed: Any,
    max_retries_per_trial: Any,
    max_consecutive_failed_trials: Any,
    **arguments: Any,
) -> dict[str, Any]:
    """Checks the numbers among the arguments that all oracles have."""
    return {
        "max_trials": check_count("max_trials", max_trials, optional=True),
        "seed": checks.integer("seed", seed, low=0, optional=True),
        "max_retries_per_trial": checks.integer(
            "max_retries_per_trial", max_retries_per_trial, low=0
        ),
        "max_consecutive_failed_trials": check_count(
            "max_consecutive_failed_trials",
            max_consecutive_failed_trials,
            optional=True,
        ),
        **arguments,
    }
