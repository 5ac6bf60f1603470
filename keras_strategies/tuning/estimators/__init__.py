"""Keras models as scikit-learn estimators, and a search over any estimator."""

from keras_strategies.tuning.estimators.keras_classifier import KerasClassifier
from keras_strategies.tuning.estimators.keras_regressor import KerasRegressor
from keras_strategies.tuning.estimators.tuner_search_cv import TunerSearchCV

__all__ = ["KerasClassifier", "KerasRegressor", "TunerSearchCV"]
