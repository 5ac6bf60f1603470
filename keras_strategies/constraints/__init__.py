"""Constraints that Keras does not ship, for any backend.

Both hold the spectrum of a kernel after each update: `Orthogonal` sets every singular
value to one, `UnitSpectralNorm` the largest. The penalties `ConvOrthogonal` and
`SpectralNorm` of `keras_strategies.regularizers` only pull in these directions.
"""

from keras_strategies.constraints.orthogonal import Orthogonal
from keras_strategies.constraints.unit_spectral_norm import UnitSpectralNorm

__all__ = ["Orthogonal", "UnitSpectralNorm"]
