"""Hypermodels that build a network of their own for a task."""

from keras_strategies.tuning.hypermodels.networks.hyper_cnn import HyperCNN
from keras_strategies.tuning.hypermodels.networks.hyper_mlp import HyperMLP
from keras_strategies.tuning.hypermodels.networks.hyper_resnet import HyperResNet
from keras_strategies.tuning.hypermodels.networks.hyper_rnn import HyperRNN
from keras_strategies.tuning.hypermodels.networks.hyper_transfer_learning import (
    HyperTransferLearning,
)
from keras_strategies.tuning.hypermodels.networks.hyper_transformer import (
    HyperTransformer,
)

__all__ = [
    "HyperCNN",
    "HyperMLP",
    "HyperRNN",
    "HyperResNet",
    "HyperTransferLearning",
    "HyperTransformer",
]
