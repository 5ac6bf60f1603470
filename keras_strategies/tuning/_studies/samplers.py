"""Optuna's samplers by name, and studies that say nothing."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from keras_strategies._internal.optional import require

if TYPE_CHECKING:
    import optuna

SamplerName: TypeAlias = Literal["tpe", "gp", "cmaes", "nsga2", "random"]


def _tpe(seed, max_trials, parallel):
    import optuna

    return optuna.samplers.TPESampler(
        seed=seed,
        n_startup_trials=min(10, max(4, (max_trials or 40) // 4)),
        # One model of what is searched together in place of one for each
        # hyperparameter; groups, so that conditional parts have models too.
        multivariate=True,
        group=True,
        # Trials under way count as bad, so that two processes do not try the same.
        constant_liar=parallel,
    )


def _gp(seed, max_trials, parallel):
    import optuna

    # Optuna itself would name its own extra, not ours.
    require("torch", '`sampler="gp"`')
    return optuna.samplers.GPSampler(seed=seed)


def _cmaes(seed, max_trials, parallel):
    import optuna

    require("cmaes", '`sampler="cmaes"`')
    return optuna.samplers.CmaEsSampler(seed=seed)


def _nsga2(seed, max_trials, parallel):
    import optuna

    # Optuna's 50 would make all of a short search its first, random generation.
    population_size = min(50, max(4, (max_trials or 200) // 4))
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=population_size)


def _random(seed, max_trials, parallel):
    import optuna

    return optuna.samplers.RandomSampler(seed=seed)


#: The samplers by name: the registry that oracles and `Tuner(algorithm=)` read.
SAMPLERS: dict[str, Callable[[int, int | None, bool], "optuna.samplers.BaseSampler"]]
SAMPLERS = {
    "tpe": _tpe,
    "gp": _gp,
    "cmaes": _cmaes,
    "nsga2": _nsga2,
    "random": _random,
}


def make_sampler(
    name: str, seed: int, max_trials: int | None, parallel: bool = False
) -> "optuna.samplers.BaseSampler":
    """Makes the sampler `name`; `parallel` if other processes share its study."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](seed, max_trials, parallel)


def make_tpe(
    seed: int, startup_trials: int, candidates: int
) -> "optuna.samplers.BaseSampler":
    """Makes Optuna's TPE, each hyperparameter modelled alone."""
    import optuna

    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=startup_trials, n_ei_candidates=candidates
    )


def create_study(
    sampler: "optuna.samplers.BaseSampler", directions: Sequence[str], **storage: Any
) -> "optuna.Study":
    """Makes a study without Optuna's line about it."""
    import optuna

    with _verbosity(optuna.logging.WARNING):
        return optuna.create_study(sampler=sampler, directions=directions, **storage)


@contextlib.contextmanager
def _verbosity(level: int) -> Iterator[None]:
    """Optuna logs no less than `level` in this context."""
    import optuna

    previous = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(level)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(previous)


@contextlib.contextmanager
def quiet_sampling() -> Iterator[None]:
    """A context without the message of CMA-ES and GP for each conditional value."""
    import optuna

    with warnings.catch_warnings(), _verbosity(optuna.logging.ERROR):
        warnings.simplefilter("ignore", UserWarning)
        yield


def trial_state(name: str) -> "optuna.trial.TrialState":
    """Optuna's state of a trial by its name, such as `"COMPLETE"`."""
    import optuna

    return optuna.trial.TrialState[name]
