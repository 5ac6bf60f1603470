"""From the name of an algorithm, or none, to an oracle."""

import importlib.util

import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning._space import encoding as _moves
from keras_strategies.tuning._space import space as _space
from keras_strategies.tuning._studies import studies as _studies
from keras_strategies.tuning.oracles._base import RepairedOracle
from keras_strategies.tuning.oracles.bayesian_optimization_oracle import (
    BayesianOptimizationOracle,
)
from keras_strategies.tuning.oracles.evolution_oracle import EvolutionOracle
from keras_strategies.tuning.oracles.grid_search_oracle import GridSearchOracle
from keras_strategies.tuning.oracles.hyperband_oracle import HyperbandOracle
from keras_strategies.tuning.oracles.optuna_oracle import OptunaOracle
from keras_strategies.tuning.oracles.optuna_storage_oracle import OptunaStorageOracle
from keras_strategies.tuning.oracles.random_search_oracle import RandomSearchOracle
from keras_strategies.tuning.pruners.median_pruner import MedianPruner
from keras_strategies.tuning.pruners.successive_halving_pruner import (
    SuccessiveHalvingPruner,
)

OPTUNA = ("tpe", "gp", "cmaes", "nsga2")
NAMES = ("auto", "grid", "random", "bayesian", "hyperband", *OPTUNA, "evolution")
PRUNERS = {"median": MedianPruner, "asha": SuccessiveHalvingPruner}
# With fewer numbers than this and nothing else, a Gaussian process is the best model.
MOST_DIMENSIONS = 12


def pruner(value):
    if value is None or hasattr(value, "should_stop"):
        return value
    return PRUNERS[checks.choice("pruner", value, (*PRUNERS, None))]()


def _installed(module):
    return importlib.util.find_spec(module) is not None


def choose(space, max_trials, objectives):
    """Name of the algorithm for a space, and why it is taken."""
    count = _space.size(space, limit=max_trials or 1000)
    if space and count is not None:
        return "grid", f"the space has only {count} combinations"
    if objectives > 1 and _installed("optuna"):
        return "nsga2", f"there are {objectives} objectives"
    if not space:
        return "random", "the space is not known before the first trial"
    searched = _moves.searched(space)
    numeric = all(map(_space.is_numeric, searched))
    if _space.is_conditional(space):
        return "evolution", "the space has conditional parts"
    if numeric and len(searched) <= MOST_DIMENSIONS and _installed("sklearn"):
        return "bayesian", f"the space is {len(searched)} numbers"
    if _installed("optuna"):
        return "tpe", "the space mixes names and numbers"
    return "evolution", "the space mixes names and numbers, and Optuna is missing"


def shared(name, objective, overwrite):
    """Name of the algorithm for a search through a storage of Optuna."""
    if overwrite:
        checks.fail(
            "`overwrite` must be False with a `storage`, where others may search",
            fix="Delete the study before, or name another project.",
            overwrite=overwrite,
        )
    if name == "auto":
        several = isinstance(objective, list) and len(objective) > 1
        return "nsga2" if several else "tpe"
    if name not in _studies.SAMPLERS:
        names = ", ".join(_studies.SAMPLERS)
        checks.fail(
            f"With `storage` the algorithm must be Optuna's: {names}",
            algorithm=name,
        )
    return name


def make(name, options, arguments):
    """The oracle called `name`; `options` are its own, `arguments` those of all."""
    if "storage" in options:
        return OptunaStorageOracle(sampler=name, **options, **arguments)
    if name in OPTUNA:
        return OptunaOracle(sampler=name, **options, **arguments)
    cls = {
        "grid": GridSearchOracle,
        "random": RandomSearchOracle,
        "bayesian": BayesianOptimizationOracle,
        "hyperband": HyperbandOracle,
        "evolution": EvolutionOracle,
    }[name]
    return cls(**options, **arguments)


def checked(value):
    """A name of `NAMES` or an oracle of this package."""
    if isinstance(value, str):
        return checks.choice("algorithm", value, NAMES)
    if isinstance(value, RepairedOracle):
        return value
    if isinstance(value, keras_tuner.Oracle):
        checks.fail(
            "`algorithm` must be a name or an oracle of keras_strategies.tuning",
            algorithm=value,
            fix="Those of KerasTuner have repaired subclasses of the same name here.",
        )
    return checks.fail(
        "`algorithm` must be a name or an oracle", error=TypeError, algorithm=value
    )
