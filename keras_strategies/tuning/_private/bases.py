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

    class Tuner(KerasObject):
        oracle: Any

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
