"""Hypermodels for KerasTuner: finished search spaces that need no build function.

Each is a `keras_tuner.HyperModel`, so every tuner of KerasTuner takes it as its
`hypermodel`. This subpackage imports KerasTuner and is therefore imported only
when it is first used.
"""

from keras_strategies.tuning.hyper_cnn import HyperCNN
from keras_strategies.tuning.hyper_mlp import HyperMLP
from keras_strategies.tuning.hyper_resnet import HyperResNet
from keras_strategies.tuning.hyper_rnn import HyperRNN
from keras_strategies.tuning.hyper_transformer import HyperTransformer
from keras_strategies.tuning.keras_classifier import KerasClassifier
from keras_strategies.tuning.keras_regressor import KerasRegressor

__all__ = [
    "HyperCNN",
    "HyperMLP",
    "HyperRNN",
    "HyperResNet",
    "HyperTransformer",
    "KerasClassifier",
    "KerasRegressor",
]
