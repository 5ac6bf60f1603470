"""Layers that Keras does not ship, for any backend.

Regularization by noise (`StochasticDepth`, `DropBlock2D`), activations with weights
of their own (`Snake`, `AconC`, `LearnableSwish`, `Maxout`) and parts of blocks
(`LayerScale`). Every layer saves, runs under XLA and in mixed precision.
"""

from keras_strategies.layers.acon_c import AconC
from keras_strategies.layers.drop_block1d import DropBlock1D
from keras_strategies.layers.drop_block2d import DropBlock2D
from keras_strategies.layers.layer_scale import LayerScale
from keras_strategies.layers.learnable_swish import LearnableSwish
from keras_strategies.layers.maxout import Maxout
from keras_strategies.layers.snake import Snake, snake
from keras_strategies.layers.stochastic_depth import (
    StochasticDepth,
    stochastic_depth_rates,
)

__all__ = [
    "AconC",
    "DropBlock1D",
    "DropBlock2D",
    "LayerScale",
    "LearnableSwish",
    "Maxout",
    "Snake",
    "StochasticDepth",
    "snake",
    "stochastic_depth_rates",
]
