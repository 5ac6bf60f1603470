"""Initializers that Keras does not ship, for any backend.

For the kernels of convolutions: `DeltaOrthogonal` keeps lengths exactly, `Dirac` begins
as the identity, `ConvolutionAware` is orthogonal in the frequencies, `ICNR` starts
sub-pixel convolutions without artifacts.
"""

from keras_strategies.initializers.convolution_aware import ConvolutionAware
from keras_strategies.initializers.delta_orthogonal import DeltaOrthogonal
from keras_strategies.initializers.dirac import Dirac
from keras_strategies.initializers.icnr import ICNR

__all__ = [
    "ConvolutionAware",
    "DeltaOrthogonal",
    "Dirac",
    "ICNR",
]
