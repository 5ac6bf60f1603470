"""Registry of the search algorithms and pruners by name, and the automatic choice."""

import dataclasses
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning import _space
from keras_strategies.tuning._studies import SAMPLERS
from keras_strategies.tuning.oracles._base import OracleBase
from keras_strategies.tuning.oracles.bayesian_optimization_oracle import (
    BayesianOptimizationOracle,
)
from keras_strategies.tuning.oracles.evolution_oracle import EvolutionOracle
from keras_strategies.tuning.oracles.grid_search_oracle import GridSearchOracle
from keras_strategies.tuning.oracles.hyperband_oracle import HyperbandOracle
from keras_strategies.tuning.oracles.optuna_oracle import OptunaOracle
from keras_strategies.tuning.oracles.optuna_storage_oracle import OptunaStorageOracle
from keras_strategies.tuning.oracles.population_based_training_oracle import (
    PopulationBasedTrainingOracle,
)
from keras_strategies.tuning.oracles.random_search_oracle import RandomSearchOracle
from keras_strategies.tuning.pruners import (
    MedianPruner,
    OptunaPruner,
    Pruner,
    SuccessiveHalvingPruner,
    is_optuna_pruner,
)

# For type checkers, which cannot read the registry; a test compares the two.
AlgorithmName: TypeAlias = Literal[
    "auto",
    "grid",
    "random",
    "bayesian",
    "hyperband",
    "tpe",
    "gp",
    "cmaes",
    "nsga2",
    "evolution",
    "pbt",
]
PrunerName: TypeAlias = Literal["median", "asha"]


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """An entry of the registry.

    Attributes:
        oracle: The class that proposes the values.
        options: Arguments of it that belong to the name.
        is_finite: Whether the search ends by itself, so that `max_trials` may be
            `None`.
        is_sequential: Whether it proposes one complete trial after the other with one
            score each, as `TunerSearchCV` needs it.
    """

    oracle: type[OracleBase]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    is_finite: bool = False
    is_sequential: bool = True


#: The algorithms by name. A new one needs an entry here, and in `AlgorithmName`.
ALGORITHMS: dict[str, Algorithm] = {
    "grid": Algorithm(GridSearchOracle, is_finite=True),
    "random": Algorithm(RandomSearchOracle),
    "bayesian": Algorithm(BayesianOptimizationOracle),
    "hyperband": Algorithm(HyperbandOracle, is_finite=True, is_sequential=False),
    **{
        # NSGA-II is for several objectives.
        name: Algorithm(OptunaOracle, {"sampler": name}, is_sequential=name != "nsga2")
        for name in SAMPLERS
        if name != "random"
    },
    "evolution": Algorithm(EvolutionOracle),
    "pbt": Algorithm(
        PopulationBasedTrainingOracle, is_finite=True, is_sequential=False
    ),
}
PRUNERS: dict[str, Callable[[], Pruner]] = {
    "median": MedianPruner,
    "asha": SuccessiveHalvingPruner,
}
# With no more hyperparameters than this a Gaussian process is the best model.
_MAX_PROCESS_DIMENSIONS = 20


def make_pruner(value: Any) -> Pruner | None:
    """The pruner of a name; a pruner or `None` is returned as it is."""
    if is_optuna_pruner(value):
        return OptunaPruner(value)
    if value is None or hasattr(value, "should_stop"):
        return value
    return PRUNERS[checks.choice("pruner", value, (*PRUNERS, None))]()


def check_algorithm(value: Any) -> str | OracleBase:
    """Checks that `value` is `"auto"`, a name in the registry or an oracle of ours."""
    if isinstance(value, str):
        return checks.choice("algorithm", value, ("auto", *ALGORITHMS))
    if isinstance(value, OracleBase):
        return value
    if isinstance(value, keras_tuner.Oracle):
        # They lack pruning, heartbeats and the recording of failures.
        checks.fail(
            "`algorithm` must be a name or an oracle of keras_strategies.tuning",
            algorithm=value,
            fix="Those of KerasTuner have repaired subclasses of the same name here. "
            "For one of your own derive from RandomSearchOracle and override "
            "`populate_space(trial_id)`.",
        )
    return checks.fail(
        "`algorithm` must be a name or an oracle", error=TypeError, algorithm=value
    )


def choose_algorithm(
    space: Sequence[Any], max_trials: int | None, num_objectives: int
) -> tuple[str, str]:
    """Returns the name of the algorithm for a space, and the reason.

    The order of the rules is that of the benchmarks in `docs/benchmarks.md`.
    """
    count = _space.size(space, limit=max_trials or 1000)
    if space and count is not None:
        return "grid", f"the space has only {count} combinations"
    if num_objectives > 1 and _is_installed("optuna"):
        return "nsga2", f"there are {num_objectives} objectives"
    if not space:
        return "random", "the space is not known before the first trial"
    searched = len(_space.searched(space))
    if searched <= _MAX_PROCESS_DIMENSIONS and _is_installed("sklearn"):
        return "bayesian", f"the space has {searched} hyperparameters"
    if _space.is_conditional(space):
        return "evolution", "the space is large and has conditional parts"
    if _is_installed("optuna"):
        return "tpe", f"the space has {searched} hyperparameters"
    return "evolution", "the space is large, and Optuna is missing"


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def choose_for_storage(name: str, num_objectives: int) -> str:
    """Returns the name of the sampler for a search through a storage of Optuna."""
    if name == "auto":
        return "nsga2" if num_objectives > 1 else "tpe"
    if name not in SAMPLERS:
        checks.fail(
            f"With `storage` the algorithm must be Optuna's: {', '.join(SAMPLERS)}",
            algorithm=name,
        )
    return name


def make_oracle(
    name: str, options: Mapping[str, Any], arguments: Mapping[str, Any]
) -> OracleBase:
    """Makes the oracle of an algorithm.

    Args:
        name: Name in the registry; with `storage` among the options that of a sampler.
        options: Arguments of this oracle only.
        arguments: Arguments that all oracles have.
    """
    if "storage" in options:
        return OptunaStorageOracle(sampler=name, **options, **arguments)
    algorithm = ALGORITHMS[name]
    return algorithm.oracle(**{**algorithm.options, **options}, **arguments)
