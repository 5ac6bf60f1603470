"""Layers that Keras does not ship, for any backend.

Regularization by noise (`StochasticDepth`, `DropBlock2D`, `ConcreteDropout`),
activations with trained parameters (`Snake`, `AconC`, `LearnableSwish`, `Maxout`),
normalization without or with a part of the batch (`GhostBatchNormalization`,
`FilterResponseNormalization`, `WeightNormalization`), channel and spatial attention
(`SqueezeExcitation`, `ConvolutionalBlockAttention`), pooling (`BlurPooling2D`,
`SpatialPyramidPooling2D`, `AttentionPooling`), uncertainty (`MonteCarloDropout`) and
whole blocks (`ResidualBlock`, `TransformerBlock`). All layers can be saved and run
under XLA and in mixed precision.
"""

from keras_strategies.layers._snake import Snake, snake
from keras_strategies.layers.acon_c import AconC
from keras_strategies.layers.attention_pooling import AttentionPooling
from keras_strategies.layers.blur_pooling2d import BlurPooling2D
from keras_strategies.layers.concrete_dropout import ConcreteDropout
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
from keras_strategies.layers.gated_linear_unit import GatedLinearUnit
from keras_strategies.layers.ghost_batch_normalization import GhostBatchNormalization
from keras_strategies.layers.global_response_normalization import (
    GlobalResponseNormalization,
)
from keras_strategies.layers.layer_scale import LayerScale
from keras_strategies.layers.learnable_swish import LearnableSwish
from keras_strategies.layers.maxout import Maxout
from keras_strategies.layers.monte_carlo_dropout import (
    MonteCarloDropout,
    predict_with_uncertainty,
)
from keras_strategies.layers.noisy_dense import NoisyDense
from keras_strategies.layers.positional_embedding import PositionalEmbedding
from keras_strategies.layers.residual_block import ResidualBlock
from keras_strategies.layers.spatial_pyramid_pooling2d import SpatialPyramidPooling2D
from keras_strategies.layers.squeeze_excitation import SqueezeExcitation
from keras_strategies.layers.stochastic_depth import (
    StochasticDepth,
    stochastic_depth_rates,
)
from keras_strategies.layers.transformer_block import TransformerBlock
from keras_strategies.layers.weight_normalization import WeightNormalization
from keras_strategies.layers.weight_standardized_conv2d import WeightStandardizedConv2D
from keras_strategies.surgery import insert

__all__ = [
    "AconC",
    "AttentionPooling",
    "BlurPooling2D",
    "ConcreteDropout",
    "ConvolutionalBlockAttention",
    "DropBlock1D",
    "DropBlock2D",
    "EfficientChannelAttention",
    "FilterResponseNormalization",
    "GatedLinearUnit",
    "GhostBatchNormalization",
    "GlobalResponseNormalization",
    "LayerScale",
    "LearnableSwish",
    "Maxout",
    "MonteCarloDropout",
    "NoisyDense",
    "PositionalEmbedding",
    "ResidualBlock",
    "Snake",
    "SpatialPyramidPooling2D",
    "SqueezeExcitation",
    "StochasticDepth",
    "TransformerBlock",
    "WeightNormalization",
    "WeightStandardizedConv2D",
    "insert",
    "predict_with_uncertainty",
    "snake",
    "stochastic_depth_rates",
]
