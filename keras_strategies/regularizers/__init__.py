"""Regularizers that Keras does not ship, for any backend.

For sparse weights: `GroupLasso` and `ElasticGroupLasso` drive whole units or filters
to zero together, `Hoyer` and `Entropy` concentrate magnitude in few weights. For well
conditioned ones: `ConvOrthogonal` and `SpectralNorm`. `LogBarrier` keeps weights
inside a range. For activations: `TemporalActivation` (AR and TAR) and `KLSparsity`.
`JacobianPenalty` and `R1` wrap a model and penalize gradients by its inputs.
`apply` gives an existing model regularizers, these or Keras's own.
"""

from keras_strategies.regularizers.apply import apply
from keras_strategies.regularizers.conv_orthogonal import ConvOrthogonal
from keras_strategies.regularizers.elastic_group_lasso import ElasticGroupLasso
from keras_strategies.regularizers.entropy import Entropy
from keras_strategies.regularizers.group_lasso import GroupLasso
from keras_strategies.regularizers.hoyer import Hoyer
from keras_strategies.regularizers.jacobian_penalty import JacobianPenalty
from keras_strategies.regularizers.kl_sparsity import KLSparsity
from keras_strategies.regularizers.log_barrier import LogBarrier
from keras_strategies.regularizers.r1 import R1
from keras_strategies.regularizers.spectral_norm import SpectralNorm
from keras_strategies.regularizers.temporal_activation import TemporalActivation

__all__ = [
    "ConvOrthogonal",
    "ElasticGroupLasso",
    "Entropy",
    "GroupLasso",
    "Hoyer",
    "JacobianPenalty",
    "KLSparsity",
    "LogBarrier",
    "R1",
    "SpectralNorm",
    "TemporalActivation",
    "apply",
]
