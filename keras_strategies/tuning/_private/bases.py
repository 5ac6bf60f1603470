"""Base classes of KerasTuner and of `keras.wrappers`, as type checkers should see them.

As in `_internal.bases`: neither library has types. At run time these names are theirs.
"""

from typing import TYPE_CHECKING, Any

import keras
import keras_tuner

if TYPE_CHECKING:
    from keras_strategies._internal.bases import KerasObject

    class HyperModel(KerasObject): ...

    class HyperParameters(KerasObject):
        values: dict[str, Any]

    class Oracle(KerasObject):
        trials: dict[str, Any]

    # Without `__getattr__`: a misspelt method of a tuner must be noticed.
    class Tuner:
        oracle: Any
        hypermodel: Any
        project_dir: str

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def search(self, *args: Any, **kwargs: Any) -> Any: ...
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any: ...
        def load_model(self, trial: Any) -> Any: ...
        def get_best_models(self, num_models: int = 1) -> list[Any]: ...
        def get_best_hyperparameters(self, num_trials: int = 1) -> list[Any]: ...
        def search_space_summary(self, extended: bool = False) -> None: ...
        def results_summary(self, num_trials: int = 10) -> None: ...
        def save(self) -> None: ...
        def reload(self) -> None: ...

    class HyperbandOracle(Oracle): ...

    class BayesianOptimizationOracle(Oracle): ...

    class RandomSearchOracle(Oracle): ...

    class GridSearchOracle(Oracle): ...

    class SKLearnClassifier(KerasObject): ...

    class SKLearnRegressor(KerasObject): ...

else:
    HyperModel = keras_tuner.HyperModel
    HyperParameters = keras_tuner.HyperParameters
    Oracle = keras_tuner.Oracle
    Tuner = keras_tuner.Tuner
    HyperbandOracle = keras_tuner.oracles.HyperbandOracle
    BayesianOptimizationOracle = keras_tuner.oracles.BayesianOptimizationOracle
    RandomSearchOracle = keras_tuner.oracles.RandomSearchOracle
    GridSearchOracle = keras_tuner.oracles.GridSearchOracle
    SKLearnClassifier = keras.wrappers.SKLearnClassifier
    SKLearnRegressor = keras.wrappers.SKLearnRegressor
