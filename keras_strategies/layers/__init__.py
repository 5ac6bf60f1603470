"""Layers that Keras does not ship, for any backend.

Regularization by noise (`StochasticDepth`, `DropBlock2D`), activations with weights
of their own (`Snake`, `AconC`, `LearnableSwish`, `Maxout`), normalization without or
with less of the batch (`GhostBatchNormalization`, `FilterResponseNormalization`,
`WeightStandardizedConv2D`), attention over channels and places (`SqueezeExcitation`,
`ConvolutionalBlockAttention`), pooling (`BlurPooling2D`, `SpatialPyramidPooling2D`) and
parts of blocks (`LayerScale`). Every layer saves, and runs under XLA and in mixed
precision.
"""

from keras_strategies.layers.acon_c import AconC
from keras_strategies.layers.blur_pooling2d import BlurPooling2D
from keras_strategies.layers.convolutional_block_attention import (
    ConvolutionalBlockAttention,
)
from keras_strategies.layers.drop_block1d import DropBlock1D
from keras_strategies.layers.drop_block2d import DropBlock2D
from keras_strategies.layers.efficient_channel_attention import (
    EfficientChannelAttention,
)
from keras_strategies.layers.filter_response_normalization import (
    FilterResponseNormalization,
)
from keras_strategies.layers.ghost_batch_normalization import GhostBatchNormalization
from keras_strategies.layers.global_response_normalization import (
    GlobalResponseNormalization,
)
from keras_strategies.layers.layer_scale import LayerScale
from keras_strategies.layers.learnable_swish import LearnableSwish
from keras_strategies.layers.maxout import Maxout
from keras_strategies.layers.snake import Snake, snake
from keras_strategies.layers.spatial_pyramid_pooling2d import SpatialPyramidPooling2D
from keras_strategies.layers.squeeze_excitation import SqueezeExcitation
from keras_strategies.layers.stochastic_depth import (
    StochasticDepth,
    stochastic_depth_rates,
)
from keras_strategies.layers.weight_standardized_conv2d import WeightStandardizedConv2D

__all__ = [
    "AconC",
    "BlurPooling2D",
    "ConvolutionalBlockAttention",
    "DropBlock1D",
    "DropBlock2D",
    "EfficientChannelAttention",
    "FilterResponseNormalization",
    "GhostBatchNormalization",
    "GlobalResponseNormalization",
    "LayerScale",
    "LearnableSwish",
    "Maxout",
    "Snake",
    "SpatialPyramidPooling2D",
    "SqueezeExcitation",
    "StochasticDepth",
    "WeightStandardizedConv2D",
    "snake",
    "stochastic_depth_rates",
]
