"""hyperopt's algorithms as those of `Tuner`."""

import functools
import types
from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.tuning import _studies


class Suggest:
    """What stands for `tpe.suggest` and its like, as an argument of `fmin`.

    Args:
        name: Name of the module in hyperopt.
        algorithm: Name of the algorithm of `Tuner`.
    """

    def __init__(self, name: str, algorithm: str) -> None:
        self.name, self.algorithm = name, algorithm

    def __repr__(self) -> str:
        return f"{self.name}.suggest"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"`{self!r}` is for `fmin(algo=)` only; its trials are those of "
            f'`Tuner(algorithm="{self.algorithm}")`.'
        )


def _module(name: str, algorithm: str, text: str) -> types.SimpleNamespace:
    return types.SimpleNamespace(__doc__=text, suggest=Suggest(name, algorithm))


tpe = _module("tpe", "tpe", "Tree-structured Parzen estimators, of Optuna.")
rand = _module("rand", "random", "Random search.")
anneal = _module("anneal", "evolution", "Steps from good trials that become smaller.")


def algorithm_of(algo: Any, seed: int) -> tuple[str, dict[str, Any]]:
    """Returns the name of an algorithm of `Tuner` and its options.

    Args:
        algo: `tpe.suggest` and its like, `functools.partial` of one, or the name of an
            algorithm of `Tuner`.
        seed: Seed of a sampler with options.
    """
    options: dict[str, Any] = {}
    if isinstance(algo, functools.partial):
        algo, options = algo.func, algo.keywords
    if isinstance(algo, str) and not options:
        return algo, {}
    if not isinstance(algo, Suggest):
        checks.fail(
            "`algo` must be tpe.suggest, rand.suggest, anneal.suggest or the name of "
            "an algorithm of `Tuner`",
            error=TypeError,
            algo=algo,
        )
    if not options:
        return algo.algorithm, {}
    if algo.algorithm != "tpe":
        checks.fail("Only `tpe.suggest` has options", algo=algo, options=options)
    return "tpe", {"sampler": _tpe_sampler(seed, **options)}


def _tpe_sampler(
    seed: int,
    n_startup_jobs: int = 20,
    n_EI_candidates: int = 24,
    **others: Any,
) -> Any:
    require("optuna", "`tpe.suggest`")
    if others:
        checks.fail(
            "`tpe.suggest` takes n_startup_jobs and n_EI_candidates here", **others
        )
    return _studies.make_tpe(seed, n_startup_jobs, n_EI_candidates)
