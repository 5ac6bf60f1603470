"""Regularizers that Keras does not ship, for any backend.

For sparse weights: `GroupLasso` and `ElasticGroupLasso` drive whole units or filters
to zero, `Hoyer` and `Entropy` concentrate the magnitude in few weights. For well
conditioned kernels: `ConvOrthogonal` and `SpectralNorm`. `LogBarrier` keeps weights
inside a range. For activations: `TemporalActivation` (AR and TAR) and `KLSparsity`.
`JacobianPenalty` and `R1` wrap a model and penalize gradients with respect to its
inputs. `apply` adds regularizers, these or Keras's own, to an existing model.
"""

from keras_strategies.regularizers._apply import apply
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
