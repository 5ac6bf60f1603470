"""Checks of the arguments of a tuner."""

from typing import Any

from keras_strategies._internal import checks


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


def refuse_overwrite(overwrite: bool) -> None:
    """Raises if a storage would be overwritten."""
    if overwrite:
        checks.fail(
            "`overwrite` must be False with a `storage`, where others may search",
            fix="Delete the study before, or name another project.",
            overwrite=overwrite,
        )
