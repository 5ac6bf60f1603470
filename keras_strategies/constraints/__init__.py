"""Constraints that Keras does not ship, for any backend.

Both fix singular values of a kernel after each update: `Orthogonal` sets all of them
to one, `UnitSpectralNorm` the largest. The regularizers `ConvOrthogonal` and
`SpectralNorm` of `keras_strategies.regularizers` penalize deviations instead.
"""

from keras_strategies.constraints.orthogonal import Orthogonal
from keras_strategies.constraints.unit_spectral_norm import UnitSpectralNorm

__all__ = ["Orthogonal", "UnitSpectralNorm"]
